"""Ctrl-C deferred while a state must not be left half-written."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIG_IGN, SIGINT

try:  # what the public functions call, which take ten times as long: they convert each handler to an enum
    from _signal import getsignal, signal  # type: ignore[import-not-found]
except ImportError:
    from signal import getsignal, signal

INPLACE_MIN_BYTES = 1 << 20
"""Bytes of a state beyond which a step may change it in place, with Ctrl-C deferred, which takes 3 us. A smaller state
is replaced as a whole."""


@contextmanager
def defer_keyboard_interrupt() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C; yield a function that raises it, to be called where the state is whole.

    A second Ctrl-C comes through at once. Nothing is deferred where Python delivers no signals, outside the main
    thread, nor where the process was started to ignore them, as in the background of a script.
    """
    previous = getsignal(SIGINT)
    if threading.current_thread() is not threading.main_thread() or previous in (SIG_IGN, None):
        yield lambda: None
        return
    pressed = []

    def hold(number: int, frame: object) -> None:
        pressed.append(number)
        signal(SIGINT, previous)

    def release() -> None:
        if pressed:
            raise KeyboardInterrupt

    signal(SIGINT, hold)
    try:
        yield release
    finally:
        signal(SIGINT, previous)
