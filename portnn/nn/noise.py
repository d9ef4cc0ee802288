"""Layers with random bits in training: counter-based, so that every backend has the same bits."""

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

from portnn.nn import random
from portnn.nn.layer import Features, Layer, Shapes
from portnn.nn.windows import blank_along, check_images, pad
from portnn.options import check_positive_int, check_range
from portnn.types import Array, Forward, ForwardContext, Namespace, Weights


@dataclass(frozen=True)
class Dropout(Layer):
    r"""Inverted dropout (Srivastava et al. 2014): in training each element is 0 with probability ``rate``.

    The other elements are multiplied by 1 / (1 - rate), so that the mean is that of prediction, which drops nothing.
    The mask depends on seed, step, layer, row and column alone: it is the same on every backend.

    Parameters
    ----------
    rate : float
        In [0, 1).
    whole_channels : bool
        Whether all pixels of a channel are dropped together (Tompson et al. 2015): (batch, channels, height, width).

    Notes
    -----
    .. math:: y = \frac{m \odot x}{1 - p}, \qquad m_i \sim \operatorname{Bernoulli}(1 - p)

    Examples
    --------
    >>> from portnn import Dropout, NeuralNetwork
    >>> net = NeuralNetwork(3, 8, Dropout(0.5), 2, seed=0, backend="numpy")
    >>> (net.predict([[1.0] * 3]) == net.predict([[1.0] * 3])).all().item()
    True
    """

    rate: float = 0.5
    whole_channels: bool = False

    def __post_init__(self) -> None:
        check_range("rate", self.rate, 0, 1)

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        if not context.training or self.rate == 0:
            return Forward(x, lambda dy: (dy, {}))
        keep = 1.0 - self.rate
        shape = (*x.shape[:2], *(1 for _ in x.shape[2:])) if self.whole_channels else x.shape
        bits = random.bernoulli(xp, context, (shape[0], math.prod(shape[1:])), keep, x.dtype)
        mask = xp.reshape(bits, shape) * (1.0 / keep)
        return Forward(x * mask, lambda dy: (dy * mask, {}))


@dataclass(frozen=True)
class GaussianNoise(Layer):
    r"""Adds normal noise of the given standard deviation in training; nothing at prediction.

    It depends on seed, step, layer, row and column alone, and is the same to the last bit on every library.

    Parameters
    ----------
    std : float
        At least 0.

    Notes
    -----
    .. math:: y = x + \sigma z, \qquad z_i \sim N(0, 1)

    Examples
    --------
    >>> from portnn import GaussianNoise, NeuralNetwork
    >>> net = NeuralNetwork(3, GaussianNoise(0.1), 8, 2, seed=0, backend="numpy")
    >>> net.predict([[1.0] * 3]).shape
    (1, 2)
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        check_range("std", self.std)

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        if context.training and self.std:
            x = x + xp.reshape(random.normal(xp, context, _matrix(x), x.dtype), x.shape) * self.std
        return Forward(x, lambda dy: (dy, {}))


@dataclass(frozen=True)
class RandomShift(Layer):
    """Shifts each image in training by up to ``pixels`` in each direction; nothing at prediction.

    The shift depends on seed, step, layer and row alone, and is the same on every backend. Pixels that come in are 0.
    Images are (batch, channels, height, width).

    Parameters
    ----------
    pixels : int

    Examples
    --------
    >>> from portnn import Conv2D, Flatten, NeuralNetwork, RandomShift
    >>> net = NeuralNetwork((1, 28, 28), RandomShift(2), Conv2D(6, 5), "relu", Flatten(), 10, seed=0, backend="numpy")
    >>> net.parameters["W2"].shape
    (3456, 10)
    """

    pixels: int = 1

    def __post_init__(self) -> None:
        check_positive_int("pixels", self.pixels)

    def shapes(self, features: Features) -> Shapes:
        check_images("RandomShift", features)
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        if not context.training:
            return Forward(x, lambda dy: (dy, {}))
        n = self.pixels
        words = random.bits(xp, context, (x.shape[0], 2))
        shifts = xp.reshape(((words & 0xFFFF) * (2 * n + 1)) >> 16, (x.shape[0], 2, 1, 1))
        masks = [[xp.astype(shifts[:, i : i + 1, ...] == s, x.dtype) for s in range(2 * n + 1)] for i in range(2)]

        def moved(image: Array, back: bool) -> Array:
            for axis in (2, 3):
                size = image.shape[axis]
                wide = pad(xp, image, axis, n, n, blank_along(xp, image, axis, n))
                starts = [2 * n - s if back else s for s in range(2 * n + 1)]
                views = [wide[(*(slice(None),) * axis, slice(start, start + size), ...)] for start in starts]
                image = reduce(add, [view * mask for view, mask in zip(views, masks[axis - 2], strict=True)])
            return image

        return Forward(moved(x, False), lambda dy: (moved(dy, True), {}))


def _matrix(x: Array) -> tuple[int, int]:
    """Return the shape of x with each row flattened."""
    return x.shape[0], math.prod(x.shape[1:])
