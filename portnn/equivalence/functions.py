"""Functions that are no networks: whether results agree on every array library, as far as rounding allows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from portnn.backend import Backend, get_backend, host_array
from portnn.equivalence.lockstep import comparison_backends
from portnn.numerics.bounds import BoundedArray

Function = Callable[..., Any]
"""``f(*arrays)``, written against the array API standard: an array, or a tuple of arrays."""


def differences(
    function: Function, arrays: Sequence[object], backends: Sequence[str] | None, ulps: float
) -> Iterator[str]:
    """Yield what is wrong, by backend: results of other shapes or dtypes, or further off than they may be."""
    given = [host_array(array, argument=f"arrays[{i}]") for i, array in enumerate(arrays)]
    home = get_backend("numpy")
    expected = _results(function, home, given)
    if not sum(array.size for array in expected):
        yield f"{home!r}: expected results to compare; got {expected}"
        return
    bounds = _bounds(function, given, expected)
    for backend in (home, *comparison_backends(backends)):
        found = _results(function, backend, given)
        if len(found) != len(expected):
            yield f"{backend!r}: expected {len(expected)} results; got {len(found)}"
            continue
        for i, (wanted, got) in enumerate(zip(expected, found, strict=True)):
            place = f"{backend!r}, result {i}" if len(expected) > 1 else repr(backend)
            if (wanted.shape, wanted.dtype) != (got.shape, got.dtype):
                yield f"{place}: expected {wanted.dtype} {wanted.shape}; got {got.dtype} {got.shape}"
            elif wanted.dtype.kind != "f":
                if not np.array_equal(wanted, got):
                    yield f"{place}: {np.count_nonzero(wanted != got)} elements are others than NumPy's"
            elif bounds is not None and bounds[i].shape == got.shape:
                share = _largest(np.abs(got - bounds[i].value), bounds[i].error, got, bounds[i].value)
                if share > 1.0:
                    yield f"{place}: {share:.3g} times as far from the true value as its operations explain"
            elif (distance := _largest(np.abs(got - wanted), np.spacing(_size(wanted, got)), got, wanted)) > ulps:
                yield f"{place}: {distance:.3g} ulps from NumPy's, of {ulps:g} that are allowed"


def _results(function: Function, backend: Backend, given: Sequence[np.ndarray]) -> list[np.ndarray]:
    with backend.scope():
        result = function(*map(backend.asarray, given))
        return [backend.to_numpy(each) for each in (result if isinstance(result, tuple | list) else (result,))]


def _bounds(function: Function, given: Sequence[np.ndarray], like: Sequence[np.ndarray]) -> list[BoundedArray] | None:
    """Return the true values with bounds; None where an operation has none yet."""
    kinds = {array.dtype for array in given if array.dtype.kind == "f"}
    if len(kinds) != 1:
        return None
    exact = [BoundedArray.given(a) for a in given]
    try:
        with np.errstate(all="ignore"):
            result = function(*exact)
    except (AttributeError, TypeError, NotImplementedError):
        return None
    found = list(result) if isinstance(result, tuple | list) else [result]
    return found if len(found) == len(like) and all(isinstance(each, BoundedArray) for each in found) else None


def _size(wanted: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Return the larger magnitude, of normal numbers."""
    size: np.ndarray = np.maximum(np.maximum(np.abs(wanted), np.abs(got)), np.finfo(wanted.dtype).smallest_normal)
    return size


def _largest(distance: np.ndarray, unit: np.ndarray, got: np.ndarray, wanted: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
        share = np.where(same, 0.0, distance / unit)
    return float(np.nan_to_num(np.max(share, initial=0.0), nan=np.inf))
