"""Initial values of weights: drawn on the host in float64, the same for every backend and dtype."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from portnn import registry
from portnn.options import CoerceScalarsMeta, check_range, lookup

if TYPE_CHECKING:  # numpy.random takes as long to import as portnn itself: it is loaded at the first draw
    from numpy.random import Generator

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Initializer(metaclass=CoerceScalarsMeta):
    """Base of initializers: a frozen dataclass whose options are plain values.

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Normal
    >>> NeuralNetwork(3, 4, 2, initializer=Normal(std=0.02), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        """Return drawn values, float64; a unit has ``fan_in`` inputs, an input goes to ``fan_out`` units."""
        raise NotImplementedError


class Zeros(Initializer):
    """All zero: for biases (for weights, units of one layer then never differ).

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Zeros
    >>> NeuralNetwork(3, 4, 2, initializer=Zeros(), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        return np.zeros(shape)


class Ones(Initializer):
    """All one: for scales.

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Ones
    >>> NeuralNetwork(3, 4, 2, initializer=Ones(), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        return np.ones(shape)


class Uniform(Initializer):
    """Uniform over [0, 1), in steps of 2^-24 so that float32 holds each value exactly (and never 1).

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Uniform
    >>> NeuralNetwork(3, 4, 2, initializer=Uniform(), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        return np.floor(rng.random(shape) * 2.0**24) * 2.0**-24


@dataclass(frozen=True)
class Normal(Initializer):
    r"""Normal with mean 0 and standard deviation ``std``.

    Parameters
    ----------
    std : float
        At least 0.

    Notes
    -----
    .. math:: W_{ij} \sim N(0, \sigma^2)

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Normal
    >>> NeuralNetwork(3, 4, 2, initializer=Normal(std=0.02), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        check_range("std", self.std)

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        return rng.standard_normal(shape) * self.std


class Glorot(Initializer):
    r"""Uniform over ±sqrt(6 / (in + out)) (Glorot and Bengio 2010, eq. 16): keeps variances for sigmoid, tanh.

    Notes
    -----
    .. math:: W_{ij} \sim U \left( -\sqrt{\frac{6}{n_{in} + n_{out}}}, \sqrt{\frac{6}{n_{in} + n_{out}}} \right)

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Glorot
    >>> NeuralNetwork(3, 4, 2, initializer=Glorot(), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, shape)


class He(Initializer):
    r"""Normal with variance 2 / in (He et al. 2015, eq. 10): keeps variances for relu.

    Notes
    -----
    .. math:: W_{ij} \sim N \left( 0, \frac{2}{n_{in}} \right)

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import He
    >>> NeuralNetwork(3, 4, 2, initializer=He(), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        return rng.standard_normal(shape) * math.sqrt(2.0 / fan_in)


class LeCun(Initializer):
    r"""Normal with variance 1 / in (LeCun et al. 1998, eq. 16): keeps variances for selu.

    Notes
    -----
    .. math:: W_{ij} \sim N \left( 0, \frac{1}{n_{in}} \right)

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import LeCun
    >>> NeuralNetwork(3, 4, 2, initializer=LeCun(), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        return rng.standard_normal(shape) * math.sqrt(1.0 / fan_in)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    r"""A random orthogonal matrix times ``gain``: rows or columns, whichever are fewer, are orthonormal.

    Saxe et al. 2014. Axes after the first count as one. Sums are NumPy's own: LAPACK's differ from machine to machine.

    Parameters
    ----------
    gain : float
        At least 0.

    Notes
    -----
    .. math:: W^T W = g^2 I \quad \text{or} \quad W W^T = g^2 I

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.initializers import Orthogonal
    >>> NeuralNetwork(3, 4, 2, initializer=Orthogonal(gain=1.4), seed=0, backend="numpy").parameters["W1"].shape
    (3, 4)
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_range("gain", self.gain)

    def __call__(self, rng: "Generator", shape: Shape, fan_in: int, fan_out: int) -> np.ndarray:
        columns = math.prod(shape[1:])
        tall = rng.standard_normal((max(shape[0], columns), min(shape[0], columns)))
        basis = _orthonormal(tall)
        return (basis if shape[0] >= columns else basis.T).reshape(shape) * self.gain


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

INITIALIZERS: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "uniform": Uniform,
    "normal": Normal,
    "glorot": Glorot,
    "he": He,
    "lecun": LeCun,
    "orthogonal": Orthogonal,
}
registry.register_kind("initializer", Initializer, INITIALIZERS)


def check(initializer: str | Initializer) -> None:
    """Raise ArgumentError unless the argument is an initializer, the name of one, or "auto"."""
    resolve(initializer, "")


def resolve(initializer: str | Initializer, activation: str) -> Initializer:
    """Return an initializer by its name; "auto" suits the activation that the weights feed."""
    if isinstance(initializer, Initializer):
        return initializer
    if initializer == "auto":
        initializer = automatic(activation)
    return lookup("initializer", initializer, INITIALIZERS, "auto")()


def automatic(activation: str) -> str:
    """Return the name of the initializer that suits weights that feed an activation."""
    if activation == "selu":
        return "lecun"
    return "he" if activation in _RECTIFIERS else "glorot"
