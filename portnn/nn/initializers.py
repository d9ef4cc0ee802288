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


INITIALIZERS: dict[str, Initializer] = {
    "zeros": zeros,
    "ones": ones,
    "uniform": uniform,
    "normal": normal,
    "glorot": glorot,
    "he": he,
}


def check(name: str) -> None:
    """Raise ArgumentError unless ``name`` is an initializer or "auto"."""
    choose("initializer", name, {"auto": zeros, **INITIALIZERS})


def resolve(name: str, activation: str) -> Initializer:
    """Return the named initializer; "auto" is he for weights that feed a relu, else glorot."""
    if name == "auto":
        name = "he" if activation == "relu" else "glorot"
    return choose("initializer", name, INITIALIZERS)
