"""Sums and matrix products whose result does not depend on the order of additions.

Operands are split into parts so short that each partial sum is exact in float64: the order of the additions, the number
of threads, fused multiply-adds and atomics cannot change a bit. The remaining roundings are a fixed sequence of single
IEEE 754 operations. (Ozaki, Ogita, Oishi and Rump 2012, Numerical Algorithms 59; Demmel and Nguyen 2013, ARITH.)

All of it is float64, computed one operation at a time: a compiler that fuses a multiplication and an addition would
change the last bit. Numbers below 2^-440 may count as zero, numbers beyond 2^960 are not finite.
"""

from collections.abc import Callable
from typing import NamedTuple

from portnn.types import Array, Namespace

BITS = 20
"""Bits of one part of a product's operand: with TERMS terms, sums of products have 2 * 20 + 10 bits of the 53."""
TERMS = 1024
"""Terms of one exact product; longer products are sums of blocks of TERMS, in order."""
LEAST = 2.0**-400
"""Smallest scale: a row of zeros or denormals (which some libraries flush) gives 0, not 0/0."""

_ROUND = 1.5 * 2.0**52
"""``(x + _ROUND u) - _ROUND u`` is x rounded to a multiple of u, a power of two, for |x| < 2^51 u."""
_HIGH, _LOW = _ROUND * 2.0**-BITS, _ROUND * 2.0 ** (-2 * BITS)
_SHORT_SUM = 4096
"""Terms of a sum up to which one part of each is enough: 39 bits of it."""


def scale(xp: Namespace, x: Array, axis: int | tuple[int, ...] | None) -> Array:
    """Return powers of two above the largest magnitudes along the axes, which are kept with length 1; at least LEAST.

    The unit in the first place of m is \\|q - (1 - 2^-53) q\\| with q = (2^52 + 1) m (Rump 2009, algorithm 3.6): this
    needs no logarithm or power, which differ between libraries. NaN for NaN and infinity.
    """
    largest = xp.maximum(xp.max(x, axis=axis, keepdims=True), xp.negative(xp.min(x, axis=axis, keepdims=True)))
    q = xp.maximum(largest, LEAST) * (2.0**52 + 1.0)
    return xp.abs(q - q * (1.0 - 2.0**-53)) * 2.0


class Parts(NamedTuple):
    """The other parts of a sum's terms, which other processes have."""

    first: int
    """Number of this part's first term."""
    terms: int
    """Terms of all parts."""
    sums: Callable[..., list[Array]]
    """``sums(*arrays)`` returns the sums over the parts, exact in any order."""
    largest: Callable[..., list[Array]]
    """``largest(*arrays)`` returns the largest elements over the parts; NaN if one is."""

    def times(self, count: int) -> "Parts":
        """Return the same for ``count`` terms in the place of one."""
        return self._replace(first=self.first * count, terms=self.terms * count)


def scale_of_part(xp: Namespace, x: Array, axis: int | tuple[int, ...] | None = 0) -> Array:
    """Return the scale of this part's terms; 0 if it has none."""
    if x.shape[0]:
        return scale(xp, x, axis)
    reduced = _axes(x, axis)
    return xp.zeros(tuple(1 if i in reduced else n for i, n in enumerate(x.shape)), dtype=x.dtype)


def _axes(x: Array, axis: int | tuple[int, ...] | None) -> list[int]:
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return [along % x.ndim for along in axes]


def total(
    xp: Namespace, x: Array, axis: int | tuple[int, ...] | None, keepdims: bool, parts: Parts | None = None
) -> Array:
    """Return the sum over the axes: |error| <= n 2^(ceil(log2 n) - 51) max|x|, its square for n above 4,096.

    Each element is rounded to a common unit, of which the sum is then a whole number below 2^52. ``parts``: what other
    processes have of the first axis, which is among the axes.
    """
    count = 1
    for along in _axes(x, axis):
        count *= x.shape[along] if along or parts is None else parts.terms
    length = max(count - 1, 0).bit_length()
    if not count:
        return xp.sum(x, axis=axis, keepdims=keepdims)
    largest = scale(xp, x, axis) if parts is None else parts.largest(scale_of_part(xp, x, axis))[0]
    unit = largest * 2.0 ** (length - 51)
    result = None
    for _ in range(1 if count <= _SHORT_SUM else 2):
        shift = unit * _ROUND
        high = x + shift
        high -= shift
        exact = xp.sum(high, axis=axis, keepdims=keepdims)
        exact = exact if parts is None else parts.sums(exact)[0]
        result = exact if result is None else result + exact
        if count > _SHORT_SUM:
            x, unit = x - high, unit * 2.0 ** (length - 51)
    return result


class SplitMatrix(NamedTuple):
    """A matrix, or a stack, as ``high + low``, multiples of 2^-20 and 2^-40 of a power of two per row or column."""

    high: Array
    low: Array

    def transposed(self, xp: Namespace) -> "SplitMatrix":
        """Return the transpose."""
        return SplitMatrix(xp.matrix_transpose(self.high), xp.matrix_transpose(self.low))


def split(a: Array, by: Array) -> SplitMatrix:
    """Split a matrix by the scales of its rows or columns, of shape (rows, 1) or (1, columns).

    Apart from exact multiplications these are additions: a compiler has nothing to contract.
    """
    shift = by * _HIGH
    high = a + shift
    high -= shift
    low = a - high
    shift = by * _LOW
    low += shift
    low -= shift
    return SplitMatrix(high, low)


def product(xp: Namespace, a: SplitMatrix, b: SplitMatrix, parts: Parts | None = None) -> Array:
    """Return the product of a matrix split by rows and one split by columns.

    The result is high high + (high low + low high), each of them exact. |error| <= 1.25 k 2^-40 times the scales of row
    and column, for k terms: low low is below the last place of the parts. ``parts``: what other processes have of the
    columns of a and the rows of b; blocks of TERMS are those of the whole.
    """
    mine = a.high.shape[-1]
    first, terms = (0, mine) if parts is None else (parts.first, parts.terms)
    result = None
    for start in range(0, max(terms, 1), TERMS):
        begin, end = (min(max(bound - first, 0), mine) for bound in (start, start + TERMS))
        inside = slice(begin, end)
        fits = end - begin == mine
        a_parts = [a.high, a.low] if fits else [a.high[..., inside], a.low[..., inside]]
        b_parts = [b.high, b.low] if fits else [b.high[..., inside, :], b.low[..., inside, :]]
        cross = xp.matmul(a_parts[0], b_parts[1])
        cross += xp.matmul(a_parts[1], b_parts[0])
        high = xp.matmul(a_parts[0], b_parts[0])
        if parts is not None:
            cross, high = parts.sums(cross, high)
        cross += 0.0  # the sign of a sum of negative zeros depends on the library's order
        cross += high
        if result is None:
            result = cross
        else:
            result += cross
    return result
