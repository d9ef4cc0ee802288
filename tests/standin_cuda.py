"""What the stand-in for CuPy has of CUDA: modules of source, streams, graphs, and a cuBLAS over NumPy.

g++ compiles the source (gxx.py). While a stream captures, launches and products are recorded, and CuPy's own products
are refused; a graph runs what was recorded. The library of cuBLAS is a real one, which hands its arguments to Python.
"""

import ctypes
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import gxx
import numpy as np


class Counts:
    """Waits for a device, transfers to one, launches of our own kernels by name, products, and graphs launched."""

    waits = 0
    uploads = 0
    launches: ClassVar[list[str]] = []
    products = 0
    graphs = 0


class PerThread(threading.local):
    """What each thread of a program has for itself: the current device and stream, and what that captures."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] | None = None
        """The calls that the stream has captured; None while it does not capture."""
        self.devices = [0]
        self.streams = [Stream(null=True)]

    def do(self, call: Callable[[], None]) -> None:
        """Run a call, or record it."""
        if self.calls is None:
            call()
        else:
            self.calls.append(call)


class Event:
    """A point in a stream's work."""

    def __init__(self, stream: "Stream") -> None:
        self.stream = stream


class Graph:
    """Recorded calls."""

    def __init__(self, calls: list[Callable[[], None]]) -> None:
        self.calls = calls

    def launch(self) -> None:
        Counts.graphs += 1
        for call in self.calls:
            call()


class Stream:
    """A stream: its work is done at once, but while it captures."""

    made = 0

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        Stream.made += not null
        self.ptr = 0 if null else Stream.made
        self.waited: list[int] = []

    def __enter__(self) -> "Stream":
        CURRENT.streams.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        CURRENT.streams.pop()

    def record(self) -> Event:
        return Event(self)

    def wait_event(self, event: Event) -> None:
        self.waited.append(event.stream.ptr)

    def begin_capture(self) -> None:
        CURRENT.calls = []

    def end_capture(self) -> Graph:
        calls, CURRENT.calls = CURRENT.calls or [], None
        return Graph(calls)


CURRENT = PerThread()


def _owner(array: np.ndarray) -> np.ndarray:
    """Return the array whose memory a view shares."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class RawModule:
    """CUDA source, whose kernels g++ compiles for the CPU."""

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        self.code, self.options = code, options

    def compile(self) -> None:
        self.library = gxx.compiled(self.code)

    def get_function(self, name: str) -> Callable[..., None]:
        kernel = getattr(self.library, name)

        def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            if not (0 < block[0] <= 1024 and 0 < grid[0] < 2**31):
                raise RuntimeError("cudaErrorInvalidConfiguration: invalid configuration argument")
            for value in arguments:
                if not isinstance(value, np.generic) and not hasattr(value, "_inside"):
                    raise TypeError(f"Unsupported type {type(value)}: a kernel takes it in 64 bits")

            # A launch takes addresses: it keeps no array alive.
            arrays = [weakref.ref(_owner(value._inside)) for value in arguments if hasattr(value, "_inside")]
            passed = [gxx.argument(getattr(value, "_inside", value)) for value in arguments]

            def run() -> None:
                if not all(array() is not None for array in arrays):
                    raise RuntimeError(f"cudaErrorIllegalAddress: {name} works on memory that was freed")
                Counts.launches.append(name)
                kernel(*passed)

            CURRENT.do(run)

        return launch


_LIBRARY = """
#include <cstddef>
typedef int (*Product)(int, int, int, int, int, const void*, int, int, const void*, int, int, void*, int, int, int);
static Product product_;
static void *stream_, *workspace_;
extern "C" {
void set_product(Product product) { product_ = product; }
int cublasCreate_v2(void** handle) { *handle = &product_; return 0; }
int cublasSetStream_v2(void* handle, void* stream) {
  stream_ = stream; workspace_ = 0; return handle == &product_ ? 0 : 1;
}
int cublasSetWorkspace_v2(void*, void* workspace, size_t size) {
  workspace_ = workspace; return size >= 1 << 22 ? 0 : 7;
}
int cublasGemmEx(void*, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int kind, int lda,
                 const void* b, int kind_b, int ldb, const void* beta, void* c, int kind_c, int ldc, int compute,
                 int) {
  if (!workspace_ || kind != kind_b || kind != kind_c) return 7;
  return product_(ta, tb, m, n, k, a, kind, lda, b, kind_b, ldb, c, kind_c, ldc, compute);
}
int cublasGemmStridedBatchedEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a,
                               int kind, int lda, long long step_a, const void* b, int kind_b, int ldb,
                               long long step_b, const void* beta, void* c, int kind_c, int ldc, long long step_c,
                               int count, int compute, int algorithm) {
  const int size = kind ? 8 : 4;
  for (int i = 0; i < count; ++i) {
    int status = cublasGemmEx(handle, ta, tb, m, n, k, alpha, (const char*)a + i * step_a * size, kind, lda,
                              (const char*)b + i * step_b * size, kind_b, ldb, beta, (char*)c + i * step_c * size,
                              kind_c, ldc, compute, algorithm);
    if (status) return status;
  }
  return 0;
}
}
"""
_TYPE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    *[ctypes.c_int] * 5,
    *(ctypes.c_void_p, ctypes.c_int, ctypes.c_int) * 3,
    ctypes.c_int,
)
COMPUTE = {0: 68, 1: 70}
"""By the type of data: full float32 and float64."""


def _matrix(address: int, kind: int, rows: int, columns: int) -> np.ndarray:
    """Return a matrix of cuBLAS, in column-major order, that lies at an address."""
    number = ctypes.c_float if kind == 0 else ctypes.c_double
    memory = (number * (rows * columns)).from_address(address)
    return np.frombuffer(memory, np.float32 if kind == 0 else np.float64).reshape(columns, rows).T


@_TYPE
def _product(ta, tb, m, n, k, a, kind, lda, b, _, ldb, c, __, ldc, compute):
    if compute != COMPUTE[kind]:
        return 15
    left = _matrix(a, kind, lda, m if ta else k)[: k if ta else m]
    right = _matrix(b, kind, ldb, k if tb else n)[: n if tb else k]
    out = _matrix(c, kind, ldc, n)[:m]

    def run() -> None:
        Counts.products += 1
        with np.errstate(all="ignore"):
            # As NumPy would be asked for the row-major matrices.
            np.matmul((right if tb else right.T), (left if ta else left.T), out=out.T)

    CURRENT.do(run)
    return 0


def pathfinder() -> types.ModuleType:
    """Return a module that finds the library of cuBLAS."""
    module = types.ModuleType("cuda.pathfinder")

    def load(name: str) -> types.SimpleNamespace:
        library = gxx.compiled(_LIBRARY)
        library.set_product(_product)
        return types.SimpleNamespace(abs_path=library._name)

    module.load_nvidia_dynamic_lib = load
    return module


class NcclCommunicator:
    """Sums over the threads that stand for processes, each with a device of its own."""

    meetings: ClassVar[dict[int, tuple[threading.Barrier, dict[int, np.ndarray]]]] = {}

    def __init__(self, size: int, unique: int, rank: int) -> None:
        self.size, self.rank = size, rank
        meeting = threading.Barrier(size, timeout=20), {}
        self.barrier, self.parts = self.meetings.setdefault(unique, meeting)

    def allReduce(self, send, receive, count, kind, op, stream) -> None:  # noqa: N802
        def run() -> None:
            arrays = [np.ctypeslib.as_array((kind * count).from_address(at)) for at in (send, receive)]
            self.parts[self.rank] = arrays[0].copy()
            self.barrier.wait()
            total = sum(self.parts[rank] for rank in range(self.size))
            self.barrier.wait()
            arrays[1][:] = total

        CURRENT.do(run)


def nccl() -> types.SimpleNamespace:
    """Return what stands in for cupy.cuda.nccl."""
    return types.SimpleNamespace(
        available=True,
        NCCL_FLOAT32=ctypes.c_float,
        NCCL_FLOAT64=ctypes.c_double,
        NCCL_SUM=0,
        NcclCommunicator=NcclCommunicator,
        get_unique_id=iter(range(1000)).__next__,
    )


def install(cuda: types.ModuleType) -> None:
    """Add streams and memory to ``cupy.cuda``, and the module that finds libraries."""
    cuda.Stream = Stream
    cuda.nccl = nccl()
    cuda.get_current_stream = lambda: CURRENT.streams[-1]
    cuda.alloc = lambda size: types.SimpleNamespace(ptr=np.empty(size, np.uint8).ctypes.data)
    package = types.ModuleType("cuda")
    package.pathfinder = sys.modules["cuda.pathfinder"] = pathfinder()
    sys.modules["cuda"] = package
