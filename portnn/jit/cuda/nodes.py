"""A recorded graph as nodes: equal operations merged, optimizer kernels unfolded, stored values marked."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from portnn.jit.graph import VIEWS, Graph, SymbolicScalar, TracedArray

REDUCTIONS = frozenset({"sum", "max", "min", "partial"})
COSTLY = frozenset({"sqrt", "divide", "exp", "expm1", "log", "log1p", "tanh", "cos"})
"""Operations that are not repeated for each element of a row that reads their result."""
LARGE = 32_768
"""Elements beyond which a reduction of a whole array takes two kernels."""
PART = 4096
"""Least elements of one part of such a reduction."""
PARTS = 256


class MisfitError(Exception):
    """A kernel cannot compute this value, or no kernel can."""


class Scalar(NamedTuple):
    """A number that each call brings, by its expression."""

    source: str


class Node:
    """One operation on nodes and numbers."""

    def __init__(
        self, number: int, operation: str, operands: Sequence[Any], options: Any, shape: Sequence[int], dtype: str
    ) -> None:
        self.number, self.operation, self.operands, self.options = number, operation, list(operands), options
        self.shape, self.dtype = tuple(shape), dtype
        self.value: np.ndarray | None = None
        """Of a constant."""
        self.stored = False
        """Whether a step computes the node into memory; all others are computed where they are read."""
        self.segment: tuple[Node, int] | None = None
        """The vector, and the offset, in which the node lies as a part of a concatenation."""
        self.step: int | None = None
        """Number of the step that computes the node."""

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nodes(self) -> "list[Node]":
        """The operands that are nodes."""
        return [operand for operand in self.operands if isinstance(operand, Node)]

    @property
    def is_source(self) -> bool:
        """Whether the node lies in memory before the first step."""
        return self.operation in ("input", "constant")

    def __repr__(self) -> str:
        return f"{self.operation}{self.number}"


class Nodes:
    """The nodes of a graph, each after its operands."""

    def __init__(self, graph: Graph, n_replaced: int) -> None:
        """Take a graph, whose results after the first ``n_replaced`` are returned in new memory at each call."""
        self.all: list[Node] = []
        self._merged: dict[Any, Node] = {}
        self._by_line: dict[int, Any] = {}
        """By identity of the traced array; of a kernel line its results, for each parameter group."""
        self._add_graph(graph)
        self.results = [self.of(line) for line in graph.results]
        self._split_large_reductions()
        self.results = [self._copy(n) if n.operation in VIEWS or n.is_source else n for n in self.results]
        returned = [self._copy(n) if n.operation in ("matmul", "concat") else n for n in self.results[n_replaced:]]
        self.results, self.returned = self.results[:n_replaced] + returned, returned
        self._drop_unused()
        self._mark_stored()

    def of(self, line: TracedArray) -> Node:
        """Return the node of a line."""
        node: Node = self._by_line[id(line)]
        return node

    def _add(self, operation: str, operands: Sequence[Any], options: Any, shape: Sequence[int], dtype: str) -> Node:
        """Return the node of an operation; equal operations have one node."""
        keys = tuple(a.number if isinstance(a, Node) else repr(a) for a in operands)
        key = operation, keys, repr(options), tuple(shape), dtype
        if key not in self._merged:
            self._merged[key] = Node(len(self.all), operation, operands, options, shape, dtype)
            self.all.append(self._merged[key])
        return self._merged[key]

    def _add_graph(self, graph: Graph) -> None:
        for line in graph.lines:
            if id(line) in self._by_line:  # an input of an unfolded kernel
                continue
            operands = [self._operand(operand) for operand in line.operands]
            if line.operation == "kernel":
                self._by_line[id(line)] = self._unfold(line, operands)
            elif line.operation == "result":
                groups, (i,) = self._by_line[id(line.operands[0])], line.options
                parts, stops = [results[i] for _, results in groups], [stop for stop, _ in groups[:-1]]
                same = all(part is parts[0] for part in parts)
                self._by_line[id(line)] = (
                    parts[0] if same else self._add("select", parts, tuple(stops), line.shape, parts[0].dtype)
                )
            elif line.operation in ("input", "constant"):
                node = self._add(line.operation, [], len(self.all), line.shape, np.dtype(line.dtype).name)
                node.value = np.ascontiguousarray(line.options[0]) if line.operation == "constant" else None
                self._by_line[id(line)] = node
            else:
                dtype = np.dtype(line.dtype).name
                self._by_line[id(line)] = self._add(line.operation, operands, line.options, line.shape, dtype)

    def _operand(self, operand: Any) -> Any:
        if isinstance(operand, TracedArray):
            return self._by_line[id(operand)]
        return Scalar(operand.source) if isinstance(operand, SymbolicScalar) else operand

    def _unfold(self, line: TracedArray, operands: list[Node]) -> list[tuple[int, list[Node]]]:
        """Return (end offset, results) of each parameter group of a kernel, its operations on the whole vectors."""
        vectors, scalars = [n for n in operands if n.shape], [n for n in operands if not n.shape]
        groups = []
        for stop, graph in line.options:
            inputs = [inner for inner in graph.lines if inner.operation == "input"]
            for inner, node in zip(inputs, [*vectors, *scalars], strict=True):
                self._by_line[id(inner)] = node
            self._add_graph(graph)
            groups.append((stop, [self.of(result) for result in graph.results]))
        return groups

    def _split_large_reductions(self) -> None:
        """Reduce a large array to one number in two steps: parts of a fixed length, then their results."""
        for node in [n for n in self.all if n.operation in REDUCTIONS and n.size == 1]:
            (x,) = node.operands
            if x.size > LARGE:
                length = -(-x.size // min(PARTS, -(-x.size // PART)))
                part = Node(0, "partial", [x], (node.operation, length), (-(-x.size // length),), node.dtype)
                node.operands, node.options = [self._insert(part, node)], (None, False)

    def _copy(self, node: Node, before: Node | None = None) -> Node:
        """Add a node that copies another one."""
        return self._insert(Node(0, "copy", [node], (), node.shape, node.dtype), before)

    def _insert(self, node: Node, before: Node | None) -> Node:
        node.number = max(n.number for n in self.all) + 1
        self.all.insert(len(self.all) if before is None else self.all.index(before), node)
        return node

    def _drop_unused(self) -> None:
        used: set[int] = set()
        stack = list(self.results)
        while stack:
            node = stack.pop()
            if node.number not in used:
                used.add(node.number)
                stack += node.nodes
        self.all = [node for node in self.all if node.number in used]

    def _mark_stored(self) -> None:
        """Mark results, products with their operands, reductions, parts of vectors, and costly numbers of a row."""
        for node in self.all:
            node.stored = node.operation in REDUCTIONS | {"matmul"} or is_vector(node) or node in self.results
        for node in [n for n in self.all if n.operation == "matmul"]:
            for i, operand in enumerate(node.operands):
                try:
                    base = locate(operand)[0]
                except MisfitError:
                    node.operands[i] = base = self._copy(operand, node)
                base.stored = not base.is_source
        reduced: set[int] = set()
        for node in self.all:
            if node.operation in REDUCTIONS or (not node.stored and any(n.number in reduced for n in node.nodes)):
                reduced.add(node.number)
            if node.operation not in VIEWS | REDUCTIONS:
                for base in map(reshaped, node.nodes):
                    stretched = 1 < base.size < node.size
                    base.stored |= stretched and base.number in reduced and base.operation in COSTLY
        for node in [n for n in self.all if is_vector(n)]:
            self._place_parts(node)

    def _place_parts(self, vector: Node) -> None:
        """Compute the parts of a concatenation in their places; copy those that must lie elsewhere too."""
        start = 0
        for i, operand in enumerate(vector.operands):
            part = reshaped(operand)
            is_placed = part.segment is not None or part in self.results or is_vector(part) or part.is_source
            if is_placed or part.operation in VIEWS or not part.shape:
                vector.operands[i] = part = self._copy(operand, vector)
            part.stored, part.segment = True, (vector, start)
            start += part.size


def is_vector(node: Node) -> bool:
    """Return whether a node is a concatenation of vectors, whose parts are computed in their places."""
    return node.operation == "concat" and len(node.shape) == 1


def reshaped(node: Node) -> Node:
    """Return the node whose elements, all of them in their order, a view shows."""
    while node.operation in ("reshape", "expand_dims"):
        node = node.operands[0]
    return node


def locate(node: Node) -> tuple[Node, int, bool]:
    """Return (node, offset, whether transposed) of the memory of a contiguous view. Raises MisfitError for others."""
    if node.operation not in VIEWS:
        return node, 0, False
    base, offset, transposed = locate(node.operands[0])
    if node.operation == "matrix_transpose":
        return base, offset, not transposed
    if transposed:
        raise MisfitError("a view of a transposed array")
    if node.operation == "slice":
        shape = node.operands[0].shape
        (start, _), *others = node.options[0]
        if any(bounds != (0, n) for bounds, n in zip(others, shape[1:], strict=False)):
            raise MisfitError("a slice with gaps")
        offset += start * prod(shape[1:])
    return base, offset, transposed
