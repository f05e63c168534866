"""Readers of data sets, one module per format.

::

    dataset  <-  idx_files, cifar_files        <-  published  (downloads into FLQ's cache)
    dataset  <-  npz_file, csv_file, image_folder

dataset        Dataset, and its checks
idx_files      the format of MNIST            cifar_files   the binary version of CIFAR-10
published      finds or downloads these       download      downloads and verifies files
npz_file, csv_file, image_folder              the user's own data
own_data       finds the user's own data in a folder

The table of all names is in ``flq.training.datasets``. A file that cannot be used is a DataError
of one sentence that names the file.
"""
