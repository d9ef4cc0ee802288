"""Activation functions, each with its derivative beside it.

An activation is a function ``(xp, z) -> (a, backward)``, element by element (softmax: row by row);
``backward(da)`` returns the gradient of ``z``.
"""

import math
from collections.abc import Callable

from portnn import registry
from portnn.nn.special import erfc
from portnn.options import lookup
from portnn.types import Array, Closure, Namespace

Activation = Callable[[Namespace, Array], tuple[Array, Closure]]


def identity(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z; da/dz = 1.

    Notes
    -----
    .. math:: a = z, \qquad \frac{da}{dz} = 1
    """
    return z, lambda da: da


def sigmoid(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = 1 / (1 + exp(-z)); da/dz = a (1 - a). exp(-z) may overflow to infinity, which gives the limit 0.

    Notes
    -----
    .. math:: a = \frac{1}{1 + e^{-z}}, \qquad \frac{da}{dz} = a (1 - a)
    """
    a = 1.0 / (1.0 + xp.exp(xp.negative(z)))
    return a, lambda da: da * (a * (1.0 - a))


def tanh(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = tanh(z); da/dz = 1 - a².

    Notes
    -----
    .. math:: a = \tanh z, \qquad \frac{da}{dz} = 1 - a^2
    """
    a = xp.tanh(z)
    return a, lambda da: da * (1.0 - a * a)


def relu(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z where z > 0, else 0; da/dz = 1 where z > 0, else 0 (at the kink: 0).

    A product with the mask: ``where`` is ten times slower on NumPy and would hide NaN.

    Notes
    -----
    .. math:: a = \max(z, 0), \qquad \frac{da}{dz} = \begin{cases} 1 & z > 0 \\ 0 & z \le 0 \end{cases}

    Nair and Hinton 2010.
    """
    mask = xp.astype(z > 0, z.dtype)
    return z * mask, lambda da: da * mask


def leaky_relu(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z where z > 0, else 0.01 z (Maas et al. 2013).

    Notes
    -----
    .. math:: a = \begin{cases} z & z > 0 \\ 0.01 z & z \le 0 \end{cases}
    """
    mask = xp.astype(z > 0, z.dtype)
    slope = mask + (1.0 - mask) * 0.01
    return z * slope, lambda da: da * slope


def elu(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z where z > 0, else exp(z) - 1 (Clevert et al. 2016); da/dz = 1, else exp(z).

    Notes
    -----
    .. math:: a = \begin{cases} z & z > 0 \\ e^z - 1 & z \le 0 \end{cases}
    """
    return _elu(xp, z, 1.0, 1.0)


def selu(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = 1.0507 z where z > 0, else 1.0507 1.6733 (exp(z) - 1) (Klambauer et al. 2017).

    Notes
    -----
    .. math::

       a = \lambda \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}, \qquad
       \lambda = 1.0507, \quad \alpha = 1.6733
    """
    return _elu(xp, z, 1.0507009873554804934193349852946, 1.6732632423543772848170429916717)


def _elu(xp: Namespace, z: Array, scale: float, alpha: float) -> tuple[Array, Closure]:
    mask = xp.astype(z > 0, z.dtype)
    low = xp.expm1(xp.minimum(z, 0.0)) * alpha  # 0 where z > 0
    slope = mask + (low + alpha) * (1.0 - mask)
    return (z * mask + low) * scale, lambda da: da * (slope * scale)


def silu(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z s with s = sigmoid(z), also called swish; da/dz = s + z s (1 - s) (Elfwing et al. 2018).

    Notes
    -----
    .. math:: a = \frac{z}{1 + e^{-z}}
    """
    s, _ = sigmoid(xp, z)
    return z * s, lambda da: da * (s + z * (s * (1.0 - s)))


def gelu(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z P(z), with P the normal distribution function (Hendrycks and Gimpel 2016).

    da/dz = P(z) + z exp(-z²/2) / sqrt(2 pi).

    Notes
    -----
    .. math:: a = z \, \Phi(z), \qquad \frac{da}{dz} = \Phi(z) + z \frac{e^{-z^2 / 2}}{\sqrt{2 \pi}}
    """
    mask = xp.astype(z > 0, z.dtype)
    tail = 0.5 * erfc(xp, xp.abs(z) * math.sqrt(0.5))
    p = mask + (1.0 - 2.0 * mask) * tail
    density = xp.exp(z * z * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
    return z * p, lambda da: da * (p + z * density)


def softplus(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = log(1 + exp(z)), computed as max(z, 0) + log(1 + exp(-|z|)); da/dz = sigmoid(z).

    Notes
    -----
    .. math:: a = \log(1 + e^z), \qquad \frac{da}{dz} = \frac{1}{1 + e^{-z}}

    Dugas et al. 2001.
    """
    s, _ = sigmoid(xp, z)
    positive = z * xp.astype(z > 0, z.dtype)
    return positive + xp.log1p(xp.exp(xp.negative(xp.abs(z)))), lambda da: da * s


def hard_sigmoid(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a = z / 6 + 1/2, clipped to [0, 1] (PyTorch's form); da/dz = 1/6 between -3 and 3, else 0.

    Notes
    -----
    .. math:: a = \min \left( \max \left( \frac{z}{6} + \frac{1}{2}, 0 \right), 1 \right)
    """
    above = xp.astype(z > -3.0, z.dtype)
    beyond = 1.0 - xp.astype(z < 3.0, z.dtype)
    slope = (above - beyond) * (1.0 / 6.0)
    return z * slope + 0.5 * (above + beyond), lambda da: da * slope


def softmax(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a_i = exp(z_i) / sum_j exp(z_j) over the last axis; dz = a (da - sum_j da_j a_j).

    The row's maximum is subtracted first, so that exp cannot overflow.

    Notes
    -----
    .. math:: a_i = \frac{e^{z_i}}{\sum_j e^{z_j}}, \qquad dz_i = a_i \left( da_i - \sum_j da_j a_j \right)

    Bridle 1990.
    """
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    a = e * (1.0 / xp.sum(e, axis=-1, keepdims=True))
    return a, lambda da: a * (da - xp.sum(da * a, axis=-1, keepdims=True))


def log_softmax(xp: Namespace, z: Array) -> tuple[Array, Closure]:
    r"""a_i = z_i - log sum_j exp(z_j) over the last axis; dz = da - softmax(z) sum_j da_j.

    Notes
    -----
    .. math:: a_i = z_i - \log \sum_j e^{z_j}, \qquad dz_i = da_i - e^{a_i} \sum_j da_j
    """
    shifted = z - xp.max(z, axis=-1, keepdims=True)
    a = shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))
    return a, lambda da: da - xp.exp(a) * xp.sum(da, axis=-1, keepdims=True)


ACTIVATIONS: dict[str, Activation] = {
    "identity": identity,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "silu": silu,
    "gelu": gelu,
    "softplus": softplus,
    "hard_sigmoid": hard_sigmoid,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


def find(argument: str, name: str) -> Activation:
    """Return the activation of that name; "module:name" is a registered function of the user."""
    if isinstance(name, str) and name in ACTIVATIONS:  # called in every step
        return ACTIVATIONS[name]
    if isinstance(name, str) and ":" in name:
        return registry.from_serialized_name(argument, name, ACTIVATIONS)
    return lookup(argument, name, ACTIVATIONS)


def name_of(activation: "str | Activation") -> str:
    """Return the name of an activation or of a registered function. Raises SerializationError for other functions."""
    return registry.serialized_name("activation", activation, ACTIVATIONS) if callable(activation) else activation
