"""Plans the memory of a recorded program, so that it needs little and stays in cache.

A slot is the memory of a result until it is read for the last time; slots that are in use at different times lie in the
same place. An element-wise result takes the slot of an operand that dies with it. The parts of a concatenation are
computed in place. A result that replaces an input is computed in that input's memory after the input's last read.
"""

from bisect import insort
from collections.abc import Sequence
from math import prod
from typing import Any

from portnn.jit.graph import GATHERS, VIEWS, Graph, TracedArray
from portnn.jit.targets import CACHE_LINE_BYTES, Target
from portnn.ops import ELEMENTWISE

ALLOCATING_OPS = GATHERS | {"where"}
"""Operations whose result is a new array."""
UNPLANNED_OPS = VIEWS | ALLOCATING_OPS | {"input", "constant", "kernel"}
"""Operations whose results need no planned memory."""


def root(line: TracedArray) -> TracedArray:
    """Return the line whose memory a view shares."""
    return root(line.operands[0]) if line.operation in VIEWS else line


def results_of(kernel: TracedArray, program: Graph) -> list[TracedArray]:
    """Return the lines of a kernel's results; none for other lines."""
    if kernel.operation != "kernel":
        return []
    return [a for a in program.lines if a.operation == "result" and a.operands[0] is kernel]


class Plan:
    """The memory of each line's result.

    By line number: ("output", i): the memory of result i; ("segment", n, start): within line n; ("slot", i): a slot of
    the plan; none: a new array.
    """

    def __init__(self, target: Target, program: Graph, donated: dict[int, int], block: int = 0) -> None:
        """Plan the memory of a program.

        ``donated``: for result i, the line number of the input whose buffer the result overwrites, or -1 for a separate
        buffer. ``block``: a fixed size of each slot in bytes, or 0.
        """
        self.target, self.program, self.donated, self._block = target, program, donated, block
        self.last_use: dict[int, int] = {}
        for line in program.lines:
            self.last_use[line.line] = line.line
            self.last_use |= {root(operand).line: line.line for operand in line.arrays}
        self._results = {result.line for result in program.results}
        self.last_use |= {root(result).line: len(program.lines) for result in program.results}
        self.locations: dict[int, tuple[Any, ...]] = {}
        for number in donated:
            self._assign_output(number)
        for line in program.lines:
            if line.operation == "concat" and line.options[0] == 0 and line.line not in self._results:
                self._place_concat_inputs(line)
        self.slots: list[int] = []
        """Bytes of each slot."""
        self._lives: dict[int, tuple[int, int]] = {}
        """Numbers of the lines between which each slot is in use."""
        self._allocate()
        self.starts, self.size = placed(self.slots, [self._lives[slot] for slot in range(len(self.slots))])
        """Where each slot begins in one piece of memory, and the bytes of that."""

    def _assign_output(self, number: int) -> None:
        """Assign a result, and the values it is computed from in place, the memory in which it must end."""
        line, overwritten = self.program.results[number], self.donated[number]
        last_read = self.last_use.get(overwritten, -1)
        if line.operation == "result":
            self.locations[line.line] = "output", number
            return
        while line.operation in ELEMENTWISE and line.line not in self.locations and line.line >= last_read:
            self.locations[line.line] = "output", number
            dying = (a for a in line.arrays if self.last_use[a.line] == line.line and a.line not in self._results)
            line = next((a for a in dying if (a.shape, a.dtype) == (line.shape, line.dtype)), line)

    def _place_concat_inputs(self, line: TracedArray) -> None:
        """Assign the parts of a concatenation their segments of its memory."""
        start = 0
        for part in line.operands:
            source = root(part)
            fits = source.shape and prod(source.shape) == prod(part.shape) and source.line not in self.locations
            fits = fits and source.operation not in UNPLANNED_OPS | {"concat", "result"}
            if source.operation in self.target.alignment_sensitive_ops:
                fits = fits and start * self.target.itemsize(line.dtype) % CACHE_LINE_BYTES == 0
            if fits and source.line not in self._results:
                self.locations[source.line] = "segment", line.line, start
                self.last_use[line.line] = max(self.last_use[line.line], self.last_use[source.line])
            start += prod(part.shape)

    def _allocate(self) -> None:
        free: list[int] = []
        dying: dict[int, list[int]] = {}
        for line in self.program.lines:
            for result in results_of(line, self.program) or [line]:
                location = self.locations.get(result.line)
                owner = self.program.lines[location[1]] if location and location[0] == "segment" else result
                if owner.line in self.locations or owner.operation in UNPLANNED_OPS or not owner.shape:
                    continue
                if owner.line in self._results and owner.operation != "result" and not self._block:
                    continue  # a new array, which the caller keeps
                slot = self._reuse_operand(result, dying) if owner is result else None
                slot = self._take_slot(free if self._block else [], owner) if slot is None else slot
                self.locations[owner.line] = "slot", slot
                last = self.last_use[owner.line]
                dying.setdefault(last, []).append(slot)
                self._lives[slot] = self._lives.get(slot, (line.line,))[0], last
            free += dying.pop(line.line, [])

    def _reuse_operand(self, line: TracedArray, dying: dict[int, list[int]]) -> int | None:
        """Return the slot of an operand that is not read after this line."""
        for a in line.arrays if line.operation in ELEMENTWISE else ():
            location = self.locations.get(a.line, ("",))
            fits = (a.shape, a.dtype) == (line.shape, line.dtype) and self.last_use[a.line] == line.line
            if fits and location[0] == "slot" and location[1] in dying.get(line.line, ()):
                dying[line.line].remove(location[1])
                return int(location[1])
        return None

    def _take_slot(self, free: list[int], line: TracedArray) -> int:
        """Return the most recently freed slot that fits, or a new one."""
        size = self._block or prod(line.shape) * self.target.itemsize(line.dtype)
        for slot in reversed(free):
            if size <= self.slots[slot] <= 2 * size:
                free.remove(slot)
                return slot
        self.slots.append(size)
        return len(self.slots) - 1


def placed(sizes: Sequence[int], lives: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """Return where pieces of memory lie that are in use from one line to another, and the bytes of all.

    The largest are placed first, each in the lowest gap between those that are in use at the same time (Pisarchyk and
    Lee 2020, "Efficient memory management for deep neural net inference", algorithm 3). Pieces begin at a cache line.
    """
    starts = [0] * len(sizes)
    done: list[tuple[int, int, int]] = []
    """(start, end, piece) of those that have a place, in order."""
    for piece in sorted(range(len(sizes)), key=lambda i: (-sizes[i], lives[i])):
        first, last = lives[piece]
        size = -(-sizes[piece] // CACHE_LINE_BYTES) * CACHE_LINE_BYTES
        start = 0
        for begin, end, other in done:
            if lives[other][0] <= last and first <= lives[other][1]:
                if start + size <= begin:
                    break
                start = max(start, end)
        starts[piece] = start
        insort(done, (start, start + size, piece))
    return starts, max((end for _, end, _ in done), default=0)
