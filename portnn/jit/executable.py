"""A recorded program as a library runs it: a call a line, into memory that was planned beforehand.

The same operations on the same values as the function itself, so the same bits; what is saved is the way there (the
layers' Python, shapes, views) and memory. What a caller gives or gets is never a program's memory.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from math import inf, nan, prod
from typing import Any

from portnn.jit.codegen import CodeGenerator, blocks
from portnn.jit.graph import VIEWS, Graph, SymbolicScalar, TracedArray, UntraceableError, leaves, mapped
from portnn.jit.memory import Plan
from portnn.jit.targets import CACHE_LINE_BYTES, Target
from portnn.jit.tracer import Tape, TracingNamespace
from portnn.types import Array


class Executable:
    """A recorded program of a function, compiled for arguments of one signature: shapes, dtypes, kinds of numbers."""

    def __init__(
        self,
        dialect: Target,
        function: Callable[..., Any],
        fixed: Sequence[Any],
        arguments: Sequence[Any],
        double_buffer: bool | None,
    ) -> None:
        """Record the function and plan its memory.

        ``double_buffer``: how the first result replaces the state. True: into a second buffer, and an interrupted call
        changes nothing. False: in place. None: not at all, all results are fresh arrays.
        """
        tape = Tape(fixed[0])
        scalar_buffers: dict[tuple[str, Any], str] = {}
        guards: list[str] = []
        runtime_inputs: dict[int, str] = {}

        def given(leaf: Any, path: str) -> Any:
            if isinstance(leaf, dialect.array):
                line = tape.input(leaf.shape, leaf.dtype)
                runtime_inputs[line.line] = path
                return line
            if type(leaf) not in (int, float):
                raise UntraceableError(f"an argument of type {type(leaf).__name__}")
            if path[:2] not in later:
                guards.append(f"type({path}) is not {type(leaf).__name__}")
            if type(leaf) is float and leaf == 1.0:  # what is multiplied by it may be left out
                guards.append(f"{path} != 1.0")
                return leaf
            return SymbolicScalar(tape, path)

        later = {f"a{i}" for i, a in enumerate(arguments[1:]) if callable(a)}
        state = mapped(lambda leaf, _: tape.input(leaf.shape, leaf.dtype), arguments[0])
        self.inputs = list(leaves(state))
        rest = [mapped(given, a() if callable(a) else a, f"a{i}") for i, a in enumerate(arguments[1:])]
        results = function(TracingNamespace(tape), *fixed[1:], state, *rest)
        new, results = (list(leaves(results[0])), results[1:]) if double_buffer is not None else ([], results)
        self.changed = [i for i, line in enumerate(new) if line is not self.inputs[i]]
        program = Graph(tape, [*(new[i] for i in self.changed), *leaves(results)])
        targets = {k: -1 if double_buffer else self.inputs[i].line for k, i in enumerate(self.changed)}
        plan = Plan(dialect, program, targets)
        code = CodeGenerator(plan, set(runtime_inputs), scalar_buffers)
        self.program, self._code, self._cells = program, code, scalar_buffers
        starts = [0, *accumulate(-(-size // CACHE_LINE_BYTES) * CACHE_LINE_BYTES for size in plan.slots)]
        self._starts, self.size = starts, starts[-1]
        body = [f"{name} = {name}()" for name in sorted(later) if self._read(f"{name}[", guards)]
        for line, path in runtime_inputs.items():
            name, like = code.name(tape.lines[line]), tape.lines[line]
            body.append(f"{name} = {path}")
            guards.append(f"type({name}) is not array or {name}.shape != {like.shape}")
            guards.append(f"{name}.dtype is not d{name} or {dialect.layout_guard.format(name)}")
            code.constants[f"d{name}"] = like.dtype
        body += [f"if {guard}: return None" for guard in guards]
        body += [
            dialect.store_scalar.format(name, source)
            for (source, _), name in scalar_buffers.items()
            if source[0] in "a("
        ]
        own = mapped(
            lambda line, _: (dialect.copy_expr if self._kept(line) else "{0}").format(code.name(line)), results
        )
        after = ["after", *own] if double_buffer is not None else list(own)
        body += [*code.body, f"return ({', '.join(after)},)" if isinstance(results, tuple) else f"return {own}"]
        parameters = ", ".join(f"a{i}" for i in range(len(rest)))
        text = "".join([*code.functions, *(f"{line}\n" for line in code.prologue)])
        self.source = f"{text}@scope\ndef run({parameters}):\n    " + "\n    ".join(body) + "\n"
        self._compiled = compile(self.source, "<recorded>", "exec")

    def _read(self, name: str, guards: Sequence[str]) -> bool:
        return any(name in text for text in (*guards, *(source for source, _ in self._cells)))

    def _kept(self, line: TracedArray) -> bool:
        """Return whether a result lies in memory that is not the caller's."""
        return line.operation in VIEWS | {"input", "constant"} or line.line in self._code.plan.places

    def bind(self, state: Any, after: Any, arena: Array) -> Callable[..., Any]:
        """Return the function that runs the program on a state; ``after`` is where the new one goes."""
        code, dialect = self._code, self._code.dialect
        names = dialect.names | dialect.registered() | code.constants | {"inf": inf, "nan": nan, "array": dialect.array}
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
