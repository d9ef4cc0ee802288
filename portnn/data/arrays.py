"""Convert lists, data frames and other libraries' arrays; refuse by name what is not numbers."""

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
"""Elements per finiteness check: PyTorch copies the block that it checks."""
_KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}
"""Names of NumPy's dtype kinds. Other libraries' dtypes, and NumPy's bfloat16, have a name alone."""


def as_real_array(backend: Backend, argument: str, value: Any, columns: Names = None) -> Array:
    """Return ``value`` as an array of the backend's library or of NumPy. Raises DTypeError if it is not real numbers.

    ``columns``: the order of a data frame's columns.
    """
    if is_backend_array(value):  # false for NumPy's arrays, which may be masked
        is_on_device = backend.owns(value) and backend.device_of(value) == backend.device
        # Another library's array comes by DLPack, without a copy on the host, if both are on one kind of device.
        array = value if is_on_device else backend.asarray(value)
    elif is_frame(value):
        array = frame_array(argument, value, columns)
    elif hasattr(value, "to_numpy"):  # one column of a data frame
        array = series_array(argument, value)
    else:
        array = host_array(value, argument=argument)
    if dtype_kind(array) not in ("bool", "int", "float"):
        raise DTypeError(f"{argument}: expected real numbers; got dtype {array.dtype}")
    return array


def array_signature(backend: Backend, array: Any) -> tuple[Any, ...] | None:
    """Return type, shape, dtype and device of an array: equal signatures pass the same checks of shape and dtype.

    None for arrays that need a conversion (lists, frames, other libraries' arrays): these are checked at each call.
    """
    if type(array) is np.ndarray and array.dtype.kind in _KINDS:
        return np.ndarray, array.shape, array.dtype
    if isinstance(array, np.ndarray | np.generic) or not backend.owns(array):
        return None
    return type(array), tuple(array.shape), array.dtype, array.device


def dtype_kind(array: Array) -> str:
    """Return "bool", "int", "float" or "complex" for an array of any library; else its dtype's name."""
    family = _KINDS.get(getattr(array.dtype, "kind", ""))
    if family is not None:
        return family
    name = getattr(array.dtype, "name", str(array.dtype))
    for family in ("complex", "bool", "int", "float"):
        if family in name:
            return family
    return name


def owned_copy(value: Any) -> Any:
    """Return a copy of an array or a list. Frames and other objects are returned as they are."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if is_backend_array(value):
        backend = backend_of(value)
        with backend.scope():
            return backend.copy(value)
    return copy.deepcopy(value) if isinstance(value, list) else value


def to_host(backend: Backend, array: Array) -> np.ndarray:
    """Return an array of the backend or of NumPy as a NumPy array."""
    return backend.to_numpy(array) if backend.owns(array) else host_array(array)


def check_finite(
    backend: Backend, argument: str, array: Array, dtype: str, columns: Names = None, first: int = 0
) -> None:
    """Raise DataError for NaN or infinity, with row and column. ``first``: the number of the array's row 0."""
    xp, rows, finite = backend.xp, array.shape[0], cast(Any, True)
    step = max(1, BLOCK // max(1, prod(array.shape[1:])))
    for start in range(0, rows, step):
        finite = xp.all(xp.isfinite(array[start : min(start + step, rows), ...])) & finite
    if finite:  # the only wait for the device
        return
    host = backend.to_numpy(array)
    row, *column = (int(i) for i in np.argwhere(~np.isfinite(host))[0])
    location = f"row {first + row}" + (f", column {columns[column[0]]!r}" if columns and column else "")
    location += f", column {', '.join(map(str, column))}" if column and not columns else ""
    raise DataError(f"{argument}: expected finite numbers within {dtype}'s range; got NaN or infinity in {location}")
