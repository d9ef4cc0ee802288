"""A group of nodes that one kernel computes: over which elements, with which threads, in how many passes."""

from math import prod

from portnn.jit.cuda.nodes import REDUCTIONS, MisfitError, Node

WARP = 32
MAP_BLOCKS = 2112
"""Blocks of an element-wise kernel: 16 for each of 132 multiprocessors; each thread then takes several elements."""
LIMIT = 2**30
"""Elements from which indices of 32 bits might not do."""


class Kernel:
    """Nodes that are computed together, over the elements of one shape.

    kind "map": elements, independent of each other. "row", "column": reductions over ``axes`` of the shape, the last
    one included or not, a block each or 32 of them a block. "full": of everything, in one block. "partial": of parts of
    a given length, a block each. Element-wise nodes of the shape, or of a reduction's result, may join any of these.
    """

    def __init__(self, number: int) -> None:
        self.number, self.kind = number, ""
        self.shape: tuple[int, ...] = ()
        """Of the elements, without axes of length 1."""
        self.axes: tuple[int, ...] = ()
        self.length = 0
        """Elements of a part."""
        self.roots: list[Node] = []

    def join(self, node: Node) -> None:
        """Add a node. Raises MisfitError if its elements are not those of the kernel."""
        kind, shape = "map", squeezed(node.shape)
        axes: tuple[int, ...] = ()
        if node.operation == "partial":
            kind, shape, self.length = "partial", (node.operands[0].size,), node.options[1]
        elif node.operation in REDUCTIONS:
            kind, shape, axes = _reduction(node)
        if max(prod(shape), node.size) >= LIMIT:
            raise MisfitError(f"an array of {prod(shape)} elements")
        if not self.kind:
            self.kind, self.shape, self.axes = kind, shape, axes
        elif kind == "map":
            is_element = shape == self.shape and self.kind in ("map", "row", "column")
            is_result = prod(shape) == self.n_results and self.kind in ("row", "column", "full")
            if not (is_element or is_result):
                raise MisfitError("elements of another shape")
        elif shape == self.shape and self.kind == "map" and kind in ("row", "column"):
            self.kind, self.axes = kind, axes
        elif (kind, shape, axes) != (self.kind, self.shape, self.axes):
            raise MisfitError("a reduction of another shape, or over other axes")
        self.roots.append(node)

    @property
    def n_results(self) -> int:
        """Number of results of each reduction."""
        if self.kind == "partial":
            return -(-self.shape[0] // self.length)
        return prod(n for i, n in enumerate(self.shape) if i not in self.axes)

    @property
    def n_reduced(self) -> int:
        """Number of elements that are reduced to one result."""
        return self.length if self.kind == "partial" else prod(n for i, n in enumerate(self.shape) if i in self.axes)

    @property
    def threads(self) -> int:
        """Threads of a block, a multiple of 32."""
        if self.kind == "column":
            return WARP * (16 if self.n_reduced >= 64 else 4)
        if self.kind in ("full", "partial"):
            return min(1024 if self.kind == "full" else 256, -(-self.n_reduced // WARP) * WARP)
        return (
            32 if self.kind == "row" and self.n_reduced <= 64 else 128 if self.n_reduced <= 512 and self.axes else 256
        )

    @property
    def blocks(self) -> int:
        if self.kind == "map":
            return max(1, min(-(-prod(self.shape) // self.threads), MAP_BLOCKS))
        return -(-self.n_results // WARP) if self.kind == "column" else self.n_results

    def covers(self, node: Node) -> bool:
        """Return whether an element-wise node has a value for each element, not one for each result."""
        return self.kind == "map" or (self.kind in ("row", "column") and squeezed(node.shape) == self.shape)

    def index(self, node: Node) -> tuple[str, ...]:
        """Return the indices at which the kernel's threads compute a root."""
        results, shape = [f"o{i}" for i in range(len(self.shape)) if i not in self.axes], squeezed(node.shape)
        if node.operation not in REDUCTIONS and self.covers(node):
            names = self.element_index()
        elif shape == tuple(n for i, n in enumerate(self.shape) if i not in self.axes) and self.kind != "partial":
            names = results
        elif len(shape) <= 1:
            names = ["o"] * len(shape)
        else:
            raise MisfitError("results of another shape")
        return spread(names, node.shape)

    def element_index(self) -> list[str]:
        """Return the indices of an element: k of what a thread goes through, o of what is given by the result."""
        return [f"k{i}" if self.kind == "map" or i in self.axes else f"o{i}" for i in range(len(self.shape))]

    def levels(self) -> dict[int, int]:
        """Return the pass in which each root is known, by number: a reduction after those that it reads."""
        known: dict[int, int] = {}

        def level(node: Node) -> int:
            if node.number not in known:
                is_memory = node.is_source or (node.stored and node not in self.roots)
                below = 0 if is_memory else max(map(level, node.nodes), default=0)
                known[node.number] = below + (node in self.roots and node.operation in REDUCTIONS)
            return known[node.number]

        return {root.number: level(root) for root in self.roots}


def _reduction(node: Node) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    (axis, _), shape = node.options, node.operands[0].shape
    given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = {a % len(shape) for a in given} if shape else set()
    kept = [i for i, n in enumerate(shape) if n != 1]
    axes = tuple(j for j, i in enumerate(kept) if i in reduced)
    kind = "full" if len(axes) == len(kept) else "row" if len(kept) - 1 in axes else "column"
    return kind, squeezed(shape), axes


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of length 1."""
    return tuple(n for n in shape if n != 1)


def spread(names: list[str], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return an index of the shape: the names for its axes, "0" for those of length 1."""
    rest = iter(names)
    return tuple("0" if n == 1 else next(rest) for n in shape)
