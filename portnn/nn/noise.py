"""Layers with random bits in training: counter-based, so that every backend has the same bits."""

import math
from dataclasses import dataclass

from portnn.nn import random
from portnn.nn.layer import Features, Layer, Shapes
from portnn.options import check_range
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

    def __post_init__(self) -> None:
        check_range("rate", self.rate, 0, 1)

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        if not context.training or self.rate == 0:
            return Forward(x, lambda dy: (dy, {}))
        keep = 1.0 - self.rate
        mask = xp.reshape(random.bernoulli(xp, context, _matrix(x), keep, x.dtype), x.shape) * (1.0 / keep)
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


def _matrix(x: Array) -> tuple[int, int]:
    """Return the shape of x with each row flattened."""
    return x.shape[0], math.prod(x.shape[1:])
