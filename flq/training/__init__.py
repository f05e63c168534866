"""Local training and evaluation: models, data sets, partitions, trainers.

::

    results  <-  quadratic, keras_trainer, keras_evaluator  <-  trainer  <-  evaluator_process
    datasets <-  partition, models, keras_models

trainer             the seam: ``build_trainer``, ``build_evaluator``, ``check``
datasets, partition which samples there are, and which belong to which worker
models              parameter layouts of the built-in models, without TensorFlow
evaluator_process   the child process that evaluates for the master

TensorFlow is imported inside functions only, so that the master can import every module
here and never load it. Nothing here knows of messages, bits or other workers.
"""
