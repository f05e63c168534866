"""The layers of a built-in model as shapes: what parameters it has, without building it.

``Shapes`` has the methods of ``keras_models.KerasLayers``; what goes from layer to layer is the shape
of a sample, and the parameters are noted on the way.

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
    """Notes the parameters of layers that are called one after the other."""

    def __init__(self) -> None:
        self._names = Names()
        self._trained: List[Tensor] = []
        self._statistics: List[Tensor] = []

    def layout(self) -> Layout:
        """Return what is trained, in the order of the layers, and then the moving statistics."""
        return Layout(tuple(self._trained + self._statistics), len(self._statistics))

    def shape(self, x: Shape) -> Shape:
        """Return the shape of a sample there."""
        return x

    def flatten(self, x: Shape) -> Shape:
        """Make it a row."""
        size = 1
        for extent in x:
            size *= extent
        return (size,)

    def dense(self, x: Shape, units: int, activation: str = "linear") -> Shape:
        """Add a dense layer."""
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
        """Add a convolution."""
        height, width, channels = x
        self._weights("conv", (kernel, kernel, channels, filters), use_bias)
        lost = 0 if padding == "same" else kernel - 1
        return -(-(height - lost) // stride), -(-(width - lost) // stride), filters

    def norm(self, x: Shape) -> Shape:
        """Add a batch normalisation."""
        name = self._names.next("norm")
        self._trained += [Tensor("%s/%s" % (name, role), x[-1:]) for role in ("gamma", "beta")]
        self._statistics += [Tensor("%s/%s" % (name, role), x[-1:]) for role in ("moving_mean", "moving_variance")]
        return x

    def max_pool(self, x: Shape, size: int) -> Shape:
        """Take the largest of each square; what is left over at the border is lost."""
        return (x[0] // size, x[1] // size) + x[2:]

    def subsample(self, x: Shape, stride: int) -> Shape:
        """Take every ``stride``-th pixel."""
        return (-(-x[0] // stride), -(-x[1] // stride)) + x[2:]

    def pad_channels(self, x: Shape, n_channels: int) -> Shape:
        """Fill up with channels of zeros."""
        return x[:2] + (n_channels,)

    def relu(self, x: Shape) -> Shape:
        """Cut off what is negative."""
        return x

    def add(self, x: Shape, y: Shape) -> Shape:
        """Add two of the same shape."""
        return x

    def global_mean(self, x: Shape) -> Shape:
        """Take the mean over the image."""
        return x[-1:]

    def _weights(self, kind: str, kernel: Shape, use_bias: bool = True) -> None:
        name = self._names.next(kind)
        self._trained.append(Tensor(name + "/kernel", kernel))
        if use_bias:
            self._trained.append(Tensor(name + "/bias", kernel[-1:]))
