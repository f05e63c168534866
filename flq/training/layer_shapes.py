"""Computes the layout of a built-in model from the shapes of its layers, without building it.

``Shapes`` has the methods of ``keras_models.KerasLayers``. Each maps the shape of a sample to the
layer's output shape and records the layer's parameters.

Example
-------
>>> layers = Shapes()
>>> layers.max_pool(layers.conv((8, 8, 1), filters=2, kernel=3), 2)
(4, 4, 2)
>>> layers.layout().to_json()
[['conv_1/kernel', [3, 3, 1, 2]], ['conv_1/bias', [2]]]
"""

from typing import Dict, List, Tuple

from ..core.layout import Layout, Tensor

Shape = Tuple[int, ...]  # of one sample


class Names:
    """Names layers by kind and count: conv_1, conv_2, dense_1."""

    def __init__(self) -> None:
        self._counts: Dict[str, int] = {}

    def next(self, kind: str) -> str:
        """Return the name of the next layer of a kind."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return "%s_%d" % (kind, self._counts[kind])


class Shapes:
    """Records the parameters of the layers that are applied."""

    def __init__(self) -> None:
        self._names = Names()
        self._trained: List[Tensor] = []
        self._statistics: List[Tensor] = []

    def layout(self) -> Layout:
        """Return the trained parameters, in the order of the layers, and then the moving statistics."""
        return Layout(tuple(self._trained + self._statistics), len(self._statistics))

    def shape(self, x: Shape) -> Shape:
        """Return the shape of a sample."""
        return x

    def flatten(self, x: Shape) -> Shape:
        """Flatten a sample."""
        size = 1
        for extent in x:
            size *= extent
        return (size,)

    def dense(self, x: Shape, units: int, activation: str = "linear") -> Shape:
        """Apply a dense layer."""
        self._weights("dense", (x[0], units))
        return (units,)

    def conv(
        self,
        x: Shape,
        filters: int,
        kernel: int,
        stride: int = 1,
        padding: str = "same",
        activation: str = "linear",
        use_bias: bool = True,
    ) -> Shape:
        """Apply a convolution."""
        height, width, channels = x
        self._weights("conv", (kernel, kernel, channels, filters), use_bias)
        lost = 0 if padding == "same" else kernel - 1
        return -(-(height - lost) // stride), -(-(width - lost) // stride), filters

    def norm(self, x: Shape) -> Shape:
        """Apply a batch normalization."""
        name = self._names.next("norm")
        self._trained += [Tensor("%s/%s" % (name, role), x[-1:]) for role in ("gamma", "beta")]
        self._statistics += [Tensor("%s/%s" % (name, role), x[-1:]) for role in ("moving_mean", "moving_variance")]
        return x

    def max_pool(self, x: Shape, size: int) -> Shape:
        """Apply max-pooling; an incomplete square at the border is dropped."""
        return (x[0] // size, x[1] // size) + x[2:]

    def subsample(self, x: Shape, stride: int) -> Shape:
        """Take every ``stride``-th pixel."""
        return (-(-x[0] // stride), -(-x[1] // stride)) + x[2:]

    def pad_channels(self, x: Shape, n_channels: int) -> Shape:
        """Pad with channels of zeros."""
        return x[:2] + (n_channels,)

    def relu(self, x: Shape) -> Shape:
        """Apply a ReLU."""
        return x

    def add(self, x: Shape, y: Shape) -> Shape:
        """Add two samples of the same shape."""
        return x

    def global_mean(self, x: Shape) -> Shape:
        """Average over the image."""
        return x[-1:]

    def _weights(self, kind: str, kernel: Shape, use_bias: bool = True) -> None:
        name = self._names.next(kind)
        self._trained.append(Tensor(name + "/kernel", kernel))
        if use_bias:
            self._trained.append(Tensor(name + "/bias", kernel[-1:]))
