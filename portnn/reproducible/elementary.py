"""Elementary functions as fixed sequences of single IEEE 754 operations on float64: the same bits on every library.

Each library has its own exp, log and tanh, and they differ in the last place in a tenth of the elements. Here each is
a range reduction and a polynomial out of ``+ - *``, same-shape division, ``round`` and tables of powers of two. NaN and
infinity pass unchecked, because a check would wait for the device: the index of a table is made from numbers
that were clipped before. Errors, in units of 2^-52 relative to the result, are tested against mpmath.

Results of exp below 2^-1000 are 0 and beyond 2^1010 infinite, so that no step of a network meets denormals, which JAX
flushes.
"""

import math
from collections.abc import Sequence
from typing import Any

from portnn.types import Array, Namespace

_LOWEST, _HIGHEST = -1000, 1010
_OFFSET = 1080
POWERS = [0.0 if n <= _LOWEST else math.inf if n >= _HIGHEST else 2.0**n for n in range(-_OFFSET, 1024)]
"""2^n at index n + 1080; exp ends in 0 and infinity."""
THRESHOLDS = [math.sqrt(0.5) * 2.0**n for n in range(-1000, 1023)]
"""sqrt(1/2) 2^n at index n + 1000: from one to the next, log x = n log 2 + log m with m near 1."""
INVERSES = [2.0**1000, *(2.0**-n for n in range(-1000, 1023))]
"""2^-n at the index among the thresholds."""

# log 2 in two parts; the first has 32 bits, so that its product with an exponent is exact (Cody and Waite 1980).
_LOG2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LOG2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# pi / 2 in three parts of 33 bits.
_HALF_PI = [float.fromhex(part) for part in ("0x1.921fb54400000p+0", "0x1.0b4611a600000p-34", "0x1.3198a2e037073p-69")]
_EXP = [1.0 / math.factorial(n) for n in range(1, 11)]
_LOG = [1.0 / (2 * n + 1) for n in range(11)]
_SIN = [(-1.0) ** n / math.factorial(2 * n + 1) for n in range(9)]
_COS = [(-1.0) ** n / math.factorial(2 * n) for n in range(10)]


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    """Return c0 + c1 x + c2 x² ... by Horner's rule."""
    *rest, last = coefficients
    value = x * last
    for coefficient in reversed(rest[1:]):
        value += coefficient
        value *= x
    value += rest[0]
    return value


def _reduced(xp: Namespace, x: Array, powers: Array) -> tuple[Array, Array]:
    """Return (q, p) with exp(x) = (1 + q) p, p a power of two and q = exp(r) - 1 for |r| <= log(2) / 2.

    The Taylor series of exp(r / 4) - 1 ends below 2^-56 of it; (1 + q)² - 1 = q (q + 2) leads back to r.
    """
    x = xp.minimum(xp.maximum(x, (_LOWEST - 20) * math.log(2.0)), (_HIGHEST + 10) * math.log(2.0))
    n = xp.round(x * (1.0 / math.log(2.0)))
    r = x - n * _LOG2_HIGH
    r -= n * _LOG2_LOW
    r *= 0.25
    q = _polynomial(r, _EXP) * r
    q *= q + 2.0
    q *= q + 2.0
    # Any index will do for NaN: q is NaN.
    index = xp.astype(xp.where(n == n, n, 0.0), xp.int64) + _OFFSET
    return q, xp.take(powers, index, axis=0)


def exp(xp: Namespace, x: Array, powers: Array) -> Array:
    """Return e^x; error at most 2."""
    q, p = _reduced(xp, x, powers)
    q += 1.0
    q *= p
    return q


def expm1(xp: Namespace, x: Array, powers: Array) -> Array:
    """Return e^x - 1, accurate for small x too; error at most 3."""
    q, p = _reduced(xp, xp.maximum(x, -40.0), powers)
    q += 1.0 - 1.0 / p
    q *= p
    return q


def tanh(xp: Namespace, x: Array, powers: Array) -> Array:
    """Return -e / (e + 2) with e = e^(-2|x|) - 1, and the sign of x; error at most 4."""
    e = expm1(xp, xp.abs(x) * -2.0, powers)
    signed = e / (e + 2.0)
    signed *= 1.0 - 2.0 * xp.astype(x > 0.0, x.dtype)
    return signed


def log(xp: Namespace, x: Array, thresholds: Array, inverses: Array) -> Array:
    """Return the natural logarithm; error at most 3. Below 2^-1000 it is -infinity, beyond 2^1022 infinity.

    log m = 2 (s + s³/3 + s⁵/5 ...) with s = (m - 1) / (m + 1), \\|s\\| <= 0.172.
    """
    index = xp.astype(xp.searchsorted(thresholds, x, side="right"), xp.int64)
    m = x * xp.take(inverses, index, axis=0)
    n = xp.astype(index - 1001, x.dtype)
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    value = _polynomial(square, _LOG) * s
    value *= 2.0
    value += n * _LOG2_LOW
    value += n * _LOG2_HIGH
    value = xp.where(x < THRESHOLDS[0], -math.inf, value)
    value = xp.where(x < 0.0, math.nan, value)
    return xp.where(x > 2.0**1022, math.inf, value)


def log1p(xp: Namespace, x: Array, thresholds: Array, inverses: Array) -> Array:
    """Return log(1 + x), accurate for small x too; error at most 3.

    With u = 1 + x as it is rounded: log u + (x - (u - 1)) / u.
    """
    u = x + 1.0
    lost = x - (u - 1.0)
    value = log(xp, u, thresholds, inverses)
    return xp.where((u > 0.0) & (u < math.inf), value + lost / u, value)


def cos(xp: Namespace, x: Array) -> Array:
    """Return the cosine for |x| below 2^19; error at most 2^-52, absolute."""
    n = xp.round(x * (2.0 / math.pi))
    r = x
    for part in _HALF_PI:
        r = r - n * part
    square = r * r
    odd = n - 2.0 * xp.floor(n * 0.5)
    half = xp.floor(n * 0.5) - 2.0 * xp.floor(n * 0.25)
    value = _polynomial(square, _COS) * (1.0 - odd) - _polynomial(square, _SIN) * r * odd
    return value * (1.0 - 2.0 * half)


def sqrt(xp: Namespace, x: Array) -> Array:
    """Return the square root from a library's that may be wrong in its last place; correctly rounded, from 2^-952 on.

    One step of Newton's with the residual x - y² exact (Dekker 1971).
    """
    y = xp.sqrt(x)
    # y = high + low, of 26 bits each: their products are exact.
    high = y * (2.0**27 + 1.0)
    high -= high - y
    low = y - high
    residual = x - high * high
    high *= low
    high *= 2.0
    residual -= high
    low *= low
    residual -= low
    residual /= y * 2.0 + 2.0**-1000  # of 0 it is 0
    residual += y
    return xp.where(y < math.inf, residual, y)


def flushed(xp: Namespace, vectors: Sequence[Array], numbers: Any = ()) -> tuple[Array, ...]:
    """Return vectors whose denormals are 0, which some libraries make of them anyway: multiples of 2^-952."""
    return tuple((vector + 2.0**-900) - 2.0**-900 for vector in vectors)
