"""Fusion: the nodes of a recorded graph become steps, matrix products and kernels that compute as much as they can."""

from typing import NamedTuple

import numpy as np

from portnn.jit.cuda.kernels import Kernel
from portnn.jit.cuda.nodes import MisfitError, Node, Nodes, is_vector, locate, reshaped
from portnn.jit.cuda.source import KernelSource, Slots
from portnn.jit.graph import Graph


class Product(NamedTuple):
    """A matrix product: its node, and (node, offset, whether transposed) of the memory of its operands."""

    node: Node
    left: tuple[Node, int, bool]
    right: tuple[Node, int, bool]


class FusedGraph:
    """The steps that compute a graph, in their order. Raises MisfitError for a graph that kernels cannot compute.

    The first ``n_replaced`` results replace the state, the others are returned in new memory at each call.
    """

    def __init__(self, graph: Graph, n_replaced: int) -> None:
        self.nodes = Nodes(graph, n_replaced)
        self.returned = self.nodes.returned
        self.scalars: Slots = {}
        """Slots of the step's numbers, by (expression, dtype), counted for each dtype."""
        self.steps: list[Kernel | Product] = []
        for node in self.nodes.all:
            if node.operation == "matmul":
                node.step = len(self.steps)
                self.steps.append(Product(node, *map(locate, node.operands)))
            elif node.stored and not (node.is_source or is_vector(node)):
                self._place(node)
        self.sources = self._sources()
        """The source of each kernel, by the step's number."""

    def _place(self, node: Node) -> None:
        """Compute a node in the last kernel that can, after all that it reads, or in a new one."""
        first = _last_step(node, set())
        for number in range(len(self.steps) - 1, max(first, 0) - 1, -1):
            kernel = self.steps[number]
            if isinstance(kernel, Kernel) and self._fits(kernel, node) is None:
                return
        self.steps.append(kernel := Kernel(len(self.steps)))
        if error := self._fits(kernel, node):
            raise error

    def _fits(self, kernel: Kernel, node: Node) -> MisfitError | None:
        """Add a node to a kernel, if the kernel's source can then be written; else return the reason."""
        before = kernel.kind, kernel.shape, kernel.axes, kernel.length, list(kernel.roots)
        try:
            kernel.join(node)
            node.step = kernel.number
            KernelSource(kernel, dict(self.scalars), self.returned)
        except MisfitError as error:
            kernel.kind, kernel.shape, kernel.axes, kernel.length, kernel.roots = before
            node.step = None
            return error
        return None

    def _sources(self) -> dict[int, KernelSource]:
        """Return the kernels' sources, which store only the roots that another step, or the caller, reads."""
        read = set(self.nodes.results)
        for step in self.steps:
            if isinstance(step, Product):
                read |= {step.left[0], step.right[0]}
            else:
                read |= set(KernelSource(step, dict(self.scalars), self.returned).reads)
        for vector in [node for node in self.nodes.all if is_vector(node) and node in read]:
            read |= {reshaped(part) for part in vector.operands}
        self.written = read
        kernels = (step for step in self.steps if isinstance(step, Kernel))
        return {kernel.number: KernelSource(kernel, self.scalars, self.returned, read) for kernel in kernels}

    @property
    def stored(self) -> list[Node]:
        """The nodes that have memory of their own: of what a step writes, and of vectors that are joined."""
        computed = [n for n in self.nodes.all if n.operation == "matmul" or is_vector(n) or n in self.written]
        return [n for n in computed if not (n.is_source or n.segment or n in self.returned)]

    def __str__(self) -> str:
        lines = []
        for step in self.steps:
            if isinstance(step, Product):
                lines.append(f"product  {step.node} {step.node.shape} of {step.left[0]}, {step.right[0]}")
                continue
            source = self.sources[step.number]
            written = [root for root in step.roots if root in self.written]
            moved = sum(node.size * np.dtype(node.dtype).itemsize for node in [*source.reads, *written])
            launch = f"{step.blocks} x {step.threads}"
            lines.append(f"{step.kind:<8} {', '.join(map(str, written))} ({launch} threads, {moved / 1e6:.2f} MB)")
        return "\n".join([*lines, f"{len(self.sources)} kernels, {len(self.steps) - len(self.sources)} products"])


def _last_step(node: Node, seen: set[int]) -> int:
    """Return the last step that computes what a node reads; -1 if all of it is there before the first."""
    last = -1
    for operand in node.nodes:
        if operand.number in seen:
            continue
        seen.add(operand.number)
        if is_vector(operand):
            parts = [reshaped(part).step for part in operand.operands]
            last = max([last, *(step for step in parts if step is not None)])
        elif operand.stored:
            last = max(last, -1 if operand.step is None else operand.step)
        else:
            last = max(last, _last_step(operand, seen))
    return last
