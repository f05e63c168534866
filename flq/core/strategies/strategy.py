"""The strategy interface: aggregators and server optimizers are values of pure functions, composed, not inherited.

The shape is that of optax: ``init`` makes a state, ``update`` takes it and returns the next one. A state is a
NamedTuple of vectors and numbers, options are one of numbers; a state is never modified, and a snapshot stores its
fields. Strategies see decoded updates: other modules deal with laziness, bits and budgets.

Model: optax (Babuschkin et al. 2020), FedJAX (Ro et al. 2021, arXiv:2108.02117).
"""

import math
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

import numpy as np

from ...errors import ConfigError
from ..layout import Vector, blocks
from .contributions import Contributions


class Empty(NamedTuple):
    """The state of a stateless strategy; the options of a strategy without any."""


class Option(NamedTuple):
    """Meaning and range of an option: ``ge`` <= value <= ``le``, or < ``lt``."""

    meaning: str
    ge: float = 0.0
    le: float = math.inf
    lt: float = math.inf

    def admits(self, value: float) -> bool:
        """Return whether a value is finite and in the range."""
        return self.ge <= value <= self.le and value < self.lt

    def range_of(self, kind: type) -> str:
        """Return the range in words."""
        below = "".join(
            word % bound for word, bound in ((" and <= %g", self.le), (" and < %g", self.lt)) if bound < math.inf
        )
        return "%s >= %g%s" % ("a whole number" if kind is int else "a number", self.ge, below)


class Aggregator(NamedTuple):
    """How contributions become one vector.

    Attributes
    ----------
    init : callable(n_trained) -> state
    update : callable(contributions, state, options) -> (G, state)
        G is float32 (n_params,) and new; its moving statistics are ignored.
    options : NamedTuple of numbers
        The defaults; the setting ``flq_algorithm.aggregator_options`` overrides them.
    about : mapping
        Name of an option -> Option.
    refuses : mapping
        Memory -> why the strategy cannot be used with it.
    """

    init: Callable[[int], Any]
    update: Callable[[Contributions, Any, Any], Tuple[Vector, Any]]
    options: Any = Empty()
    about: Mapping[str, Option] = {}
    refuses: Mapping[str, str] = {}


class ServerOptimizer(NamedTuple):
    """How the model steps along the aggregate.

    Attributes
    ----------
    init : callable(n_trained) -> state
    update : callable(G, state, x, lr, options) -> (x, state)
        Vectors are float32 (n_trained,), without moving statistics. The x that it returns is new.
    options, about, refuses
        As for an aggregator; the setting is ``model.server_options``.
    """

    init: Callable[[int], Any]
    update: Callable[[Vector, Any, Vector, float, Any], Tuple[Vector, Any]]
    options: Any = Empty()
    about: Mapping[str, Option] = {}
    refuses: Mapping[str, str] = {}


def stateless(n_trained: int) -> Empty:
    """Return the state of a stateless strategy."""
    return Empty()


def zeros(n_trained: int) -> Vector:
    """Return a state's vector before the first step, of -0.0: -0.0 + v is v even if v is -0.0."""
    return np.full(n_trained, -0.0, np.float32)


def blockwise(
    update: Callable[[Vector, Any, Vector, float, Any], Tuple[Vector, Any]],
) -> Callable[[Vector, Any, Vector, float, Any], Tuple[Vector, Any]]:
    """Return a server optimizer's elementwise ``update``, run on blocks that fit the cache."""

    def update_blocks(total: Vector, state: Any, model: Vector, lr: float, options: Any) -> Tuple[Vector, Any]:
        names = [name for name, value in state._asdict().items() if isinstance(value, np.ndarray)]
        after = {name: np.empty_like(model) for name in names}
        moved, stepped = np.empty_like(model), state
        for part in blocks(model.size):
            before = state._replace(**{name: getattr(state, name)[part] for name in names})
            moved[part], stepped = update(total[part], before, model[part], lr, options)
            for name in names:
                after[name][part] = getattr(stepped, name)
        return moved, stepped._replace(**after)

    return update_blocks


def options_of(name: str, strategy: Any, given: Mapping[str, float]) -> Any:
    """Return a strategy's options: the given ones, and defaults for the others.

    Parameters
    ----------
    name : str
        Name of the strategy in the settings.

    Raises
    ------
    ConfigError
        If there is no such option, or its value is out of range.
    """
    values = {}
    for option, value in given.items():
        if option not in strategy.options._fields:
            known = ", ".join(strategy.options._fields) or "none"
            raise ConfigError("%s has no option %.40r, expected any of: %s" % (name, option, known))
        kind, about = type(getattr(strategy.options, option)), strategy.about[option]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not about.admits(value) or kind(value) != value:
            raise ConfigError("%s of %s must be %s, got %.40r" % (option, name, about.range_of(kind), value))
        values[option] = kind(value)
    return strategy.options._replace(**values)


def split_state(state: Any) -> Tuple[Dict[str, float], Dict[str, Vector]]:
    """Return a state's numbers and its vectors, by name."""
    fields = state._asdict()
    vectors = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    return {name: value for name, value in fields.items() if name not in vectors}, vectors


def join_state(strategy: Any, numbers: Mapping[str, float], vectors: Mapping[str, Vector]) -> Any:
    """Return the state of which :func:`split_state` returned the numbers and vectors."""
    return strategy.init(0)._replace(**numbers, **vectors)
