"""Initial values of weights: drawn on the host in float64, the same for every backend and dtype."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from portnn.options import choose

if TYPE_CHECKING:  # numpy.random takes as long to import as portnn itself: it is loaded at the first draw
    from numpy.random import Generator

Shape = tuple[int, ...]
Initializer: TypeAlias = "Callable[[Generator, Shape, int, int], np.ndarray]"


def zeros(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """All zero: for biases (for weights, units of one layer then never differ)."""
    return np.zeros(shape)


def ones(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """All one: for scales."""
    return np.ones(shape)


def uniform(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """Uniform over [0, 1), in steps of 2^-24 so that float32 holds each value exactly (and never 1)."""
    return np.floor(rng.random(shape) * 2.0**24) * 2.0**-24


def normal(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """Standard normal."""
    return rng.standard_normal(shape)


def glorot(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """Uniform over ±sqrt(6 / (in + out)) (Glorot and Bengio 2010, eq. 16): keeps variances for sigmoid, tanh."""
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape)


def he(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """Normal with variance 2 / in (He et al. 2015, eq. 10): keeps variances for relu."""
    return rng.standard_normal(shape) * math.sqrt(2.0 / fan_in)


def lecun(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """Normal with variance 1 / in (LeCun et al. 1998, eq. 16): keeps variances for selu."""
    return rng.standard_normal(shape) * math.sqrt(1.0 / fan_in)


def orthogonal(rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
    """A random orthogonal matrix (Saxe et al. 2014): rows or columns, whichever are fewer, are orthonormal.

    Axes after the first count as one. Sums are NumPy's own: LAPACK's differ from machine to machine.
    """
    columns = math.prod(shape[1:])
    tall = rng.standard_normal((max(shape[0], columns), min(shape[0], columns)))
    basis = _orthonormal(tall)
    return (basis if shape[0] >= columns else basis.T).reshape(shape)


def _orthonormal(a: np.ndarray) -> np.ndarray:
    """Return orthonormal columns that span those of a (Gram and Schmidt, twice: Giraud et al. 2005)."""
    q = np.zeros_like(a)
    for k in range(a.shape[1]):
        v = a[:, k]
        for _ in range(2):
            v = v - np.sum(q[:, :k] * np.sum(q[:, :k] * v[:, None], axis=0), axis=1)
        q[:, k] = v / math.sqrt(np.sum(v * v))
    return q


_RECTIFIERS = frozenset({"relu", "leaky_relu", "elu", "gelu", "silu"})

INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "ones": ones,
    "uniform": uniform,
    "normal": normal,
    "glorot": glorot,
    "he": he,
    "lecun": lecun,
    "orthogonal": orthogonal,
}


def check(name: str) -> None:
    """Raise ArgumentError unless ``name`` is an initializer or "auto"."""
    choose("initializer", name, {"auto": zeros, **INITIALIZERS})


def resolve(name: str, activation: str) -> Initializer:
    """Return the named initializer; "auto" suits the activation that the weights feed."""
    return choose("initializer", automatic(activation) if name == "auto" else name, INITIALIZERS)


def automatic(activation: str) -> str:
    """Return the initializer that suits weights that feed an activation."""
    if activation == "selu":
        return "lecun"
    return "he" if activation in _RECTIFIERS else "glorot"
