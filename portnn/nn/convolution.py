"""Convolution, by windows and one product of matrices for each image."""

from dataclasses import dataclass
from functools import partial

from portnn.errors import ArgumentError, ShapeError
from portnn.nn.initializers import Initializer, check
from portnn.nn.layer import Features, Layer, Shapes, Spec
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
    joined,
    unfold,
)
from portnn.options import check_positive_int
from portnn.types import Array, Forward, ForwardContext, Namespace, Weights


@dataclass(frozen=True)
class Conv2D(Layer):
    r"""Convolution of images, (batch, channels, height, width), to (batch, ``filters``, rows, columns).

    As usual for networks the kernel is not flipped (cross-correlation). W has the shape (filters, channels / groups,
    height, width), b (filters,). The windows of the input are columns of a matrix: the layer is one product for each
    image (Chellapilla et al. 2006, section 4), and the gradient of the input adds up what each window has of a pixel.

    Notes
    -----
    .. math:: y_{n f i j} = b_f + \sum_{c, k, l} W_{f c k l} \, x_{n, c, \, i s + k d - p, \, j s + l d - p}

    with the stride s, the dilation d and p zeros of padding.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel : int or (int, int)
        Height and width.
    stride, dilation : int or (int, int)
        Pixels from one window to the next, and from one pixel of a window to the next.
    padding : {"valid", "same"}, int or (int, int)
        Zeros on each side; "valid": none; "same": as many as give size / stride places, rounded up.
    groups : int
        Each part of the filters sees its part of the channels alone.
    bias : bool
    initializer : str or Initializer
    trainable : bool

    Examples
    --------
    >>> from portnn import Conv2D, Flatten, MaxPool2D, NeuralNetwork
    >>> net = NeuralNetwork((1, 28, 28), Conv2D(6, 5, padding="same"), "relu", MaxPool2D(2), Flatten(), 10, seed=0)
    >>> net.parameters["W1"].shape, net.parameters["W2"].shape
    ((6, 1, 5, 5), (1176, 10))
    """

    filters: int
    kernel: int | Pair
    stride: int | Pair = 1
    padding: str | int | Pair = "valid"
    dilation: int | Pair = 1
    groups: int = 1
    bias: bool = True
    initializer: str | Initializer = "auto"
    trainable: bool = True

    def __post_init__(self) -> None:
        as_tuples(self, "kernel", "stride", "padding", "dilation")
        check_positive_int("filters", self.filters)
        check_positive_int("groups", self.groups)
        for name in ("kernel", "stride", "dilation"):
            check_pair(name, getattr(self, name))
        check_padding(self.padding)
        check(self.initializer)
        if self.filters % self.groups:
            raise ArgumentError(f"groups: expected a divisor of {self.filters} filters; got {self.groups}")

    def shapes(self, features: Features) -> Shapes:
        check_images("Conv2D", features)
        if features[0] % self.groups:
            raise ShapeError(f"Conv2D: expected channels in {self.groups} groups; got {features[0]}")
        kernel, (rows, columns) = check_pair("kernel", self.kernel), self._axes(features)
        window, channels = kernel[0] * kernel[1], features[0] // self.groups
        fans = channels * window, self.filters // self.groups * window
        parameters = {"W": Spec((self.filters, channels, *kernel), self.initializer, True, *fans)}
        if self.bias:
            parameters["b"] = Spec((self.filters,), "zeros")
        return Shapes((self.filters, rows.places, columns.places), parameters)

    def _axes(self, features: Features) -> tuple[Axis, Axis]:
        return axes_of("Conv2D", features, self.kernel, self.stride, self.padding, self.dilation)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        rows, columns = self._axes(x.shape[1:])
        images, channels = x.shape[:2]
        window, places = rows.kernel * columns.kernel, rows.places * columns.places
        w = xp.reshape(weights["W"], (self.filters, channels // self.groups * window))
        tiled = partial(by_tiles, xp, context, images, channels * window * places)

        def outputs(tile: slice) -> Array:
            seen = unfold(xp, x[tile, ...], rows, columns)
            y = joined(xp, [xp.matmul(w[f, :], seen[:, c, :]) for f, c in self._groups(seen)], 1)
            return y + xp.expand_dims(weights["b"], axis=1) if self.bias else y

        y = xp.reshape(tiled(outputs), (images, self.filters, rows.places, columns.places))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dy = xp.reshape(dy, (images, self.filters, places))

            def of_weights(tile: slice) -> Array:
                seen = unfold(xp, x[tile, ...], rows, columns)
                return joined(
                    xp,
                    [xp.matmul(dy[tile, f, :], xp.matrix_transpose(seen[:, c, :])) for f, c in self._groups(seen)],
                    1,
                )

            def of_input(tile: slice) -> Array:
                d = dy[tile, ...]
                parts = [xp.matmul(xp.matrix_transpose(w[f, :]), d[:, f, :]) for f, _ in self._groups(w)]
                shape = (d.shape[0], channels, window, rows.places, 1, columns.places, 1)
                seen = xp.reshape(joined(xp, parts, 1), shape)
                return fold(xp, [seen[:, :, i : i + 1, ...] for i in range(window)], rows, columns)

            gradients = {"W": xp.reshape(xp.sum(tiled(of_weights), axis=0), weights["W"].shape)}
            if self.bias:
                gradients["b"] = xp.sum(dy, axis=(0, 2))
            return tiled(of_input) if context.needs_input_grad else None, gradients

        return Forward(y, backward)

    def _groups(self, seen: Array) -> list[tuple[slice, slice]]:
        """Return the filters, and the rows of the windows, of each group."""
        filters, length = self.filters // self.groups, seen.shape[1] // self.groups
        return [
            (slice(i * filters, (i + 1) * filters), slice(i * length, (i + 1) * length)) for i in range(self.groups)
        ]


@dataclass(frozen=True)
class Conv1D(Layer):
    r"""Convolution of sequences, (batch, channels, length), to (batch, ``filters``, places): see ``Conv2D``.

    W has the shape (filters, channels / groups, kernel), b (filters,).

    Notes
    -----
    .. math:: y_{n f i} = b_f + \sum_{c, k} W_{f c k} \, x_{n, c, \, i s + k d - p}

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel, stride, dilation : int
    padding : {"valid", "same"} or int
        Zeros on each side; "valid": none; "same": as many as give length / stride places, rounded up.
    groups : int
        Each part of the filters sees its part of the channels alone.
    bias : bool
    initializer : str or Initializer
    trainable : bool

    Examples
    --------
    >>> from portnn import Conv1D, Flatten, NeuralNetwork
    >>> net = NeuralNetwork((2, 100), Conv1D(8, 5, stride=2), "relu", Flatten(), 3, seed=0, backend="numpy")
    >>> net.parameters["W1"].shape, net.parameters["W2"].shape
    ((8, 2, 5), (384, 3))
    """

    filters: int
    kernel: int
    stride: int = 1
    padding: str | int = "valid"
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    initializer: str | Initializer = "auto"
    trainable: bool = True

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            check_positive_int(name, getattr(self, name))
        self._of_images()

    def _of_images(self) -> Conv2D:
        """Return the convolution of images of one row; its padding is that of the row's ends alone."""
        return Conv2D(
            self.filters,
            (1, self.kernel),
            (1, self.stride),
            self.padding if isinstance(self.padding, str) else (0, self.padding),
            (1, self.dilation),
            self.groups,
            self.bias,
            self.initializer,
        )

    def shapes(self, features: Features) -> Shapes:
        if len(features) != 2:
            raise ShapeError(f"Conv1D: expected sequences, (batch, channels, length); got (batch, {features})")
        shapes = self._of_images().shapes((features[0], 1, features[1]))
        w = shapes.parameters["W"]
        parameters = dict(shapes.parameters, W=w._replace(shape=(*w.shape[:2], w.shape[3])))  # type: ignore[union-attr]
        return Shapes((shapes.output[0], shapes.output[2]), parameters)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        of_images = dict(weights, W=xp.expand_dims(weights["W"], axis=2))
        y, backward_of_images = self._of_images().forward(xp, of_images, xp.expand_dims(x, axis=2), context)
        shape = y.shape

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dx, gradients = backward_of_images(xp.reshape(dy, shape))
            of_sequences = dict(gradients, W=xp.reshape(gradients["W"], weights["W"].shape))
            return xp.reshape(dx, x.shape) if context.needs_input_grad else None, of_sequences

        return Forward(xp.reshape(y, (*shape[:2], shape[3])), backward)
