"""When a function runs as itself and when as a recorded program, and on which memory."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from portnn.jit.dialects import LINE, Dialect
from portnn.jit.program import leaves, mapped
from portnn.jit.recording import Recording
from portnn.jit.tracing import UnrecordedError
from portnn.types import Namespace

_log = logging.getLogger("portnn")
_said: set[str] = set()
"""What was said of functions that cannot be recorded: once for each."""


class Replayed:
    """A pure function that runs as itself for arguments of a new kind, and as a program when the kind comes again.

    Its first argument after the fixed ones is the state: views of it are made once. A call that finds the program's
    memory in use by another thread runs the function itself.
    """

    LIMIT = 8
    """Programs; later kinds run as the function itself: a server's row counts vary without end."""

    def __init__(
        self,
        dialect: Dialect,
        xp: Namespace,
        function: Callable[..., Any],
        eagerly: Callable[..., Any],
        static: int,
        turns: bool | None,
    ) -> None:
        """Take a function, and how it is run as itself.

        ``xp``: the library's namespace; no other is replayed. ``turns``: whether the first result goes beside the
        state, so that a call which is broken off changes nothing, or over it, in its memory; None: as all others to
        the caller.
        """
        self._dialect, self._xp, self._function = dialect, xp, function
        self._eagerly, self._static, self._turns = eagerly, static, turns
        self._lock = threading.Lock()
        self._bound: list[tuple[Any, Callable[..., Any]]] = []
        self._seen: set[Any] = set()
        self._programs: dict[Any, Recording | None] = {}
        self._homes: tuple[Any, ...] = ()
        self._met: deque[tuple[int, int]] = deque(maxlen=self.LIMIT)
        self._arena = dialect.memory(0)

    def __call__(self, *arguments: Any) -> Any:
        if arguments[0] is not self._xp or not self._lock.acquire(False):
            return self._eagerly(*arguments)
        try:
            state, rest = arguments[self._static], arguments[self._static + 1 :]
            for known, run in self._bound:
                if known is state:
                    result = run(*rest)
                    if result is not None:
                        return result
            with self._dialect.scope():
                result = self._bound_anew(arguments, state, rest)
            return self._eagerly(*arguments) if result is None else result
        finally:
            self._lock.release()

    def _bound_anew(self, arguments: Sequence[Any], state: Any, rest: Sequence[Any]) -> Any:
        """Run the program for arguments that no bound one is for; None where there is none, or not yet."""
        program = self._program(arguments, _kind(self._dialect, (state, rest)))
        given = self._turns is None
        if program is None or (given and not self._met_before(program, state)):
            return None
        state = state if given else self._home(state, program)
        if program.size > len(self._arena):
            self._arena, self._bound = self._dialect.memory(program.size), []
        homes = self._homes or (state,)
        for home, after in zip(homes, (*homes[1:], homes[0]), strict=True):
            run = program.bind(home, None if given else after, self._arena)
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
        try:
            fixed, rest = arguments[: self._static], arguments[self._static :]
            program = Recording(self._dialect, self._function, fixed, rest, self._turns)
        except Exception as error:  # whatever a part does that no program can hold
            if isinstance(error, UnrecordedError) and str(error) not in _said:
                _said.add(str(error))
                _log.warning("%s: it is computed call by call, more slowly (docs/test-equivalence.md)", error)
            _log.debug("computed call by call (%s: %s)", type(error).__name__, error)
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
        dialect = self._dialect
        if not self._homes:
            whole = not self._turns and all(dialect.address(array) % LINE == 0 for array in leaves(state))
            first = state if whole else mapped(lambda array, _: dialect.aligned(array.shape, array.dtype), state)
            self._homes = (first,)
            if self._turns:  # what the program does not change is the same in both
                new = (
                    dialect.aligned(a.shape, a.dtype) if i in program.changed else a
                    for i, a in enumerate(leaves(first))
                )
                self._homes = first, mapped(lambda array, _: next(new), first)
        if not any(home is state for home in self._homes):
            for array, source in zip(leaves(self._homes[0]), leaves(state), strict=True):
                dialect.names["copyto"](array, source)
            return self._homes[0]
        return state


def _kind(dialect: Dialect, arguments: Any) -> Any:
    """Return what a program depends on in its arguments; None if the order of an argument in memory may show."""
    kinds: list[Any] = []
    for leaf in leaves(arguments):
        if type(leaf) is dialect.array:
            if not dialect.plain(leaf):
                return None
            kinds.append((leaf.shape, leaf.dtype))
        else:
            kinds.append((type(leaf).__name__, type(leaf) is float and leaf == 1.0))
    return tuple(kinds)
