"""A recorded call of a function: its graph, its inputs, and what the program assumes of later calls' arguments."""

from collections.abc import Callable, Sequence
from typing import Any

from portnn.jit.graph import Graph, SymbolicScalar, TracedArray, UntraceableError, leaves, mapped
from portnn.jit.tracer import Tape, TracingNamespace
from portnn.types import Namespace


class Trace:
    """A function's graph for arguments of one signature: shapes, dtypes, kinds of numbers.

    The arguments after the state are named a0, a1 ... in the expressions of ``runtime_inputs``, ``guards`` and numbers.
    """

    def __init__(
        self,
        array: Any,
        xp: Namespace,
        function: Callable[..., Any],
        static: Sequence[Any],
        arguments: Sequence[Any],
        has_new_state: bool,
    ) -> None:
        """Record the function. Raises UntraceableError, and whatever it raises on traced arrays.

        ``array``: the type of the library's arrays. ``xp``: the namespace that computes with constants. ``static``: the
        arguments between the namespace and the state. ``has_new_state``: whether the first result replaces the state.
        """
        self.has_new_state = has_new_state
        tape = Tape(xp)
        self.guards: list[str] = []
        """Expressions, true where the arguments are not those that the program was recorded for."""
        self.runtime_inputs: list[tuple[TracedArray, str]] = []
        """The lines of the arrays that each call brings, and their expressions."""
        self.callables = {f"a{i}" for i, a in enumerate(arguments[1:]) if callable(a)}
        """Arguments that return the number when they are called."""

        def trace_argument(leaf: Any, path: str) -> Any:
            if isinstance(leaf, array):
                line = tape.input(leaf.shape, leaf.dtype)
                self.runtime_inputs.append((line, path))
                return line
            if type(leaf) not in (int, float):
                raise UntraceableError(f"an argument of type {type(leaf).__name__}")
            if path[:2] not in self.callables:
                self.guards.append(f"type({path}) is not {type(leaf).__name__}")
            if type(leaf) is float and leaf == 1.0:  # a product with it may be left out
                self.guards.append(f"{path} != 1.0")
                return leaf
            return SymbolicScalar(tape, path)

        state = mapped(lambda leaf, _: tape.input(leaf.shape, leaf.dtype), arguments[0])
        self.state: list[TracedArray] = list(leaves(state))
        """Lines of the state's arrays."""
        traced = [mapped(trace_argument, a() if callable(a) else a, f"a{i}") for i, a in enumerate(arguments[1:])]
        results = function(TracingNamespace(tape), *static, state, *traced)
        new_state, self.results = (list(leaves(results[0])), results[1:]) if has_new_state else ([], results)
        self.changed = [i for i, line in enumerate(new_state) if line is not self.state[i]]
        """Numbers of the state's arrays that the call replaces; the graph's first results are their new values."""
        self.n_arguments = len(traced)
        self.graph = Graph(tape, [*(new_state[i] for i in self.changed), *leaves(self.results)])
