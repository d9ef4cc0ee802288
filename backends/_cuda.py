"""CUDA through CuPy: what runs fused programs on a device, and what is missing where CUDA cannot be used."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from portnn.types import Array

OPTIONS = ("--std=c++17", "--fmad=false")
"""No multiplication is contracted with an addition: a kernel without functions then has NumPy's bits, in float64 those
of single IEEE 754 operations. CuPy adds -ftz=true: denormal float32 numbers are 0, as in its own kernels."""


class CUDADriver:
    """Compiles kernels by NVRTC, and runs them and cuBLAS's products on CuPy's arrays, on the current stream."""

    def __init__(self, cupy: Any, scope: Callable[[], AbstractContextManager[Any]]) -> None:
        """``scope``: the context in which CuPy's device and precision are portnn's."""
        self._cupy, self.array, self.scope = cupy, cupy.ndarray, scope

    def load(self, source: str) -> Callable[[str], Any]:
        module = self._cupy.RawModule(code=source, options=OPTIONS)
        module.compile()
        kernel: Callable[[str], Any] = module.get_function
        return kernel

    def empty(self, shape: Sequence[int], dtype: str) -> Array:
        return self._cupy.empty(tuple(shape), dtype=dtype)

    def upload(self, value: np.ndarray) -> Array:
        return self._cupy.array(value)

    def contiguous(self, array: Array) -> Array:
        return self._cupy.ascontiguousarray(array)

    def copy(self, source: Array, target: Array) -> None:
        target[...] = source

    def launch(self, kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        kernel((blocks,), (threads,), arguments)

    def product(self, left: Array, right: Array, out: Array) -> None:
        self._cupy.matmul(left, right, out=out)  # for contiguous arrays of one dtype: one call of cuBLAS, into out


def driver_problem(runtime: Any, error: Exception) -> str:
    """Return what is wrong with the driver if CUDA cannot count its devices."""
    driver, required = (
        f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
    )
    if driver == "0.0":
        return "no CUDA device: CuPy finds no NVIDIA driver; check nvidia-smi"
    if "InsufficientDriver" in str(error):
        return f"the NVIDIA driver is too old: it has CUDA {driver}, {wheel()} needs {required}; update one of them"
    return f"no CUDA device ({error}); check nvidia-smi and CUDA_VISIBLE_DEVICES"


def wheel() -> str:
    """Return the name of the installed CuPy wheel."""
    for name in ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return name
    return "cupy-cuda13x"
