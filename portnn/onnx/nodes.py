"""The nodes of a file: which operators of ONNX (opset 18) compute a recorded operation.

Where onnxruntime has one faster operator for several operations, as for Dense, relu and softmax, their pattern becomes
that one.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from portnn.errors import SerializationError
from portnn.jit.graph import Graph, TracedArray
from portnn.onnx.program import ROWS

_SAME = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "greater": "Greater",
    "less": "Less",
    "equal": "Equal",
    "where": "Where",
    "round": "Round",
    "floor": "Floor",
    "maximum": "Max",
    "minimum": "Min",
    "negative": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "cos": "Cos",
    "sqrt": "Sqrt",
    "matmul": "MatMul",
}
"""Operators with the operands of the operation."""
_REGISTERED = {
    name: name.capitalize()
    for name in ("sin", "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "ceil")
}
_REDUCTIONS = {"sum": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin"}
_LOGICAL = {"bitwise_and": ("And", "BitwiseAnd"), "bitwise_xor": ("Xor", "BitwiseXor")}
"""Operators on bools, and on integers."""


class Nodes:
    """The nodes and constants of a graph, in order. ``taken``: names of its inputs and results."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._constant_names: dict[Any, str] = {}
        self._taken = set(taken)

    def free(self, name: str) -> str:
        """Return a name that nothing else has, and take it."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node; return the name of its result."""
        output = output or self.free(f"v{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of a constant."""
        array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        content = tuple(array.tolist()) if array.dtype == object else array.tobytes()  # object: texts
        key = content, array.shape, array.dtype.str
        if key not in self._constant_names:
            name = self._constant_names[key] = self.free(f"c{len(self.constants)}")
            self.constants.append(numpy_helper.from_array(array, name))
        return self._constant_names[key]

    def write(self, graph: Graph, inputs: dict[int, str], results: list[str]) -> None:
        """Append the nodes of a recorded graph. ``inputs``: names of its inputs, by number of the line."""
        names: dict[int, str] = dict(inputs)
        merged = {line.line: pattern for line in graph.lines if (pattern := _pattern(line)) is not None}
        needed: set[int] = {line.line for line in graph.results}
        for line in reversed(graph.lines):
            if line.line in needed:
                sources = merged[line.line][1] if line.line in merged else line.arrays
                needed |= {source.line for source in sources}
        for line in graph.lines:
            if line.line not in needed or line.operation == "input":
                continue
            if line.line in merged:
                operator, sources, attributes = merged[line.line]
                names[line.line] = self.add(operator, *(names[source.line] for source in sources), **attributes)
            else:
                names[line.line] = self._line(line, names)
        for line, name in zip(graph.results, results, strict=True):
            self._name_result(names[line.line], name, results)

    def _name_result(self, name: str, wanted: str, results: list[str]) -> None:
        """Give a result the name that it shall have; an input, a constant or another result gets a copy."""
        if name in results or not any(name in node.output for node in self.nodes):
            self.add("Identity", name, output=wanted)
            return
        for node in self.nodes:
            for places in (node.input, node.output):
                places[:] = [wanted if place == name else place for place in places]

    def _operand(self, line: TracedArray, operand: Any, names: dict[int, str]) -> str:
        if isinstance(operand, TracedArray):
            return names[operand.line]
        first = next((a for a in line.arrays if a.dtype != np.bool_), None)
        return self.constant(operand, np.float64 if first is None else first.dtype)

    def _line(self, line: TracedArray, names: dict[int, str]) -> str:
        operation, options = line.operation, line.options
        if operation == "constant":
            return self.constant(options[0])
        a = [self._operand(line, operand, names) for operand in line.operands if not isinstance(operand, type)]
        if operation in _SAME or operation in _REGISTERED:
            return self.add(_SAME.get(operation) or _REGISTERED[operation], *a)
        if operation in _REDUCTIONS:
            axis, keepdims = options
            axes = () if axis is None else (self.constant(np.atleast_1d(axis), np.int64),)
            return self.add(_REDUCTIONS[operation], a[0], *axes, keepdims=int(keepdims))
        if operation in _LOGICAL:
            return self.add(_LOGICAL[operation][line.arrays[0].dtype != np.bool_], *a)
        if operation not in _OTHERS:
            raise SerializationError(f"onnx: expected functions that ONNX has; got xp.{operation}")
        return _OTHERS[operation](self, line, a)

    # ---- operations with attributes of their own

    def _cast(self, line: TracedArray, a: list[str]) -> str:
        return self.add("Cast", a[0], to=helper.np_dtype_to_tensor_dtype(np.dtype(line.dtype)))

    def _reshape(self, line: TracedArray, a: list[str]) -> str:
        if line.shape.count(ROWS) > 1:
            raise SerializationError(f"onnx: expected one axis of rows in a shape; got {line.shape}")
        return self.add("Reshape", a[0], self.constant(line.shape, np.int64))

    def _expand_dims(self, line: TracedArray, a: list[str]) -> str:
        return self.add("Unsqueeze", a[0], self.constant(line.options, np.int64))

    def _transpose(self, line: TracedArray, a: list[str]) -> str:
        n = len(line.shape)
        return self.add("Transpose", a[0], perm=[*range(n - 2), n - 1, n - 2])

    def _slice(self, line: TracedArray, a: list[str]) -> str:
        source = line.arrays[0]
        cut = [
            (axis, start, stop)
            for axis, (start, stop) in enumerate(line.options[0])
            if not (start == 0 and stop == source.shape[axis])
        ]
        if any(ROWS in (start, stop) or source.shape[axis] == ROWS for axis, start, stop in cut):
            raise SerializationError("onnx: expected slices of features; got one of rows")
        axes, starts, stops = (self.constant(part, np.int64) for part in zip(*cut, strict=True))
        return self.add("Slice", a[0], starts, stops, axes)

    def _take(self, line: TracedArray, a: list[str]) -> str:
        return self.add("Gather", *a, axis=line.options[0])

    def _concat(self, line: TracedArray, a: list[str]) -> str:
        return self.add("Concat", *a, axis=line.options[0])

    def _expm1(self, line: TracedArray, a: list[str]) -> str:
        """(u - 1) x / log(u) with u = exp(x), where the rounding error of u cancels; u - 1 beyond 1 and below -1.

        Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 1.14.1 (after Kahan).
        """
        one, u = self.constant(1.0, line.dtype), self.add("Exp", a[0])
        below, is_one = self.add("Sub", u, one), self.add("Equal", u, one)
        ratio = self.add("Mul", below, self.add("Div", a[0], self.add("Log", self._unless(is_one, u, line))))
        near = self.add("Where", is_one, a[0], ratio)
        return self.add("Where", self.add("Greater", self.add("Abs", a[0]), one), below, near)

    def _log1p(self, line: TracedArray, a: list[str]) -> str:
        """log(u) x / (u - 1) with u = 1 + x, likewise; log(u) where u - 1 is beyond 1."""
        one = self.constant(1.0, line.dtype)
        u = self.add("Add", a[0], one)
        log, below, is_one = self.add("Log", u), self.add("Sub", u, one), self.add("Equal", u, one)
        ratio = self.add("Mul", log, self.add("Div", a[0], self._unless(is_one, below, line)))
        near = self.add("Where", is_one, a[0], ratio)
        return self.add("Where", self.add("Greater", below, one), log, near)

    def _unless(self, condition: str, value: str, line: TracedArray) -> str:
        """Return the value, or 2 where the condition holds: no division by 0 is computed."""
        return self.add("Where", condition, self.constant(2.0, line.dtype), value)


_OTHERS: dict[str, Callable[[Nodes, TracedArray, list[str]], str]] = {
    "astype": Nodes._cast,
    "reshape": Nodes._reshape,
    "expand_dims": Nodes._expand_dims,
    "matrix_transpose": Nodes._transpose,
    "slice": Nodes._slice,
    "take": Nodes._take,
    "concat": Nodes._concat,
    "expm1": Nodes._expm1,
    "log1p": Nodes._log1p,
}


def _pattern(line: TracedArray) -> tuple[str, Sequence[TracedArray], dict[str, Any]] | None:
    """Return (operator, operands, attributes) if a line ends the operations of a Dense layer, relu or softmax."""
    if len(line.arrays) != 2:
        return None
    left, right = line.arrays
    if line.operation == "add" and left.operation == "matmul":
        is_plain = len(left.shape) == 2 and left.arrays[1].operation == right.operation == "constant"
        return ("Gemm", (*left.arrays, right), {}) if is_plain and right.shape == left.shape[1:] else None
    if line.operation != "multiply":
        return None
    if right.operation == "astype" and right.arrays[0].operation == "greater":
        operand, threshold = right.arrays[0].operands
        if operand is left and not isinstance(threshold, TracedArray) and threshold == 0:
            return "Relu", (left,), {}
    if left.operation == "exp" and right.operation == "divide" and right.operands[0] == 1.0:
        total, shifted = right.arrays[0], left.arrays[0]
        is_total = total.operation == "sum" and total.arrays[0] is left and total.options == (-1, True)
        if is_total and shifted.operation == "subtract":
            z, largest = shifted.operands
            if _is(largest, "max") and largest.arrays[0] is z and largest.options == (-1, True):
                return "Softmax", (z,), {"axis": -1}
    return None


def _is(operand: Any, operation: str) -> bool:
    return isinstance(operand, TracedArray) and operand.operation == operation
