"""CuPy: one CUDA GPU."""

import warnings
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from portnn.backend import Backend, BoundNamespace, host_array, loaded
from portnn.errors import ArgumentError
from portnn.types import Array


class CuPyBackend(Backend):
    """CuPy on a CUDA GPU; devices are numbered: "0", "1"."""

    name = "cupy"
    mend = "pip install 'portnn[cuda13]' (CUDA 13) or 'portnn[cuda12]' (CUDA 12)"

    def __init__(self, device: str | None = None) -> None:
        import array_api_compat.cupy as namespace
        import cupy

        device = device or "0"
        if device not in self.devices():
            raise ArgumentError(f"device: cupy has {', '.join(self.devices())}; got {device!r}")
        self.device = device
        self._cupy = cupy
        self._device = cupy.cuda.Device(int(device))
        self.xp = BoundNamespace(namespace, self._device)

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # CuPy warns of two wheels at once; the import error says it too
                import cupy
        except ImportError as error:
            if getattr(error, "name", None) == "cupy":
                return False, f"CuPy is not installed; {cls.mend}"
            return False, f"CuPy cannot be imported ({error}); install one cupy wheel only: {cls.mend}"
        if not cupy.cuda.is_available():
            return False, "no CUDA device: CuPy finds no NVIDIA driver or GPU; check nvidia-smi"
        try:
            one = cupy.ones((1, 1), dtype=cupy.float32)
            float((one @ one)[0, 0])  # a missing cuBLAS shows only at the first product
        except (ImportError, RuntimeError, OSError) as error:
            return False, f"the CUDA toolkit is incomplete ({error}); pip install 'cupy-cuda13x[ctk]'"
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
        cupy = loaded("cupy")
        return cupy is not None and isinstance(array, cupy.ndarray)

    @classmethod
    def device_of(cls, array: Array) -> str:
        return str(array.device.id)

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        with self._device:
            if not self.owns(obj) and getattr(obj, "__dlpack_device__", lambda: (1, 0))()[0] == 2:  # kDLCUDA
                obj = self._cupy.from_dlpack(obj.detach() if hasattr(obj, "detach") else obj)
            # cupy.asarray moves an array of another device to the current one.
            return self._cupy.asarray(obj if self.owns(obj) else host_array(obj, dtype), dtype=dtype)

    def to_numpy(self, array: Array) -> np.ndarray:
        return np.asarray(self._cupy.asnumpy(array))

    def scope(self) -> AbstractContextManager[Any]:
        return self._device  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        self._device.synchronize()
