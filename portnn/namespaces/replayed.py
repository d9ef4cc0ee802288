"""When a function runs as itself and when as a recorded program, and on which memory."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portnn.namespaces.replay import LINE, Recording, aligned
from portnn.namespaces.tracing import leaves, mapped
from portnn.types import Namespace

_log = logging.getLogger("portnn")


class Replayed:
    """A pure function that runs as itself for arguments of a new kind, and as a program when the kind comes again.

    Its first argument after the fixed ones is the state: views of it are made once. A call that finds the program's
    memory in use by another thread runs the function itself.
    """

    LIMIT = 8
    """Programs; later kinds run as the function itself: a server's row counts vary without end."""

    def __init__(
        self, xp: Namespace, function: Callable[..., Any], eagerly: Callable[..., Any], static: int, place: str
    ) -> None:
        """Take a function, and how it is run as itself.

        ``xp``: NumPy's namespace; no other is replayed. ``place``: where the first result goes: "over" the state, in
        its memory; "after" it, so that a call which is broken off changes nothing; "" as all others to the caller.
        """
        self._xp, self._function, self._eagerly, self._static, self._place = xp, function, eagerly, static, place
        self._lock = threading.Lock()
        self._bound: list[tuple[Any, Callable[..., Any]]] = []
        self._seen: set[Any] = set()
        self._programs: dict[Any, Recording | None] = {}
        self._homes: tuple[Any, ...] = ()
        self._met: deque[tuple[int, int]] = deque(maxlen=self.LIMIT)
        self._arena = aligned((0,), np.uint8)

    def __call__(self, *arguments: Any) -> Any:
        if arguments[0] is not self._xp or not self._lock.acquire(blocking=False):
            return self._eagerly(*arguments)
        try:
            state, rest = arguments[self._static], arguments[self._static + 1 :]
            for known, run in self._bound:
                if known is state:
                    result = run(*rest)
                    if result is not None:
                        return result
            result = self._bound_anew(arguments, state, rest)
            return self._eagerly(*arguments) if result is None else result
        finally:
            self._lock.release()

    def _bound_anew(self, arguments: Sequence[Any], state: Any, rest: Sequence[Any]) -> Any:
        """Run the program for arguments that no bound one is for; None where there is none, or not yet."""
        program = self._program(arguments, _kind((state, rest)))
        if program is None or not (self._place or self._met_before(program, state)):
            return None
        state = self._home(state, program) if self._place else state
        if program.size > self._arena.size:
            self._arena, self._bound = aligned((program.size,), np.uint8), []
        homes = self._homes or (state,)
        for home, after in zip(homes, (*homes[1:], homes[0]), strict=True):
            run = program.bind(home, after if self._place else None, self._arena)
            self._bound = [(home, run), *self._bound][: 2 * self.LIMIT]
        return next(run for home, run in self._bound if home is state)(*rest)

    def _program(self, arguments: Sequence[Any], kind: Any) -> Recording | None:
        """Return the program for arguments of a kind that was seen before; None where there cannot be one."""
        if kind in self._programs or kind is None:
            return self._programs.get(kind)
        if len(self._programs) >= self.LIMIT or len(self._seen) > 8 * self.LIMIT:
            return None
        if kind not in self._seen:
            self._seen.add(kind)
            return None
        turns = self._place == "after" if self._place else None
        try:
            program = Recording(self._function, arguments[: self._static], arguments[self._static :], turns)
        except Exception as error:  # whatever a part does that no program can hold
            _log.debug("numpy: computed call by call (%s: %s)", type(error).__name__, error)
            program = None
        self._programs[kind] = program
        return program

    def _met_before(self, program: Recording, state: Any) -> bool:
        """Return whether the program met this state of late: views of one that goes at once would not pay."""
        met = id(program), id(state)
        self._met.append(met)
        return self._met.count(met) > 1

    def _home(self, state: Any, program: Recording) -> Any:
        """Return the state in memory of its own, to which programs are bound; the given one is consumed."""
        if not self._homes:
            turns = self._place == "after"
            whole = not turns and all(array.ctypes.data % LINE == 0 for array in leaves(state))
            first = state if whole else mapped(lambda array, _: aligned(array.shape, array.dtype), state)
            self._homes = (first,)
            if turns:  # what the program does not change is the same in both
                new = (aligned(a.shape, a.dtype) if i in program.changed else a for i, a in enumerate(leaves(first)))
                self._homes = first, mapped(lambda array, _: next(new), first)
        if not any(home is state for home in self._homes):
            for array, source in zip(leaves(self._homes[0]), leaves(state), strict=True):
                np.copyto(array, source)
            return self._homes[0]
        return state


def _kind(arguments: Any) -> Any:
    """Return what a program depends on in its arguments; None if NumPy's own order of an argument may show in sums."""
    kinds: list[Any] = []
    for leaf in leaves(arguments):
        if type(leaf) is np.ndarray:
            if not (leaf.flags.c_contiguous and leaf.dtype.isnative):
                return None
            kinds.append((leaf.shape, leaf.dtype.str))
        else:
            kinds.append((type(leaf).__name__, type(leaf) is float and leaf == 1.0))
    return tuple(kinds)
