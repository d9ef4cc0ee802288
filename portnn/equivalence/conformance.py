"""Checks of an adapter against the backend protocol; each violation has a hint."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from portnn.backend import Backend, backend_of, get_backend
from portnn.equivalence.compare import compare
from portnn.network import NeuralNetwork
from portnn.nn import random
from portnn.nn.layers import Dense
from portnn.nn.noise import Dropout
from portnn.numerics.bounds import BoundedArray, BoundingNamespace
from portnn.ops import OPS, REGISTERED
from portnn.types import ForwardContext

INT32 = np.iinfo(np.int32)
_MODE = ForwardContext(training=True, key=(1234567, -7654321), layer=3)


def _unary(name: str) -> Callable[[Any, Any, Any], Any]:
    return lambda xp, a, b: getattr(xp, name)(a)


FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    op.name: _unary(op.name) for op in OPS if op.core and op.kind == "elementwise" and op.operands == 1
} | {
    "+": lambda xp, a, b: a + b,
    "-": lambda xp, a, b: 2.0 - b,
    "*": lambda xp, a, b: a * b * 0.3,
    "/": lambda xp, a, b: 1.0 / (a / b),
    "matmul": lambda xp, a, b: xp.matmul(a, xp.matrix_transpose(b)),
    "sum": lambda xp, a, b: xp.sum(a, axis=1, keepdims=True),
    "sum of all": lambda xp, a, b: xp.sum(a),
    "max": lambda xp, a, b: xp.max(a, axis=0),
    "maximum and minimum": lambda xp, a, b: xp.minimum(xp.maximum(a, 0.7), 1.5),
    "comparisons": lambda xp, a, b: a * xp.astype((a > b) & (a < 1.9), a.dtype),
    "concat and reshape": lambda xp, a, b: xp.concat([xp.reshape(a, (-1,)), xp.reshape(b, (-1,))]),
    "concat by columns": lambda xp, a, b: xp.concat([a, b[:, :2]], axis=1),
    "slices": lambda xp, a, b: a[1:3, ...] * b[1:3, :1],
    "take": lambda xp, a, b: xp.take(a, xp.arange(3, dtype=xp.int32), axis=0),
    "asarray and finfo": lambda xp, a, b: (
        a * xp.asarray([0.1, 0.2, 0.3, 0.4, 0.5], dtype=a.dtype) + xp.finfo(a.dtype).eps
    ),
    "expand_dims": lambda xp, a, b: xp.expand_dims(a, axis=1),
}
"""The functions that the core uses, as ``f(xp, a, b)`` of two (5, 5) arrays of positive numbers."""


def violations(backend: Backend) -> Iterator[str]:
    """Yield a line for each violation of the protocol, with a hint."""
    for check in (_device_names, _round_trips, _copies, _integers, _dtypes, _functions, _bits, _scalars, _steps):
        try:
            with backend.scope():
                yield from check(backend)
        except Exception as error:
            yield f"{check.__name__.strip('_')}: {type(error).__name__}: {error}"


def _device_names(backend: Backend) -> Iterator[str]:
    array = backend.asarray(np.ones(3, np.float32))
    if backend.device not in backend.devices():
        yield f"devices: expected {backend.device!r}, which asks for this one, among {backend.devices()}"
    if backend.device_of(array) != backend.device:
        yield f"device_of: expected {backend.device!r} for what asarray made; got {backend.device_of(array)!r}"
    if not backend.owns(array) or (backend.name != "numpy" and backend.owns(np.ones(3))):
        yield "owns: expected True for its own arrays, and False for NumPy's"
    elif backend_of(array) is not backend:
        yield f"device_of: an array of {backend!r} is taken for one of {backend_of(array)!r}"


def _sample_arrays() -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((4, 6)).astype(np.float32)
    frozen = plain.copy()
    frozen.flags.writeable = False
    yield from {
        "float32": plain,
        "int32": rng.integers(INT32.min, INT32.max, (4, 6), np.int32),
        "bool": plain > 0,
        "of no axes": np.array(1.5, np.float32),
        "in Fortran's order": np.asfortranarray(plain),
        "every other element": plain[:, ::2],
        "reversed": plain[::-1],
        "of another byte order": plain.astype(">f4"),
        "read-only": frozen,
        "infinite and NaN": np.array([np.inf, -np.inf, np.nan, -0.0], np.float32),
    }.items()


def _round_trips(backend: Backend) -> Iterator[str]:
    for name, array in _sample_arrays():
        # portnn passes a dtype where the numbers may have another byte order.
        back = backend.to_numpy(backend.asarray(array, "float32" if array.dtype.kind == "f" else None))
        if not isinstance(back, np.ndarray) or back.dtype != array.dtype.newbyteorder("=") or back.shape != array.shape:
            yield f"to_numpy: expected {array.dtype} {array.shape} back ({name}); got {back.dtype} {back.shape}"
        elif not np.array_equal(back, array, equal_nan=array.dtype.kind == "f"):
            yield f"asarray, to_numpy: the values of an array ({name}) come back changed"
    for dtype in backend.dtypes():
        if dtype in ("float32", "float64"):
            integers = backend.to_numpy(backend.asarray([1, 2, 3], dtype))
            if integers.dtype != dtype:
                yield f"asarray: asked for {dtype}; got {integers.dtype}"


def _copies(backend: Backend) -> Iterator[str]:
    source = np.arange(5, dtype=np.float32)
    copies = {"xp.asarray(..., copy=True)": backend.xp.asarray(backend.asarray(source), copy=True)}
    copies["copy"] = backend.copy(backend.asarray(source))
    source[:] = -1.0
    for name, copy in copies.items():
        if not np.array_equal(backend.to_numpy(copy), np.arange(5)):
            yield f"{name}: expected a copy; it changes with what it was made of"


def _integers(backend: Backend) -> Iterator[str]:
    xp = backend.xp
    ends = backend.asarray(np.array([INT32.max, INT32.min, 123456789], np.int32))
    with np.errstate(over="ignore"):
        expected = np.array([INT32.max, INT32.min, 123456789], np.int32)
        pairs = {
            "+": (ends + 1, expected + 1),
            "*": (ends * 0x21F0AAAD, expected * 0x21F0AAAD),
            "^ and &": ((ends ^ -5) & 0xFFFF, (expected ^ -5) & 0xFFFF),
            ">>": (ends >> 7, expected >> 7),
            "arange": (xp.arange(3, 9, dtype=xp.int32), np.arange(3, 9, dtype=np.int32)),
        }
    for name, (result, expected) in pairs.items():
        host = backend.to_numpy(result)
        if host.dtype != np.int32 or not np.array_equal(host, expected):
            hint = "int32 must wrap at 2^31 as in two's complement: keep whole numbers in NumPy's int32, or the like"
            yield f"int32 {name}: expected {expected.tolist()} in int32; got {host.tolist()} in {host.dtype}: {hint}"


def _floating(backend: Backend) -> list[str]:
    return [dtype for dtype in ("float32", "float64") if dtype in backend.dtypes()]


def _dtypes(backend: Backend) -> Iterator[str]:
    xp = backend.xp
    for dtype in _floating(backend):
        a = backend.asarray(np.linspace(0.5, 2, 6).reshape(2, 3), dtype)
        for name, result in {"a * 0.5": a * 0.5, "1.0 / a": 1.0 / a, "xp.sum": xp.sum(a), "a + a": a + a}.items():
            if result.dtype != a.dtype or a.dtype != getattr(xp, dtype):
                hint = "Python's numbers are weak"
                yield f"dtypes: expected {name} of {dtype} to be xp.{dtype}; got {result.dtype}: {hint}"


def _functions(backend: Backend) -> Iterator[str]:
    rng = np.random.default_rng(1)
    bounding: Any = BoundingNamespace()
    for dtype in _floating(backend):
        a, b = rng.uniform(0.5, 2, (2, 5, 5)).astype(dtype)
        for name, function in (FUNCTIONS | {name: _unary(name) for name in REGISTERED}).items():
            bound = function(bounding, *map(BoundedArray.from_input, (a, b)))
            try:
                result = backend.to_numpy(function(backend.xp, backend.asarray(a), backend.asarray(b)))
            except Exception as error:
                yield f"{name}: {type(error).__name__}: {error}"
                continue
            if result.dtype != dtype or result.shape != bound.shape:
                yield f"{name}: expected {dtype} {bound.shape}; got {result.dtype} {result.shape}"
            elif not np.all(np.abs(result - bound.value) <= 2 * bound.error):
                share = np.max(np.abs(result - bound.value) / (2 * bound.error))
                yield f"{name} of {dtype}: {share:.3g} times as far from its true value as two libraries may be"


def _bits(backend: Backend) -> Iterator[str]:
    host = get_backend("numpy")
    result = backend.to_numpy(random.bits(backend.xp, _MODE, (7, 5)))
    if not np.array_equal(result, host.to_numpy(random.bits(host.xp, _MODE, (7, 5)))):
        yield "random bits: expected NumPy's, to the bit: masks and noise would be others; see the checks of int32"


def _scalars(backend: Backend) -> Iterator[str]:
    xp = backend.xp
    read = backend.read([xp.sum(backend.asarray(np.array([1.5, 2.0], np.float32))), backend.asarray(np.float32(7))])
    if read != [3.5, 7.0] or not all(type(value) is float for value in read):
        yield f"read: expected [3.5, 7.0], Python's floats; got {read!r}"
    zero = backend.asarray(np.zeros(1, np.float32))
    if backend.to_numpy(1.0 / zero)[0] != np.inf:
        yield "scope: expected 1.0 / 0.0 to be infinite, without an error or a warning"


def _steps(backend: Backend) -> Iterator[str]:
    """Training: the same initial parameters and masks, each tensor within its bound, compiled or not."""
    rng, dtype = np.random.default_rng(2), _floating(backend)[0]
    x, y = rng.standard_normal((12, 4)), rng.integers(0, 3, 12)
    layers = 4, Dense(6), "tanh", Dropout(0.3), 3
    net = NeuralNetwork(*layers, output="softmax", loss="cross_entropy", seed=0, dtype=dtype)
    if net.to("numpy").fingerprint() != net.to(repr(backend)).fingerprint():
        yield f"steps: expected NumPy's initial weights in {dtype}, to the bit"
    if backend.name != "numpy":
        report = compare(net, x, y, backends=[repr(backend)], steps=1)
        if not report.holds:
            yield f"steps: {report.verdict().splitlines()[-1]}"
