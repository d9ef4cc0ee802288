"""Anything that holds numbers to an array of a library, or of NumPy; what cannot be used is refused by name."""

import copy
from math import prod
from typing import Any, cast

import numpy as np

from portnn.backend import Backend, backend_of, host_array, is_backend_array
from portnn.data.frames import frame_array, is_frame, series_array
from portnn.errors import DataError, DTypeError
from portnn.io.tables import Names
from portnn.types import Array

BLOCK = 1 << 20
"""Elements that are checked together: PyTorch copies them for the check."""
_KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}
"""Of NumPy's dtypes; other libraries' have names alone, and so has NumPy's bfloat16."""


def real(backend: Backend, argument: str, value: Any, columns: Names = None) -> Array:
    """Return ``value`` as the library's array or NumPy's; refuse what is not real numbers.

    ``columns``: the order in which a data frame's columns are taken.
    """
    if is_backend_array(value):  # which a NumPy array, that may be masked, is not
        here = backend.owns(value) and backend.device_of(value) == backend.device
        # Of another library or device: without the host in between, where both are on one kind of device.
        array = value if here else backend.asarray(value)
    elif is_frame(value):
        array = frame_array(argument, value, columns)
    elif hasattr(value, "to_numpy"):  # one column of a data frame
        array = series_array(argument, value)
    else:
        array = host_array(value, argument=argument)
    if kind(array) not in ("bool", "int", "float"):
        raise DTypeError(f"{argument}: expected real numbers; got dtype {array.dtype}")
    return array


def array_signature(backend: Backend, array: Any) -> tuple[Any, ...] | None:
    """Return what the checks of an array depend on, its values apart.

    None for all but NumPy's own arrays and those of the backend: values that must be converted are checked at each
    call.
    """
    if type(array) is np.ndarray and array.dtype.kind in _KINDS:
        return np.ndarray, array.shape, array.dtype
    if isinstance(array, np.ndarray | np.generic) or not backend.owns(array):
        return None
    return type(array), tuple(array.shape), array.dtype, array.device


def kind(array: Array) -> str:
    """Return "bool", "int", "float" or "complex" for an array of any library; else its dtype's name."""
    family = _KINDS.get(getattr(array.dtype, "kind", ""))
    if family is not None:
        return family
    name = getattr(array.dtype, "name", str(array.dtype))
    for family in ("complex", "bool", "int", "float"):
        if family in name:
            return family
    return name


def copied(value: Any) -> Any:
    """Return an array, or a list, in memory of its own; what cannot be written to, and frames, as they are."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if is_backend_array(value):
        backend = backend_of(value)
        with backend.scope():
            return backend.copy(value)
    return copy.deepcopy(value) if isinstance(value, list) else value


def to_host(backend: Backend, array: Array) -> np.ndarray:
    """Return an array of the backend or of NumPy as NumPy's."""
    return backend.to_numpy(array) if backend.owns(array) else host_array(array)


def check_finite(
    backend: Backend, argument: str, array: Array, dtype: str, columns: Names = None, first: int = 0
) -> None:
    """Raise DataError, with the place, for NaN or infinity in an array on the backend, of which row 0 is ``first``."""
    xp, rows, finite = backend.xp, array.shape[0], cast(Any, True)
    step = max(1, BLOCK // max(1, prod(array.shape[1:])))
    for start in range(0, rows, step):
        finite = xp.all(xp.isfinite(array[start : min(start + step, rows), ...])) & finite
    if finite:  # which waits for a device once
        return
    host = backend.to_numpy(array)
    row, *column = (int(i) for i in np.argwhere(~np.isfinite(host))[0])
    place = f"row {first + row}" + (f", column {columns[column[0]]!r}" if columns and column else "")
    place += f", column {', '.join(map(str, column))}" if column and not columns else ""
    raise DataError(f"{argument}: expected finite numbers within {dtype}'s range; got NaN or infinity in {place}")
