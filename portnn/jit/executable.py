"""An executable: a recorded program with planned memory, bound to a library's arrays.

It runs the same operations on the same values as the function, so it gives the same bits; it saves the layers' Python,
shapes, views and allocations. The caller's arrays are never the program's memory.
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
        target: Target,
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

        def trace_argument(leaf: Any, path: str) -> Any:
            if isinstance(leaf, target.array):
                line = tape.input(leaf.shape, leaf.dtype)
                runtime_inputs[line.line] = path
                return line
            if type(leaf) not in (int, float):
                raise UntraceableError(f"an argument of type {type(leaf).__name__}")
            if path[:2] not in callables:
                guards.append(f"type({path}) is not {type(leaf).__name__}")
            if type(leaf) is float and leaf == 1.0:  # a product with it may be left out
                guards.append(f"{path} != 1.0")
                return leaf
            return SymbolicScalar(tape, path)

        callables = {f"a{i}" for i, a in enumerate(arguments[1:]) if callable(a)}
        state = mapped(lambda leaf, _: tape.input(leaf.shape, leaf.dtype), arguments[0])
        self.inputs = list(leaves(state))
        traced = [mapped(trace_argument, a() if callable(a) else a, f"a{i}") for i, a in enumerate(arguments[1:])]
        results = function(TracingNamespace(tape), *fixed[1:], state, *traced)
        new_state, results = (list(leaves(results[0])), results[1:]) if double_buffer is not None else ([], results)
        self.changed = [i for i, line in enumerate(new_state) if line is not self.inputs[i]]
        program = Graph(tape, [*(new_state[i] for i in self.changed), *leaves(results)])
        donated = {k: -1 if double_buffer else self.inputs[i].line for k, i in enumerate(self.changed)}
        plan = Plan(target, program, donated)
        code = CodeGenerator(plan, set(runtime_inputs), scalar_buffers)
        self.program, self._code, self._scalar_buffers = program, code, scalar_buffers
        starts = [0, *accumulate(-(-size // CACHE_LINE_BYTES) * CACHE_LINE_BYTES for size in plan.slots)]
        self._starts, self.size = starts, starts[-1]
        body = [f"{name} = {name}()" for name in sorted(callables) if self._read(f"{name}[", guards)]
        for line, path in runtime_inputs.items():
            name, traced_input = code.name(tape.lines[line]), tape.lines[line]
            body.append(f"{name} = {path}")
            guards.append(f"type({name}) is not array or {name}.shape != {traced_input.shape}")
            guards.append(f"{name}.dtype is not d{name} or {target.layout_guard.format(name)}")
            code.constants[f"d{name}"] = traced_input.dtype
        body += [f"if {guard}: return None" for guard in guards]
        body += [
            target.store_scalar.format(name, source)
            for (source, _), name in scalar_buffers.items()
            if source[0] in "a("
        ]
        outputs = mapped(
            lambda line, _: (target.copy_expr if self._needs_copy(line) else "{0}").format(code.name(line)), results
        )
        returned = ["after", *outputs] if double_buffer is not None else list(outputs)
        body += [*code.body, f"return ({', '.join(returned)},)" if isinstance(results, tuple) else f"return {outputs}"]
        parameters = ", ".join(f"a{i}" for i in range(len(traced)))
        text = "".join([*code.functions, *(f"{line}\n" for line in code.prologue)])
        self.source = f"{text}@scope\ndef run({parameters}):\n    " + "\n    ".join(body) + "\n"
        self._compiled = compile(self.source, "<recorded>", "exec")

    def _read(self, name: str, guards: Sequence[str]) -> bool:
        return any(name in text for text in (*guards, *(source for source, _ in self._scalar_buffers)))

    def _needs_copy(self, line: TracedArray) -> bool:
        """Return whether a result has its own memory."""
        return line.operation in VIEWS | {"input", "constant"} or line.line in self._code.plan.locations

    def bind(self, state: Any, after: Any, arena: Array) -> Callable[..., Any]:
        """Return the function that runs the program on a state; ``after``: the buffers of the new state."""
        code, target = self._code, self._code.target
        names = target.names | target.registered() | code.constants | {"inf": inf, "nan": nan, "array": target.array}
        names |= {"after": after, "blocks": partial(blocks, target)}
        names |= {code.name(line): array for line, array in zip(self.inputs, leaves(state), strict=True)}
        outputs = list(leaves(after)) if after is not None else []
        names |= {code.output_name(k): outputs[i] for k, i in enumerate(self.changed)}
        for (source, dtype), name in self._scalar_buffers.items():
            names[name] = target.number(0.0 if source[0] in "a(" else float(source), dtype)
        for name, (slot, dtype, shape) in code.memory.items():
            start = self._starts[slot]
            names[name] = arena[start : start + prod(shape) * target.itemsize(dtype)].view(dtype).reshape(shape)
        exec(self._compiled, names)  # the source contains only names of operations and numbers
        run: Callable[..., Any] = names["run"]
        return run
