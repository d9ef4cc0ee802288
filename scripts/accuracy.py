#!/usr/bin/env python
"""Print docs/explanation/accuracy.md: how far each function of each array library here is from its true value.

The truth is in numbers of 50 digits; errors are in units of eps times the true value (for cos, which has zeros, eps),
for sums and products of 784 terms eps times the sum of magnitudes.
"""

import platform
import sys

import numpy as np

from portnn.backend import available_backends, get_backend
from portnn.numerics.bounds import ULPS
from portnn.numerics.mpmath_namespace import MpmathNamespace

POINTS, TERMS = 4000, 784
RANGES = {"exp": 80.0, "expm1": 80.0, "tanh": 12.0, "cos": 6.5}
"""How far from 0 each function is asked; logarithms and roots up to 10^6."""


def arguments(name: str, dtype: str) -> np.ndarray:
    """Return numbers near 0, near 1 and over the range of a function."""
    rng = np.random.default_rng(0)
    limit = RANGES.get(name, 1e6)
    x = np.concatenate(
        [rng.uniform(-limit, limit, POINTS), rng.uniform(-1, 1, POINTS), 10.0 ** rng.uniform(-20, 0, POINTS)]
    )
    return (np.abs(x) if name in ("log", "log1p", "sqrt") else x).astype(dtype)


def elementary(name: str, dtype: str, names: list[str]) -> list[float]:
    """Return the largest error of a function on each backend, in ulps."""
    x = arguments(name, dtype)
    arbiter = MpmathNamespace(dtype)
    truth = getattr(arbiter, name)(arbiter.exact(x))
    size = np.maximum(np.abs(truth.astype(float)), np.finfo(dtype).tiny)
    unit = float(np.finfo(dtype).eps) * (np.ones(len(x)) if name == "cos" else size)
    return [float((abs(truth - got.astype(object)).astype(float) / unit).max()) for got in results(name, names, x)]


def results(name: str, names: list[str], *arrays: np.ndarray) -> list[np.ndarray]:
    """Return what each backend makes of arrays."""
    found = []
    for backend in map(get_backend, names):
        with backend.scope():
            function = (lambda x, y, b=backend: b.xp.matmul(x, y)) if name == "matmul" else getattr(backend.xp, name)
            options = {"axis": 0} if name == "sum" else {}
            found.append(backend.to_numpy(function(*map(backend.asarray, arrays), **options)))
    return found


def accumulated(name: str, dtype: str, names: list[str]) -> list[float]:
    """Return the largest error of sums or products, in ulps of the sum of magnitudes."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((16, TERMS)).astype(dtype), rng.standard_normal((TERMS, 16)).astype(dtype)
    given = (a, b) if name == "matmul" else (b,)
    arbiter = MpmathNamespace(dtype)
    exact = list(map(arbiter.exact, given))
    truth = arbiter.matmul(*exact) if name == "matmul" else arbiter.sum(exact[0], axis=0)
    size = (np.abs(a) @ np.abs(b) if name == "matmul" else np.abs(b).sum(axis=0)).astype(float)
    unit = size * float(np.finfo(dtype).eps)
    return [float((abs(truth - got.astype(object)).astype(float) / unit).max()) for got in results(name, names, *given)]


def page(asked: list[str]) -> str:
    """Return the page, of every backend where none is asked for."""
    infos = [info for info in available_backends() if info.available and not info.slow]
    names = asked or [info.name for info in infos]
    infos = [info for info in infos if info.name in {name.partition(":")[0] for name in names}]
    lines = [
        "# How accurate each library is",
        "",
        "Largest error beside the true value (of 50 digits), in units of eps times the value (for cos: eps), for",
        f"sums and products of {TERMS} terms times the sum of magnitudes. The last column is what the bounds grant",
        "(`portnn/numerics/bounds.py`); a correctly rounded result is off by 0.5 at most. This page is made by",
        "`python scripts/accuracy.py > docs/explanation/accuracy.md`; behind the script may come names:",
        "torch:cuda:0 ...",
        "",
        f"{platform.machine()}, " + ", ".join(f"{info.name} {info.version}" for info in infos) + ".",
        "",
    ]
    for dtype in ("float32", "float64"):
        lines += [f"| {dtype} | {' | '.join(names)} | granted |", "|---" * (len(names) + 2) + "|"]
        for name in ("exp", "expm1", "log", "log1p", "tanh", "cos", "sqrt"):
            errors = " | ".join(f"{error:.2f}" for error in elementary(name, dtype, names))
            lines.append(f"| {name} | {errors} | {ULPS[name]:g} |")
        for name in ("sum", "matmul"):
            errors = " | ".join(f"{error:.2f}" for error in accumulated(name, dtype, names))
            lines.append(f"| {name} | {errors} | {TERMS**0.5:g} |")
        lines.append("")
    if not asked:
        lines += ["On a GPU: `benchmarks/records/gpu-2026-11-26-accuracy.md`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(sys.argv[1:]), end="")
