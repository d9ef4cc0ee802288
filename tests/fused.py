"""Judges the kernels of a fused step one by one, each from the inputs that it read."""

import ctypes

import numpy as np
from gxx import Gxx

from portnn.jit.cuda.function import FusedFunction
from portnn.jit.cuda.nodes import REDUCTIONS, Scalar
from portnn.jit.cuda.source import NUMBERS, OPERATORS
from portnn.jit.graph import VIEWS
from portnn.numerics.bounds import BoundedArray, BoundingNamespace

INEXACT = frozenset({"exp", "expm1", "log", "log1p", "tanh", "cos", "sum", "partial"})
"""What compilers and libraries compute differently; all else is exact, or rounded correctly."""
BINARY = {
    "add": "__add__",
    "subtract": "__sub__",
    "multiply": "__mul__",
    "divide": "__truediv__",
    "greater": "__gt__",
    "less": "__lt__",
    "equal": "__eq__",
    "bitwise_and": "__and__",
    "bitwise_xor": "__xor__",
    "bitwise_right_shift": "__rshift__",
}
assert BINARY.keys() == OPERATORS.keys()


def fused(net, driver):
    """Return a network's training step, fused on a driver, and the arguments before its state."""
    runtime = net._runtime
    computes, update = runtime._computes, runtime._updates[1]

    def step(xp, *arguments):
        return runtime.model.step(computes._over(xp) if hasattr(computes, "_over") else xp, *arguments)

    def eagerly(*arguments):
        raise AssertionError("the step runs eagerly")

    xp = runtime.backend.xp
    return FusedFunction(driver, xp, xp, step, eagerly, 2), (xp, update)


class Judge(Gxx):
    """A driver that compares what each kernel writes with what its nodes are worth; ``wrong`` lists the differences."""

    def __init__(self, arithmetic="fast"):
        super().__init__()
        self.wrong, self.exact, self.within = [], 0, 0
        self.function = None
        self.bounded = arithmetic == "fast"

    def launch(self, kernel, blocks, threads, arguments):
        name = kernel[0]
        if name == "load":
            super().launch(kernel, blocks, threads, arguments)
            return
        graph = self.function.programs[-1].graph
        number = int(name[1:])
        nodes = [node for node, _ in graph.sources[number].buffers.values()]
        values = {n.number: np.array(a).reshape(n.shape) for n, a in zip(nodes, arguments, strict=False)}
        numbers = dict(zip(NUMBERS, map(np.array, arguments[len(nodes) :]), strict=True))
        super().launch(kernel, blocks, threads, arguments)
        after = dict(zip((n.number for n in nodes), arguments, strict=False))
        with np.errstate(all="ignore"):
            for root in graph.steps[number].roots:
                if root in graph.written:
                    base, start = root.segment or (root, 0)
                    memory = after[base.number] if root not in graph.returned else returned(root, numbers, graph)
                    result = memory.reshape(-1)[start : start + root.size].reshape(root.shape)
                    self._judge(root, result, values, numbers, graph)

    def _judge(self, root, result, values, numbers, graph):
        def scalar(operand, dtype):
            return numbers[dtype].item(graph.scalars[operand.source, dtype]) if isinstance(operand, Scalar) else operand

        inputs = graph.sources[root.step].reads
        expected = Evaluation(np, inputs, lambda node: leaf(node, values), scalar, root)
        exact = np.asarray(expected.result, result.dtype)
        if not expected.operations & INEXACT or not self.bounded:
            self.exact += 1
            same = exact.tobytes() == np.ascontiguousarray(result).tobytes()
            zero = np.array_equal(exact, result, equal_nan=True)  # 0 and -0 of maxima; any NaN
            if not (same or (zero and (np.isnan(exact).any() or expected.operations & {"maximum", "minimum", "max"}))):
                self.wrong.append(f"{root} ({', '.join(sorted(expected.operations))}): other bits")
            return
        self.within += 1
        bound = Evaluation(
            BoundingNamespace(),
            inputs,
            lambda node: BoundedArray.from_input(leaf(node, values)),
            scalar,
            root,
            result.dtype,
        ).result
        value, error = np.broadcast_arrays(bound.value, bound.error)
        with np.errstate(all="ignore"):
            far = ~(np.abs(result.astype(np.float64) - value) <= error) & ~(np.isnan(value) & np.isnan(result))
            far &= value.astype(result.dtype) != result
        if far.any():
            share = np.max(np.abs(result - value)[far] / error[far])
            self.wrong.append(f"{root} ({', '.join(sorted(expected.operations))}): {share:.3g} of its bound")


def returned(root, numbers, graph):
    """Return the memory of a returned node, whose address is among the numbers of the call."""
    address = numbers["int64"].item(graph.scalars[f"p{graph.returned.index(root)}", "int64"])
    memory = (ctypes.c_char * (root.size * np.dtype(root.dtype).itemsize)).from_address(address)
    return np.frombuffer(memory, root.dtype)


def leaf(node, values):
    """Return the value of a node that lies in memory, from those of the arrays that the kernel was handed."""
    if node.value is not None:
        return node.value
    base, start = node.segment or (node, 0)
    return values[base.number].reshape(-1)[start : start + node.size].reshape(node.shape)


class Evaluation:
    """A root's value in a namespace, from what its kernel reads, and the operations on the way."""

    def __init__(self, xp, inputs, read, scalar, root, dtype=None):
        self.xp, self.inputs, self.read, self.scalar, self.dtype = xp, inputs, read, scalar, dtype
        self.values, self.operations = {}, set()
        self.result = self.value(root, root)

    def value(self, node, root):
        if node.number not in self.values:
            self.values[node.number] = self._value(node, root)
        return self.values[node.number]

    def _value(self, node, root):
        if node is not root and (node.value is not None or node in self.inputs):
            return self.read(node)
        xp, operation = self.xp, node.operation
        self.operations.add(operation)
        dtype = node.dtype if operation == "where" else next((n.dtype for n in node.nodes), node.dtype)
        a = [
            self.value(x, root) if hasattr(x, "operation") else self._typed(self.scalar(x, dtype), dtype)
            for x in node.operands
        ]
        if operation in VIEWS | {"copy"}:
            return self._view(node, *a)
        if operation in ("select", "partial", "concat"):
            return self._joined(node, a)
        if operation == "take":
            return xp.take(a[0], a[1], axis=node.options[0])
        if operation == "searchsorted":
            return np.searchsorted(a[0], a[1], side=node.options[0])
        if operation == "astype":
            is_bounded = node.dtype.startswith("float") and self.dtype is not None
            return xp.astype(a[0], getattr(xp, node.dtype) if is_bounded else np.dtype(node.dtype))
        if operation in REDUCTIONS:
            axis, keepdims = node.options
            return xp.reshape(getattr(xp, operation)(a[0], axis=axis, keepdims=keepdims), node.shape)
        if operation in BINARY:
            return self._binary(BINARY[operation], *a)
        return getattr(xp, operation)(*a)

    def _view(self, node, x):
        xp, options = self.xp, node.options
        match node.operation:
            case "reshape":
                return xp.reshape(x, node.shape)
            case "expand_dims":
                return xp.expand_dims(x, axis=options[0])
            case "matrix_transpose":
                return xp.matrix_transpose(x)
            case "slice":
                return x[tuple(slice(*bounds) for bounds in options[0])]
        return x

    def _joined(self, node, a):
        xp = self.xp
        if node.operation == "concat":
            return xp.concat(a, axis=node.options[0])
        if node.operation == "select":
            ends = [0, *node.options, node.size]
            return xp.concat([v[i:j] for v, i, j in zip(a, ends, ends[1:], strict=False)])
        kind, length = node.options
        x = xp.reshape(a[0], (-1,))
        parts = [x[i : i + length] for i in range(0, x.shape[0], length)]
        return xp.concat([xp.reshape(getattr(xp, kind)(part), (1,)) for part in parts])

    def _typed(self, number, dtype):
        return np.dtype(dtype).type(number) if self.dtype is None else number

    def _binary(self, name, a, b):
        if not hasattr(a, "shape") or (isinstance(a, np.generic) and not isinstance(b, np.generic)):
            return getattr(b, {"__gt__": "__lt__", "__lt__": "__gt__", "__eq__": "__eq__"}.get(name, f"__r{name[2:]}"))(
                a
            )
        return getattr(a, name)(b)


def judged(net, x, y, steps=2):
    """Return the judge of a network's fused steps on a batch."""
    net.step(x, y)
    runtime = net._runtime
    judge = Judge(net.arithmetic)
    judge.function, before = fused(net, judge)
    schema, xp = net._schema, runtime.backend
    batch = xp.asarray(x, "int32" if np.asarray(x).dtype.kind in "iu" else runtime.dtype)
    targets = schema.convert_targets(xp, np.asarray(y))
    state = runtime.state
    with runtime.backend.scope():
        for i in range(steps):
            numbers = runtime.chain.hyperparams(i + 2)
            state, _ = judge.function(*before, state, (batch, targets, 1.0 / len(x)), (i + 3, -7 * i), numbers)
    return judge
