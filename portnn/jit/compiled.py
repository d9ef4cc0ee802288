"""When a function runs as itself and when as a recorded program, and on which memory."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from portnn.jit.executable import Executable
from portnn.jit.graph import leaves, mapped
from portnn.jit.targets import CACHE_LINE_BYTES, Target
from portnn.jit.tracer import UnrecordedError
from portnn.types import Namespace

_log = logging.getLogger("portnn")
_said: set[str] = set()
"""What was said of functions that cannot be recorded: once for each."""


class CompiledFunction:
    """A pure function that runs as itself for arguments of a new kind, and as a program when the kind comes again.

    Its first argument after the fixed ones is the state: views of it are made once. A call that finds the program's
    memory in use by another thread runs the function itself.
    """

    LIMIT = 8
    """Programs; later kinds run as the function itself: a server's row counts vary without end."""

    def __init__(
        self,
        dialect: Target,
        xp: Namespace,
        function: Callable[..., Any],
        eagerly: Callable[..., Any],
        static: int,
        double_buffer: bool | None,
    ) -> None:
        """Take a function, and how it is run as itself.

        ``xp``: the library's namespace; calls with another are not replayed. ``double_buffer``: True: the first result
        goes to a second buffer, so that an interrupted call changes nothing; False: into the state's memory; None: the
        first result is a fresh array, as all others are.
        """
        self._dialect, self._xp, self._function = dialect, xp, function
        self._eagerly, self._static, self._turns = eagerly, static, double_buffer
        self._lock = threading.Lock()
        self._bound: list[tuple[Any, Callable[..., Any]]] = []
        self._seen: set[Any] = set()
        self._programs: dict[Any, Executable | None] = {}
        self._state_buffers: tuple[Any, ...] = ()
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
                result = self._lookup_or_compile(arguments, state, rest)
            return self._eagerly(*arguments) if result is None else result
        finally:
            self._lock.release()

    def _lookup_or_compile(self, arguments: Sequence[Any], state: Any, rest: Sequence[Any]) -> Any:
        """Run the program for arguments that no bound one is for; None where there is none, or not yet."""
        program = self._program(arguments, _kind(self._dialect, (state, rest)))
        given = self._turns is None
        if program is None or (given and not self._seen_recently(program, state)):
            return None
        state = state if given else self._adopt_state(state, program)
        if program.size > len(self._arena):
            self._arena, self._bound = self._dialect.memory(program.size), []
        state_buffers = self._state_buffers or (state,)
        for state_buffer, after in zip(state_buffers, (*state_buffers[1:], state_buffers[0]), strict=True):
            run = program.bind(state_buffer, None if given else after, self._arena)
            self._bound = [(state_buffer, run), *self._bound][: 2 * self.LIMIT]
        return next(run for state_buffer, run in self._bound if state_buffer is state)(*rest)

    def _program(self, arguments: Sequence[Any], kind: Any) -> Executable | None:
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
            program = Executable(self._dialect, self._function, fixed, rest, self._turns)
        except Exception as error:  # whatever a part does that no program can hold
            if isinstance(error, UnrecordedError) and str(error) not in _said:
                _said.add(str(error))
                _log.warning("%s: it is computed call by call, more slowly (docs/test-equivalence.md)", error)
            _log.debug("computed call by call (%s: %s)", type(error).__name__, error)
            program = None
        self._programs[kind] = program
        return program

    def _seen_recently(self, program: Executable, state: Any) -> bool:
        """Return whether the program met this state of late: views of one that goes at once would not pay."""
        met = id(program), id(state)
        self._met.append(met)
        return self._met.count(met) > 1

    def _adopt_state(self, state: Any, program: Executable) -> Any:
        """Return the state copied into memory that belongs to this function, to which its programs are bound."""
        dialect = self._dialect
        if not self._state_buffers:
            whole = not self._turns and all(dialect.address(array) % CACHE_LINE_BYTES == 0 for array in leaves(state))
            first = state if whole else mapped(lambda array, _: dialect.aligned(array.shape, array.dtype), state)
            self._state_buffers = (first,)
            if self._turns:  # what the program does not change is the same in both
                new = (
                    dialect.aligned(a.shape, a.dtype) if i in program.changed else a
                    for i, a in enumerate(leaves(first))
                )
                self._state_buffers = first, mapped(lambda array, _: next(new), first)
        if not any(state_buffer is state for state_buffer in self._state_buffers):
            for array, source in zip(leaves(self._state_buffers[0]), leaves(state), strict=True):
                dialect.names["copyto"](array, source)
            return self._state_buffers[0]
        return state


def _kind(dialect: Target, arguments: Any) -> Any:
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
