"""Local training and evaluation: data sets, partitions, models, trainers.

::

    sources <- datasets <- partition, models <- keras_models <- keras_trainer, keras_evaluator <- trainer
                                                              results <- quadratic             <- trainer
    trainer <- evaluator_process                    partition <- distribution

trainer                 the seam: ``begin``, ``build_trainer``, ``build_evaluator``, ``check``
datasets, sources       which samples there are; one module of sources for each kind of file
partition               which samples belong to which worker; ``distribution`` shows it
models, custom_model    parameter layouts of the built-in models; a user's own model
keras_models            how Keras builds them; ``keras_weights``: its variables <-> one vector
keras_trainer           local training; ``keras_batches``, ``keras_steps``, ``local_optimizers`` are its parts
keras_setup             TensorFlow's switches and the device's limits, before its first operation
quadratic               a problem and its trainer in numpy alone
evaluator_process       the child process that evaluates for the master; it speaks ``evaluator_protocol``

TensorFlow is imported inside functions only, so that the master can import every module
here and never load it. Nothing here knows of messages, bits or other workers.
"""
