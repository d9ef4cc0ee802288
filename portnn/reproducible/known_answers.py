"""Known answers: a test that a library, on its device, computes as reproducible arithmetic needs.

The inputs are made of integers; the answers are digests of bits, the same on every machine. The test runs once per
process, when a backend is first used in reproducible arithmetic.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from portnn import hashing
from portnn.types import Array, Namespace

_COUNT = 4099
"""Odd, so that vectorised loops leave a remainder."""


def _uniform(count: int, start: int = 0) -> np.ndarray:
    """Return numbers in (-1, 1), by Weyl's sequence on 64-bit integers and a multiplicative scramble."""
    n = (np.arange(start, start + count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    n = (n ^ (n >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    n = n ^ (n >> np.uint64(27))
    return np.asarray(np.ldexp((n >> np.uint64(11)).astype(np.float64), -52) - 1.0)


def _spread(count: int) -> np.ndarray:
    """Return numbers of magnitudes from 2^-20 to 2^10."""
    return np.asarray(np.ldexp(_uniform(count), np.arange(count) % 31 - 20))


_ENDS = [0.0, -0.0, -750.0, 750.0, math.inf, -math.inf, math.nan]


def sqrt_is_exact(xp: Namespace, asarray: Callable[..., Array], to_numpy: Callable[[Array], np.ndarray]) -> bool:
    """Return whether the library's square roots are correctly rounded, as Python's are."""
    x = np.abs(np.concatenate([_spread(_COUNT), _spread(_COUNT) * 2.0**-300]))
    return bool(np.array_equal(to_numpy(xp.sqrt(asarray(x, "float64"))), [math.sqrt(v) for v in x]))


def _cases(xp: Namespace, ask: Callable[[np.ndarray], Array]) -> dict[str, Callable[[], Array]]:
    """Return the computations by name; ``ask`` brings a NumPy array to the device.

    There are few shapes: JAX compiles each operation for each shape.
    """
    spread, u = _spread(_COUNT), _uniform(_COUNT, _COUNT)
    spread[: len(_ENDS)] = _ENDS
    x, y = ask(spread), ask(u)
    size, zeros = ask(np.abs(spread)), ask(np.array([0.0, -0.0]))
    a, b = (v[-3600:].reshape(12, 300) for v in (spread, u))
    large = ask(np.tile(b, 5))
    return {
        "a product of matrices": lambda: xp.matmul(ask(a), ask(b.T)),
        "a transposed product": lambda: xp.matmul(xp.matrix_transpose(ask(a)), ask(b)),
        # Large enough for a compiled split (portnn/reproducible/arithmetic.py).
        "a product of large matrices": lambda: xp.matmul(large, xp.matrix_transpose(large)),
        "a product of denormals": lambda: xp.matmul(ask(a * 2.0**-1060), ask(b.T)),
        "a sum": lambda: xp.sum(y),
        "a sum of columns": lambda: xp.sum(ask(a), axis=0),
        "a difference of products": lambda: x * y - y * y,  # a fused operation rounds only once
        "a quotient": lambda: y / x,
        "a reciprocal": lambda: 1.0 / x,
        "a maximum": lambda: xp.max(zeros) + xp.maximum(zeros, 0.0),
        **{name: partial(getattr(xp, name), x) for name in ("exp", "expm1", "tanh", "cos", "sign")},
        **{name: partial(getattr(xp, name), size) for name in ("log", "log1p", "sqrt")},
    }


def answers(xp: Namespace, asarray: Callable[..., Array], to_numpy: Callable[[Array], np.ndarray]) -> dict[str, str]:
    """Return the digest of each computation; NaN has one form."""
    digests: dict[str, str] = {}
    for name, compute in _cases(xp, lambda array: asarray(np.array(array), "float64")).items():
        values: Any = to_numpy(compute())
        values = np.where(np.isnan(values), np.nan, values).astype("<f8")  # last: np.where returns native byte order
        digests[name] = hashing.sha256(values.tobytes()).hexdigest()[:16]
    return digests


ANSWERS = {
    "a product of matrices": "c10fb0c7caacde67",
    "a transposed product": "b847b0570b61bba9",
    "a product of large matrices": "d25a64581f7825cb",
    "a product of denormals": "4cf9816ed1062189",
    "a sum": "41964562a35ecca3",
    "a sum of columns": "28cc6f2a5ada0f72",
    "a difference of products": "036097eefd45ee6d",
    "a quotient": "258758c2fc4ead86",
    "a reciprocal": "a3d28d410d0b9493",
    "a maximum": "374708fff7719dd5",
    "exp": "d1069b9e97ff68a8",
    "expm1": "f47f3d0c25b0e5e8",
    "tanh": "1b3f5eb57cd38f8c",
    "cos": "89444f2a4f5ec0b1",
    "sign": "33631975daea833e",
    "log": "e3d4c3e62425d20d",
    "log1p": "7e5c59dd0e16ebe0",
    "sqrt": "7689d0b9b3738f02",
}


def first_failure(xp: Namespace, asarray: Callable[..., Array], to_numpy: Callable[[Array], np.ndarray]) -> str:
    """Return the first computation with another answer, or ""."""
    digests = answers(xp, asarray, to_numpy)
    return next(
        (f"{name} has other bits than the known answer" for name in ANSWERS if digests[name] != ANSWERS[name]), ""
    )
