"""An executable: a recorded program with planned memory, bound to a library's arrays.

It runs the same operations on the same values as the function, so it gives the same bits; it saves the layers' Python,
shapes, views and allocations. The caller's arrays are never the program's memory.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf, nan, prod
from typing import Any

from portnn.jit.codegen import CodeGenerator, blocks
from portnn.jit.graph import VIEWS, TracedArray, leaves, mapped
from portnn.jit.memory import Plan
from portnn.jit.targets import Target
from portnn.jit.trace import Trace
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
        trace = Trace(target.array, fixed[0], function, fixed[1:], arguments, double_buffer is not None)
        scalar_buffers: dict[tuple[str, Any], str] = {}
        self.inputs, self.changed, self.program = trace.state, trace.changed, trace.graph
        guards, results = trace.guards, trace.results
        donated = {k: -1 if double_buffer else self.inputs[i].line for k, i in enumerate(self.changed)}
        plan = Plan(target, self.program, donated)
        code = CodeGenerator(plan, {line.line for line, _ in trace.runtime_inputs}, scalar_buffers)
        self._code, self._scalar_buffers = code, scalar_buffers
        self._starts, self.size = plan.starts, plan.size
        body = [f"{name} = {name}()" for name in sorted(trace.callables) if self._read(f"{name}[", guards)]
        for line, path in trace.runtime_inputs:
            name = code.name(line)
            body.append(f"{name} = {path}")
            guards.append(f"type({name}) is not array or {name}.shape != {line.shape}")
            guards.append(f"{name}.dtype is not d{name} or {target.layout_guard.format(name)}")
            code.constants[f"d{name}"] = line.dtype
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
        parameters = ", ".join(f"a{i}" for i in range(trace.n_arguments))
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
