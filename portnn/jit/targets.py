"""Code generation targets: how each array library expresses the operations of a recorded program, with ``out`` arrays.

A target has only what differs between libraries; codegen.py has the rest. A target's calls give the bits of the
library's namespace.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from functools import partial, update_wrapper, wraps
from math import prod
from typing import Any, ClassVar

import numpy as np

from portnn.jit.graph import TracedArray
from portnn.ops import REGISTERED, names
from portnn.types import Array, Namespace

CACHE_LINE_BYTES = 64
"""Bytes of a cache line."""


class Target:
    """An array library with writable arrays."""

    array: Any
    """The type of its arrays."""
    library: Any
    """The library's module."""
    block: int
    """Bytes of one block of a vector; an element-wise kernel runs all its operations on a block in turn."""
    store_scalar: str
    """Statement that stores {1} in the 0-d array {0}."""
    copy_expr: str
    """Expression of a copy of {0}."""
    layout_guard: str
    """Expression that is true if {0}'s memory layout is not the one that the program assumes."""
    alignment_sensitive_ops: frozenset[str] = frozenset()
    """Operations whose bits depend on the alignment of their result to a cache line."""
    names: dict[str, Any]
    """Globals of the generated code: functions by name; ``scope`` decorates a program."""
    scope: Callable[[], AbstractContextManager[Any]]
    """Context in which memory is allocated and programs are bound to it."""

    def call(self, line: TracedArray, a: Sequence[str], out: str) -> str:
        """Return the expression of an operation on named operands, into the array named ``out`` if any."""
        raise NotImplementedError

    def memory(self, size: int) -> Array:
        """Return a uint8 vector of this size, aligned to a cache line."""
        raise NotImplementedError

    def number(self, value: float, dtype: Any) -> Array:
        """Return a 0-d array."""
        raise NotImplementedError

    def itemsize(self, dtype: Any) -> int:
        """Return the bytes per element."""
        return int(dtype.itemsize)

    def address(self, array: Array) -> int:
        """Return the address of an array's first element."""
        raise NotImplementedError

    def plain(self, array: Array) -> bool:
        """Return whether an array has the memory order that a program assumes; another order may change sums."""
        raise NotImplementedError

    def registered(self) -> dict[str, Any]:
        """Return the library's functions that users registered, by name."""
        return {name: getattr(self.library, name) for name in REGISTERED}

    def aligned(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised array aligned to a cache line."""
        return self.memory(prod(shape) * self.itemsize(dtype)).view(dtype).reshape(shape)


class NumPyTarget(Target):
    """NumPy: functions with ``out`` by position, and methods, which are faster for the same result."""

    array, library = np.ndarray, np
    block = 1 << 17  # adam's four vectors and a temporary stay in a second-level cache of 1 MiB
    store_scalar = "{0}[()] = {1}"
    copy_expr = "{0}.copy()"
    layout_guard = "not {0}.flags.c_contiguous"
    _UFUNCS: ClassVar[Mapping[str, str]] = {
        "bitwise_right_shift": "right_shift",
        "abs": "absolute",
        "round": "rint",
        "sum": "add",
        "max": "maximum",
        "min": "minimum",
    }

    def __init__(self) -> None:
        supported = {"copyto", "concatenate", "matmul", "where"} | names("elementwise", "comparison") - {"astype"}
        self.names = {self._UFUNCS.get(n, n): getattr(np, self._UFUNCS.get(n, n)) for n in supported}
        self.scope = partial(np.errstate, all="ignore")
        self.names["scope"] = self._within

    def _within(self, run: Callable[..., Any]) -> Callable[..., Any]:
        # NumPy keeps what it does about errors in the context: one in which that is set is entered sooner than
        # errstate. A context of its own for each program, which one thread runs at a time.
        context = Context()
        context.run(partial(np.seterr, all="ignore"))
        return update_wrapper(partial(context.run, run), run)

    def call(self, line: TracedArray, a: Sequence[str], out: str) -> str:
        operation, options, out_argument = line.operation, line.options, f", {out}" if out else ""
        match operation:
            case "take":
                return f"{a[0]}.take({a[1]}, {options[0]})"
            case "searchsorted":
                return f"{a[0]}.searchsorted({a[1]}, {options[0]!r})"
            case "where":
                return f"where({', '.join(a)})"
            case "concat":
                return f"concatenate(({', '.join(a)},), {options[0]})"
            case "sum" | "max" | "min":
                return f"{self._UFUNCS[operation]}.reduce({a[0]}, {options[0]}, None, {out or None}, {options[1]})"
            case "matmul":
                # dot is faster and gives the same product, except for operands of one element.
                dense = all(x.ndim == 2 and x.layout != "rows" and prod(x.shape) > 1 for x in line.arrays)
                return f"{a[0]}.dot({a[1]}{out_argument})" if dense else f"matmul({a[0]}, {a[1]}{out_argument})"
            case "astype":
                return f"copyto({out}, {a[0]}, 'unsafe')" if out else f"{a[0]}.astype('{np.dtype(line.dtype).str}')"
        if operation in ("maximum", "minimum"):  # NumPy requires the keyword
            out_argument = out_argument.replace(", ", ", out=")
        return f"{self._UFUNCS.get(operation, operation)}({', '.join(a)}{out_argument})"

    def memory(self, size: int) -> Array:
        memory: np.ndarray = np.empty(size + CACHE_LINE_BYTES, np.uint8)  # NumPy's memory starts 16 bytes past a line
        start = -memory.ctypes.data % CACHE_LINE_BYTES
        return memory[start : start + size]

    def number(self, value: float, dtype: Any) -> Array:
        return np.asarray(value).astype(dtype)

    def itemsize(self, dtype: Any) -> int:
        return int(np.dtype(dtype).itemsize)

    def address(self, array: Array) -> int:
        return int(array.ctypes.data)

    def plain(self, array: Array) -> bool:
        return bool(array.flags.c_contiguous and array.dtype.isnative)


class TorchTarget(Target):
    """PyTorch on a CPU: functions with ``out`` by keyword."""

    block = 1 << 21  # enough for several threads
    store_scalar = "{0}.fill_({1})"
    copy_expr = "{0}.clone()"
    layout_guard = "not {0}.is_contiguous()"
    alignment_sensitive_ops = frozenset({"matmul"})  # MKL's products in float64 do
    _NAMES: ClassVar[Mapping[str, str]] = {"matmul": "mm", "max": "amax", "min": "amin", "equal": "eq"}
    _LEFT = frozenset({"take", "searchsorted", "where", "sign"})
    """Operations that PyTorch does not have in the array API's form: the namespace runs them, with a new result."""

    def __init__(self, torch: Any, xp: Namespace, scope: Callable[[], AbstractContextManager[Any]]) -> None:
        """``torch``: the module; ``xp``: the namespace of the layers; ``scope``: the context of each call."""
        self.array, self.scope, self._torch = torch.Tensor, scope, torch
        self.library = torch
        supported = names("elementwise", "comparison") | {"matmul", "sum", "max", "min"}
        self.names = {n: getattr(torch, self._NAMES.get(n, n)) for n in supported - self._LEFT - {"astype"}}
        self.names |= {f"array_{name}": getattr(xp, name) for name in self._LEFT | {"sum", "max", "min", "concat"}}
        self.names |= {"reciprocal": torch.reciprocal, "torch": torch}
        self.names |= {"copyto": torch.Tensor.copy_, "scope": self._within}

    def call(self, line: TracedArray, a: Sequence[str], out: str) -> str:
        operation, options = line.operation, line.options
        match operation:
            case "take":
                text = f"array_take({a[0]}, {a[1]}, axis={options[0]})"
            case "searchsorted":
                text = f"array_searchsorted({a[0]}, {a[1]}, side={options[0]!r})"
            case "concat":
                text = f"array_concat([{', '.join(a)}], axis={options[0]})"
            case "sum" | "max" | "min" if not out:
                text = f"array_{operation}({a[0]}, axis={options[0]}, keepdims={options[1]})"
            case "sum" | "max" | "min":
                return f"{operation}({a[0]}, {() if options[0] is None else options[0]}, {options[1]}, out={out})"
            case "astype":
                return f"copyto({out}, {a[0]})" if out else f"{a[0]}.to({line.dtype})"
            case "matmul" if line.ndim > 2:
                return f"torch.matmul({', '.join(a)}{f', out={out}' if out else ''})"
            case "divide" if not isinstance(line.operands[0], TracedArray):  # as PyTorch's operator does
                out_argument = f", out={out}" if out else ""
                return f"multiply(reciprocal({a[1]}{out_argument}), {a[0]}{out_argument})"
            case _ if operation in self._LEFT:
                text = f"array_{operation}({', '.join(a)})"
            case _:
                return f"{operation}({', '.join(a)}{f', out={out}' if out else ''})"
        return f"copyto({out}, {text})" if out else text

    def _within(self, run: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(run)
        def within(*given: Any) -> Any:
            with self.scope():
                return run(*given)

        return within

    def memory(self, size: int) -> Array:
        # On a cache line, as all of PyTorch's; wherever the user has new tensors land.
        return self._torch.empty(size, dtype=self._torch.uint8, device="cpu")

    def number(self, value: float, dtype: Any) -> Array:
        return self._torch.tensor(value, dtype=dtype, device="cpu")

    def address(self, array: Array) -> int:
        return int(array.data_ptr())

    def plain(self, array: Array) -> bool:
        return bool(array.is_contiguous())
