"""CuPy: one CUDA GPU."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from portnn.backend import Backend, BoundNamespace, Donation, get_backend, host_array, imported_module
from portnn.distributed import Communicator
from portnn.errors import ArgumentError
from portnn.jit.cuda.function import FusedFunction
from portnn.jit.cuda.rows import Rows, copied
from portnn.types import Array

from ._cublas import precision
from ._cuda import CUDADriver, driver_problem, wheel
from ._nccl import nccl_sum

CONCAT = 8
"""Number of arrays that CuPy concatenates in one kernel; for more it uploads their pointers at every call."""


class _Namespace(BoundNamespace):
    def concat(self, arrays: Sequence[Array], *, axis: int = 0) -> Array:
        """Concatenate arrays without a transfer, eight at a time."""
        while len(arrays) > CONCAT:
            arrays = [self._library.concat(arrays[i : i + CONCAT], axis=axis) for i in range(0, len(arrays), CONCAT)]
        return self._library.concat(arrays, axis=axis)


class CuPyBackend(Backend):
    """CuPy on a CUDA GPU; devices are numbered: "0", "1". Without a number it is CuPy's current device."""

    name = "cupy"
    install_hint = "pip install 'portnn[cuda13]' (CUDA 13) or 'portnn[cuda12]' (CUDA 12)"
    preserves_op_order = True

    def __init__(self, device: str | None = None) -> None:
        import array_api_compat.cupy as namespace
        import cupy

        device = str(cupy.cuda.Device().id) if device is None else device
        if device not in self.devices():
            raise ArgumentError(f"device: cupy has {', '.join(self.devices())}; got {device!r}")
        self.device = device
        self._cupy = cupy
        self._device = cupy.cuda.Device(int(device))
        self.xp = _Namespace(namespace, self._device)
        self._driver = CUDADriver(cupy, self.scope)

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # CuPy warns of two wheels at once; the import error says it too
                import cupy
        except ImportError as error:
            if getattr(error, "name", None) == "cupy":
                return False, f"CuPy is not installed; {cls.install_hint}"
            return False, f"CuPy cannot be imported ({error}); install one cupy wheel only: {cls.install_hint}"
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except RuntimeError as error:
            return False, driver_problem(cupy.cuda.runtime, error)
        if count == 0:
            return False, "no CUDA device: the driver shows no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES"
        try:
            # A missing library shows here: a compiler at the first kernel, cuBLAS at the first matrix product.
            square = cupy.ones((2, 2), dtype=cupy.float32)
            float((square @ square + square)[0, 0])
        except MemoryError as error:  # CuPy's own exception, for the GPU's memory
            return False, f"the GPU has no memory left ({error}); free some of it: nvidia-smi shows who holds it"
        except Exception as error:  # ImportError, CUDARuntimeError, CompileException ...
            return False, f"the CUDA toolkit is incomplete ({error}); pip install '{wheel()}[ctk]'"
        return True, ""

    @classmethod
    def version(cls) -> str:
        import cupy

        return str(cupy.__version__)

    @classmethod
    def devices(cls) -> list[str]:
        import cupy

        return [str(i) for i in range(cupy.cuda.runtime.getDeviceCount())]

    @classmethod
    def owns(cls, array: object) -> bool:
        cupy = imported_module("cupy")
        return cupy is not None and isinstance(array, cupy.ndarray)

    @classmethod
    def device_of(cls, array: Array) -> str:
        return str(array.device.id)

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        if self.owns(obj) and obj.device != self._device:  # type: ignore[attr-defined]
            with obj.device:  # type: ignore[attr-defined]
                obj = self._cupy.ascontiguousarray(obj)  # CuPy copies nothing else between devices
        with self._device:
            if not self.owns(obj) and getattr(obj, "__dlpack_device__", lambda: (1, 0))()[0] == 2:  # kDLCUDA
                obj = self._cupy.from_dlpack(obj.detach() if hasattr(obj, "detach") else obj)
            return self._cupy.asarray(obj if self.owns(obj) else host_array(obj, dtype), dtype=dtype)

    def take_rows(self, array: Array, order: Array, start: int, stop: int) -> Array:
        """Return the rows, not yet taken: the first kernel of a fused step reads them."""
        if array.flags.c_contiguous and order.dtype == np.int64:
            return Rows(array, order, start, stop)
        return super().take_rows(array, order, start, stop)

    def to_numpy(self, array: Array) -> np.ndarray:
        with array.device:  # whose current stream made it
            return np.asarray(self._cupy.asnumpy(array))

    def read(self, scalars: Sequence[Array]) -> list[float]:
        with self._device:
            return [float(value) for value in self._cupy.asnumpy(self._cupy.stack(scalars))] if scalars else []

    @contextmanager
    def scope(self) -> Iterator[None]:
        with self._device, precision().hold():
            yield

    def synchronize(self) -> None:
        self._device.synchronize()

    def call_in_scope(self, function: Callable[..., Any], static: int, *arguments: Any) -> Any:
        with self.scope():
            return super().call_in_scope(function, static, *arguments[:static], *copied(self.xp, arguments[static:]))

    def device_sum(self, comm: Communicator) -> Callable[[Array], Array]:
        with self._device:
            return nccl_sum(self._cupy, self.device, comm)

    def donates_state(self, size: int) -> bool:
        return True

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        """Compile a function to matrix products and a few kernels."""
        eagerly, host = super().compile(function, static), get_backend("numpy").xp
        return FusedFunction(self._driver, self.xp, host, function, eagerly, static, donation is not None)
