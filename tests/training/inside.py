"""What tests look at within a Keras trainer."""


def batches_of_round(trainer, round_index):
    """The positions in the trainer's share that make up the batches of a round."""
    return trainer._task._batches(trainer._share, round_index)


def n_traces(trainer):
    """How often the functions that train were traced, for this trainer and all that share its task."""
    functions = trainer._share.network._functions.values()
    return sum(function.experimental_get_tracing_count() for function in functions)
