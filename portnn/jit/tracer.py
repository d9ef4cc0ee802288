"""The tracer: a namespace that records a pure function's operations as a straight-line program.

Layers, losses and optimizers run on this namespace with arrays that have a shape and a dtype but no values; the
recorded operations are the tape (Griewank and Walther, Evaluating Derivatives, 2nd ed., section 6.1). The program is
valid for every call with the same shapes. Arrays that a call brings are its inputs; numbers such as a learning rate are
symbols. Operations on constants, such as the hash of each column, run at once; an operation on the same operands is
recorded once, but for concatenations.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from portnn.jit.graph import (
    COMPARISONS,
    GATHERS,
    Graph,
    Operand,
    SymbolicScalar,
    TracedArray,
    UntraceableError,
    leaves,
    mapped,
)
from portnn.ops import ELEMENTWISE
from portnn.types import Array, Namespace

_SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


class Tape:
    """Records the lines of one program over a library's namespace."""

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp
        self.lines: list[TracedArray] = []
        self._recorded: dict[Any, TracedArray] = {}

    def input(self, shape: Sequence[int], dtype: Any) -> TracedArray:
        """Return an array that a call brings."""
        return TracedArray(self, "input", (), (), shape, dtype)

    def operand(self, value: Operand) -> Operand:
        """Return a number or a line; an array with known values becomes a constant of the program."""
        if isinstance(value, SymbolicScalar | TracedArray | bool | int | float):
            if getattr(value, "tape", self) is not self:
                raise UntraceableError("an operand of another program")
            return value
        if not hasattr(value, "dtype") or not hasattr(value, "ndim"):
            raise UntraceableError(f"an operand of type {type(value).__name__}")
        # The line holds a reference to the array, so that no other array can have its id.
        return self._record(("constant", id(value)), "constant", (), (value,), value.shape, value.dtype)

    def emit(
        self, operation: str, operands: tuple[Operand, ...], options: Any, shape: Sequence[int], dtype: Any = None
    ) -> TracedArray:
        """Return the result of an operation, recorded once; its dtype is the first operand's."""
        dtype = operands[0].dtype if dtype is None else dtype
        if operation == "concat":  # to copy again takes less than to keep the copy until then
            return TracedArray(self, operation, operands, options, shape, dtype)
        key = operation, *map(repr, operands), repr(options), dtype
        return self._record(key, operation, operands, options, shape, dtype)

    def _record(self, key: Any, *line: Any) -> TracedArray:
        if key not in self._recorded:
            self._recorded[key] = TracedArray(self, *line)
        return self._recorded[key]

    def is_floating(self, dtype: Any) -> bool:
        """Return whether a dtype is floating."""
        return dtype in (self.xp.float32, self.xp.float64)

    def binary(self, operation: str, *pair: Operand) -> Operand:
        """Record an operation on two operands, broadcast."""
        a, b = map(self.operand, pair)
        arrays = [operand for operand in (a, b) if isinstance(operand, TracedArray)]
        if not arrays:
            if operation not in _SIGNS:
                raise UntraceableError(f"{operation} of numbers of the step")
            return SymbolicScalar(self, f"({a!r} {_SIGNS[operation]} {b!r})")
        dtype = arrays[0].dtype
        has_float = float in (type(a), type(b)) and not self.is_floating(dtype)
        if has_float or any(array.dtype != dtype for array in arrays):
            raise UntraceableError(f"{operation} of other numbers than {dtype}")
        if operation == "multiply" and any(type(number) is float and number == 1.0 for number in (a, b)):
            return arrays[0]  # the product has the same bits
        shape = broadcast(*(array.shape for array in arrays))
        return self.emit(operation, (a, b), (), shape, self.xp.bool if operation in COMPARISONS else dtype)

    def kernel(
        self, param_groups: Sequence[tuple[int, Callable[..., Any]]], vectors: Sequence[Array], numbers: Any
    ) -> tuple[TracedArray, ...]:
        """Record the element-wise kernels of parameter groups as one line with a graph for each group."""
        outer = [self.operand(vector) for vector in vectors]
        scalars = [value for value in leaves(numbers) if isinstance(value, TracedArray)]
        programs = []
        for stop, kernel in param_groups:
            tape = Tape(self.xp)
            inner = [tape.input(vector.shape, vector.dtype) for vector in outer]
            inner_scalars: dict[int, Any] = {id(scalar): tape.input((), scalar.dtype) for scalar in scalars}
            symbols = (n for n in leaves(numbers) if isinstance(n, SymbolicScalar))
            inner_scalars |= {id(n): SymbolicScalar(tape, n.source) for n in symbols}
            numbers_inside = mapped(partial(_renamed, inner_scalars), numbers)
            program = Graph(tape, kernel(TracingNamespace(tape), inner, numbers_inside))
            other_operations = {line.operation for line in program.lines if not _by_element(line)}
            if other_operations or any(result.dtype != outer[0].dtype for result in program.results):
                raise UntraceableError(f"a kernel that is not element by element, or promotes: {other_operations}")
            programs.append((stop, program))
        line = TracedArray(self, "kernel", (*outer, *scalars), tuple(programs), (), None)
        count, first = range(len(programs[0][1].results)), outer[0]
        return tuple(TracedArray(self, "result", (line,), (i,), first.shape, first.dtype) for i in count)


def _by_element(line: TracedArray) -> bool:
    if line.operation in GATHERS:
        return line.arrays[0].operation == "constant"
    return line.operation in ELEMENTWISE | {"where", "input", "constant"}


class UnrecordedError(AttributeError):
    """An array API function that a program cannot hold; raises when called."""


class TracingNamespace:
    """The array API functions of the layers, on traced arrays; the library computes those of constants."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def __getattr__(self, name: str) -> Any:
        if name in ELEMENTWISE and name not in COMPARISONS:
            return lambda *operands: self._elementwise(name, *operands)
        if name in ("float32", "float64", "int32", "int64", "finfo", "arange", "asarray"):
            return getattr(self._tape.xp, name)
        raise UnrecordedError(f"xp.{name} is not a function that the tracer knows, nor registered (portnn.register_op)")

    def _elementwise(self, name: str, x: Operand, *others: Operand) -> Any:
        if name == "astype":
            x = self._tape.operand(x)
            return x if x.dtype == others[0] else self._tape.emit(name, (x,), (), x.shape, others[0])
        if others:
            return self._tape.binary(name, x, *others)
        return self._tape.emit(name, (x := self._tape.operand(x),), (), x.shape)

    def reshape(self, x: Operand, shape: tuple[int, ...]) -> Any:
        x = self._tape.operand(x)
        known_size = prod(n for n in shape if n != -1)
        shape = tuple(prod(x.shape) // known_size if n == -1 else n for n in shape)
        if x.layout == "rows" and shape != x.shape:  # libraries copy then
            x = self._tape.emit("concat", (x,), (0,), x.shape)
        return x if shape == x.shape else self._tape.emit("reshape", (x,), (shape,), shape)

    def expand_dims(self, x: Operand, *, axis: int) -> Any:
        x = self._tape.operand(x)
        return self._tape.emit("expand_dims", (x,), (axis,), (*x.shape[:axis], 1, *x.shape[axis:]))

    def matrix_transpose(self, x: Operand) -> Any:
        x = self._tape.operand(x)
        return self._tape.emit("matrix_transpose", (x,), (), (*x.shape[:-2], x.shape[-1], x.shape[-2]))

    def concat(self, arrays: Sequence[Operand], *, axis: int = 0) -> Any:
        parts = tuple(map(self._tape.operand, arrays))
        others = {(part.dtype, part.shape[:axis], part.shape[axis + 1 :]) for part in parts}
        if len(others) > 1 or not 0 <= axis < parts[0].ndim:
            raise UntraceableError("concat of arrays of several dtypes, or along an axis that they do not have")
        joined = sum(part.shape[axis] for part in parts)
        return self._tape.emit("concat", parts, (axis,), (*parts[0].shape[:axis], joined, *parts[0].shape[axis + 1 :]))

    def take(self, x: Operand, indices: Operand, *, axis: int) -> Any:
        x, indices = self._tape.operand(x), self._tape.operand(indices)
        return self._tape.emit(
            "take", (x, indices), (axis,), (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype
        )

    def searchsorted(self, x: Operand, values: Operand, *, side: str) -> Any:
        x, values = self._tape.operand(x), self._tape.operand(values)
        return self._tape.emit("searchsorted", (x, values), (side,), values.shape, self._tape.xp.int64)

    def where(self, condition: Operand, *pair: Operand) -> Any:
        operands = tuple(map(self._tape.operand, (condition, *pair)))
        dtype = next(a.dtype for a in operands[1:] if isinstance(a, TracedArray))
        return self._tape.emit("where", operands, (), broadcast(*(getattr(a, "shape", ()) for a in operands)), dtype)

    def sum(self, x: Operand, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        return self._reduced("sum", self._tape.operand(x), axis, keepdims)

    def max(self, x: Operand, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        return self._reduced("max", self._tape.operand(x), axis, keepdims)

    def min(self, x: Operand, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        return self._reduced("min", self._tape.operand(x), axis, keepdims)

    def _reduced(self, name: str, x: TracedArray, axis: int | tuple[int, ...] | None, keepdims: bool) -> TracedArray:
        if not self._tape.is_floating(x.dtype):
            raise UntraceableError(f"{name} of {x.dtype}")
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        reduced = {a % x.ndim for a in axes}
        shape = [1 if i in reduced else n for i, n in enumerate(x.shape) if keepdims or i not in reduced]
        return self._tape.emit(name, (x,), (axis, keepdims), shape)

    def matmul(self, a: Operand, b: Operand) -> Any:
        a, b = self._tape.operand(a), self._tape.operand(b)
        if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2] or a.dtype != b.dtype:
            raise UntraceableError(f"matmul of {a.shape} {a.dtype} and {b.shape} {b.dtype}")
        stack = broadcast(a.shape[:-2], b.shape[:-2])
        return self._tape.emit("matmul", (a, b), (), (*stack, a.shape[-2], b.shape[-1]))


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the broadcast shape of element-wise operands."""
    n = max(map(len, shapes))
    columns = [{*column} - {1} for column in zip(*((1,) * (n - len(s)) + s for s in shapes), strict=True)]
    if any(len(column) > 1 for column in columns):
        raise UntraceableError(f"shapes {shapes} together")
    return tuple(column.pop() if column else 1 for column in columns)


def _renamed(by_id: dict[int, Any], leaf: Any, path: str) -> Any:
    return by_id.get(id(leaf), leaf)
