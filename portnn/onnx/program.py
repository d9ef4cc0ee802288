"""The operations of a function, recorded so that the number of rows stays open.

The function is recorded twice, for two numbers of rows that are prime and divide no other size: a size that is a
multiple of the first in one program and of the second in the other is a multiple of the number of rows. What differs
between the two programs otherwise depends on the number of rows in a way that a file cannot hold, and is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from portnn.backend import get_backend
from portnn.errors import SerializationError
from portnn.jit.graph import Graph, TracedArray, UntraceableError
from portnn.jit.tracer import Tape, TracingNamespace, UnrecordedError
from portnn.types import Array

PRIMES = (1009, 1013, 1019, 1021, 1031, 1033, 1039, 1049, 1051, 1061, 1063, 1069)
ROWS = -1
"""The size of an axis of all rows, or of a multiple of them."""


class FoldingNamespace:
    """The tracing namespace; functions of known arrays alone are computed at once."""

    def __init__(self, tape: Tape) -> None:
        self._traced, self._xp = TracingNamespace(tape), tape.xp

    def __getattr__(self, name: str) -> Any:
        traced = getattr(self._traced, name)
        if isinstance(traced, type):  # a dtype: the tracer compares them
            return np.dtype(traced)

        def call(*operands: Any, **options: Any) -> Any:
            arrays = operands[0] if name == "concat" else operands
            if any(isinstance(operand, TracedArray) for operand in arrays):
                return traced(*operands, **options)
            return getattr(self._xp, name)(*operands, **options)

        return call


def record(
    function: Callable[..., Mapping[str, Array]], inputs: Mapping[str, tuple[tuple[int, ...], str]], sizes: set[int]
) -> tuple[Graph, list[str]]:
    """Return the graph of ``function(xp, inputs)``, and the names of its results.

    ``inputs``: shape of a row, and dtype, by name. ``sizes``: all sizes that the function may meet. Sizes of axes of
    rows are ROWS in the graph. Raises SerializationError for a function that depends on the number of rows, on values,
    or on operations that no program holds.
    """
    first, second = [n for n in PRIMES if not any(size % n == 0 for size in sizes)][:2]
    try:
        (graph, names), (other, _) = (_recorded(function, inputs, rows) for rows in (first, second))
    except (UntraceableError, UnrecordedError) as error:
        raise SerializationError(f"onnx: expected layers that can be recorded; got {error}") from error
    lines = list(zip(graph.lines, other.lines, strict=False))
    if len(graph.lines) != len(other.lines):
        raise SerializationError("onnx: expected layers that compute the same for all numbers of rows")
    for line, again in lines:
        if line.operation != again.operation or not _same(line.operands, again.operands):
            raise SerializationError(f"onnx: expected numbers that do not depend on the number of rows; got {line!r}")
        line.shape, line.options = (
            _open(a, b, first, second) for a, b in ((line.shape, again.shape), (line.options, again.options))
        )
    return graph, names


def _recorded(
    function: Callable[..., Mapping[str, Array]], inputs: Mapping[str, tuple[tuple[int, ...], str]], rows: int
) -> tuple[Graph, list[str]]:
    tape = Tape(get_backend("numpy").xp)
    arrays = {name: tape.input((rows, *shape), np.dtype(dtype)) for name, (shape, dtype) in inputs.items()}
    results = function(FoldingNamespace(tape), arrays)
    return Graph(tape, list(results.values())), list(results)


def _same(operands: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether operands are the same lines and numbers."""
    return len(operands) == len(others) and all(
        a.line == b.line if isinstance(a, TracedArray) else type(a) is type(b) and a == b
        for a, b in zip(operands, others, strict=True)
    )


def _open(value: Any, other: Any, first: int, second: int) -> Any:
    """Return a shape or options with ROWS in the place of multiples of the numbers of rows."""
    if isinstance(value, tuple):
        if not isinstance(other, tuple) or len(value) != len(other):
            raise SerializationError("onnx: expected shapes that do not depend on the number of rows")
        return tuple(_open(a, b, first, second) for a, b in zip(value, other, strict=True))
    if isinstance(value, np.ndarray):
        if value.shape != other.shape or not np.array_equal(value, other, equal_nan=value.dtype.kind == "f"):
            raise SerializationError("onnx: expected constants that do not depend on the number of rows")
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value != other:
        if value % first or other % second or value // first != other // second:
            raise SerializationError("onnx: expected sizes that are multiples of the number of rows; got others")
        return ROWS
    return value
