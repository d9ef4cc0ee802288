"""Sums and matrix products whose result does not depend on the order of additions.

Operands are split into parts so short that each partial sum is exact in float64: the order of the additions, the number
of threads, fused multiply-adds and atomics cannot change a bit. The remaining roundings are a fixed sequence of single
IEEE 754 operations. (Ozaki, Ogita, Oishi and Rump 2012, Numerical Algorithms 59; Demmel and Nguyen 2013, ARITH.)

All of it is float64, computed one operation at a time: a compiler that fuses a multiplication and an addition would
change the last bit. Numbers below 2^-440 may count as zero, numbers beyond 2^960 are not finite.
"""

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


def total(xp: Namespace, x: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """Return the sum over the axes: |error| <= n 2^(ceil(log2 n) - 51) max|x|, its square for n above 4,096.

    Each element is rounded to a common unit, of which the sum is then a whole number below 2^52.
    """
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    count = 1
    for along in axes:
        count *= x.shape[along]
    length = max(count - 1, 0).bit_length()
    if not count:
        return xp.sum(x, axis=axis, keepdims=keepdims)
    unit = scale(xp, x, axis) * 2.0 ** (length - 51)
    result = None
    for _ in range(1 if count <= _SHORT_SUM else 2):
        shift = unit * _ROUND
        high = x + shift
        high -= shift
        exact = xp.sum(high, axis=axis, keepdims=keepdims)
        result = exact if result is None else result + exact
        if count > _SHORT_SUM:
            x, unit = x - high, unit * 2.0 ** (length - 51)
    return result


class SplitMatrix(NamedTuple):
    """A matrix as ``high + low``, multiples of 2^-20 and of 2^-40 of a power of two per row or per column."""

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


def product(xp: Namespace, a: SplitMatrix, b: SplitMatrix) -> Array:
    """Return the product of a matrix split by rows and one split by columns.

    The result is high high + (high low + low high), each of them exact. |error| <= 1.25 k 2^-40 times the scales of row
    and column, for k terms: low low is below the last place of the parts.
    """
    terms = a.high.shape[1]
    result = None
    for start in range(0, max(terms, 1), TERMS):
        inside = slice(start, min(start + TERMS, terms))
        fits = terms <= TERMS
        a_parts = [a.high, a.low] if fits else [a.high[:, inside], a.low[:, inside]]
        b_parts = [b.high, b.low] if fits else [b.high[inside, :], b.low[inside, :]]
        cross = xp.matmul(a_parts[0], b_parts[1])
        cross += xp.matmul(a_parts[1], b_parts[0])
        cross += 0.0  # the sign of a sum of negative zeros depends on the library's order
        cross += xp.matmul(a_parts[0], b_parts[0])
        if result is None:
            result = cross
        else:
            result += cross
    return result
