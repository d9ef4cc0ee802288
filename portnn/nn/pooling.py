"""Pooling of images: the largest or the mean pixel of each window."""

from dataclasses import dataclass
from functools import reduce
from math import inf
from operator import add

from portnn.nn.layer import Features, Layer, Shapes
from portnn.nn.windows import (
    Axis,
    Pair,
    as_tuples,
    axes_of,
    by_tiles,
    check_images,
    check_padding,
    check_pair,
    fold,
    pad_images,
    windows,
)
from portnn.types import Array, Forward, ForwardContext, Namespace, Weights


@dataclass(frozen=True)
class _Pool2D(Layer):
    """Base of layers that make one pixel of each window."""

    size: int | Pair = 2
    stride: int | Pair | None = None
    padding: str = "valid"

    def __post_init__(self) -> None:
        as_tuples(self, "size", "stride")
        check_pair("size", self.size)
        if self.stride is not None:
            check_pair("stride", self.stride)
        check_padding(self.padding, numbers=False)

    def shapes(self, features: Features) -> Shapes:
        check_images(type(self).__name__, features)
        rows, columns = self._axes(features)
        return Shapes((features[0], rows.places, columns.places))

    def _axes(self, features: Features) -> tuple[Axis, Axis]:
        stride = self.size if self.stride is None else self.stride
        return axes_of(type(self).__name__, features, self.size, stride, self.padding)


@dataclass(frozen=True)
class MaxPool2D(_Pool2D):
    """The largest pixel of each window of images, (batch, channels, height, width).

    The gradient goes to the largest pixel; of equal ones the first takes it, row by row, on every library.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        Pixels from one window to the next; None: ``size``.
    padding : {"valid", "same"}
        "valid": whole windows alone; "same": also partial ones, size / stride places, rounded up.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import MaxPool2D
    >>> from portnn.types import ForwardContext
    >>> x = np.array([[[[1.0, 2.0, 5.0], [4.0, 4.0, 0.0]]]])
    >>> MaxPool2D(2, padding="same").forward(np, {}, x, ForwardContext()).output.tolist()
    [[[[4.0, 5.0]]]]
    """

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        rows, columns = self._axes(x.shape[1:])
        seen = windows(xp, x, rows, columns, -inf)
        largest = reduce(xp.maximum, seen)
        shape = (*x.shape[:2], rows.places, columns.places)

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dy = xp.reshape(dy, largest.shape)

            def of_input(tile: slice) -> Array:
                left, parts = dy[tile, ...], []
                for pixel in seen[:-1]:
                    parts.append(left * xp.astype(pixel[tile, ...] == largest[tile, ...], dy.dtype))
                    left = left - parts[-1]
                return fold(xp, [*parts, left], rows, columns)

            elements = x.shape[1] * rows.kernel * columns.kernel * rows.places * columns.places
            return by_tiles(xp, context, x.shape[0], elements, of_input), {}

        return Forward(xp.reshape(largest, shape), backward)


@dataclass(frozen=True)
class AveragePool2D(_Pool2D):
    """The mean pixel of each window of images, (batch, channels, height, width).

    Of a partial window it is the mean of the pixels that it has.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        Pixels from one window to the next; None: ``size``.
    padding : {"valid", "same"}
        "valid": whole windows alone; "same": also partial ones, size / stride places, rounded up.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import AveragePool2D
    >>> from portnn.types import ForwardContext
    >>> x = np.array([[[[1.0, 2.0, 5.0], [4.0, 5.0, 0.0]]]])
    >>> AveragePool2D(2, padding="same").forward(np, {}, x, ForwardContext()).output.tolist()
    [[[[3.0, 2.5]]]]
    """

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        rows, columns = self._axes(x.shape[1:])
        counts = [1.0 / (r * c) for r in _pixels(rows) for c in _pixels(columns)]
        share = xp.reshape(xp.asarray(counts, dtype=x.dtype), (1, 1, 1, rows.places, 1, columns.places, 1))
        y = reduce(add, windows(xp, x, rows, columns)) * share

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            each = xp.reshape(dy, y.shape) * share
            return fold(xp, [each] * (rows.kernel * columns.kernel), rows, columns), {}

        return Forward(xp.reshape(y, (*x.shape[:2], rows.places, columns.places)), backward)


def _pixels(axis: Axis) -> list[int]:
    """Return how many pixels of the image each window has along an axis."""
    starts = [i * axis.stride - axis.before for i in range(axis.places)]
    return [min(start + axis.kernel, axis.size) - max(start, 0) for start in starts]


@dataclass(frozen=True)
class GlobalAveragePool2D(Layer):
    """The mean of each channel: (batch, channels, height, width) to (batch, channels).

    Examples
    --------
    >>> from portnn import Conv2D, GlobalAveragePool2D, NeuralNetwork
    >>> net = NeuralNetwork((1, 8, 8), Conv2D(4, 3), "relu", GlobalAveragePool2D(), 2, seed=0, backend="numpy")
    >>> net.parameters["W2"].shape
    (4, 2)
    """

    def shapes(self, features: Features) -> Shapes:
        check_images("GlobalAveragePool2D", features)
        return Shapes((features[0],))

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        share = 1.0 / (x.shape[2] * x.shape[3])
        ones = xp.reshape(xp.arange(x.shape[2] * x.shape[3], dtype=x.dtype) * 0.0 + 1.0, (1, 1, *x.shape[2:]))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            return xp.reshape(dy * share, (*x.shape[:2], 1, 1)) * ones, {}

        return Forward(xp.sum(x, axis=(2, 3)) * share, backward)


@dataclass(frozen=True)
class ZeroPad2D(Layer):
    """Images with zeros around them: (batch, channels, height, width).

    Parameters
    ----------
    padding : int or (int, int)
        Zeros above and below, and to the left and the right.

    Examples
    --------
    >>> from portnn import Conv2D, Flatten, NeuralNetwork, ZeroPad2D
    >>> NeuralNetwork((1, 8, 8), ZeroPad2D(2), Conv2D(4, 5), Flatten(), 2, seed=0).parameters["W2"].shape
    (256, 2)
    """

    padding: int | Pair

    def __post_init__(self) -> None:
        as_tuples(self, "padding")
        check_pair("padding", self.padding)

    def shapes(self, features: Features) -> Shapes:
        check_images("ZeroPad2D", features)
        pair = check_pair("padding", self.padding)
        return Shapes((features[0], *(n + 2 * zeros for n, zeros in zip(features[1:], pair, strict=True))))

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        above, left = check_pair("padding", self.padding)
        height, width = x.shape[2:]

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            return dy[:, :, above : above + height, left : left + width], {}

        return Forward(pad_images(xp, x, (above, above), (left, left)), backward)
