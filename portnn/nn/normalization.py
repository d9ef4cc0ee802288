"""Layers that bring their inputs to one scale."""

import math
from dataclasses import dataclass
from typing import ClassVar

from portnn.nn.layer import Features, Layer, Shapes, Spec
from portnn.options import between
from portnn.types import Array, Forward, Mode, Namespace, Statistics, Weights


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

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        return x, lambda dy: (dy, {})

    def fitted(self, statistics: Statistics) -> dict[str, Array]:
        return {"mean": statistics.mean, "rest": statistics.rest, "inverse_std": 1.0 / statistics.std}


@dataclass(frozen=True)
class Rescale(Layer):
    """Division by a constant: y = x / divisor. It must be the first layer.

    It is done in float64 as the data come in, whatever their dtype: bytes of images, by 255, come to lie in [0, 1].
    """

    divisor: float = 255.0

    def __post_init__(self) -> None:
        between("divisor", self.divisor, math.ulp(0.0))

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def enter(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        return x / self.divisor

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        return x, lambda dy: (dy, {})


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

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        scale = weights["std"]
        return x * scale + weights["mean"], lambda dy: (dy * scale, {})

    def fitted(self, statistics: Statistics) -> dict[str, Array]:
        return {"mean": statistics.mean + statistics.rest, "std": statistics.std}


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalisation (Ioffe and Szegedy 2015, algorithm 1): y = gamma (x - mean) / sqrt(var + eps) + beta.

    Mean and variance are those of the batch in training, per feature (of images, (channels, height, width), per
    channel), and running averages at prediction: running = (1 - momentum) running + momentum batch, with the unbiased
    variance (PyTorch's convention). They are buffers. A frozen one (``trainable=False``) uses the running averages in
    training too. dx = gamma / sqrt(var + eps) (dy - mean(dy) - xhat mean(dy xhat)).
    """

    momentum: float = 0.1
    eps: float = 1e-5
    trainable: bool = True

    least_rows: ClassVar[int] = 2

    def __post_init__(self) -> None:
        between("momentum", self.momentum, 0.0, math.nextafter(1.0, 2.0))
        between("eps", self.eps, math.ulp(0.0))

    def shapes(self, features: Features) -> Shapes:
        zeros, ones = Spec(features[:1], "zeros"), Spec(features[:1], "ones")
        return Shapes(features, {"gamma": ones, "beta": zeros}, {"running_mean": zeros, "running_var": ones})

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        axes = (0, *range(2, x.ndim))
        along = (1, x.shape[1], *(1 for _ in x.shape[2:]))
        gamma, beta, mean, var = (
            xp.reshape(weights[key], along) for key in ("gamma", "beta", "running_mean", "running_var")
        )
        learns = mode.training and self.trainable
        total = mode.reduce if learns and mode.reduce else _alone
        n = (mode.rows or x.shape[0]) * math.prod(x.shape[2:])
        if learns:
            mean = total(xp.sum(x, axis=axes, keepdims=True)) * (1.0 / n)
        centred = x - mean
        if learns:
            var = total(xp.sum(centred * centred, axis=axes, keepdims=True)) * (1.0 / n)
        inverse = 1.0 / xp.sqrt(var + self.eps)
        xhat = centred * inverse

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dbeta = xp.sum(dy, axis=axes, keepdims=True)
            dgamma = xp.sum(dy * xhat, axis=axes, keepdims=True)
            dx = None
            if mode.input_gradient:
                shift = (total(dbeta) + xhat * total(dgamma)) * (1.0 / n) if learns else 0.0
                dx = (dy - shift) * (gamma * inverse)
            return dx, {"gamma": xp.reshape(dgamma, (-1,)), "beta": xp.reshape(dbeta, (-1,))}

        y = xhat * gamma + beta
        if not learns:
            return y, backward
        new = {"running_mean": mean, "running_var": var * (n / (n - 1))}
        kept = 1.0 - self.momentum
        return y, backward, {k: weights[k] * kept + xp.reshape(v, (-1,)) * self.momentum for k, v in new.items()}


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalisation over the last axis (Ba et al. 2016): y = gamma (x - mean) / sqrt(var + eps) + beta.

    With d = dy gamma: dx = (d - mean(d) - xhat mean(d xhat)) / sqrt(var + eps).
    """

    eps: float = 1e-5
    trainable: bool = True

    def __post_init__(self) -> None:
        between("eps", self.eps, math.ulp(0.0))

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features, {"gamma": Spec(features[-1:], "ones"), "beta": Spec(features[-1:], "zeros")})

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        share = 1.0 / x.shape[-1]
        centred = x - xp.sum(x, axis=-1, keepdims=True) * share
        inverse = 1.0 / xp.sqrt(xp.sum(centred * centred, axis=-1, keepdims=True) * share + self.eps)
        xhat = centred * inverse
        rows = tuple(range(x.ndim - 1))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            gradients = {"gamma": xp.sum(dy * xhat, axis=rows), "beta": xp.sum(dy, axis=rows)}
            if not mode.input_gradient:
                return None, gradients
            d = dy * weights["gamma"]
            shift = xp.sum(d, axis=-1, keepdims=True) + xhat * xp.sum(d * xhat, axis=-1, keepdims=True)
            return (d - shift * share) * inverse, gradients

        return xhat * weights["gamma"] + weights["beta"], backward


def _alone(array: Array) -> Array:
    """Return the sum over the parts of a batch that has one."""
    return array
