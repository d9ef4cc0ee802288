"""A stand-in for CuPy over NumPy, so that its adapter runs where there is no GPU.

    PYTHONPATH=tests pytest -p standin_cupy --portnn-require cupy,cupy:1

array-api-compat's own layer for CuPy sits on top. It has two devices and refuses what CuPy refuses: implicit conversion
to NumPy, NumPy's arrays as operands, arrays of a device that is not the current one; standin_cuda.py has what it has of
CUDA. It counts waits for the device, transfers to it, launches and products. It shows nothing of a GPU's numbers, times
or streams.
"""

import sys
import types
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import standin_cuda
from standin_cuda import CURRENT, Counts, RawModule

VERSION = "STAND-IN on NumPy, not a GPU"
DEVICES = 2
POINTERS = 8
"""Arrays that CuPy's concatenate takes without uploading their pointers."""


@contextmanager
def counted():
    """Yield a list that holds (waits, uploads) of the block after it."""
    before, found = (Counts.waits, Counts.uploads), []
    yield found
    found.extend((Counts.waits - before[0], Counts.uploads - before[1]))


class Device:
    """A device by number; the current one without."""

    def __init__(self, device: "int | Device | None" = None) -> None:
        self.id = CURRENT.devices[-1] if device is None else int(getattr(device, "id", device))
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def __enter__(self) -> "Device":
        CURRENT.devices.append(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        CURRENT.devices.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def synchronize(self) -> None:
        Counts.waits += 1


class CUDARuntimeError(RuntimeError):
    """As CuPy's: a RuntimeError with the name of CUDA's error in front."""


class ndarray:  # noqa: N801
    """An array on a device: NumPy's inside, out of NumPy's reach."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, inside: Any) -> None:
        self._inside = np.asarray(inside)
        self.device = Device()

    shape = property(lambda self: self._inside.shape)
    ndim = property(lambda self: self._inside.ndim)
    dtype = property(lambda self: self._inside.dtype)
    size = property(lambda self: self._inside.size)
    strides = property(lambda self: self._inside.strides)
    flags = property(lambda self: self._inside.flags)
    T = property(lambda self: ndarray(self._inside.T))
    swapaxes = lambda self, first, second: ndarray(self._inside.swapaxes(first, second))  # noqa: E731
    data = property(lambda self: types.SimpleNamespace(ptr=self._inside.ctypes.data))

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.device.id  # kDLCUDA

    def get(self) -> np.ndarray:
        Counts.waits += 1
        return np.array(self._inside)

    def item(self) -> Any:
        return self.get().item()

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __bool__(self) -> bool:
        return bool(self.get())

    def __len__(self) -> int:
        return len(self._inside)

    def __getitem__(self, key: Any) -> "ndarray":
        return wrapped(unwrapped(self)[unwrapped(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        inside, key, value = unwrapped(self), unwrapped(key), unwrapped(value)
        CURRENT.do(lambda: inside.__setitem__(key, value))


def method(name: str) -> Callable[..., Any]:
    def call(self: ndarray, *arguments: Any, **options: Any) -> Any:
        inside, operands = unwrapped(self), [unwrapped(a) for a in arguments]
        with np.errstate(all="ignore"):
            return wrapped(getattr(inside, name)(*operands, **{k: unwrapped(v) for k, v in options.items()}))

    return call


OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
for operator in (*OPERATORS, *(f"r{o}" for o in OPERATORS), *"lt le gt ge eq ne neg pos abs invert".split()):
    setattr(ndarray, f"__{operator}__", method(f"__{operator}__"))
for named in "astype reshape copy ravel sum min max all any mean transpose view".split():
    setattr(ndarray, named, method(named))


def unwrapped(value: Any) -> Any:
    """Return what NumPy takes in place of an operand; refuse what CuPy refuses."""
    if isinstance(value, ndarray):
        if value.device.id != CURRENT.devices[-1]:
            raise ValueError(f"Array device must be same as the current device: {value.device}, {CURRENT.devices[-1]}")
        return value._inside
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) in (tuple, list):
        return type(value)(map(unwrapped, value))
    return value


def wrapped(result: Any) -> Any:
    """Return a result of NumPy's as CuPy has it: 0-d arrays, not scalars."""
    if result is NotImplemented:
        return result
    if isinstance(result, np.ndarray | np.generic):
        return ndarray(result)
    return type(result)(map(wrapped, result)) if type(result) in (tuple, list) else result


def function(name: str, original: Any) -> Any:
    """Return NumPy's function of that name on the stand-in's arrays."""

    def call(*arguments: Any, **options: Any) -> Any:
        if name in ("concatenate", "stack") and len(arguments[0]) > POINTERS:
            Counts.uploads += 1
        if name in ("matmul", "dot") and CURRENT.calls is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        Counts.products += name == "matmul"
        operands = [unwrapped(a) for a in arguments]
        with np.errstate(all="ignore"):
            return wrapped(original(*operands, **{k: unwrapped(v) for k, v in options.items()}))

    return call


def array(obj: Any, dtype: Any = None, copy: bool = True) -> ndarray:
    """Make an array on the current device: of the host's data by a transfer, of another device's by a copy."""
    if not isinstance(obj, ndarray):
        Counts.uploads += 1
        return ndarray(np.array(obj, dtype=dtype))
    if obj.device.id != CURRENT.devices[-1]:
        if not obj._inside.flags.c_contiguous:
            raise NotImplementedError("CuPy cannot copy non-contiguous arrays between devices.")
        return ndarray(np.array(obj._inside, dtype=dtype))
    return ndarray(np.array(obj._inside, dtype=dtype)) if copy else asarray(obj, dtype)


def asarray(obj: Any, dtype: Any = None) -> ndarray:
    """The array itself where it is one of the current device and dtype."""
    here = isinstance(obj, ndarray) and obj.device.id == CURRENT.devices[-1]
    return obj if here and dtype in (None, obj.dtype) else array(obj, dtype)


def asnumpy(a: Any) -> np.ndarray:
    """The array on the host, waited for: on the current stream, which must be one of its device."""
    unwrapped(a)
    return a.get()


def install() -> None:
    """Put the modules that the adapter and array-api-compat import where Python looks for them."""

    def module(name: str, **contents: Any) -> types.ModuleType:
        made = types.ModuleType(name)
        vars(made).update(contents)
        sys.modules[name] = made
        return made

    def over(namespace: Any) -> dict[str, Any]:
        found = {name: getattr(namespace, name) for name in namespace.__all__ if not name.startswith("__")}
        return {
            name: function(name, value) if callable(value) and not isinstance(value, type) else value
            for name, value in found.items()
            if not isinstance(value, types.ModuleType)
        }

    settings = {"type": "default"}
    products = module(
        "cupy._core._routines_linalg",
        COMPUTE_TYPE_FP32="fp32",
        COMPUTE_TYPE_TF32="tf32",
        get_compute_type=lambda dtype: settings["type"],
        set_compute_type=lambda dtype, value: settings.update(type=value),
    )
    runtime = module(
        "cupy.cuda.runtime",
        getDeviceCount=lambda: DEVICES,
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
        CUDARuntimeError=CUDARuntimeError,
    )
    device = module("cupy.cuda.device", Device=Device)
    linalg = module("cupy.linalg", **over(np.linalg))
    fft = module("cupy.fft", **over(np.fft))
    own = {
        "RawModule": RawModule,
        "ndarray": ndarray,
        "array": array,
        "asarray": asarray,
        "asnumpy": asnumpy,
        "__version__": VERSION,
    }
    contents = {**over(np), **own, "ascontiguousarray": function("ascontiguousarray", np.ascontiguousarray)}
    cuda = module("cupy.cuda", Device=Device, runtime=runtime, device=device, is_available=lambda: True)
    standin_cuda.install(cuda)
    core = module("cupy._core", _routines_linalg=products)
    submodules = {"cuda": cuda, "linalg": linalg, "fft": fft, "_core": core}
    module("cupy", **{**contents, **submodules, "__all__": sorted(contents)})


install()
