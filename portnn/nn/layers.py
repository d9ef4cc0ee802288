"""Layers: small frozen objects that hold options; parameters live in the network's flat vector.

``forward(xp, weights, x, mode)`` returns the output and a ``backward`` closure: ``dx, gradients = backward(dy)``.
To add a layer, write a frozen dataclass with ``shapes`` and ``forward`` and enter it in LAYERS.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from portnn.errors import ShapeError
from portnn.nn import random
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.initializers import check
from portnn.options import Plain, between, choose, positive
from portnn.types import Array, Backward, Forward, Mode, Namespace, Weights

Features = tuple[int, ...]


class Spec(NamedTuple):
    """One parameter or buffer; a plain tuple of the first members will do."""

    shape: Features
    initializer: str
    decays: bool = False
    """Whether weight decay and penalties are for it: for weights, not for biases, scales and embeddings."""
    fan_in: int = 0
    """Inputs of one unit, for the initializer; 0: the first axis."""
    fan_out: int = 0
    """Units that one input goes to; 0: the last axis."""

    @property
    def fans(self) -> tuple[int, int]:
        """(fan_in, fan_out)."""
        shape = self.shape or (1,)
        return self.fan_in or shape[0], self.fan_out or shape[-1]


SpecLike = Spec | tuple[Features, str]


@dataclass(frozen=True)
class Shapes:
    """What a layer holds and gives for one shape of input, the batch axis left out."""

    output: Features
    parameters: Mapping[str, SpecLike] = field(default_factory=dict)
    buffers: Mapping[str, SpecLike] = field(default_factory=dict)


class Layer(metaclass=Plain):
    """Base of all layers. Options are plain Python values: a NumPy scalar becomes one as the layer is made."""

    fitted_to: ClassVar[str] = ""
    """What the buffers are fitted to, in the first data to train on: "x", "y" or nothing."""
    trainable: bool = True
    """Whether training changes the parameters; a layer may have it as an option."""

    def shapes(self, features: Features) -> Shapes:
        """Return the shapes for an input of (batch, \\*features)."""
        raise NotImplementedError

    def enter(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        """Return the data as ``forward`` takes them, for the first layer alone: before the cast to the network's dtype.

        ``x`` and ``weights`` (the buffers) are float64. Must be element by element in each row.
        """
        return x

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        """Return (output, backward); ``backward(dy)`` returns (dx, {parameter: gradient}).

        A third member gives new values of buffers by name, in training.
        """
        raise NotImplementedError

    def fitted(self, mean: Array, rest: Array, std: Array) -> dict[str, Array]:
        """Return the buffers for data whose columns have the mean ``mean + rest`` and that standard deviation.

        ``mean`` has 24 bits: it is exact in float32.
        """
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
        positive("units", self.units)
        check(self.initializer)

    def shapes(self, features: Features) -> Shapes:
        if len(features) != 1:
            raise ShapeError(f"Dense: expected an input of (batch, features); got (batch, {features})")
        parameters = {"W": Spec((features[0], self.units), self.initializer, decays=True)}
        if self.bias:
            parameters["b"] = Spec((self.units,), "zeros")
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
        between("rate", self.rate, 0, 1)

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        if not mode.training or self.rate == 0:
            return x, lambda dy: (dy, {})
        keep = 1.0 - self.rate
        matrix = (x.shape[0], math.prod(x.shape[1:]))
        mask = random.bernoulli(xp, mode, matrix, keep, x.dtype) * (1.0 / keep)
        mask = xp.reshape(mask, x.shape)
        return x * mask, lambda dy: (dy * mask, {})


@dataclass(frozen=True)
class Standardize(Layer):
    """Per-feature standardisation: y = (x - mean) inverse_std. It must be the first layer.

    It is done in float64 as the data come in, before they are cast to the network's dtype: what varies by 100 around
    1.7e9 would be gone in float32. Mean and standard deviation, weighted by ``sample_weight``, are learnt from the
    first data to train on (``fit``, or the batch of a first ``step``) and stored with the model as buffers; a feature
    that never varies keeps inverse_std = 1. The mean stands in two buffers, ``mean`` of 24 bits and the ``rest``, so
    that float32 holds it too.
    """

    fitted_to: ClassVar[str] = "x"

    def shapes(self, features: Features) -> Shapes:
        return Shapes(
            features, {}, {"mean": (features, "zeros"), "rest": (features, "zeros"), "inverse_std": (features, "ones")}
        )

    def enter(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        return ((x - weights["mean"]) - weights["rest"]) * weights["inverse_std"]

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        return x, lambda dy: (dy, {})

    def fitted(self, mean: Array, rest: Array, std: Array) -> dict[str, Array]:
        return {"mean": mean, "rest": rest, "inverse_std": 1.0 / std}


@dataclass(frozen=True)
class Unstandardize(Layer):
    """The way back, for a regression's outputs: y = x std + mean.

    Both are buffers, learnt from the first targets to train on, weighted by ``sample_weight``, and stored with the
    model: the layers before it work on numbers of size one, whatever the target's unit. It must be the last layer,
    with the output activation identity; the loss stays in the target's unit.
    """

    fitted_to: ClassVar[str] = "y"

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features, {}, {"mean": (features, "zeros"), "std": (features, "ones")})

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> tuple[Array, Backward]:
        scale = weights["std"]
        return x * scale + weights["mean"], lambda dy: (dy * scale, {})

    def fitted(self, mean: Array, rest: Array, std: Array) -> dict[str, Array]:
        return {"mean": mean + rest, "std": std}


LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Activation, Dropout, Standardize, Unstandardize)
}
