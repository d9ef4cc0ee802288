"""CUDA through CuPy: runs fused programs on a device, as CUDA graphs, and says why CUDA cannot be used."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from portnn.types import Array

from ._cublas import Cublas

OPTIONS = ("--std=c++17", "--fmad=false")
"""No multiplication is contracted with an addition: a kernel without functions then has NumPy's bits, in float64 those
of single IEEE 754 operations. CuPy adds -ftz=true: denormal float32 numbers are 0, as in its own kernels."""


GRAPHS = "PORTNN_CUPY_GRAPH"
"""Environment variable; "0": steps are not captured as CUDA graphs, their kernels are started one by one."""
_log = logging.getLogger("portnn")


class CUDADriver:
    """Compiles kernels by NVRTC, and runs them and cuBLAS's products on CuPy's arrays, on the current stream."""

    def __init__(self, cupy: Any, scope: Callable[[], AbstractContextManager[Any]]) -> None:
        """``scope``: the context in which CuPy's device and precision are portnn's."""
        self.cupy, self.array, self._scope = cupy, cupy.ndarray, scope
        self.lock = threading.RLock()
        """Held while steps are started: programs share the handle of cuBLAS."""
        self.captures = os.environ.get(GRAPHS) != "0"
        """Whether steps are captured; not after a failure."""
        self._last: Any = None

    @cached_property
    def blas(self) -> Cublas:
        return Cublas(self.cupy)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Enter the device; a stream other than the last call's waits for what that one started."""
        with self._scope(), self.lock:
            stream = self.cupy.cuda.get_current_stream()
            if self._last is not None and stream.ptr != self._last.ptr:
                stream.wait_event(self._last.record())
            self._last = stream
            yield

    def load(self, source: str) -> Callable[[str], Any]:
        module = self.cupy.RawModule(code=source, options=OPTIONS)
        module.compile()
        kernel: Callable[[str], Any] = module.get_function
        return kernel

    def empty(self, shape: Sequence[int], dtype: str) -> Array:
        return self.cupy.empty(tuple(shape), dtype=dtype)

    def upload(self, value: np.ndarray) -> Array:
        return self.cupy.array(value)

    def contiguous(self, array: Array) -> Array:
        return self.cupy.ascontiguousarray(array)

    def address(self, array: Array) -> int:
        address: int = array.data.ptr
        return address

    def copy(self, source: Array, target: Array) -> None:
        target[...] = source

    def launch(self, kernel: Any, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        kernel((blocks,), (threads,), arguments)

    def product(self, left: Array, right: Array, out: Array) -> Callable[[], None]:
        return self.blas.product(left, right, out)

    def replay(self, steps: Sequence[Callable[[], None]]) -> Callable[[], None]:
        return _Replay(self, steps)


class _Replay:
    """Runs the same steps again and again: at first one by one, which loads their code, then as one CUDA graph."""

    def __init__(self, driver: CUDADriver, steps: Sequence[Callable[[], None]]) -> None:
        self._driver, self._steps = driver, steps
        self._launch: Callable[[], None] | None = None
        self._stream: Any = None
        """The stream that was captured, which the graph outlives."""

    def __call__(self) -> None:
        if self._launch is not None:
            self._launch()
            return
        self._run(self._driver.cupy.cuda.get_current_stream())
        if self._driver.captures:
            self._launch = self._captured()

    def _run(self, stream: Any) -> None:
        self._driver.blas.use(stream.ptr)
        for step in self._steps:
            step()

    def _captured(self) -> Callable[[], None] | None:
        """Return what launches the steps as a graph; None, and a warning, if they cannot be captured."""
        cuda = self._driver.cupy.cuda
        try:
            self._stream = stream = cuda.Stream(non_blocking=True)
            with stream:
                stream.begin_capture()
                try:
                    self._run(stream)
                finally:
                    graph = stream.end_capture()
            launch: Callable[[], None] = graph.launch
            return launch
        except Exception as error:  # of the driver, the library or CuPy
            self._driver.captures = False
            _log.warning("steps are not captured as CUDA graphs: their kernels are started one by one (%s)", error)
            return None


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
