"""Where samples come from: one module per format, and what is common to them.

::

    dataset  <-  idx_files, cifar_files        <-  published  (downloads into FLQ's cache)
    dataset  <-  npz_file, csv_file, image_folder

dataset        Dataset, and how arrays become one
idx_files      the format of MNIST            cifar_files   the binary version of CIFAR-10
published      where these are looked for     download      how they come when they are nowhere
npz_file, csv_file, image_folder              the user's own data

The table of all names is in ``flq.training.datasets``. What is wrong with a file is a
DataError of one sentence that names it.
"""
