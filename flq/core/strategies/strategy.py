"""What an aggregator and a server optimizer are: values that hold pure functions, composed and never inherited.

The shape is that of optax: ``init`` makes a state, ``update`` takes it and returns the next one. States and
options are NamedTuples, of vectors and numbers and of numbers; a state is never written to, and a snapshot stores
whatever fields it has. What a strategy sees is decoded: laziness, bits and budgets are other modules' business.

Model: optax (Babuschkin et al. 2020), FedJAX (Ro et al. 2021, arXiv:2108.02117).
"""

import math
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

import numpy as np

from ...errors import ConfigError
from ..layout import Vector, blocks
from .contributions import Contributions


class Empty(NamedTuple):
    """The state of a strategy that remembers nothing, the options of one that takes none."""


class Option(NamedTuple):
    """Meaning and range of an option: ``ge`` <= value <= ``le``, or < ``lt``."""

    meaning: str
    ge: float = 0.0
    le: float = math.inf
    lt: float = math.inf

    def admits(self, value: float) -> bool:
        """Say whether a value is finite and in the range."""
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
        G is float32 (n_params,) and new; what it holds for moving statistics does not count.
    options : NamedTuple of numbers
        With their defaults; the setting ``flq_algorithm.aggregator_options`` gives others.
    about : mapping
        Option -> Option.
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
        Vectors are float32 (n_trained,): moving statistics know no step. The x that is returned is new.
    options, about, refuses
        As an aggregator's; the setting is ``model.server_options``.
    """

    init: Callable[[int], Any]
    update: Callable[[Vector, Any, Vector, float, Any], Tuple[Vector, Any]]
    options: Any = Empty()
    about: Mapping[str, Option] = {}
    refuses: Mapping[str, str] = {}


def stateless(n_trained: int) -> Empty:
    """Return the state of a strategy that remembers nothing."""
    return Empty()


def zeros(n_trained: int) -> Vector:
    """Return a state's vector before the first step: -0.0, since -0.0 + v is v, also where v is -0.0."""
    return np.full(n_trained, -0.0, np.float32)


def blockwise(
    update: Callable[[Vector, Any, Vector, float, Any], Tuple[Vector, Any]],
) -> Callable[[Vector, Any, Vector, float, Any], Tuple[Vector, Any]]:
    """Return the same elementwise ``update`` of a server optimizer, run on blocks that fit the cache."""

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
    """Return a strategy's options: those that are given, the others with their defaults.

    Parameters
    ----------
    name : str
        What the strategy is called in the settings.

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
    """Return the state of which :func:`split_state` made these."""
    return strategy.init(0)._replace(**numbers, **vectors)
