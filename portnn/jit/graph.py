"""The graph: a pure function's operations on arrays of known shapes, as a straight-line program.

It depends on no array library: tracer.py records it, codegen.py writes it for one (targets.py).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from portnn.ops import names

Operand = Any
"""A TracedArray or known array, a SymbolicScalar, or a Python number."""

VIEWS = names("view")
"""Operations that return a view."""
COMPARISONS = names("comparison")
GATHERS = names("gather")
"""Element-wise if the first operand is a constant."""


class UntraceableError(Exception):
    """The function depends on values, or has an operation that a program cannot hold: it must run eagerly."""


class Recorder(Protocol):
    """Records the lines of a program (tracer.Tape)."""

    lines: "list[TracedArray]"

    def binary(self, operation: str, *pair: Operand) -> Operand:
        """Return the result of an operation on two operands, broadcast."""

    def emit(
        self, operation: str, operands: tuple[Operand, ...], options: Any, shape: Sequence[int], dtype: Any = None
    ) -> "TracedArray":
        """Return the result of an operation; the dtype is the first operand's."""

    def kernel(
        self, param_groups: Sequence[tuple[int, Any]], vectors: Sequence[Any], numbers: Any
    ) -> "tuple[TracedArray, ...]":
        """Return the results of the element-wise kernels of parameter groups."""


def without_ellipsis(key: Any, ndim: int) -> list[Any]:
    """Return the parts of an index of an array, with slices in the place of ``...``."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (ndim - len(parts) + 1)
    return parts


def _operator(name: str, swapped: bool = False) -> Callable[..., Any]:
    def record(self: Any, other: Operand) -> Operand:
        return self.tape.binary(name, other, self) if swapped else self.tape.binary(name, self, other)

    return record


def _raise_untraceable(self: Any, *arguments: object, **options: object) -> Any:
    raise UntraceableError("control flow that depends on the value of an array, or on a number of the step")


class Operators:
    """Operators of arrays that stand for others: ``tape.binary`` computes or records them."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None
    tape: Recorder

    __add__, __radd__ = _operator("add"), _operator("add", swapped=True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", swapped=True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", swapped=True)
    __truediv__, __rtruediv__ = _operator("divide"), _operator("divide", swapped=True)
    __and__, __xor__ = _operator("bitwise_and"), _operator("bitwise_xor")
    __rxor__, __rshift__ = _operator("bitwise_xor", swapped=True), _operator("bitwise_right_shift")
    __gt__, __lt__, __eq__ = _operator("greater"), _operator("less"), _operator("equal")
    __bool__ = __float__ = __int__ = __index__ = __iter__ = __len__ = __array__ = _raise_untraceable


class SymbolicScalar(Operators):
    """A number that each call brings, or an expression of such numbers."""

    def __init__(self, tape: Recorder, source: str) -> None:
        self.tape, self.source = tape, source

    def __repr__(self) -> str:
        return self.source


class TracedArray(Operators):
    """An array of known shape and dtype: one line of the program."""

    def __init__(
        self, tape: Recorder, operation: str, operands: tuple[Operand, ...], options: Any, shape: Any, dtype: Any
    ) -> None:
        self.tape, self.operation, self.operands, self.options = tape, operation, operands, options
        self.shape, self.dtype, self.line = tuple(shape), dtype, len(tape.lines)
        tape.lines.append(self)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def arrays(self) -> "list[TracedArray]":
        """The operands that are arrays."""
        return [operand for operand in self.operands if isinstance(operand, TracedArray)]

    @property
    def layout(self) -> str:
        """Memory order of the array: "C", "rows" (C with gaps between rows), or "transposed"."""
        if self.operation == "matrix_transpose":
            return "transposed"
        if self.operation not in VIEWS:
            return "C"
        below: str = self.operands[0].layout
        return "rows" if self.operation == "slice" and len(self.options[0]) > 1 and below == "C" else below

    def __getitem__(self, key: Any) -> "TracedArray":
        parts = without_ellipsis(key, self.ndim)
        if not all(isinstance(part, slice) and part.step in (None, 1) for part in parts):
            raise UntraceableError(f"an index other than slices: {key!r}")
        bounds = [part.indices(n)[:2] for part, n in zip(parts, self.shape, strict=False)]
        while len(bounds) > 1 and bounds[-1] == (0, self.shape[len(bounds) - 1]):
            bounds.pop()
        shape = (*(stop - start for start, stop in bounds), *self.shape[len(bounds) :])
        return self if shape == self.shape else self.tape.emit("slice", (self,), (tuple(bounds),), shape)

    def __repr__(self) -> str:
        return f"%{self.line}"


class Graph:
    """The lines in order, and the results; unused lines are dropped."""

    def __init__(self, tape: Recorder, results: Sequence[Any]) -> None:
        if not all(isinstance(result, TracedArray) for result in results):
            raise UntraceableError("a result that no operation made")
        needed = {result.line for result in results}
        for line in reversed(tape.lines):
            if line.line in needed:
                needed |= {operand.line for operand in line.arrays}
        whole = {"input", "result"}  # a kernel returns all of its results
        self.lines, self.results = [], list(results)
        for line in tape.lines:
            if line.line in needed or (line.operation in whole and all(a.line in needed for a in line.arrays)):
                self.lines.append(line)
        for number, line in enumerate(self.lines):
            line.line = number

    def __str__(self) -> str:
        text = []
        for line in self.lines:
            options = line.options if line.operation not in ("constant", "kernel") else ()
            text.append(f"{line} = {line.operation}({', '.join(map(str, (*line.operands, *options)))})")
            text[-1] += f"  # {line.dtype} {line.shape}"
        return "\n".join([*text, f"return {', '.join(map(repr, self.results))}"])


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the leaves of nested tuples, in order."""
    if isinstance(tree, tuple):
        for branch in tree:
            yield from leaves(branch)
    else:
        yield tree


def mapped(function: Callable[[Any, str], Any], tree: Any, path: str = "") -> Any:
    """Return nested tuples with ``function(leaf, path)`` for each leaf; the path is the leaf's expression."""
    if isinstance(tree, tuple):
        branches = [mapped(function, branch, f"{path}[{i}]") for i, branch in enumerate(tree)]
        return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
    return function(tree, path)
