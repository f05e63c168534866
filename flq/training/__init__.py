"""Tasks: what is learned, on which data, in which framework.

::

    task                    the seam: Task, Trainer, LocalUpdate
    frameworks              FRAMEWORKS, one row each: keras_task, quadratic (numpy); ``make_task``
    keras_task <- keras_network <- keras_steps, keras_evaluation <- keras_models
    datasets <- sources     which samples there are; one module of sources for each kind of file
    partition               which samples belong to which worker; ``distribution`` shows it

models, custom_model    the built-in models, a function each; a user's own model
layer_shapes            their layers as shapes: the layout without TensorFlow
keras_task              shares of the data; a round of one worker, evaluation, export
keras_network           one model and its traced functions, for all workers of the process
keras_steps             what is traced; ``keras_batches`` and ``local_optimizers`` are its parts
keras_models            their layers in Keras; ``keras_weights``: its variables <-> one vector
keras_setup             TensorFlow's switches and the device's limits, before its first operation
quadratic               a problem in numpy alone
evaluator_process       the child process that evaluates for the master; it speaks ``evaluator_protocol``

TensorFlow is imported inside functions only, so that the master can import every module
here and never load it. Nothing here knows of messages, bits or other workers.
"""
