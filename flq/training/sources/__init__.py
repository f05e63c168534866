"""Readers of data sets, one module per format.

::

    seen, labels, channels, scaling  <-  dataset  <-  idx_files, cifar_files  <-  published  (downloads them)
                                         dataset  <-  npz_file, csv_file, image_folder

seen           what a reader found, and the sentences that say it
labels         numbers or texts -> classes    channels      gray and color, channels first or last
scaling        the value that means 1.0       dataset       Dataset, and its checks
idx_files      the format of MNIST            cifar_files   the binary version of CIFAR-10
published      finds or downloads these       download      downloads and verifies files
npz_file, csv_file, image_folder              the user's own data
csv_table, csv_rows   numbers and classes     csv_heading   whether the first line is a heading
csv_columns    which column is what           csv_format    files that are not comma-separated
class_folders  what is a class, and what is not
own_data       finds the user's own data in a folder

The table of all names is in ``flq.training.datasets``. A file that cannot be used is a DataError
of one sentence that names the file.
"""
