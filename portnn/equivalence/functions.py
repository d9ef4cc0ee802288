"""Comparison of functions that are not networks: results on every array library, within rounding errors."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from portnn.backend import Backend, get_backend, host_array
from portnn.equivalence.lockstep import comparison_backends
from portnn.numerics.bounds import BoundedArray

Function = Callable[..., Any]
"""``f(*arrays)`` on the array API standard; returns an array or a tuple of arrays."""


def differences(
    function: Function, arrays: Sequence[object], backends: Sequence[str] | None, ulps: float
) -> Iterator[str]:
    """Yield a line for each backend whose results have another shape or dtype, or too large an error."""
    inputs = [host_array(array, argument=f"arrays[{i}]") for i, array in enumerate(arrays)]
    home = get_backend("numpy")
    expected = _results(function, home, inputs)
    if not sum(array.size for array in expected):
        yield f"{home!r}: expected results to compare; got {expected}"
        return
    bounds = _bounds(function, inputs, expected)
    for backend in (home, *comparison_backends(backends)):
        results = _results(function, backend, inputs)
        if len(results) != len(expected):
            yield f"{backend!r}: expected {len(expected)} results; got {len(results)}"
            continue
        for i, (reference, result) in enumerate(zip(expected, results, strict=True)):
            name = f"{backend!r}, result {i}" if len(expected) > 1 else repr(backend)
            if (reference.shape, reference.dtype) != (result.shape, result.dtype):
                yield f"{name}: expected {reference.dtype} {reference.shape}; got {result.dtype} {result.shape}"
            elif reference.dtype.kind != "f":
                if not np.array_equal(reference, result):
                    yield f"{name}: {np.count_nonzero(reference != result)} elements are others than NumPy's"
            elif bounds is not None and bounds[i].shape == result.shape:
                share = _largest(np.abs(result - bounds[i].value), bounds[i].error, result, bounds[i].value)
                if share > 1.0:
                    yield f"{name}: {share:.3g} times as far from the true value as its operations explain"
            else:
                unit = np.spacing(_size(reference, result))
                distance = _largest(np.abs(result - reference), unit, result, reference)
                if distance > ulps:
                    yield f"{name}: {distance:.3g} ulps from NumPy's, of {ulps:g} that are allowed"


def _results(function: Function, backend: Backend, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    with backend.scope():
        result = function(*map(backend.asarray, inputs))
        return [backend.to_numpy(item) for item in (result if isinstance(result, tuple | list) else (result,))]


def _bounds(
    function: Function, inputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]
) -> list[BoundedArray] | None:
    """Return the true values with bounds; None if an operation has no bound yet."""
    dtypes = {array.dtype for array in inputs if array.dtype.kind == "f"}
    if len(dtypes) != 1:
        return None
    exact = [BoundedArray.from_input(a) for a in inputs]
    try:
        with np.errstate(all="ignore"):
            result = function(*exact)
    except (AttributeError, TypeError, NotImplementedError):
        return None
    bounded = list(result) if isinstance(result, tuple | list) else [result]
    return (
        bounded if len(bounded) == len(expected) and all(isinstance(item, BoundedArray) for item in bounded) else None
    )


def _size(expected: np.ndarray, result: np.ndarray) -> np.ndarray:
    """Return the larger magnitude, at least the smallest normal number."""
    largest = np.maximum(np.abs(expected), np.abs(result))
    size: np.ndarray = np.maximum(largest, np.finfo(expected.dtype).smallest_normal)
    return size


def _largest(distance: np.ndarray, unit: np.ndarray, result: np.ndarray, expected: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        is_equal = (result == expected) | (np.isnan(result) & np.isnan(expected))
        share = np.where(is_equal, 0.0, distance / unit)
    return float(np.nan_to_num(np.max(share, initial=0.0), nan=np.inf))
