"""portnn on mparray: floating arrays of a hundred digits, a backend of a third party in one file.

Whole numbers and truth values stay NumPy's: mparray's are Python's ints, which never wrap. Precision is a global one.
"""

from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from portnn.backend import Backend, host_array, imported_module
from portnn.errors import ArgumentError

DIGITS = 100


class Namespace:
    """mparray's functions for its own arrays, NumPy's for whole numbers and truth values."""

    def __init__(self, mparray):
        self._mparray = mparray
        self.float32, self.float64, self.int32 = np.dtype("float32"), np.dtype("float64"), np.dtype("int32")

    def __getattr__(self, name):
        def function(first, *rest, **options):
            plain = isinstance(first[0] if isinstance(first, list | tuple) else first, np.ndarray | int)
            return getattr(np if plain else self._mparray, name)(first, *rest, **options)

        return function

    def asarray(self, obj, *, dtype=None, copy=None):
        if np.dtype(getattr(obj, "dtype", dtype) if dtype is None else dtype).kind in "iub":
            return np.array(obj, dtype) if copy else np.asarray(obj, dtype)
        return self._mparray.asarray(obj, dtype=dtype, copy=copy)

    def arange(self, *ends, dtype):
        return self.asarray(np.arange(*ends), dtype=dtype)

    def astype(self, x, dtype, **_):
        if np.dtype(dtype).kind in "iub":
            return np.asarray(getattr(x, "_data", x)).astype(dtype)
        bits = getattr(x, "_data", x).astype(object) if x.dtype.kind == "b" else x
        return self._mparray.asarray(bits, dtype=dtype)


class HundredDigits(Backend):
    """The CPU, a hundred digits at a time."""

    name = "hundred_digits"
    install_hint = "pip install mparray"
    slow = True
    device = "cpu"

    def __init__(self, device=None):
        import mparray  # here, not above: adapters are imported_module to ask whether an array is theirs

        if device not in (None, "cpu"):
            raise ArgumentError(f"device: hundred_digits runs on cpu; got {device!r}")
        self.xp = Namespace(mparray)

    @classmethod
    def is_available(cls):
        return (True, "") if find_spec("mparray") else (False, f"mparray is not installed; {cls.install_hint}")

    @classmethod
    def version(cls):
        return version("mparray")

    @classmethod
    def devices(cls):
        return ["cpu"]

    @classmethod
    def owns(cls, array):
        return imported_module("mparray") is not None and type(array).__name__ == "MPArray"

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
        return np.asarray(getattr(array, "_data", array)).astype(array.dtype)

    @contextmanager
    def scope(self):
        import mpmath

        with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
            yield
