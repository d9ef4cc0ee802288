"""Which memory the lines of a recorded program may use, so that little of it is needed and much of it stays in cache.

Memory is used again as soon as nobody reads it any more (Aho et al., Compilers, 2nd ed., section 8.8); an element-wise
result takes that of an operand which dies with it; the pieces of a vector are computed in their places; what replaces
an input is computed in that input's memory, as soon as it was read for the last time.
"""

from math import prod
from typing import Any

from portnn.jit.graph import GATHERS, VIEWS, Graph, TracedArray
from portnn.jit.targets import CACHE_LINE_BYTES, Target
from portnn.ops import ELEMENTWISE

ALLOCATING_OPS = GATHERS | {"where"}
"""Operations whose result is an array of its own."""
UNPLANNED_OPS = VIEWS | ALLOCATING_OPS | {"input", "constant", "kernel"}
"""Operations whose results need no memory of the plan."""


def root(line: TracedArray) -> TracedArray:
    """Return the line whose memory a view shows."""
    return root(line.operands[0]) if line.operation in VIEWS else line


def results_of(kernel: TracedArray, program: Graph) -> list[TracedArray]:
    """Return the lines that are the results of a kernel; none for any other line."""
    if kernel.operation != "kernel":
        return []
    return [a for a in program.lines if a.operation == "result" and a.operands[0] is kernel]


class Plan:
    """Where the result of each line lies.

    By its number: ("target", i), the memory that result i is to end in; ("piece", n, start), within line n;
    ("slot", i), a slot of the plan; none, an array of its own.
    """

    def __init__(self, dialect: Target, program: Graph, targets: dict[int, int], block: int = 0) -> None:
        """Plan the memory of a program.

        ``targets``: for result i, the line number of the input whose buffer the result overwrites, or -1 for a separate
        buffer. ``block``: a fixed size of each slot in bytes, or 0.
        """
        self.dialect, self.program, self.targets, self._block = dialect, program, targets, block
        self.last: dict[int, int] = {}
        for line in program.lines:
            self.last[line.line] = line.line
            self.last |= {root(operand).line: line.line for operand in line.arrays}
        self._results = {result.line for result in program.results}
        self.last |= {root(result).line: len(program.lines) for result in program.results}
        self.places: dict[int, tuple[Any, ...]] = {}
        for number in targets:
            self._assign_output(number)
        for line in program.lines:
            if line.operation == "concat" and len(line.shape) == 1 and line.line not in self._results:
                self._place_concat_inputs(line)
        self.slots: list[int] = []
        """Bytes of each."""
        self._allocate()

    def _assign_output(self, number: int) -> None:
        """Give a result, and what it is made of step by step, the memory that it is to end in."""
        line, target = self.program.results[number], self.targets[number]
        free = self.last.get(target, -1)
        if line.operation == "result":
            self.places[line.line] = "target", number
            return
        while line.operation in ELEMENTWISE and line.line not in self.places and line.line >= free:
            self.places[line.line] = "target", number
            dying = (a for a in line.arrays if self.last[a.line] == line.line and a.line not in self._results)
            line = next((a for a in dying if (a.shape, a.dtype) == (line.shape, line.dtype)), line)

    def _place_concat_inputs(self, line: TracedArray) -> None:
        """Let the pieces of a vector be computed in their places."""
        start = 0
        for piece in line.operands:
            made = root(piece)
            whole = made.shape and prod(made.shape) == piece.shape[0] and made.line not in self.places
            if made.operation in self.dialect.alignment_sensitive_ops:
                whole = whole and start * self.dialect.itemsize(line.dtype) % CACHE_LINE_BYTES == 0
            if whole and made.operation not in UNPLANNED_OPS | {"concat", "result"} and made.line not in self._results:
                self.places[made.line] = "piece", line.line, start
                self.last[line.line] = max(self.last[line.line], self.last[made.line])
            start += piece.shape[0]

    def _allocate(self) -> None:
        free: list[int] = []
        dying: dict[int, list[int]] = {}
        for line in self.program.lines:
            for each in results_of(line, self.program) or [line]:
                place = self.places.get(each.line)
                owner = self.program.lines[place[1]] if place and place[0] == "piece" else each
                if owner.line in self.places or owner.operation in UNPLANNED_OPS or not owner.shape:
                    continue
                if owner.line in self._results and owner.operation != "result" and not self._block:
                    continue  # an array of its own: the caller keeps it
                slot = self._reuse_operand(each, dying) if owner is each else None
                slot = self._taken(free, owner) if slot is None else slot
                self.places[owner.line] = "slot", slot
                dying.setdefault(self.last[owner.line], []).append(slot)
            free += dying.pop(line.line, [])

    def _reuse_operand(self, line: TracedArray, dying: dict[int, list[int]]) -> int | None:
        """Return the slot of an operand that no one reads after this line."""
        for a in line.arrays if line.operation in ELEMENTWISE else ():
            place = self.places.get(a.line, ("",))
            same = (a.shape, a.dtype) == (line.shape, line.dtype) and self.last[a.line] == line.line
            if same and place[0] == "slot" and place[1] in dying.get(line.line, ()):
                dying[line.line].remove(place[1])
                return int(place[1])
        return None

    def _taken(self, free: list[int], line: TracedArray) -> int:
        """Return the slot that became free last among those that fit, or a new one."""
        size = self._block or prod(line.shape) * self.dialect.itemsize(line.dtype)
        for slot in reversed(free):
            if size <= self.slots[slot] <= 2 * size:
                free.remove(slot)
                return slot
        self.slots.append(size)
        return len(self.slots) - 1
