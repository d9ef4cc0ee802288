"""Layers: small frozen objects that hold options; parameters live in the network's flat vector.

``forward(xp, weights, x, mode)`` returns the output and a ``backward`` closure: ``dx, gradients = backward(dy)``.
To add a layer, write a frozen dataclass with ``shapes`` and ``forward`` and enter it in LAYERS.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from portnn.errors import ArgumentError, ShapeError, choose
from portnn.nn import random
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import check
from portnn.types import Array, Backward, Mode, Namespace, Weights

Features = tuple[int, ...]
Spec = tuple[Features, str]
"""Shape and initializer of one parameter or buffer."""


@dataclass(frozen=True)
class Shapes:
    """What a layer holds and gives for one shape of input, the batch axis left out."""

    output: Features
    parameters: Mapping[str, Spec] = field(default_factory=dict)
    buffers: Mapping[str, Spec] = field(default_factory=dict)


class Layer:
    """Base of all layers."""

    fitted_to: ClassVar[str] = ""
    """What the buffers are fitted to at the first ``fit``: "x", "y" or nothing."""

    def shapes(self, features: Features) -> Shapes:
        """Return the shapes for an input of (batch, \\*features)."""
        raise NotImplementedError

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        """Return (output, backward); ``backward(dy)`` returns (dx, {parameter: gradient})."""
        raise NotImplementedError

    def fitted(self, mean: Array, std: Array) -> dict[str, Array]:
        """Return the buffers for data, ``fitted_to``, of that mean and standard deviation per column."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer: y = x W + b, with W of (in_features, units) and b of (units,).

    dx = dy W^T, dW = x^T dy, db = sum of dy over the batch.
    """

    units: int
    bias: bool = True
    initializer: str = "auto"

    def __post_init__(self) -> None:
        if type(self.units) is not int or self.units < 1:
            raise ArgumentError(f"units: expected a positive int; got {self.units!r}")
        check(self.initializer)

    def shapes(self, features: Features) -> Shapes:
        if len(features) != 1:
            raise ShapeError(f"Dense: expected an input of (batch, features); got (batch, {features})")
        parameters: dict[str, Spec] = {"W": ((features[0], self.units), self.initializer)}
        if self.bias:
            parameters["b"] = ((self.units,), "zeros")
        return Shapes((self.units,), parameters)

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        w = weights["W"]
        y = xp.matmul(x, w)
        if self.bias:
            y = y + weights["b"]

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            gradients = {"W": xp.matmul(xp.matrix_transpose(x), dy)}
            if self.bias:
                gradients["b"] = xp.sum(dy, axis=0)
            dx = xp.matmul(dy, xp.matrix_transpose(w)) if mode.input_gradient else None
            return dx, gradients

        return y, backward


@dataclass(frozen=True)
class Activation(Layer):
    """An activation function as a layer."""

    name: str

    def __post_init__(self) -> None:
        choose("activation", self.name, ACTIVATIONS)

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        y, closure = ACTIVATIONS[self.name](xp, x)
        return y, lambda dy: (closure(dy), {})


@dataclass(frozen=True)
class Dropout(Layer):
    """Inverted dropout (Srivastava et al. 2014): in training each element is 0 with probability ``rate``.

    The others are multiplied by 1 / (1 - rate), so that prediction, which drops nothing, sees the same mean. The
    mask depends on seed, step, layer, row and column alone: it is the same on every backend.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.rate, int | float) or not 0.0 <= self.rate < 1.0:
            raise ArgumentError(f"rate: expected a number in [0, 1); got {self.rate!r}")

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        if not mode.training or self.rate == 0:
            return x, lambda dy: (dy, {})
        keep = 1.0 - self.rate
        matrix = (x.shape[0], math.prod(x.shape[1:]))
        mask = random.bernoulli(xp, mode.key, mode.layer, matrix, keep, x.dtype) * (1.0 / keep)
        mask = xp.reshape(mask, x.shape)
        return x * mask, lambda dy: (dy * mask, {})


@dataclass(frozen=True)
class Standardize(Layer):
    """Per-feature standardisation: y = (x - mean) inverse_std.

    Both are buffers, fitted on the training data at the first ``fit`` and stored with the model; a feature
    that never varies keeps inverse_std = 1. It must be the first layer.
    """

    fitted_to: ClassVar[str] = "x"

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features, {}, {"mean": (features, "zeros"), "inverse_std": (features, "ones")})

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        scale = weights["inverse_std"]
        return (x - weights["mean"]) * scale, lambda dy: (dy * scale, {})

    def fitted(self, mean: Array, std: Array) -> dict[str, Array]:
        return {"mean": mean, "inverse_std": 1.0 / std}


@dataclass(frozen=True)
class Unstandardize(Layer):
    """The way back, for a regression's outputs: y = x std + mean.

    Both are buffers, fitted on the training targets at the first ``fit`` and stored with the model: the layers
    before it work on numbers of size one, whatever the target's unit. It must be the last layer, with the
    output activation identity; the loss stays in the target's unit.
    """

    fitted_to: ClassVar[str] = "y"

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features, {}, {"mean": (features, "zeros"), "std": (features, "ones")})

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        scale = weights["std"]
        return x * scale + weights["mean"], lambda dy: (dy * scale, {})

    def fitted(self, mean: Array, std: Array) -> dict[str, Array]:
        return {"mean": mean, "std": std}


LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Activation, Dropout, Standardize, Unstandardize)
}
