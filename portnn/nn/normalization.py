"""Normalisation layers."""

import math
from dataclasses import dataclass

from portnn.nn.layer import Features, Layer, Shapes, Spec
from portnn.options import check_range
from portnn.types import Array, Forward, ForwardContext, Namespace, Weights


@dataclass(frozen=True)
class BatchNorm(Layer):
    r"""Batch normalisation (Ioffe and Szegedy 2015, algorithm 1): y = gamma (x - mean) / sqrt(var + eps) + beta.

    Mean and variance are those of the batch in training, per feature (of images, (channels, height, width), per
    channel), and running averages at prediction: running = (1 - momentum) running + momentum batch, with the unbiased
    variance (PyTorch's convention). They are buffers. A frozen one (``trainable=False``) uses the running averages in
    training too. dx = gamma / sqrt(var + eps) (dy - mean(dy) - xhat mean(dy xhat)).

    Parameters
    ----------
    momentum : float
        Share of the new batch in the running averages, in [0, 1].
    eps : float
        Added to the variance.
    trainable : bool

    Notes
    -----
    .. math:: \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad y = \gamma \hat x + \beta

    Examples
    --------
    >>> from portnn import BatchNorm, NeuralNetwork
    >>> net = NeuralNetwork(3, 8, BatchNorm(), "relu", 2, seed=0, backend="numpy")
    >>> list(net.buffers)
    ['running_mean1', 'running_var1']
    """

    momentum: float = 0.1
    eps: float = 1e-5
    trainable: bool = True

    def __post_init__(self) -> None:
        check_range("momentum", self.momentum, 0.0, math.nextafter(1.0, 2.0))
        check_range("eps", self.eps, math.ulp(0.0))

    def shapes(self, features: Features) -> Shapes:
        zeros, ones = Spec(features[:1], "zeros"), Spec(features[:1], "ones")
        return Shapes(features, {"gamma": ones, "beta": zeros}, {"running_mean": zeros, "running_var": ones}, 2)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        axes = (0, *range(2, x.ndim))
        broadcast_shape = (1, x.shape[1], *(1 for _ in x.shape[2:]))
        gamma, beta, mean, var = (
            xp.reshape(weights[key], broadcast_shape) for key in ("gamma", "beta", "running_mean", "running_var")
        )
        uses_batch = context.training and self.trainable
        all_reduce = context.all_reduce if uses_batch and context.all_reduce else _identity
        n = (context.rows or x.shape[0]) * math.prod(x.shape[2:])
        if uses_batch:
            mean = all_reduce(xp.sum(x, axis=axes, keepdims=True)) * (1.0 / n)
        centred = x - mean
        if uses_batch:
            var = all_reduce(xp.sum(centred * centred, axis=axes, keepdims=True)) * (1.0 / n)
        inverse = 1.0 / xp.sqrt(var + self.eps)
        xhat = centred * inverse

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            dbeta = xp.sum(dy, axis=axes, keepdims=True)
            dgamma = xp.sum(dy * xhat, axis=axes, keepdims=True)
            dx = None
            if context.needs_input_grad:
                shift = (all_reduce(dbeta) + xhat * all_reduce(dgamma)) * (1.0 / n) if uses_batch else 0.0
                dx = (dy - shift) * (gamma * inverse)
            return dx, {"gamma": xp.reshape(dgamma, (-1,)), "beta": xp.reshape(dbeta, (-1,))}

        y = xhat * gamma + beta
        if not uses_batch:
            return Forward(y, backward)
        buffers = {"running_mean": mean, "running_var": var * (n / (n - 1))}
        decay = 1.0 - self.momentum
        buffers = {k: weights[k] * decay + xp.reshape(v, (-1,)) * self.momentum for k, v in buffers.items()}
        return Forward(y, backward, buffers)


@dataclass(frozen=True)
class LayerNorm(Layer):
    r"""Layer normalisation over the last axis (Ba et al. 2016): y = gamma (x - mean) / sqrt(var + eps) + beta.

    With d = dy gamma: dx = (d - mean(d) - xhat mean(d xhat)) / sqrt(var + eps).

    Parameters
    ----------
    eps : float
        Added to the variance.
    trainable : bool

    Notes
    -----
    .. math:: \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad y = \gamma \hat x + \beta

    with the mean :math:`\mu` and the variance :math:`\sigma^2` of each row over its last axis.

    Examples
    --------
    >>> from portnn import LayerNorm, NeuralNetwork
    >>> list(NeuralNetwork(3, 8, LayerNorm(), "relu", 2, seed=0, backend="numpy").parameters)
    ['W1', 'b1', 'gamma1', 'beta1', 'W2', 'b2']
    """

    eps: float = 1e-5
    trainable: bool = True

    def __post_init__(self) -> None:
        check_range("eps", self.eps, math.ulp(0.0))

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features, {"gamma": Spec(features[-1:], "ones"), "beta": Spec(features[-1:], "zeros")})

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        share = 1.0 / x.shape[-1]
        centred = x - xp.sum(x, axis=-1, keepdims=True) * share
        inverse = 1.0 / xp.sqrt(xp.sum(centred * centred, axis=-1, keepdims=True) * share + self.eps)
        xhat = centred * inverse
        rows = tuple(range(x.ndim - 1))

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            gradients = {"gamma": xp.sum(dy * xhat, axis=rows), "beta": xp.sum(dy, axis=rows)}
            if not context.needs_input_grad:
                return None, gradients
            d = dy * weights["gamma"]
            shift = xp.sum(d, axis=-1, keepdims=True) + xhat * xp.sum(d * xhat, axis=-1, keepdims=True)
            return (d - shift * share) * inverse, gradients

        return Forward(xhat * weights["gamma"] + weights["beta"], backward)


def _identity(array: Array) -> Array:
    """Return the array: the all-reduce of a batch that is not split."""
    return array
