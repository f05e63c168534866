"""Words the errors of the settings for flq_fed_v3.py, whose flags have the names of FLQ v3.

Example
-------
>>> in_flags("b_up must be in 1..8 in mode bbit, got 32 (use mode fedavg to send float32)")
'--b must be in 1..8 with --mode bbit, got 32 (use --mode fedavg to send float32)'
>>> in_flags("memory must be mirror, got 'flq' (leave flq_algorithm.memory null)")
"--memory must be mirror, got 'flq' (omit --memory)"
>>> in_flags("line 3, column 2 (lr_decay) must be a number (dataset.label_column names the column)", of_data=True)
'line 3, column 2 (lr_decay) must be a number (--set dataset.label_column names the column)'
"""

import re
from typing import Dict, Iterable, Iterator, List, Pattern, Tuple

from .core.codecs import MODES
from .core.settings import MEMORIES, UPDATES, Settings
from .core.strategies import AGGREGATORS, SERVER_OPTIMIZERS

RENAMED = {
    "system.total_workers": "M",
    "system.max_rounds": "iters",
    "dataset.name": "dataset",
    "dataset.batch_size": "batch",
    "model.name": "model",
    "model.l2": "cl",
    "flq_algorithm.b_up": "b",
}
SAME = {  # flags that have the name of their setting
    "system": "seed threads",
    "dataset": "partition dir_alpha shards_per_worker data_dir",
    "model": "lr lr_schedule lr_decay lr_decay_rounds local_optimizer mu logit_adjustment local_epochs local_steps "
    "server_optimizer server_lr server_momentum ema dim",
    "flq_algorithm": "mode update b_down bytes_up bytes_down coding memory aggregator scale_by_selected sel_ref "
    "clip_global",
    "lazy_selection": "D ck C warmup thr_scale",
    "budget_selection": "sel_clients up_budget_bits grant_by",
    "jetson_optimization": "gpu_memory_limit_mb",
}
FLAGS: Dict[str, str] = {
    **RENAMED,
    **{"%s.%s" % (section, key): key for section, keys in SAME.items() for key in keys.split()},
}
VALUES: Dict[str, Iterable[str]] = {  # of settings whose names are words: they are meant where a value follows
    "mode": MODES,
    "update": UPDATES,
    "memory": MEMORIES,
    "aggregator": AGGREGATORS,
    "server_optimizer": SERVER_OPTIMIZERS,
}
EDGE = r"(?<![\w/.'\"=-])"  # no part of a path or of a text between quotation marks

IN_FLAGS = ("--", "the Excel file ")  # so begin sentences that name flags already, and may contain paths


def _words() -> Iterator[Tuple[str, str]]:
    """Yield patterns of settings without their section, and the flags in their place."""
    for key, values in VALUES.items():
        follows = r"(?= (?:%s)\b)" % "|".join(values)
        yield from [(EDGE + "in %s" % key + follows, "with --" + key), (EDGE + key + follows, "--" + key)]
    for key, flag in FLAGS.items():
        bare = key.partition(".")[2]
        yield EDGE + bare + (r"(?![\w.])" if "_" in bare else r"(?= must be\b)"), "--" + flag


def _names() -> List[Tuple[str, str]]:
    """Return patterns of settings with their section, and the flags in their place, in the order to apply them."""
    return [(EDGE + re.escape(key) + r"(?![\w.])", "--" + flag) for key, flag in FLAGS.items()] + [
        (r"leave (--\w+) null", r"omit \1"),
        (r"(--\w+) must be null", r"\1 must be left out"),
        (r"set (--\w+) to false", r"give \1 0"),
        (r"set (--\w+) to null", r"omit \1"),
        (r", or (--\w+) to null", r", or omit \1"),
        (r"set (dataset\.\w+)( to |=)", r"add --set \1="),
        (r"(give|leave) (dataset\.\w+)", r"\1 --set \2"),
        (EDGE + r"(dataset\.\w+)(?= names)", r"--set \1"),
    ]


def _compiled(rules: Iterable[Tuple[str, str]]) -> List[Tuple[Pattern[str], str]]:
    return [(re.compile(pattern), words) for pattern, words in rules]


WORDS, NAMES = _compiled(_words()), _compiled(_names())


def in_flags(sentence: str, of_data: bool = False) -> str:
    """Return a sentence about settings with the flags of flq_fed_v3.py in their place.

    A sentence about data may contain words from files, such as the columns of a table; in it, a setting is only what is
    named with its section.
    """
    if sentence.startswith(IN_FLAGS):
        return sentence
    for pattern, words in NAMES if of_data else WORDS + NAMES:
        sentence = pattern.sub(words, sentence)
    return sentence


def unnamed() -> List[str]:
    """Return the settings, as section.key, that have no flag of their own."""
    every = ["%s.%s" % (name, key) for name, section in Settings()._asdict().items() for key in section._fields]
    return [key for key in every if key not in FLAGS]
