"""Tasks: models and data, in several frameworks.

::

    task                    the interface: Task, Trainer, LocalUpdate
    frameworks              FRAMEWORKS, one row each: keras_task, quadratic (numpy); ``make_task``
    keras_task <- keras_network <- keras_steps, keras_evaluation <- keras_models
    datasets <- sources     the data sets; ``sources`` has one module per file format
    partition               which samples belong to which worker; ``distribution`` shows it

models, custom_model    the built-in models, one function each; a user's own model
layer_shapes            their layers as shapes: the layout without TensorFlow
keras_task              shares of the data; training, evaluation and export
keras_network           one model and its traced functions, for all workers of the process
keras_steps             the traced functions; ``keras_batches`` and ``local_optimizers`` are its parts
keras_models            their layers in Keras; ``keras_weights``: its variables <-> one vector
keras_setup             TensorFlow's configuration and the device's limits, before its first operation
quadratic               a convex problem in numpy
evaluator_process       the child process that evaluates for the master, over ``evaluator_protocol``

TensorFlow is imported inside functions only, so that the master can import every module
here without loading it. Nothing here depends on messages, bits or other workers.
"""
