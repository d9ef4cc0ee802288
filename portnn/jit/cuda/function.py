"""A function that runs as fused programs, from the first call of each signature on, or never."""

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from portnn.jit.cuda.launch import Driver, FusedProgram
from portnn.jit.cuda.rows import Rows, copied
from portnn.jit.graph import leaves, mapped
from portnn.jit.trace import Trace
from portnn.types import Array, Namespace

_log = logging.getLogger("portnn")
_logged: set[str] = set()
"""Reasons for which functions run eagerly; each is logged once."""


class FusedFunction:
    """A pure function of a state, compiled for each signature of its arguments.

    A training step is compiled for all numbers of rows, and overwrites the state. A function that returns no new state
    is compiled for powers of two alone, of which there are few: a server's row counts vary without end.

    Fused sums have other last bits than eager ones. A call is therefore compiled at the first sight of its signature
    (shapes, dtypes, kinds of numbers), so that a resumed training has the bits of an uninterrupted one. A function that
    cannot be traced or fused runs eagerly, always: the reason depends on the function and the signature alone.
    Arguments after the state may have ``Rows`` in the place of arrays.
    """

    def __init__(
        self,
        driver: Driver,
        xp: Namespace,
        constants: Namespace,
        function: Callable[..., Any],
        eagerly: Callable[..., Any],
        static: int,
        in_place: bool = True,
    ) -> None:
        """Hold a function to compile, and how it runs eagerly.

        ``xp``: the library's namespace; calls with another namespace run eagerly. ``constants``: the namespace that
        computes constants on the host. ``static``: number of arguments before the state. ``in_place``: whether the
        first result is a new state, which overwrites the old one.
        """
        self._in_place = in_place
        self._driver, self._xp, self._constants = driver, xp, constants
        self._function, self._eagerly, self._static = function, eagerly, static
        self._lock = threading.Lock()
        self._home: Any = None
        """The state on which all programs work."""
        self.programs: list[FusedProgram] = []
        self._runs: list[Callable[..., Any]] = []
        self._eager: set[Any] = set()
        """Signatures of calls that run eagerly."""
        self._arena: Array | None = None

    def __call__(self, *arguments: Any) -> Any:
        if arguments[0] is not self._xp:
            return self._run_eagerly(arguments)
        state, data = arguments[self._static], arguments[self._static + 1 :]
        if not (self._in_place or self._has_few_sizes(data)):
            return self._run_eagerly(arguments)
        with self._lock, self._driver.scope():
            if self._runs:
                self._adopt(state)
                for run in self._runs:
                    if (result := run(*data)) is not None:
                        return result
            data = tuple(mapped(self._contiguous, argument) for argument in data)
            for run in self._runs:
                if (result := run(*data)) is not None:
                    return result
            if self._compile(arguments[: self._static], state, data):
                self._adopt(state)
                return self._runs[-1](*data)
        return self._run_eagerly(arguments)

    def _has_few_sizes(self, data: Sequence[Any]) -> bool:
        """Return whether the number of rows is a power of two."""
        arrays = (leaf for leaf in leaves(tuple(data)) if isinstance(leaf, self._driver.array) and leaf.ndim)
        rows: int = next((array.shape[0] for array in arrays), 0)
        return rows > 0 and rows & (rows - 1) == 0

    def _run_eagerly(self, arguments: Sequence[Any]) -> Any:
        """Call the function itself, with copies of rows."""
        after = self._static + 1
        return self._eagerly(*arguments[:after], *copied(self._xp, tuple(arguments[after:])))

    def _contiguous(self, leaf: Any, path: str) -> Any:
        return self._driver.contiguous(leaf) if isinstance(leaf, self._driver.array) else leaf

    def _adopt(self, state: Any) -> None:
        """Copy a state to the programs' memory, unless it is there; programs that do not change it go there instead."""
        if state is self._home:
            return
        if self._in_place:
            for source, target in zip(leaves(state), leaves(self._home), strict=True):
                if source is not target:
                    self._driver.copy(source, target)
        else:
            runs = [program.bind(state, self._arena) for program in self.programs]
            self._home, self._runs = state, runs

    def _compile(self, static: Sequence[Any], state: Any, data: Sequence[Any]) -> bool:
        """Append a new program, and what runs it; return False if calls of this signature run eagerly."""
        driver = self._driver
        values = [state, *(argument() if callable(argument) else argument for argument in data)]
        signature = tuple(self._kind(leaf) for value in values for leaf in leaves(value))
        if signature in self._eager:
            return False
        gathered: set[str] = set()

        def example(leaf: Any, path: str) -> Any:
            if type(leaf) is not Rows:
                return leaf
            gathered.add(path)
            return leaf.example

        data = tuple(mapped(example, argument, f"a{i}") for i, argument in enumerate(data))
        try:
            trace = Trace(driver.array, self._constants, self._function, static[1:], (state, *data), self._in_place)
            program = FusedProgram(driver, trace, gathered)
        except Exception as error:  # whatever a user's layer does that no kernel can compute
            self._eager.add(signature)
            reason = f"{_place_of(error)}{type(error).__name__}: {error}"
            if reason not in _logged:
                _logged.add(reason)
                what = "a training step" if self._in_place else "a prediction, evaluation or gradient"
                _log.warning("%s runs eagerly, many times more slowly (%s)", what, reason)
            return False
        if self._home is None:
            self._home = (
                mapped(lambda leaf, _: driver.empty(leaf.shape, str(leaf.dtype)), state) if self._in_place else state
            )
        if self._arena is None or len(self._arena) < program.size:
            self._arena = driver.empty((program.size,), "uint8")
            self._runs = [p.bind(self._home, self._arena) for p in self.programs]
        run = program.bind(self._home, self._arena)
        self.programs.append(program)
        self._runs.append(run)
        return True

    def _kind(self, leaf: Any) -> Any:
        if isinstance(leaf, self._driver.array | Rows):
            return type(leaf).__name__, leaf.shape, str(leaf.dtype)
        return type(leaf).__name__, type(leaf) is float and leaf == 1.0


def _place_of(error: Exception) -> str:
    """Return the function, such as a layer's forward, in which an error was raised; "" if it is one of the tracer's."""
    tracer = str(Path(__file__).parent.parent)
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [code.co_qualname for code in codes if not code.co_filename.startswith(tracer)]
    return f"{names[-1]}, " if names else ""
