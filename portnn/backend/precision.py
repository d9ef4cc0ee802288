"""Scoped changes of a library's global settings, and the error of a step with another result dtype."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from portnn.errors import DTypeError


class ScopedSetting:
    """A global setting of a library: portnn's value while any thread is inside the context, then the user's again.

    Examples
    --------
    >>> from portnn.backend import ScopedSetting
    >>> settings = {"tf32": True}
    >>> exact = ScopedSetting(lambda: settings["tf32"], lambda value: settings.update(tf32=value), False)
    >>> with exact.hold():
    ...     print(settings)
    {'tf32': False}
    >>> settings
    {'tf32': True}
    """

    def __init__(
        self,
        read: Callable[[], Any],
        write: Callable[[Any], object],
        value: Any,
        read_own: Callable[[], Any] | None = None,
    ) -> None:
        """``value`` is portnn's; ``read_own`` reads the value to restore, if that is not what ``read`` returns."""
        self._read, self._write, self._value, self._read_own = read, write, value, read_own or read
        self._lock, self._inside, self._previous = threading.Lock(), 0, None

    def is_one_of(self, *values: Any) -> bool:
        """Return whether the user's own setting is one of these; False while portnn has replaced it."""
        with self._lock:
            return not self._inside and self._read() in values

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Set portnn's value until the last thread has left the context."""
        with self._lock:
            if not self._inside:
                self._previous = self._read_own()
                self._write(self._value)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._write(self._previous)


def dtype_promotion_error(got: object, expected: object) -> DTypeError:
    """Return the error of a step whose results have another dtype than the network.

    Parameters
    ----------
    got, expected : object
        The dtypes, as the library prints them.

    Returns
    -------
    DTypeError

    Examples
    --------
    >>> from portnn.backend import dtype_promotion_error
    >>> type(dtype_promotion_error("float64", "float32")).__name__
    'DTypeError'
    """
    return DTypeError(
        f"step: expected {expected} throughout; got {got}: a layer, a loss or an optimizer computes with a NumPy "
        f"scalar (write float(...)) or casts its result"
    )
