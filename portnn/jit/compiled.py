"""Decides whether a function runs eagerly or as a recorded program, and on which memory."""

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
_logged: set[str] = set()
"""Messages about functions that cannot be recorded; each is logged once."""


class CompiledFunction:
    """A pure function that runs eagerly for arguments of a new signature, and is compiled when the signature recurs.

    The first argument after the static ones is the state: its views are built once. If another thread uses the
    program's memory, the call runs eagerly.
    """

    LIMIT = 8
    """Largest number of programs; later signatures run eagerly: a server's row counts vary without end."""

    def __init__(
        self,
        target: Target,
        xp: Namespace,
        function: Callable[..., Any],
        eagerly: Callable[..., Any],
        static: int,
        double_buffer: bool | None,
    ) -> None:
        """Hold a function to compile, and how it runs eagerly.

        ``xp``: the library's namespace; calls with another namespace are not replayed. ``double_buffer``: True: the
        first result goes to a second buffer, so that an interrupted call changes nothing; False: into the state's
        memory; None: all results are fresh arrays.
        """
        self._target, self._xp, self._function = target, xp, function
        self._eagerly, self._static, self._double_buffer = eagerly, static, double_buffer
        self._lock = threading.Lock()
        self._bound: list[tuple[Any, Callable[..., Any]]] = []
        self._signatures: set[Any] = set()
        self._programs: dict[Any, Executable | None] = {}
        self._state_buffers: tuple[Any, ...] = ()
        self._recent_uses: deque[tuple[int, int]] = deque(maxlen=self.LIMIT)
        self._arena = target.memory(0)

    def __call__(self, *arguments: Any) -> Any:
        if arguments[0] is not self._xp or not self._lock.acquire(False):
            return self._eagerly(*arguments)
        try:
            state, arguments_after = arguments[self._static], arguments[self._static + 1 :]
            for bound_state, run in self._bound:
                if bound_state is state:
                    result = run(*arguments_after)
                    if result is not None:
                        return result
            with self._target.scope():
                result = self._lookup_or_compile(arguments, state, arguments_after)
            return self._eagerly(*arguments) if result is None else result
        finally:
            self._lock.release()

    def _lookup_or_compile(self, arguments: Sequence[Any], state: Any, arguments_after: Sequence[Any]) -> Any:
        """Run the program of a new set of arguments; return None if there is no program, or not yet."""
        program = self._program(arguments, _signature(self._target, (state, arguments_after)))
        is_fresh = self._double_buffer is None
        if program is None or (is_fresh and not self._seen_recently(program, state)):
            return None
        state = state if is_fresh else self._adopt_state(state, program)
        if program.size > len(self._arena):
            self._arena, self._bound = self._target.memory(program.size), []
        state_buffers = self._state_buffers or (state,)
        for state_buffer, next_buffer in zip(state_buffers, (*state_buffers[1:], state_buffers[0]), strict=True):
            run = program.bind(state_buffer, None if is_fresh else next_buffer, self._arena)
            self._bound = [(state_buffer, run), *self._bound][: 2 * self.LIMIT]
        return next(run for state_buffer, run in self._bound if state_buffer is state)(*arguments_after)

    def _program(self, arguments: Sequence[Any], signature: Any) -> Executable | None:
        """Return the program of a recurring signature; None if the function cannot be recorded."""
        if signature in self._programs or signature is None:
            return self._programs.get(signature)
        if len(self._programs) >= self.LIMIT or len(self._signatures) > 8 * self.LIMIT:
            return None
        if signature not in self._signatures:
            self._signatures.add(signature)
            return None
        try:
            static, traced = arguments[: self._static], arguments[self._static :]
            program = Executable(self._target, self._function, static, traced, self._double_buffer)
        except Exception as error:  # whatever a user's layer does that no program can hold
            if isinstance(error, UnrecordedError) and str(error) not in _logged:
                _logged.add(str(error))
                _log.warning("%s: it runs eagerly, more slowly (docs/guides/test-equivalence.md)", error)
            _log.debug("runs eagerly (%s: %s)", type(error).__name__, error)
            program = None
        self._programs[signature] = program
        return program

    def _seen_recently(self, program: Executable, state: Any) -> bool:
        """Return whether the program saw this state recently: views of a state that is dropped at once do not pay."""
        use = id(program), id(state)
        self._recent_uses.append(use)
        return self._recent_uses.count(use) > 1

    def _adopt_state(self, state: Any, program: Executable) -> Any:
        """Return a copy of the state in memory of this function, to which its programs are bound."""
        target = self._target
        if not self._state_buffers:
            is_aligned = all(target.address(array) % CACHE_LINE_BYTES == 0 for array in leaves(state))
            can_share = not self._double_buffer and is_aligned
            first = state if can_share else mapped(lambda array, _: target.aligned(array.shape, array.dtype), state)
            self._state_buffers = (first,)
            if self._double_buffer:  # unchanged parts are shared by both buffers
                new = (
                    target.aligned(a.shape, a.dtype) if i in program.changed else a for i, a in enumerate(leaves(first))
                )
                self._state_buffers = first, mapped(lambda array, _: next(new), first)
        if not any(state_buffer is state for state_buffer in self._state_buffers):
            for array, source in zip(leaves(self._state_buffers[0]), leaves(state), strict=True):
                target.names["copyto"](array, source)
            return self._state_buffers[0]
        return state


def _signature(target: Target, arguments: Any) -> Any:
    """Return the arguments' signature; None if an argument's memory order may affect the result."""
    signature: list[Any] = []
    for leaf in leaves(arguments):
        if type(leaf) is target.array:
            if not target.plain(leaf):
                return None
            signature.append((leaf.shape, leaf.dtype))
        else:
            signature.append((type(leaf).__name__, type(leaf) is float and leaf == 1.0))
    return tuple(signature)
