"""Layers that scale inputs (in float64) and outputs."""

import math
from dataclasses import dataclass
from typing import ClassVar

from portnn.nn.layer import Features, PreprocessingLayer, Shapes
from portnn.options import check_range
from portnn.types import Array, Forward, ForwardContext, Namespace, Statistics, Weights


@dataclass(frozen=True)
class Standardize(PreprocessingLayer):
    r"""Per-feature standardisation: y = (x - mean) inverse_std. It must be the first layer.

    It is computed in float64, before the cast to the network's dtype: a variation of 100 around 1.7e9 would vanish in
    float32. Mean and standard deviation, weighted by ``sample_weight``, come from the first training data (``fit``, or
    the batch of a first ``step``) and are saved with the model as buffers; a constant feature has inverse_std = 1. The
    mean has two buffers, ``mean`` of 24 bits and the remainder ``rest``, so that float32 holds it.

    Notes
    -----
    .. math:: y = \frac{x - \mu}{\sigma}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, Standardize
    >>> x = np.array([[1e9], [1e9 + 2.0]])
    >>> net = NeuralNetwork(1, Standardize(), 1, seed=0, backend="numpy")
    >>> _ = net.fit(x, [0.0, 1.0])
    >>> net.buffers["inverse_std1"].tolist()
    [1.0]
    """

    adapts_to: ClassVar[str] = "x"

    def shapes(self, features: Features) -> Shapes:
        return Shapes(
            features, {}, {"mean": (features, "zeros"), "rest": (features, "zeros"), "inverse_std": (features, "ones")}
        )

    def preprocess(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        return ((x - weights["mean"]) - weights["rest"]) * weights["inverse_std"]

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        return Forward(x, lambda dy: (dy, {}))

    def from_statistics(self, statistics: Statistics) -> dict[str, Array]:
        return {"mean": statistics.mean, "rest": statistics.mean_low, "inverse_std": 1.0 / statistics.std}


@dataclass(frozen=True)
class Rescale(PreprocessingLayer):
    r"""Division by a constant: y = x / divisor. It must be the first layer.

    It is computed in float64, before the cast to the network's dtype: bytes of images, divided by 255, lie in [0, 1].

    Parameters
    ----------
    divisor : float
        Above 0.

    Notes
    -----
    .. math:: y = \frac{x}{d}

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, Rescale
    >>> net = NeuralNetwork(4, Rescale(255.0), 2, seed=0, backend="numpy")
    >>> net.predict(np.full((1, 4), 255, np.uint8)).shape
    (1, 2)
    """

    divisor: float = 255.0

    def __post_init__(self) -> None:
        check_range("divisor", self.divisor, math.ulp(0.0))

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def preprocess(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        return x / self.divisor

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        return Forward(x, lambda dy: (dy, {}))


@dataclass(frozen=True)
class Unstandardize(PreprocessingLayer):
    r"""The inverse of standardisation for a regression's outputs: y = x std + mean. It must be the last layer.

    Both are buffers from the first training targets, weighted by ``sample_weight``, and saved with the model: the other
    layers compute numbers of size one, whatever the target's unit. The output activation must be identity; the loss
    stays in the target's unit.

    Notes
    -----
    .. math:: y = \sigma x + \mu

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, Standardize, Unstandardize
    >>> net = NeuralNetwork(1, Standardize(), 8, 1, Unstandardize(), seed=0, backend="numpy")
    >>> _ = net.fit(np.arange(10.0)[:, None], np.arange(10.0) + 5000.0)
    >>> float(net.buffers["mean2"][0])
    5004.5
    """

    adapts_to: ClassVar[str] = "y"

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features, {}, {"mean": (features, "zeros"), "std": (features, "ones")})

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        scale = weights["std"]
        return Forward(x * scale + weights["mean"], lambda dy: (dy * scale, {}))

    def from_statistics(self, statistics: Statistics) -> dict[str, Array]:
        return {"mean": statistics.mean + statistics.mean_low, "std": statistics.std}
