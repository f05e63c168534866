"""Access to the internals of a Keras trainer for tests."""


def batches_of_round(trainer, round_index):
    """Return the positions in the trainer's share of the batches of a round."""
    return trainer.task._batches(trainer.share, round_index)


def n_traces(trainer):
    """Return the number of traces of the training functions of this trainer's task."""
    functions = trainer.share.network._functions.values()
    return sum(function.experimental_get_tracing_count() for function in functions)
