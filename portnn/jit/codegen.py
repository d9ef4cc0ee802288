"""A planned program as Python source: a call a line, into memory that was planned beforehand.

Vectors are worked on in blocks that stay in a core's cache. An operand that would be broadcast is a view that is
as large as the result already.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from portnn.jit.graph import VIEWS, TracedArray, UntraceableError
from portnn.jit.memory import ALLOCATING_OPS, UNPLANNED_OPS, Plan, results_of, root
from portnn.jit.targets import Target
from portnn.ops import ELEMENTWISE
from portnn.types import Array

WIDEST = 8
"""Bytes of an element of the widest dtype."""


class CodeGenerator:
    """A plan as Python source: lines that prepare views once, and lines that are run at each call."""

    def __init__(
        self, plan: Plan, runtime_inputs: set[int], scalar_buffers: dict[tuple[str, Any], str], prefix: str = "v"
    ) -> None:
        """Take the inputs that each call brings, and the names of cells for numbers, to which it adds its own."""
        self.plan, self._brought, self._cells, self._prefix = plan, runtime_inputs, scalar_buffers, prefix
        self.dialect = plan.dialect
        self.prologue: list[str] = []
        self.body: list[str] = []
        self.functions: list[str] = []
        self.memory: dict[str, tuple[int, Any, tuple[int, ...]]] = {}
        """By name: slot, dtype and shape."""
        self.constants: dict[str, Any] = {}
        for line in plan.program.lines:
            self._add(line)
        for number, target in plan.targets.items():
            result = plan.program.results[number]
            if plan.places.get(result.line) != ("target", number):
                if root(result).operation == "input" and target != result.line:
                    raise UntraceableError("a result that is an input")
                self.body.append(f"copyto({self.target(number)}, {self.name(result)})")

    def name(self, operand: Any, dtype: Any = None) -> str:
        """Return the name of an array, or of the cell of a number in that dtype."""
        if isinstance(operand, TracedArray):
            return f"{self._prefix}{operand.line}"
        return self._cells.setdefault((repr(operand), dtype), f"n{len(self._cells)}")

    def target(self, number: int) -> str:
        """Return the name of the memory that a result is to end in."""
        return f"{self._prefix}t{number}"

    def _add(self, line: TracedArray) -> None:
        out, operation, place = self.name(line), line.operation, self.plan.places.get(line.line)
        ordered = operation in ELEMENTWISE | ALLOCATING_OPS | {"sum", "max", "min", "concat"}
        if (ordered and any(a.layout == "transposed" for a in line.arrays)) or (
            operation == "reshape" and line.operands[0].layout != "C"
        ):
            raise UntraceableError(f"{operation} of a view whose order in memory is another")
        if place and place[0] == "target":
            self.prologue.append(f"{out} = {self.target(place[1])}")
        elif place and place[0] == "piece":
            self.prologue.append(
                f"{out} = {self._prefix}{place[1]}[{place[2]}:{place[2] + prod(line.shape)}].reshape({line.shape})"
            )
        elif place:
            self.memory[out] = place[1], line.dtype, line.shape
        if operation == "constant":
            self.constants[out] = line.options[0]
        elif operation == "kernel":
            self._kernel(line)
        elif operation == "concat" and place:
            self._concat(line, out)
        elif operation not in ("input", "result"):
            text = self._call(line, [self._operand(line, operand) for operand in line.operands], out if place else "")
            fixed = operation in VIEWS and self._has_fixed_address(line)
            (self.prologue if fixed else self.body).append(text if place else f"{out} = {text}")

    def _has_fixed_address(self, line: TracedArray) -> bool:
        """Return whether an array lies in the same memory at each call."""
        source = root(line)
        if source.operation in UNPLANNED_OPS:
            return source.operation not in ALLOCATING_OPS and source.line not in self._brought
        return source.line in self.plan.places

    def _operand(self, line: TracedArray, operand: Any) -> str:
        """Return the name of an operand, in a shape that needs no broadcasting, where a view has it."""
        if not isinstance(operand, TracedArray):
            return self.name(operand, line.dtype if line.operation == "where" else line.arrays[0].dtype)
        size, name = prod(operand.shape), self.name(operand)
        shape = line.shape if size == prod(line.shape) else ()
        stretched = line.operation in ELEMENTWISE and size == prod(shape) and operand.shape != shape
        if not (stretched and self._has_fixed_address(operand)):
            return name
        view = f"{name}_in_{line.line}"
        self.prologue.append(f"{view} = {name}.reshape({shape})")
        return view

    def _call(self, line: TracedArray, a: list[str], out: str) -> str:
        match line.operation:
            case "reshape":
                return f"{a[0]}.reshape({line.options[0]})"
            case "expand_dims":
                return f"{a[0]}[{':, ' * line.options[0]}None]"
            case "matrix_transpose":
                return f"{a[0]}.T"
            case "slice":
                return f"{a[0]}[{', '.join(f'{start}:{stop}' for start, stop in line.options[0])}]"
        return self.dialect.call(line, a, out)

    def _concat(self, line: TracedArray, out: str) -> None:
        (axis,), start = line.options, 0
        for piece in line.operands:
            stop = start + piece.shape[axis]
            if self.plan.places.get(root(piece).line) != ("piece", line.line, start):
                self.prologue.append(f"{out}_{start} = {out}[{':, ' * axis}{start}:{stop}]")
                self.body.append(f"copyto({out}_{start}, {self.name(piece)})")
            start = stop

    def _kernel(self, line: TracedArray) -> None:
        """Add a function for each parameter group, and the lines that call it on one block after the other."""
        vectors = [a for a in line.operands if a.shape]
        scalars = [a for a in line.operands if not a.shape]
        ends = results_of(line, self.plan.program)
        own = {a.line: j for j, a in enumerate(vectors)}
        for a in vectors:
            if any(
                root(a).line == target and self.plan.last[target] > line.line for target in self.plan.targets.values()
            ):
                raise UntraceableError("an input that is read after its memory was taken")
        # In an input's memory, a result waits until that input was read for the last time.
        targets = dict.fromkeys(range(len(ends)), -1)
        for i, end in enumerate(ends):
            place = self.plan.places[end.line]
            if place[0] == "target":
                targets[i] = own.get(self.plan.targets[place[1]], -1)
        places = [self.plan.places[a.line] for a in ends]
        into = [self.target(p[1]) if p[0] == "target" else self.name(a) for a, p in zip(ends, places, strict=True)]
        arrays = ", ".join([*map(self.name, vectors), *into])
        step = self.dialect.block // self.dialect.itemsize(vectors[0].dtype)
        start = 0
        for number, (stop, program) in enumerate(line.options):
            k = f"k{line.line}_{number}"
            plan = Plan(self.dialect, program, targets, self.dialect.block)
            code = CodeGenerator(plan, set(), self._cells, f"{k}_")
            inner = [f"{k}_{j}" for j in range(len(vectors) + len(scalars))]
            names = [*inner[: len(vectors)], *map(code.target, range(len(ends))), *code.memory]
            self.constants |= code.constants
            self.constants[f"{k}_memory"] = [(slot, dtype) for slot, dtype, _ in code.memory.values()]
            self.prologue.append(f"{k}_blocks = blocks({start}, {stop}, {step}, [{arrays}], {k}_memory)")
            given = dict(zip(inner[len(vectors) :], map(self.name, scalars), strict=True))
            if stop - start <= step:  # a single block: no call
                self.prologue += [f"{', '.join(names)}, = {k}_blocks[0]", *code.prologue]
                self.body += [*(f"{name} = {value}" for name, value in given.items()), *code.body]
            else:
                body = "\n    ".join(code.prologue + code.body) or "pass"
                self.functions.append(f"def {k}({', '.join([*names, *given])}):\n    {body}\n")
                self.body.append(f"for b in {k}_blocks: {k}({', '.join(['*b', *given.values()])})")
            start = stop


def blocks(
    dialect: Target, start: int, stop: int, step: int, vectors: Sequence[Array], memory: Sequence[tuple[int, Any]]
) -> list[tuple[Array, ...]]:
    """Return the parts of the vectors, and of memory for intermediate results, for each block of a parameter group."""
    largest = min(step, stop - start) * WIDEST
    own = [dialect.memory(largest) for _ in range(1 + max((slot for slot, _ in memory), default=-1))]
    bounds = [(i, min(i + step, stop)) for i in range(start, stop, step)]
    return [
        (*(v[i:j] for v in vectors), *(own[slot].view(dtype)[: j - i] for slot, dtype in memory)) for i, j in bounds
    ]
