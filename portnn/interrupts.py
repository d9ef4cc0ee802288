"""Ctrl-C deferred while a state must not be left half-written."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIG_IGN, SIGINT

try:  # the C functions under signal's, which take ten times as long: they convert each handler to an enum
    from _signal import getsignal, signal  # type: ignore[import-not-found]
except ImportError:
    from signal import getsignal, signal

INPLACE_MIN_BYTES = 1 << 20
"""Least size in bytes of a state that a step updates in place, with Ctrl-C deferred, which takes 3 us. A smaller state
is replaced.
"""


class Deferred:
    """Ctrl-C that waits: called, it raises what came."""

    def __init__(self) -> None:
        self.pending = False

    def __call__(self) -> None:
        if self.pending:
            raise KeyboardInterrupt


@contextmanager
def defer_keyboard_interrupt() -> Iterator[Deferred]:
    """Defer Ctrl-C; yield an object that raises it, to be called where the state is complete.

    A second Ctrl-C is raised at once. Nothing is deferred outside the main thread, where Python delivers no signals,
    nor in a process that ignores them, as one in the background of a script does.
    """
    previous, deferred = getsignal(SIGINT), Deferred()
    if threading.current_thread() is not threading.main_thread() or previous in (SIG_IGN, None):
        yield deferred
        return

    def hold(number: int, frame: object) -> None:
        deferred.pending = True
        signal(SIGINT, previous)

    signal(SIGINT, hold)
    try:
        yield deferred
    finally:
        signal(SIGINT, previous)
