"""A recorded program as a library runs it: a call a line, into memory that was planned beforehand.

The same operations on the same values as the function itself, so the same bits; what is saved is the way there (the
layers' Python, shapes, views) and memory. Vectors are worked on in blocks that stay in a core's cache. What a caller
gives or gets is never a program's memory.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from math import inf, nan, prod
from typing import Any

from portnn.namespaces.dialects import LINE, Dialect
from portnn.namespaces.memory import GIVEN, OWN, Plan, results_of, root
from portnn.namespaces.tracing import (
    ELEMENTWISE,
    VIEWS,
    Number,
    Program,
    Tape,
    Traced,
    TracingNamespace,
    UntraceableError,
    leaves,
    mapped,
)
from portnn.types import Array

WIDEST = 8
"""Bytes of an element of the widest dtype."""


class Code:
    """A plan as Python source: lines that prepare views once, and lines that are run at each call."""

    def __init__(self, plan: Plan, brought: set[int], cells: dict[tuple[str, Any], str], prefix: str = "v") -> None:
        """Take the inputs that each call brings, and the names of cells for numbers, to which it adds its own."""
        self.plan, self._brought, self._cells, self._prefix = plan, brought, cells, prefix
        self.dialect = plan.dialect
        self.once: list[str] = []
        self.each: list[str] = []
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
                self.each.append(f"copyto({self.target(number)}, {self.name(result)})")

    def name(self, operand: Any, dtype: Any = None) -> str:
        """Return the name of an array, or of the cell of a number in that dtype."""
        if isinstance(operand, Traced):
            return f"{self._prefix}{operand.line}"
        return self._cells.setdefault((repr(operand), dtype), f"n{len(self._cells)}")

    def target(self, number: int) -> str:
        """Return the name of the memory that a result is to end in."""
        return f"{self._prefix}t{number}"

    def _add(self, line: Traced) -> None:
        out, operation, place = self.name(line), line.operation, self.plan.places.get(line.line)
        ordered = operation in ELEMENTWISE | OWN | {"sum", "max", "min", "concat"}
        if (ordered and any(a.layout == "transposed" for a in line.arrays)) or (
            operation == "reshape" and line.operands[0].layout != "C"
        ):
            raise UntraceableError(f"{operation} of a view whose order in memory is another")
        if place and place[0] == "target":
            self.once.append(f"{out} = {self.target(place[1])}")
        elif place and place[0] == "piece":
            self.once.append(
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
            fixed = operation in VIEWS and self._stands(line)
            (self.once if fixed else self.each).append(text if place else f"{out} = {text}")

    def _stands(self, line: Traced) -> bool:
        """Return whether an array lies in the same memory at each call."""
        source = root(line)
        if source.operation in GIVEN:
            return source.operation not in OWN and source.line not in self._brought
        return source.line in self.plan.places

    def _operand(self, line: Traced, operand: Any) -> str:
        """Return the name of an operand, in a shape that a library need not stretch where that is only a view."""
        if not isinstance(operand, Traced):
            return self.name(operand, line.dtype if line.operation == "where" else line.arrays[0].dtype)
        size, name = prod(operand.shape), self.name(operand)
        shape = line.shape if size == prod(line.shape) else ()
        stretched = line.operation in ELEMENTWISE and size == prod(shape) and operand.shape != shape
        if not (stretched and self._stands(operand)):
            return name
        self.once.append(f"{name}_{line.line} = {name}.reshape({shape})")
        return f"{name}_{line.line}"

    def _call(self, line: Traced, a: list[str], out: str) -> str:
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

    def _concat(self, line: Traced, out: str) -> None:
        start = 0
        for piece in line.operands:
            if self.plan.places.get(root(piece).line) != ("piece", line.line, start):
                self.once.append(f"{out}_{start} = {out}[{start}:{start + piece.shape[0]}]")
                self.each.append(f"copyto({out}_{start}, {self.name(piece)})")
            start += piece.shape[0]

    def _kernel(self, line: Traced) -> None:
        """Add a function for each stretch, and the lines that call it on one block after the other."""
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
            code = Code(plan, set(), self._cells, f"{k}_")
            inner = [f"{k}_{j}" for j in range(len(vectors) + len(scalars))]
            names = [*inner[: len(vectors)], *map(code.target, range(len(ends))), *code.memory]
            self.constants |= code.constants
            self.constants[f"{k}_memory"] = [(slot, dtype) for slot, dtype, _ in code.memory.values()]
            self.once.append(f"{k}_blocks = blocks({start}, {stop}, {step}, [{arrays}], {k}_memory)")
            given = dict(zip(inner[len(vectors) :], map(self.name, scalars), strict=True))
            if stop - start <= step:  # a single block: no call
                self.once += [f"{', '.join(names)}, = {k}_blocks[0]", *code.once]
                self.each += [*(f"{name} = {value}" for name, value in given.items()), *code.each]
            else:
                body = "\n    ".join(code.once + code.each) or "pass"
                self.functions.append(f"def {k}({', '.join([*names, *given])}):\n    {body}\n")
                self.each.append(f"for b in {k}_blocks: {k}({', '.join(['*b', *given.values()])})")
            start = stop


def blocks(
    dialect: Dialect, start: int, stop: int, step: int, vectors: Sequence[Array], memory: Sequence[tuple[int, Any]]
) -> list[tuple[Array, ...]]:
    """Return the parts of vectors, and of memory for what is between, of each block of a stretch."""
    largest = min(step, stop - start) * WIDEST
    own = [dialect.memory(largest) for _ in range(1 + max((slot for slot, _ in memory), default=-1))]
    bounds = [(i, min(i + step, stop)) for i in range(start, stop, step)]
    return [
        (*(v[i:j] for v in vectors), *(own[slot].view(dtype)[: j - i] for slot, dtype in memory)) for i, j in bounds
    ]


class Recording:
    """One program of a function, for arguments of one kind, and what it runs on."""

    def __init__(
        self,
        dialect: Dialect,
        function: Callable[..., Any],
        fixed: Sequence[Any],
        arguments: Sequence[Any],
        turns: bool | None,
    ) -> None:
        """Record the function; ``turns``: whether its first result goes beside the first argument or over it.

        None: all results are the caller's own.
        """
        tape = Tape(fixed[0])
        cells: dict[tuple[str, Any], str] = {}
        guards: list[str] = []
        brought: dict[int, str] = {}

        def given(leaf: Any, path: str) -> Any:
            if isinstance(leaf, dialect.array):
                line = tape.input(leaf.shape, leaf.dtype)
                brought[line.line] = path
                return line
            if type(leaf) not in (int, float):
                raise UntraceableError(f"an argument of type {type(leaf).__name__}")
            if path[:2] not in later:
                guards.append(f"type({path}) is not {type(leaf).__name__}")
            if type(leaf) is float and leaf == 1.0:  # what is multiplied by it may be left out
                guards.append(f"{path} != 1.0")
                return leaf
            return Number(tape, path)

        later = {f"a{i}" for i, a in enumerate(arguments[1:]) if callable(a)}
        state = mapped(lambda leaf, _: tape.input(leaf.shape, leaf.dtype), arguments[0])
        self.inputs = list(leaves(state))
        rest = [mapped(given, a() if callable(a) else a, f"a{i}") for i, a in enumerate(arguments[1:])]
        results = function(TracingNamespace(tape), *fixed[1:], state, *rest)
        new, results = (list(leaves(results[0])), results[1:]) if turns is not None else ([], results)
        self.changed = [i for i, line in enumerate(new) if line is not self.inputs[i]]
        program = Program(tape, [*(new[i] for i in self.changed), *leaves(results)])
        targets = {k: -1 if turns else self.inputs[i].line for k, i in enumerate(self.changed)}
        plan = Plan(dialect, program, targets)
        code = Code(plan, set(brought), cells)
        self.program, self._code, self._cells = program, code, cells
        starts = [0, *accumulate(-(-size // LINE) * LINE for size in plan.slots)]
        self._starts, self.size = starts, starts[-1]
        body = [f"{name} = {name}()" for name in sorted(later) if self._read(f"{name}[", guards)]
        for line, path in brought.items():
            name, like = code.name(tape.lines[line]), tape.lines[line]
            body.append(f"{name} = {path}")
            guards.append(f"type({name}) is not array or {name}.shape != {like.shape}")
            guards.append(f"{name}.dtype is not d{name} or {dialect.unlike.format(name)}")
            code.constants[f"d{name}"] = like.dtype
        body += [f"if {guard}: return None" for guard in guards]
        body += [dialect.scalar.format(name, source) for (source, _), name in cells.items() if source[0] in "a("]
        own = mapped(lambda line, _: (dialect.copied if self._kept(line) else "{0}").format(code.name(line)), results)
        after = ["after", *own] if turns is not None else list(own)
        body += [*code.each, f"return ({', '.join(after)},)" if isinstance(results, tuple) else f"return {own}"]
        parameters = ", ".join(f"a{i}" for i in range(len(rest)))
        text = "".join([*code.functions, *(f"{line}\n" for line in code.once)])
        self.source = f"{text}@scope\ndef run({parameters}):\n    " + "\n    ".join(body) + "\n"
        self._compiled = compile(self.source, "<recorded>", "exec")

    def _read(self, name: str, guards: Sequence[str]) -> bool:
        return any(name in text for text in (*guards, *(source for source, _ in self._cells)))

    def _kept(self, line: Traced) -> bool:
        """Return whether a result lies in memory that is not the caller's."""
        return line.operation in VIEWS | {"input", "constant"} or line.line in self._code.plan.places

    def bind(self, state: Any, after: Any, arena: Array) -> Callable[..., Any]:
        """Return the function that runs the program on a state; ``after`` is where the new one goes."""
        code, dialect = self._code, self._code.dialect
        names = dialect.names | code.constants | {"inf": inf, "nan": nan, "array": dialect.array}
        names |= {"after": after, "blocks": partial(blocks, dialect)}
        names |= {code.name(line): array for line, array in zip(self.inputs, leaves(state), strict=True)}
        targets = list(leaves(after)) if after is not None else []
        names |= {code.target(k): targets[i] for k, i in enumerate(self.changed)}
        for (source, dtype), name in self._cells.items():
            names[name] = dialect.number(0.0 if source[0] in "a(" else float(source), dtype)
        for name, (slot, dtype, shape) in code.memory.items():
            start = self._starts[slot]
            names[name] = arena[start : start + prod(shape) * dialect.itemsize(dtype)].view(dtype).reshape(shape)
        exec(self._compiled, names)  # made of our own operations' names and numbers alone
        run: Callable[..., Any] = names["run"]
        return run
