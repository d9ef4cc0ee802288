"""Converts users' data to NumPy arrays on the host."""

from collections.abc import Collection, Iterable

import numpy as np

from portnn.backend.registry import backend_of, is_backend_array
from portnn.errors import DataError, DTypeError


def host_array(obj: object, dtype: str | None = None, argument: str = "data") -> np.ndarray:
    """Return an array of any library, a list or a data frame as a NumPy array.

    Values too large for ``dtype`` become infinity; NumPy's warning is suppressed, as some libraries give none. Raises
    DTypeError for other objects, DataError for a ragged list or a masked array; the message names the ``argument``.

    Parameters
    ----------
    obj : array, list or data frame
    dtype : str, optional
        None: that of ``obj``.
    argument : str
        Its name in error messages.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> from portnn.backend import host_array
    >>> host_array([1, 2], "float32").dtype
    dtype('float32')
    """
    array = _host_array(obj, argument)
    if dtype is None or array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _host_array(obj: object, argument: str) -> np.ndarray:
    if type(obj) is np.ndarray:
        return obj
    if is_backend_array(obj):
        return backend_of(obj).to_numpy(obj)
    if not _array_like(obj):  # NumPy would make it an array of one object
        hint = ""
        if hasattr(obj, "toarray"):
            hint = ": call toarray()"
        elif isinstance(obj, Iterable) and not isinstance(obj, Collection):  # generators, loaders
            hint = ": give batches of (x, y) to fit alone, without y"
        description = type(obj).__name__ + hint
        raise DTypeError(f"{argument}: expected real numbers in an array, a list or a data frame; got {description}")
    parts = [obj] if isinstance(obj, np.ma.MaskedArray) else _masked_parts(obj)
    if masked := sum(int(np.sum(np.ma.getmaskarray(part))) for part in parts):
        size = sum(part.size for part in parts)
        raise DataError(f"{argument}: expected a value in every place; got {masked} of {size} masked: fill them first")
    try:
        return np.asarray(obj)
    except ValueError as error:  # NumPy's error for a ragged list
        raise DataError(f"{argument}: expected rows of one length; got a ragged sequence ({error})") from error
    except TypeError as error:
        raise DTypeError(f"{argument}: expected an array; got {type(obj).__name__} ({error})") from error


def _masked_parts(obj: object) -> "list[np.ma.MaskedArray]":
    """Return the masked arrays in nested lists: NumPy would read the values under their masks."""
    if not isinstance(obj, list | tuple):
        return []
    parts = [part for part in obj if isinstance(part, np.ma.MaskedArray)]
    return parts + [part for row in obj if isinstance(row, list | tuple) for part in _masked_parts(row)]


def _array_like(obj: object) -> bool:
    if isinstance(obj, list | tuple | range | int | float | complex | memoryview | bytearray | np.ndarray | np.generic):
        return True
    return any(hasattr(obj, f"__array{end}__") for end in ("", "_interface", "_struct")) or hasattr(obj, "__dlpack__")
