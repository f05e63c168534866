"""The table of engines, and the function that runs a federation on one of them."""

from typing import Callable

from ..errors import ConfigError
from . import simulation
from .engine import Engine, Federation, RunResult, assign, describe, make_federation

__all__ = ["ENGINES", "Federation", "RunResult", "make_federation", "run"]

ENGINES = {
    "simulation": Engine(simulation.places, simulation.run)  # one thread, in virtual time
}


def run(name: str, federation: Federation, say: Callable[[str], None] = print) -> RunResult:
    """Check and print the plan of places, and run a federation on the named engine.

    Raises
    ------
    ConfigError
        If there is no such engine, or its places cannot hold the workers.
    """
    if name not in ENGINES:
        raise ConfigError("the engine is %.40r, expected one of %s" % (name, ", ".join(sorted(ENGINES))))
    engine = ENGINES[name]
    plan = assign(federation, engine.places())
    for line in describe(plan):
        say(line)
    return engine.run(federation, plan)
