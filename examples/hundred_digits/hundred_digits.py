"""portnn on mparray: floating arrays of a hundred digits, a backend of a third party in one file.

Whole numbers and truth values stay NumPy's: mparray's are Python's ints, which never wrap, and random bits would be
others. Precision is mpmath's global one, set for as long as portnn computes.
"""

from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np

from portnn.backend import Backend, host_array, loaded
from portnn.errors import ArgumentError

DIGITS = 100


class Namespace:
    """mparray's functions for its own arrays, NumPy's for whole numbers and truth values."""

    def __init__(self, mparray):
        self._mparray = mparray
        self.float32, self.float64, self.int32 = np.dtype("float32"), np.dtype("float64"), np.dtype("int32")

    def __getattr__(self, name):
        ours, numpys = getattr(self._mparray, name), getattr(np, name)

        def function(first, *rest, **options):
            plain = isinstance(first[0] if isinstance(first, list | tuple) else first, np.ndarray | int)
            return (numpys if plain else ours)(first, *rest, **options)

        return function

    def asarray(self, obj, *, dtype=None, copy=None):
        if np.dtype(getattr(obj, "dtype", dtype) if dtype is None else dtype).kind in "iub":
            return np.array(obj, dtype) if copy else np.asarray(obj, dtype)
        return self._mparray.asarray(obj, dtype=dtype, copy=copy)

    def arange(self, *ends, dtype):
        return self.asarray(np.arange(*ends), dtype=dtype)

    def astype(self, x, dtype, **_):
        if np.dtype(dtype).kind in "iub":
            return np.asarray(values(x)).astype(dtype)
        return self._mparray.asarray(np.asarray(values(x), object) if x.dtype.kind == "b" else x, dtype=dtype)

    def finfo(self, dtype):
        return np.finfo(dtype)


def values(array):
    """Return what an array of mparray's holds, as NumPy's array of objects; NumPy's as it is."""
    return getattr(array, "_data", array)


class HundredDigits(Backend):
    """The CPU, a hundred digits at a time."""

    name = "hundred_digits"
    mend = "pip install mparray"
    slow = True
    device = "cpu"

    def __init__(self, device=None):
        import mparray

        if device not in (None, "cpu"):
            raise ArgumentError(f"device: hundred_digits runs on cpu; got {device!r}")
        self._mparray, self.xp = mparray, Namespace(mparray)

    @classmethod
    def is_available(cls):
        there = find_spec("mparray") is not None
        return there, "" if there else f"mparray is not installed; {cls.mend}"

    @classmethod
    def version(cls):
        from importlib.metadata import version

        return version("mparray")

    @classmethod
    def devices(cls):
        return ["cpu"]

    @classmethod
    def owns(cls, array):
        module = loaded("mparray")
        return module is not None and type(array).__name__ == "MPArray"

    @classmethod
    def device_of(cls, array):
        return "cpu"

    def dtypes(self):
        return ("float32", "float64")

    def asarray(self, obj, dtype=None):
        if self.owns(obj):
            return obj if dtype is None else self.xp.astype(obj, np.dtype(dtype))
        array = host_array(obj, dtype)
        return self.xp.asarray(array, dtype=array.dtype.newbyteorder("="))

    def to_numpy(self, array):
        return np.asarray(values(array)).astype(array.dtype)

    @contextmanager
    def scope(self):
        import mpmath

        with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
            yield
