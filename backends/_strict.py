"""array-api-strict: the standard and nothing else, for tests."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

import numpy as np

from portnn.backend import Backend, BoundNamespace, host_array, imported_module
from portnn.errors import ArgumentError
from portnn.types import Array


class StrictBackend(Backend):
    """array-api-strict; "device1" cannot be read as NumPy, "no_float64" has no float64."""

    name = "array_api_strict"
    install_hint = "pip install 'portnn[strict]'"

    def __init__(self, device: str | None = None) -> None:
        import array_api_strict

        device = device or "CPU_DEVICE"
        if device not in self.devices():
            raise ArgumentError(f"device: array_api_strict has {', '.join(self.devices())}; got {device!r}")
        self.device = device
        self._strict = array_api_strict
        self._device = array_api_strict.Device(device)
        self.xp = BoundNamespace(array_api_strict, self._device)

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        if imported_module("array_api_strict") is None and find_spec("array_api_strict") is None:
            return False, f"array-api-strict is not installed; {cls.install_hint}"
        return True, ""

    @classmethod
    def version(cls) -> str:
        import array_api_strict

        return str(array_api_strict.__version__)

    @classmethod
    def devices(cls) -> list[str]:
        import array_api_strict

        return [_name(d) for d in array_api_strict.__array_namespace_info__().devices()]

    @classmethod
    def owns(cls, array: object) -> bool:
        strict = imported_module("array_api_strict")
        return strict is not None and isinstance(array, type(strict.asarray(0)))

    @classmethod
    def device_of(cls, array: Array) -> str:
        return _name(array.device)

    def dtypes(self) -> Collection[str]:
        info = self._strict.__array_namespace_info__()
        return info.dtypes(device=self._device, kind="real floating")  # type: ignore[no-any-return]

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        target_dtype = None if dtype is None else getattr(self._strict, dtype)
        if self.owns(obj):
            obj = obj.to_device(self._device)  # type: ignore[attr-defined]
            return obj if target_dtype is None else self._strict.astype(obj, target_dtype, copy=False)
        # Cast on the host: a device without float64 cannot take it even for a moment.
        return self.xp.asarray(host_array(obj, dtype))

    def to_numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array.to_device(self._strict.Device("CPU_DEVICE")))

    def scope(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")  # its arrays are NumPy's inside: see the NumPy adapter


def _name(device: object) -> str:
    return repr(device).split("'")[1]
