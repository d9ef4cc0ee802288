"""The CUDA source of a kernel: one pass over its elements for each level of its reductions."""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np

from portnn.jit.cuda.kernels import Kernel, spread, squeezed
from portnn.jit.cuda.nodes import REDUCTIONS, MisfitError, Node, Scalar, is_vector, reshaped
from portnn.jit.graph import VIEWS

TYPES = {"float32": "float", "float64": "double", "int32": "int", "int64": "long long", "bool": "bool"}
NUMBERS = {"float32": "sf", "float64": "sd", "int32": "si", "int64": "sp"}
"""Arrays of the call's numbers by dtype, the last parameters of each kernel; int64: addresses of returned arrays."""
_NAMES = "add subtract multiply divide greater less equal bitwise_and bitwise_xor bitwise_right_shift"
OPERATORS = dict(zip(_NAMES.split(), "+ - * / > < == & ^ >>".split(), strict=True))
FUNCTIONS = frozenset(
    "maximum minimum sign exp expm1 log log1p cos sqrt tanh abs round floor".split()
    + "sin tan asin acos atan sinh cosh asinh acosh atanh log2 log10 ceil trunc".split()  # which users may register
)
Slots: TypeAlias = dict[tuple[str, str], int]
_INNER = re.compile(r"\b[kw]\d*\b")
"""Names of what differs from element to element: k, k0, w7; all others are given before the loop."""


class KernelSource:
    """The source of a kernel, and what it reads and writes. Raises MisfitError for what the kernel cannot compute.

    ``scalars``: slots of the call's numbers by (expression, dtype), extended here. ``returned``: nodes whose memory is
    new at each call. ``written``: the roots that someone reads; None: all of them.
    """

    def __init__(
        self, kernel: Kernel, scalars: Slots, returned: Sequence[Node], written: Collection[Node] | None = None
    ) -> None:
        self.kernel, self.scalars, self.returned = kernel, scalars, returned
        self.buffers: dict[int, tuple[Node, bool]] = {}
        """The parameters: nodes in memory by number, and whether they are written."""
        self.reads: dict[Node, set[str]] = {}
        """Indices in memory that are read of each node."""
        self.levels = kernel.levels()
        roots = [root for root in kernel.roots if written is None or root in written]
        last = max((self.levels[r.number] for r in kernel.roots if r.operation in REDUCTIONS), default=0)
        passes = [_Pass(self, level, roots) for level in range(1, last + 2)]
        text = "".join(p.text() for p in passes) + "".join(
            self._result(root) for root in roots if root.operation in REDUCTIONS
        )
        kinds = {number: "" if is_written else "const " for number, (_, is_written) in self.buffers.items()}
        parameters = [f"{kinds[number]}{TYPES[node.dtype]}* b{number}" for number, (node, _) in self.buffers.items()]
        parameters += [f"const {TYPES[dtype]}* {name}" for dtype, name in NUMBERS.items()]
        head = f"KERNEL({kernel.threads}) k{kernel.number}({', '.join(parameters)}) {{\n"
        self.text = head + (text if kernel.kind == "map" else f"BLOCKS({kernel.blocks}) {{\n{text}}}\n") + "}\n"

    def _result(self, root: Node) -> str:
        """Return the line that stores a reduction's result."""
        kernel = self.kernel
        inside = f" && o < {kernel.n_results}" if kernel.kind == "column" else ""
        store = f"{self.buffer(root, True)}[{linear(kernel.index(root), root.shape)}] = LANE(r{root.number});"
        place = f"THREADS({kernel.threads}) {{ PLACE_{kernel.kind}({kernel.threads})"
        return f"{place} if (FIRST_{kernel.kind}{inside}) {{ {self.indices('o')} {store} }} }}\n"

    def buffer(self, node: Node, is_written: bool = False) -> str:
        """Return the expression of a node's memory, and note that the kernel uses it."""
        if node in self.returned:
            slot = self.slot(f"p{self.returned.index(node)}", "int64")
            return f"(({TYPES[node.dtype]}*)sp[{slot}])"
        base, offset = node.segment or (node, 0)
        known = self.buffers.get(base.number, (base, False))
        self.buffers[base.number] = base, known[1] or is_written
        return f"(b{base.number} + {offset})" if offset else f"b{base.number}"

    def slot(self, source: str, dtype: str) -> int:
        """Return the slot of a number of the call."""
        return self.scalars.setdefault((source, dtype), sum(kind == dtype for _, kind in self.scalars))

    def indices(self, position: str) -> str:
        """Return the declarations of the indices of an element (k) or a result (o), from its number."""
        kernel = self.kernel
        axes = [i for i in range(len(kernel.shape)) if (kernel.kind == "map" or i in kernel.axes) == (position == "k")]
        return unravel(position, [(f"{position}{i}", kernel.shape[i]) for i in axes])


class _Pass:
    """One loop of a kernel's threads over their elements."""

    def __init__(self, source: KernelSource, level: int, written: Collection[Node]) -> None:
        self.source, self.kernel = source, source.kernel
        self.values: dict[tuple[int, tuple[str, ...]], str] = {}
        self.before: list[str] = []
        """Lines before the loop, for each result."""
        self.body: list[str] = []
        self.after: list[str] = []
        self.stores: list[str] = []
        """Stores of what is computed once for each result."""
        self.reductions: list[tuple[Node, str]] = []
        for root in self.kernel.roots:
            if root.operation in REDUCTIONS and source.levels[root.number] == level:
                self._accumulate(root)
        for root in self.kernel.roots:
            if root.operation not in REDUCTIONS and source.levels[root.number] == level - 1:
                self._store(root, root in written)

    def _accumulate(self, root: Node) -> None:
        (x,), kind, name = root.operands, TYPES[root.dtype], f"a{root.number}"
        is_part = root.operation == "partial"
        operation = root.options[0] if is_part else root.operation
        index = self.unraveled("k", x.shape) if is_part else spread(self.kernel.element_index(), x.shape)
        value, start = self.value(x, index), {"sum": "0", "max": "-INF_", "min": "INF_"}[operation]
        self.before.append(f"{kind} {name} = ({kind}){start};")
        self.body.append(f"{name} = {operation}_({name}, {value});")
        self.after.append(f"LANE(r{root.number}) = {name};")
        self.reductions.append((root, operation))

    def _store(self, root: Node, is_written: bool) -> None:
        index = self.kernel.index(root)
        value = self.value(root, index, is_root=True)
        if is_written:
            line = f"{self.source.buffer(root, True)}[{self.linear(index, root.shape)}] = {value};"
            (self.body if self.kernel.covers(root) else self.stores).append(line)

    def text(self) -> str:
        """Return the loop, and the reductions after it; "" for a pass without any work."""
        if not (self.body or self.stores):
            return ""
        kernel, source = self.kernel, self.source
        threads, inner, before = kernel.threads, "\n".join(self.body), "\n".join(self.before)
        if kernel.kind == "map":
            return f"ITEMS({prod(kernel.shape)}) {{ {source.indices('k')}\n{before}\n{inner}\n}}\n"
        declared = "".join(f"{TYPES[n.dtype]} r{n.number}[LANES({threads})];\n" for n, _ in self.reductions)
        inside = f"if (o < {kernel.n_results}) " if kernel.kind == "column" else ""
        stores = f"if (FIRST_{kernel.kind}) {{ {' '.join(self.stores)} }}\n" if self.stores else ""
        first, stop = "first", str(kernel.n_reduced)
        if kernel.kind == "partial":
            first, stop = f"o * {kernel.length} + first", f"least_({kernel.shape[0]}, (o + 1) * {kernel.length})"
        stride = threads // 32 if kernel.kind == "column" else threads
        loop = f"for (int k = {first}; k < {stop}; k += {stride}) {{ {source.indices('k')}\n{inner}\n}}\n"
        place = f"THREADS({threads}) {{ PLACE_{kernel.kind}({threads}) {inside}{{ {source.indices('o')}\n"
        work = f"{before}\n{stores}{loop if self.body else ''}{' '.join(self.after)}\n}} }}\n"
        team = "column" if kernel.kind == "column" else "row"
        teams = "".join(
            f"TEAM_{team}({threads}, {operation}_, {TYPES[n.dtype]}, r{n.number})\n" for n, operation in self.reductions
        )
        return declared + place + work + teams

    def variable(self, kind: str, expression: str) -> str:
        """Return the name of a constant that holds the expression: in the loop, if it differs between elements."""
        is_inner = _INNER.search(expression) is not None
        name = f"{'w' if is_inner else 'v'}{len(self.body) + len(self.before)}"
        (self.body if is_inner else self.before).append(f"const {kind} {name} = {expression};")
        return name

    def linear(self, index: tuple[str, ...], shape: tuple[int, ...]) -> str:
        """Return the position of an index in memory."""
        kernel = self.kernel
        if kernel.kind == "map" and squeezed(shape) == kernel.shape and index == spread(kernel.element_index(), shape):
            return "k"
        return linear(index, shape)

    def unraveled(self, position: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Return the index of a position in memory."""
        if len(squeezed(shape)) <= 1:
            return tuple("0" if n == 1 else position for n in shape)
        digits = zip(shape, _digits(position, shape), strict=True)
        return tuple("0" if n == 1 else self.variable("int", expression) for n, expression in digits)

    def value(self, node: Node, index: tuple[str, ...], is_root: bool = False) -> str:
        """Return the expression of a node's element."""
        key = node.number, index
        if key not in self.values:
            self.values[key] = self._value(node, index, is_root)
        return self.values[key]

    def _value(self, node: Node, index: tuple[str, ...], is_root: bool) -> str:
        if node in self.kernel.roots and not is_root:
            if index != self.kernel.index(node):
                raise MisfitError(f"{node} at another element")
            if node.operation in REDUCTIONS:
                return f"LANE(r{node.number})"
        elif node.is_source or (node.stored and not is_root):
            return self._load(node, index)
        if node.operation in VIEWS | {"copy"}:
            return self.value(node.operands[0], self._viewed(node, index))
        if node.operation in REDUCTIONS | {"matmul"}:
            raise MisfitError(f"{node} outside its own step")
        if node.operation in ("take", "concat", "searchsorted"):
            return {"take": self._taken, "concat": self._joined, "searchsorted": self._found}[node.operation](
                node, index
            )
        return self.variable(TYPES[node.dtype], self._expression(node, self._operands(node, index), index))

    def _viewed(self, node: Node, index: tuple[str, ...]) -> tuple[str, ...]:
        """Return the index in the operand of what a view shows at an index."""
        match node.operation:
            case "reshape":
                return self._reshaped(index, node.shape, node.operands[0].shape)
            case "expand_dims":
                (axis,) = node.options
                return index[:axis] + index[axis + 1 :]
            case "matrix_transpose":
                return (*index[:-2], index[-1], index[-2])
            case "slice":
                starts = [start for start, _ in node.options[0]] + [0] * len(index)
                return tuple(f"({i} + {start})" if start else i for i, start in zip(index, starts, strict=False))
        return index

    def _load(self, node: Node, index: tuple[str, ...]) -> str:
        if node.value is not None and node.size == 1:
            return literal(node.value.ravel()[0], node.dtype)
        parts = [reshaped(part) for part in node.operands] if is_vector(node) else [node]
        if not node.is_source and any(p.step is None or p.step >= self.kernel.number for p in parts):
            raise MisfitError(f"{node} before it is computed")
        position = self.linear(index, node.shape)
        self.source.reads.setdefault(node, set()).add(position)
        return self.variable(TYPES[node.dtype], f"{self.source.buffer(node)}[{position}]")

    def _reshaped(self, index: tuple[str, ...], shape: tuple[int, ...], of: tuple[int, ...]) -> tuple[str, ...]:
        if squeezed(shape) == squeezed(of):
            return spread([i for i, n in zip(index, shape, strict=True) if n != 1], of)
        position = self.linear(index, shape)
        return self.unraveled(position if position == "k" else self.variable("int", position), of)

    def _taken(self, node: Node, index: tuple[str, ...]) -> str:
        (x, indices), (axis,) = node.operands, node.options
        stop = axis + len(indices.shape)
        taken = self.value(indices, index[axis:stop])
        row = self.variable("int", f"index_({taken}, {x.shape[axis]})")
        return self.value(x, (*index[:axis], "0" if x.shape[axis] == 1 else row, *index[stop:]))

    def _found(self, node: Node, index: tuple[str, ...]) -> str:
        table, values = node.operands
        if not table.is_source:
            raise MisfitError("a search in computed values")
        is_right = str(node.options[0] == "right").lower()
        value = self.value(values, index)
        return self.variable("int", f"searchsorted_({self.source.buffer(table)}, {table.size}, {value}, {is_right})")

    def _joined(self, node: Node, index: tuple[str, ...]) -> str:
        """Return an element of arrays that are joined: each is read at an index that it has."""
        (axis,), start, values, stops = node.options, 0, [], []
        for part in node.operands:
            n = part.shape[axis]
            inside = "0" if n == 1 else self.variable("int", f"clamp_({index[axis]} - {start}, {n})")
            values.append(self.value(part, (*index[:axis], inside, *index[axis + 1 :])))
            start += n
            stops.append(start)
        return self.variable(TYPES[node.dtype], _chosen(index[axis], stops[:-1], values))

    def _operands(self, node: Node, index: tuple[str, ...]) -> list[str]:
        dtype = node.dtype if node.operation == "where" else next((n.dtype for n in node.nodes), node.dtype)
        values = []
        for operand in node.operands:
            if isinstance(operand, Node):
                inner = index[len(index) - len(operand.shape) :]
                stretched = tuple("0" if n == 1 else i for i, n in zip(inner, operand.shape, strict=True))
                values.append(self.value(operand, stretched))
            else:
                values.append(self._number(operand, dtype))
        return values

    def _number(self, number: Any, dtype: str) -> str:
        if not isinstance(number, Scalar):
            return literal(number, dtype)
        if dtype not in NUMBERS:
            raise MisfitError(f"a number of the step as {dtype}")
        return f"{NUMBERS[dtype]}[{self.source.slot(number.source, dtype)}]"

    def _expression(self, node: Node, values: list[str], index: tuple[str, ...]) -> str:
        operation, kind = node.operation, node.nodes[0].dtype
        if operation == "select":
            return _chosen(index[0], node.options, values)
        if operation == "where":
            return f"{values[0]} ? {values[1]} : {values[2]}"
        if operation == "astype":
            return f"({TYPES[node.dtype]}){values[0]}"
        if operation == "negative":
            return f"-{values[0]}"
        if operation in ("add", "subtract", "multiply") and kind == "int32":  # which wraps
            return f"(int)((unsigned){values[0]} {OPERATORS[operation]} (unsigned){values[1]})"
        if operation in OPERATORS:
            return f"{values[0]} {OPERATORS[operation]} {values[1]}"
        if operation not in FUNCTIONS:
            raise MisfitError(f"the function {operation}")
        return f"{operation}_({', '.join(values)})"


def literal(number: Any, dtype: str) -> str:
    """Return a number of a dtype as C writes it, exactly."""
    if dtype in ("float32", "float64"):
        value = float(np.dtype(dtype).type(number))
        if not math.isfinite(value):
            return "NAN_" if math.isnan(value) else "INF_" if value > 0 else "(-INF_)"
        return f"({value.hex()}{'f' if dtype == 'float32' else ''})"
    return f"((int){int(number) & 0xFFFFFFFF}u)" if dtype == "int32" else f"({int(number)}LL)"


def linear(index: tuple[str, ...], shape: tuple[int, ...]) -> str:
    """Return the position of an index in memory."""
    terms, stride = [], 1
    for i, n in zip(reversed(index), reversed(shape), strict=True):
        if i != "0":
            terms.append(i if stride == 1 else f"{i} * {stride}")
        stride *= n
    return " + ".join(reversed(terms)) or "0"


def unravel(position: str, names: list[tuple[str, int]]) -> str:
    """Return the declarations of named indices, of axes of the given lengths, from a position."""
    digits = zip(names, _digits(position, [n for _, n in names]), strict=True)
    return " ".join(f"const int {name} = {expression};" for (name, _), expression in digits)


def _digits(position: str, shape: Sequence[int]) -> Iterator[str]:
    """Yield the expression of each index of a position in memory."""
    stride = prod(shape)
    for i, n in enumerate(shape):
        stride //= n
        expression = f"({position} / {stride})" if stride > 1 else position
        yield f"{expression} % {n}" if i else expression


def _chosen(index: str, stops: Any, values: list[str]) -> str:
    text = values[-1]
    for stop, value in reversed(list(zip(stops, values, strict=False))):
        text = f"({index} < {stop} ? {value} : {text})"
    return text
