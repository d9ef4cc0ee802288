"""Error bounds: a namespace that computes a bound beside each value.

Layers, losses and optimizers that run on this namespace return values with a bound on the error that any library may
make in a given precision (running error analysis, Wilkinson 1963; Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., section 3.3). Inputs count as exact. NumPy computes the values in float64.

Per operation, with u the unit roundoff (2^-24 for float32, 2^-53 for float64):

- ``+ - *`` and division: u of the result. - Sums and products of length k: ``min(k, LAMBDA sqrt(k)) u |A||B|``, the
probabilistic bound of Higham and Mary (2019, SIAM J. Sci. Comput. 41(5)) if it is below the worst case ``k u |A||B|``.
- Elementary functions: ULPS units in the last place. - A comparison whose result the errors may change is undecided:
either branch of a mask is allowed. - Denormals may be flushed to zero: the smallest normal number is added everywhere.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from portnn.ops import OPS, REGISTERED, Op

LAMBDA = 2.0
"""The factor of the probabilistic bound, for one computation beside the true value.

The rounding errors of a sum of k terms behave as independent ones, each with a standard deviation of at most u /
sqrt(3) of the partial sum. Without cancellation, partial sums grow evenly to the sum of magnitudes, and LAMBDA sqrt(k)
u is 6 standard deviations of their sum: two elements in a billion exceed it. With cancellation the errors are smaller
still: sgemm uses about a twentieth. LAMBDA cannot be much larger: a product in TF32 must break the bound at k = 4096.
"""

ULPS = {op.name: op.ulps for op in OPS if op.ulps is not None}
"""Largest error of elementary functions in units in the last place, on any library."""


class BoundedArray:
    """A value, (any shape), with a bound on its absolute error of the same shape."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None

    def __init__(self, value: Any, error: Any = 0.0, dtype: Any = None) -> None:
        self.value = np.asarray(value)
        self.error = np.broadcast_to(np.asarray(error, np.float64), self.value.shape)
        self.dtype = self.value.dtype if dtype is None else np.dtype(dtype)

    @classmethod
    def from_input(cls, array: np.ndarray) -> "BoundedArray":
        """Return an input array: exact, except that some libraries flush denormals to 0."""
        if array.dtype.kind != "f":
            return cls(array)
        value = array.astype(np.float64)
        size = np.abs(value)
        return cls(value, np.where(size < float(np.finfo(array.dtype).smallest_normal), size, 0.0), array.dtype)

    def __array_namespace__(self, api_version: str | None = None) -> "BoundingNamespace":
        return _DEFAULT

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    def _of(self, other: Any) -> "BoundedArray":
        """Return an operand; a number is rounded to the dtype, by some libraries earlier than by others."""
        if isinstance(other, BoundedArray):
            return other
        if self.dtype.kind != "f":
            return BoundedArray(np.asarray(other, self.dtype))
        return BoundedArray(np.asarray(other, np.float64), abs(other - float(self.dtype.type(other))), self.dtype)

    def _rounded(self, value: Any, error: Any, ulps: float = 0.5) -> "BoundedArray":
        """Return a result with its error and that of rounding it; integers are exact, and wrap."""
        if self.dtype.kind in "iu":
            return BoundedArray(value)
        limits = np.finfo(self.dtype)
        # A value beyond the range is infinite in every library.
        error = np.where(np.isinf(value), 0.0, error + ulps * float(limits.eps) * (np.abs(value) + error))
        return BoundedArray(value, error + float(limits.smallest_normal), self.dtype)

    def __add__(self, other: Any) -> "BoundedArray":
        other = self._of(other)
        return self._rounded(self.value + other.value, self.error + other.error)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "BoundedArray":
        other = self._of(other)
        return self._rounded(self.value - other.value, self.error + other.error)

    def __rsub__(self, other: Any) -> "BoundedArray":
        return self._of(other) - self

    def __mul__(self, other: Any) -> "BoundedArray":
        other = self._of(other)
        sizes = np.abs(self.value), np.abs(other.value)
        error = sizes[0] * other.error + self.error * sizes[1] + self.error * other.error
        if np.isnan(error).any():  # an unbounded error times an exact 0 is 0
            pairs = (sizes[0], other.error), (self.error, sizes[1]), (self.error, other.error)
            error = sum(np.where((a == 0) | (b == 0), 0.0, a * b) for a, b in pairs)
        return self._rounded(self.value * other.value, error)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "BoundedArray":
        other = self._of(other)
        value = self.value / other.value
        # a/b with |db| < |b|: (|da| + |a/b| |db|) / (|b| - |db|).
        infinite = np.isinf(other.value)
        room = np.where(infinite, 1.0, np.abs(other.value) - other.error)
        error = np.where(room > 0, (self.error + np.abs(value) * other.error) / np.where(room > 0, room, 1.0), np.inf)
        error = np.where(infinite, 0.0, error)
        return self._rounded(value, error, ULPS["divide"])

    def __rtruediv__(self, other: Any) -> "BoundedArray":
        return self._of(other) / self

    def __gt__(self, other: Any) -> "BoundedArray":
        other = self._of(other)
        doubt = self.error + other.error
        return BoundedArray(self.value > other.value, (doubt > 0) & (np.abs(self.value - other.value) <= doubt))

    def __lt__(self, other: Any) -> "BoundedArray":
        return self._of(other) > self

    def __eq__(self, other: object) -> "BoundedArray":  # type: ignore[override]
        other = self._of(other)
        doubt = self.error + other.error
        with np.errstate(invalid="ignore"):  # of infinities
            return BoundedArray(self.value == other.value, (doubt > 0) & (np.abs(self.value - other.value) <= doubt))

    def __and__(self, other: Any) -> "BoundedArray":
        return BoundedArray(self.value & self._of(other).value)

    def __xor__(self, other: Any) -> "BoundedArray":
        return BoundedArray(self.value ^ self._of(other).value)

    def __rshift__(self, other: Any) -> "BoundedArray":
        return BoundedArray(self.value >> other)

    def __getitem__(self, key: Any) -> "BoundedArray":
        return BoundedArray(self.value[key], self.error[key], self.dtype)


class BoundingNamespace:
    """The array API functions that the core uses, on BoundedArrays of one floating dtype."""

    __name__ = "portnn.numerics.bounds"  # array-api-compat asks a module for it
    float32, float64, int32 = np.dtype("float32"), np.dtype("float64"), np.dtype("int32")

    def __init__(self, factor: float = LAMBDA) -> None:
        """``factor``: LAMBDA of the probabilistic bound; ``math.inf`` gives the worst case."""
        self._factor = factor

    def __getattr__(self, name: str) -> Any:
        op = REGISTERED.get(name)
        if op is None:
            raise AttributeError(
                f"bounds: xp.{name} has no bound yet: give it one by portnn.register_op, write the layer with the "
                f"functions that have one, or compare it by portnn.testing.assert_same_on_backends "
                f"(docs/guides/test-equivalence.md)"
            )
        return partial(_registered, op)

    def arange(self, *arguments: Any, dtype: Any) -> BoundedArray:
        return BoundedArray(np.arange(*arguments, dtype=dtype))

    def astype(self, x: BoundedArray, dtype: Any) -> BoundedArray:
        if np.dtype(dtype).kind == "f":
            return BoundedArray(x.value.astype(np.float64), x.error, dtype)
        return BoundedArray(x.value.astype(dtype), x.error)

    def reshape(self, x: BoundedArray, shape: tuple[int, ...]) -> BoundedArray:
        return BoundedArray(x.value.reshape(shape), x.error.reshape(shape), x.dtype)

    def expand_dims(self, x: BoundedArray, axis: int) -> BoundedArray:
        return BoundedArray(np.expand_dims(x.value, axis), np.expand_dims(x.error, axis), x.dtype)

    def matrix_transpose(self, x: BoundedArray) -> BoundedArray:
        return BoundedArray(x.value.mT, x.error.mT, x.dtype)

    def concat(self, arrays: Sequence[BoundedArray], *, axis: int = 0) -> BoundedArray:
        value, error = (np.concatenate(parts, axis) for parts in ([a.value for a in arrays], [a.error for a in arrays]))
        return BoundedArray(value, error, arrays[0].dtype)

    def negative(self, x: BoundedArray) -> BoundedArray:
        return BoundedArray(-x.value, x.error, x.dtype)

    def abs(self, x: BoundedArray) -> BoundedArray:
        return BoundedArray(np.abs(x.value), x.error, x.dtype)

    def max(self, x: BoundedArray, *, axis: int | None = None, keepdims: bool = False) -> BoundedArray:
        # The maximum moves by no more than the element that moves most.
        value, error = (np.max(a, axis=axis, keepdims=keepdims) for a in (x.value, x.error))
        return BoundedArray(value, error, x.dtype)

    def maximum(self, x: BoundedArray, other: "BoundedArray | float") -> BoundedArray:
        # A number is rounded to the dtype; the result moves by no more than the operands that may be the larger one.
        y = other if isinstance(other, BoundedArray) else BoundedArray.from_input(np.asarray(x.dtype.type(other)))
        errors = (np.where(a.value + a.error < b.value - b.error, 0.0, a.error) for a, b in ((x, y), (y, x)))
        return BoundedArray(np.maximum(x.value, y.value), np.maximum(*errors), x.dtype)

    def minimum(self, x: BoundedArray, other: "BoundedArray | float") -> BoundedArray:
        negative = self.negative(other) if isinstance(other, BoundedArray) else -other
        return self.negative(self.maximum(self.negative(x), negative))

    def sign(self, x: BoundedArray) -> BoundedArray:
        # Undecided: anything from -1 to 1.
        return BoundedArray(np.sign(x.value), np.where((x.error > 0) & (np.abs(x.value) <= x.error), 2.0, 0.0), x.dtype)

    def asarray(self, values: Sequence[float], *, dtype: Any) -> BoundedArray:
        exact = np.asarray(values, np.float64)
        return BoundedArray(exact, np.abs(exact - exact.astype(dtype)), dtype)

    def take(self, x: BoundedArray, indices: BoundedArray, *, axis: int) -> BoundedArray:
        return BoundedArray(np.take(x.value, indices.value, axis), np.take(x.error, indices.value, axis), x.dtype)

    def finfo(self, dtype: Any) -> Any:
        return np.finfo(dtype)

    def sum(
        self, x: BoundedArray, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> BoundedArray:
        value, size, error = (
            np.sum(a, axis=axis, keepdims=keepdims) for a in (x.value, np.abs(x.value) + x.error, x.error)
        )
        return self._accumulated(x, value, size, error, x.value.size // max(value.size, 1))

    def matmul(self, a: BoundedArray, b: BoundedArray) -> BoundedArray:
        x, y = np.abs(a.value), np.abs(b.value)
        error = np.zeros(()) if not (a.error.any() or b.error.any()) else x @ b.error + a.error @ (y + b.error)
        return self._accumulated(a, a.value @ b.value, x @ y + error, error, a.shape[-1])

    def _accumulated(self, x: BoundedArray, value: Any, size: Any, error: Any, terms: int) -> BoundedArray:
        limits = np.finfo(x.dtype)
        growth = min(float(terms), self._factor * float(np.sqrt(terms))) * 0.5 * float(limits.eps)
        return BoundedArray(value, error + growth * size + terms * float(limits.smallest_normal), x.dtype)

    def exp(self, x: BoundedArray) -> BoundedArray:
        value = np.exp(x.value)
        return x._rounded(value, np.where(np.isinf(value), 0.0, value * np.expm1(x.error)), ULPS["exp"])

    def expm1(self, x: BoundedArray) -> BoundedArray:
        value = np.expm1(x.value)
        slope = np.where(np.isinf(value), 0.0, value + 1.0)
        return x._rounded(value, slope * np.expm1(x.error), ULPS["expm1"])

    def cos(self, x: BoundedArray) -> BoundedArray:
        return x._rounded(np.cos(x.value), x.error + ULPS["cos"] * float(np.finfo(x.dtype).eps))  # its slope: 1 at most

    def log(self, x: BoundedArray) -> BoundedArray:
        room = x.value - x.error
        error = np.where(room > 0, x.error / np.where(room > 0, room, 1.0), np.inf)
        return x._rounded(np.log(x.value), np.where(x.error > 0, error, 0.0), ULPS["log"])

    def log1p(self, x: BoundedArray) -> BoundedArray:
        room = 1.0 + x.value - x.error
        error = np.where(room > 0, x.error / np.where(room > 0, room, 1.0), np.inf)
        return x._rounded(np.log1p(x.value), np.where(x.error > 0, error, 0.0), ULPS["log1p"])

    def tanh(self, x: BoundedArray) -> BoundedArray:
        return x._rounded(np.tanh(x.value), x.error, ULPS["tanh"])  # its slope is at most 1

    def sqrt(self, x: BoundedArray) -> BoundedArray:
        value = np.sqrt(x.value)
        # |sqrt(a) - sqrt(b)| is at most |a - b| / sqrt(a), and at most sqrt(|a - b|).
        error = np.minimum(x.error / np.where(value > 0, value, 1.0), np.sqrt(x.error))
        return x._rounded(value, np.where(value > 0, error, np.sqrt(x.error)), ULPS["sqrt"])


def _registered(op: Op, x: BoundedArray) -> BoundedArray:
    slope = op.slope(x.value, x.error) if callable(op.slope) else op.slope
    return x._rounded(getattr(np, op.name)(x.value), np.where(x.error > 0, slope * x.error, 0.0), op.ulps or 0.5)


_DEFAULT = BoundingNamespace()
"""The namespace of all BoundedArrays."""
