"""The local optimizers, which turn gradients into steps within one round.

Each uses elementwise operators only, so that the same code works on TensorFlow's tensors and
numpy's arrays and gives the same bits in every process. A step is ``v -= rate * direction`` for a
parameter v. An optimizer's state, its slots, is zero at the beginning of each round.

Example
-------
>>> optimizer = local_optimizer(ModelSettings(local_optimizer="momentum", local_momentum=0.5))
>>> optimizer.direction(2.0, (4.0,), None)
(4.0, (4.0,))
"""

from typing import Any, Callable, Dict, NamedTuple, Tuple

from ..core.settings import ModelSettings
from ..errors import DataError

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # of adam

Slots = Tuple[Any, ...]


class LocalOptimizer(NamedTuple):
    """The functions of a local optimizer.

    Attributes
    ----------
    n_slots : int
        Number of arrays of state, each of a parameter's shape.
    direction : callable
        (gradient, slots, sqrt) -> (direction, new slots), elementwise; ``sqrt`` is that of the arrays.
    rate : callable
        (lr, t) -> factor of the direction in step t = 1, 2, ..., in float64.
    """

    n_slots: int
    direction: Callable[[Any, Slots, Any], Tuple[Any, Slots]]
    rate: Callable[[Any, Any], Any]


def local_optimizer(model: ModelSettings) -> LocalOptimizer:
    """Return the optimizer that ``model.local_optimizer`` names.

    Raises
    ------
    DataError
        If there is no optimizer of that name.
    """
    name = model.local_optimizer
    if name not in LOCAL_OPTIMIZERS:
        raise DataError("model.local_optimizer must be one of %s, got %r" % (", ".join(LOCAL_OPTIMIZERS), name))
    return LOCAL_OPTIMIZERS[name](model)


def _sgd(model: ModelSettings) -> LocalOptimizer:
    return LocalOptimizer(0, lambda gradient, slots, sqrt: (gradient, slots), lambda lr, t: lr)


def _momentum(model: ModelSettings) -> LocalOptimizer:
    """Return the heavy-ball method: m := local_momentum m + g, with step lr m.

    Source: Polyak 1964, doi:10.1016/0041-5553(64)90137-5, in the form of Sutskever et al. 2013.
    """
    decay = model.local_momentum

    def direction(gradient: Any, slots: Slots, sqrt: Any) -> Tuple[Any, Slots]:
        velocity = decay * slots[0] + gradient
        return velocity, (velocity,)

    return LocalOptimizer(1, direction, lambda lr, t: lr)


def _adam(model: ModelSettings) -> LocalOptimizer:
    """Return Adam with "epsilon hat", the form just before section 2.1 of the paper, as in Keras.

    Source: Kingma and Ba 2015, arXiv:1412.6980; beta 0.9 and 0.999, epsilon hat 1e-7.
    """

    def direction(gradient: Any, slots: Slots, sqrt: Any) -> Tuple[Any, Slots]:
        mean = BETA_1 * slots[0] + (1.0 - BETA_1) * gradient
        mean_sq = BETA_2 * slots[1] + (1.0 - BETA_2) * (gradient * gradient)
        return mean / (sqrt(mean_sq) + EPSILON), (mean, mean_sq)

    return LocalOptimizer(2, direction, lambda lr, t: lr * (1.0 - BETA_2**t) ** 0.5 / (1.0 - BETA_1**t))


LOCAL_OPTIMIZERS: Dict[str, Callable[[ModelSettings], LocalOptimizer]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adam": _adam,
}
