"""The recipes: a name, a number of rounds, and settings in the form of ``--set``."""

from typing import Dict, NamedTuple, Sequence, Tuple

COMMON = (
    "model=cnn_small",
    "total_workers=10",
    "min_workers=10",
    "partition=non_iid",
    "batch_size=32",
    "l2=0",
    "ema=0.8",
)


class Recipe(NamedTuple):
    """The number of rounds and the settings of a run."""

    rounds: int
    overrides: Tuple[str, ...]


def decayed(lr: float, per_round: float) -> Tuple[str, ...]:
    """Return the settings of a learning rate that is multiplied by ``per_round`` after each round."""
    return ("lr=%g" % lr, "lr_schedule=exponential", "lr_decay=%g" % per_round, "lr_decay_rounds=1")


def momentum(beta: float, server_lr: float) -> Tuple[str, ...]:
    """Return the settings of a server that steps with momentum (FedAvgM)."""
    return ("server_optimizer=momentum", "server_momentum=%g" % beta, "server_lr=%g" % server_lr)


def lowrank(bytes_up: int, bytes_down: int) -> Tuple[str, ...]:
    """Return the settings of mode lowrank with these sizes."""
    return ("mode=lowrank", "bytes_up=%d" % bytes_up, "bytes_down=%d" % bytes_down)


FLOAT = ("mode=fedavg", "coding=none")  # as other systems send models
BITS = ("mode=bbit", "memory=residual")
E1, E2, E3, E5 = [("local_epochs=%d" % n,) for n in (1, 2, 3, 5)]
LOGIT = ("logit_adjustment=1",)
H50, H100 = ("local_steps=50",), ("local_steps=100",)

RECIPES: Dict[str, Recipe] = {
    "fedavg E1": Recipe(24, FLOAT + E1 + ("lr=0.1",)),
    "fedavg E2": Recipe(16, FLOAT + E2 + decayed(0.1, 0.95)),
    "fedavg E2 lr.2": Recipe(16, FLOAT + E2 + decayed(0.2, 0.95)),
    "fedavg E2 lr.2 logit": Recipe(16, FLOAT + E2 + decayed(0.2, 0.95) + LOGIT),
    "fedavg E3": Recipe(12, FLOAT + E3 + decayed(0.1, 0.93)),
    "fedavg E5": Recipe(7, FLOAT + E5 + decayed(0.1, 0.9)),
    "fedavg E1 lr.2 logit": Recipe(22, FLOAT + E1 + decayed(0.2, 0.97) + LOGIT),
    "fedavg E3 lr.2 logit": Recipe(11, FLOAT + E3 + decayed(0.2, 0.93) + LOGIT),
    "fedavgm H100": Recipe(45, FLOAT + H100 + ("lr=0.05",) + momentum(0.9, 0.3)),
    "fedavgm E1": Recipe(30, FLOAT + E1 + decayed(0.07, 0.97) + momentum(0.7, 0.6)),
    "fedadam H50": Recipe(
        30, FLOAT + H50 + ("lr=0.05", "server_optimizer=adam", "server_lr=0.01", "server_epsilon=0.001")
    ),
    "fedavg E2 logit": Recipe(16, FLOAT + E2 + decayed(0.1, 0.95) + LOGIT),
    "fedavgm E1 logit": Recipe(30, FLOAT + E1 + decayed(0.07, 0.97) + momentum(0.7, 0.6) + LOGIT),
    "bbit 4/8 E1": Recipe(26, BITS + E1 + ("b_up=4", "b_down=8") + decayed(0.1, 0.97)),
    "bbit 4/4 E1": Recipe(26, BITS + E1 + ("b_up=4", "b_down=4") + decayed(0.1, 0.97)),
    "bbit 2/2 E1": Recipe(26, BITS + E1 + ("b_up=2", "b_down=2") + decayed(0.1, 0.97)),
    "bbit 4/8 E2": Recipe(16, BITS + E2 + ("b_up=4", "b_down=8") + decayed(0.1, 0.97)),
    "bbit 4/4 E2": Recipe(16, BITS + E2 + ("b_up=4", "b_down=4") + decayed(0.1, 0.97)),
    "bbit 2/2 E2": Recipe(16, BITS + E2 + ("b_up=2", "b_down=2") + decayed(0.1, 0.97)),
    "bbit 4/4 E2 lr.2 logit": Recipe(14, BITS + E2 + ("b_up=4", "b_down=4") + decayed(0.2, 0.95) + LOGIT),
    "bbit 2/2 E2 lr.2 logit": Recipe(14, BITS + E2 + ("b_up=2", "b_down=2") + decayed(0.2, 0.95) + LOGIT),
    "lowrank 1000/1500": Recipe(15, lowrank(1000, 1500) + E2 + decayed(0.2, 0.94) + LOGIT),
    "lowrank 1500/2000": Recipe(22, lowrank(1500, 2000) + E2 + decayed(0.2, 0.96) + LOGIT),
    "lowrank 1500/2000 fast": Recipe(15, lowrank(1500, 2000) + E2 + decayed(0.2, 0.94) + LOGIT),
    "lowrank 2000/3000 slow": Recipe(26, lowrank(2000, 3000) + E2 + decayed(0.2, 0.97) + LOGIT),
    "lowrank auto": Recipe(20, ("mode=lowrank",) + E2 + decayed(0.2, 0.96) + LOGIT),
}


def recipe_of(name: str, changes: Sequence[str]) -> Recipe:
    """Return a recipe with ``key=value`` changes; an unknown name starts from the defaults."""
    known = RECIPES.get(name, Recipe(30, ()))
    keys = {change.partition("=")[0] for change in changes}
    kept = tuple(setting for setting in known.overrides if setting.partition("=")[0] not in keys)
    return Recipe(known.rounds, kept + tuple(changes))
