"""Settings of a library for the whole process, and results of another dtype than the network's."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from portnn.errors import DTypeError


class ScopedSetting:
    """A setting of the whole process: at a value of ours while any thread is inside, and then the user's own again."""

    def __init__(
        self, read: Callable[[], Any], write: Callable[[Any], object], value: Any, own: Callable[[], Any] | None = None
    ) -> None:
        """Take what reads and writes it, and our value; ``own``: what to write back, where that is not what is read."""
        self._read, self._write, self._value, self._own = read, write, value, own or read
        self._lock, self._inside, self._before = threading.Lock(), 0, None

    def is_one_of(self, *values: Any) -> bool:
        """Return whether the user's own setting is one of these; False while portnn has replaced it."""
        with self._lock:
            return not self._inside and self._read() in values

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold it until the last of those leaves who hold it."""
        with self._lock:
            if not self._inside:
                self._before = self._own()
                self._write(self._value)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._write(self._before)


def dtype_promotion_error(got: object, expected: object) -> DTypeError:
    """Return the error of a step whose results are of another dtype than the network's."""
    return DTypeError(
        f"step: expected {expected} throughout; got {got}: a layer, a loss or an optimizer computes with a NumPy "
        f"scalar (write float(...)) or casts its result"
    )
