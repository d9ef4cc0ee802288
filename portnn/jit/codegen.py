"""Generates Python source from a planned graph: one call per line, into preallocated memory.

Element-wise kernels run on blocks of the vectors that stay in a core's cache. An operand that is broadcast is a
prebuilt view of the result's shape.
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
"""Bytes per element of the widest dtype."""


class CodeGenerator:
    """The Python source of a plan: a prologue that builds views once, and a body that runs at each call."""

    def __init__(
        self, plan: Plan, runtime_inputs: set[int], scalar_buffers: dict[tuple[str, Any], str], prefix: str = "v"
    ) -> None:
        """Generate the code of a plan.

        ``runtime_inputs``: lines that each call brings. ``scalar_buffers``: names of numbers' buffers, extended here.
        """
        self.plan, self._runtime_inputs, self._scalar_buffers, self._prefix = (
            plan,
            runtime_inputs,
            scalar_buffers,
            prefix,
        )
        self.target = plan.target
        self.prologue: list[str] = []
        self.body: list[str] = []
        self.functions: list[str] = []
        self.memory: dict[str, tuple[int, Any, tuple[int, ...]]] = {}
        """By name: slot, dtype and shape."""
        self.constants: dict[str, Any] = {}
        for line in plan.program.lines:
            self._add(line)
        for number, overwritten in plan.donated.items():
            result = plan.program.results[number]
            if plan.locations.get(result.line) != ("output", number):
                if root(result).operation == "input" and overwritten != result.line:
                    raise UntraceableError("a result that is an input")
                self.body.append(f"copyto({self.output_name(number)}, {self.name(result)})")

    def name(self, operand: Any, dtype: Any = None) -> str:
        """Return the name of an array, or of the buffer of a number in that dtype."""
        if isinstance(operand, TracedArray):
            return f"{self._prefix}{operand.line}"
        return self._scalar_buffers.setdefault((repr(operand), dtype), f"n{len(self._scalar_buffers)}")

    def output_name(self, number: int) -> str:
        """Return the name of the memory that a result is written to."""
        return f"{self._prefix}t{number}"

    def _add(self, line: TracedArray) -> None:
        out, operation, location = self.name(line), line.operation, self.plan.locations.get(line.line)
        ordered = operation in ELEMENTWISE | ALLOCATING_OPS | {"sum", "max", "min", "concat"}
        if (ordered and any(a.layout == "transposed" for a in line.arrays)) or (
            operation == "reshape" and line.operands[0].layout != "C"
        ):
            raise UntraceableError(f"{operation} of a view whose order in memory is another")
        if location and location[0] == "output":
            self.prologue.append(f"{out} = {self.output_name(location[1])}")
        elif location and location[0] == "segment":
            _, number, start = location
            whole = self._prefix + str(number) + (".reshape(-1)" if self.plan.program.lines[number].ndim > 1 else "")
            part = f"{whole}[{start}:{start + prod(line.shape)}]"
            self.prologue.append(f"{out} = {part}.reshape({line.shape})")
        elif location:
            self.memory[out] = location[1], line.dtype, line.shape
        if operation == "constant":
            self.constants[out] = line.options[0]
        elif operation == "kernel":
            self._kernel(line)
        elif operation == "concat" and location:
            self._concat(line, out)
        elif operation not in ("input", "result"):
            operands = [self._operand(line, operand) for operand in line.operands]
            text = self._call(line, operands, out if location else "")
            fixed = operation in VIEWS and self._has_fixed_address(line)
            (self.prologue if fixed else self.body).append(text if location else f"{out} = {text}")

    def _has_fixed_address(self, line: TracedArray) -> bool:
        """Return whether an array has the same memory address at each call."""
        source = root(line)
        if source.operation in UNPLANNED_OPS:
            return source.operation not in ALLOCATING_OPS and source.line not in self._runtime_inputs
        return source.line in self.plan.locations

    def _operand(self, line: TracedArray, operand: Any) -> str:
        """Return the name of an operand, as a view without broadcasting if there is one."""
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
                return f"{a[0]}.mT"
            case "slice":
                return f"{a[0]}[{', '.join(f'{start}:{stop}' for start, stop in line.options[0])}]"
        return self.target.call(line, a, out)

    def _concat(self, line: TracedArray, out: str) -> None:
        (axis,), start = line.options, 0
        for part in line.operands:
            stop = start + part.shape[axis]
            if self.plan.locations.get(root(part).line) != ("segment", line.line, start * prod(line.shape[1:])):
                self.prologue.append(f"{out}_{start} = {out}[{':, ' * axis}{start}:{stop}]")
                self.body.append(f"copyto({out}_{start}, {self.name(part)})")
            start = stop

    def _kernel(self, line: TracedArray) -> None:
        """Add a function for each parameter group, and the lines that call it block by block."""
        vectors = [a for a in line.operands if a.shape]
        scalars = [a for a in line.operands if not a.shape]
        outputs = results_of(line, self.plan.program)
        vector_index = {a.line: j for j, a in enumerate(vectors)}
        overwritten = {
            number for number in self.plan.donated.values() if self.plan.last_use.get(number, -1) > line.line
        }
        for a in vectors:
            if root(a).line in overwritten:
                raise UntraceableError("an input that is read after its memory was taken")
        # A result in an input's memory is written after the last read of that input.
        donated_vectors = dict.fromkeys(range(len(outputs)), -1)
        for i, output in enumerate(outputs):
            location = self.plan.locations[output.line]
            if location[0] == "output":
                donated_vectors[i] = vector_index.get(self.plan.donated[location[1]], -1)
        locations = [self.plan.locations[a.line] for a in outputs]
        pairs = zip(outputs, locations, strict=True)
        output_names = [self.output_name(at[1]) if at[0] == "output" else self.name(a) for a, at in pairs]
        arrays = ", ".join([*map(self.name, vectors), *output_names])
        step = self.target.block // self.target.itemsize(vectors[0].dtype)
        start = 0
        for number, (stop, program) in enumerate(line.options):
            k = f"k{line.line}_{number}"
            plan = Plan(self.target, program, donated_vectors, self.target.block)
            code = CodeGenerator(plan, set(), self._scalar_buffers, f"{k}_")
            inner = [f"{k}_{j}" for j in range(len(vectors) + len(scalars))]
            names = [*inner[: len(vectors)], *map(code.output_name, range(len(outputs))), *code.memory]
            self.constants |= code.constants
            self.constants[f"{k}_memory"] = [(slot, dtype) for slot, dtype, _ in code.memory.values()]
            self.prologue.append(f"{k}_blocks = blocks({start}, {stop}, {step}, [{arrays}], {k}_memory)")
            scalar_names = dict(zip(inner[len(vectors) :], map(self.name, scalars), strict=True))
            if stop - start <= step:  # a single block: no call
                self.prologue += [f"{', '.join(names)}, = {k}_blocks[0]", *code.prologue]
                self.body += [*(f"{name} = {value}" for name, value in scalar_names.items()), *code.body]
            else:
                body = "\n    ".join(code.prologue + code.body) or "pass"
                self.functions.append(f"def {k}({', '.join([*names, *scalar_names])}):\n    {body}\n")
                self.body.append(f"for b in {k}_blocks: {k}({', '.join(['*b', *scalar_names.values()])})")
            start = stop


def blocks(
    target: Target, start: int, stop: int, step: int, vectors: Sequence[Array], memory: Sequence[tuple[int, Any]]
) -> list[tuple[Array, ...]]:
    """Return the slices of the vectors, and of memory for intermediate results, for each block of a parameter group."""
    n_bytes = min(step, stop - start) * WIDEST
    buffers = [target.memory(n_bytes) for _ in range(1 + max((slot for slot, _ in memory), default=-1))]
    bounds = [(i, min(i + step, stop)) for i in range(start, stop, step)]
    return [
        (*(v[i:j] for v in vectors), *(buffers[slot].view(dtype)[: j - i] for slot, dtype in memory)) for i, j in bounds
    ]
