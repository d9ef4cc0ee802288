"""cuBLAS by a handle and a workspace of portnn's own: CuPy's wrappers refuse every call while a stream captures."""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np

from portnn.backend import ScopedSetting
from portnn.errors import BackendUnavailableError
from portnn.types import Array

WORKSPACE = 32 * 2**20
"""Bytes; cuBLAS recommends 32 MiB for Hopper, and needs a workspace of the caller's to be captured."""
_FORMATS = {"float32": (0, 68, ctypes.c_float), "float64": (1, 70, ctypes.c_double)}
"""cudaDataType, cublasComputeType (CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F: no TF32), and the type of alpha and beta."""
_STATUS = {
    1: "NOT_INITIALIZED",
    3: "ALLOC_FAILED",
    7: "INVALID_VALUE",
    8: "ARCH_MISMATCH",
    11: "MAPPING_ERROR",
    13: "EXECUTION_FAILED",
    14: "INTERNAL_ERROR",
    15: "NOT_SUPPORTED",
}


class Cublas:
    """A handle of cuBLAS on the current device. Raises BackendUnavailableError if the library is not found."""

    def __init__(self, cupy: Any) -> None:
        self._library = _library()
        self._handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._workspace = cupy.cuda.alloc(WORKSPACE)
        self._stream: int | None = None

    def use(self, stream: int) -> None:
        """Run the next products on a stream, given by its address."""
        if stream != self._stream:
            self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream))
            workspace = ctypes.c_void_p(self._workspace.ptr), ctypes.c_size_t(WORKSPACE)
            self._call("cublasSetWorkspace_v2", self._handle, *workspace)  # which cublasSetStream resets
            self._stream = stream

    def product(self, left: Array, right: Array, out: Array) -> Callable[[], None]:
        """Return what multiplies two matrices in C order, or transposed views of such, into a third one.

        Row-major out = left right is column-major out' = right' left'. Of stacks of matrices, (stack, rows, columns),
        all products are one call; a single matrix is multiplied with each.
        """
        kind, compute, scalar = _FORMATS[str(out.dtype)]
        (m, k), n = left.shape[-2:], right.shape[-1]
        (a, lda), (b, ldb) = map(_operand, (left, right))
        one, zero = scalar(1), scalar(0)
        strides: list[list[Any]] = [[], [], []]
        if stacked := out.ndim > 2:
            strides = [[ctypes.c_longlong(_stride(each, out.shape[:-2]))] for each in (right, left, out)]
        arguments = (
            *(self._handle, b, a, n, m, k, ctypes.byref(one)),
            *(ctypes.c_void_p(right.data.ptr), kind, ldb, *strides[0]),
            *(ctypes.c_void_p(left.data.ptr), kind, lda, *strides[1]),
            *(ctypes.byref(zero), ctypes.c_void_p(out.data.ptr), kind, n, *strides[2]),
            *([prod(out.shape[:-2])] if stacked else []),
            *(compute, -1),
        )
        return partial(self._call, "cublasGemmStridedBatchedEx" if stacked else "cublasGemmEx", *arguments)

    def _call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self._library, name)(*arguments):
            raise RuntimeError(f"{name}: CUBLAS_STATUS_{_STATUS.get(status, status)}")


def _operand(matrix: Array) -> tuple[int, int]:
    """Return (whether transposed, leading dimension) of a matrix, or of each of a stack."""
    rows, columns = matrix.shape[-2:]
    return (0, columns) if matrix.flags.c_contiguous else (1, rows)


def _stride(matrices: Array, stack: tuple[int, ...]) -> int:
    """Return the elements from one matrix of a stack to the next: 0 for a single matrix."""
    if matrices.shape[:-2] not in ((), stack):
        raise ValueError(f"matmul: expected a matrix, or a stack {stack}; got {matrices.shape}")
    return prod(matrices.shape[-2:]) if matrices.ndim > 2 else 0


def _library() -> ctypes.CDLL:
    """Return the cuBLAS that CuPy uses."""
    try:
        from cuda import pathfinder

        return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
    except Exception as error:  # not installed, or not found, in the words of its versions
        raise BackendUnavailableError(f"cuBLAS was not found ({error}); pip install 'portnn[cuda13]'") from error


@cache
def precision() -> ScopedSetting:
    """Return the setting that shortens float32 products: CUPY_TF32=1 rounds the factors to 10 bits."""
    from cupy._core import _routines_linalg as products

    read, write = (partial(f, np.float32) for f in (products.get_compute_type, products.set_compute_type))
    return ScopedSetting(read, write, products.COMPUTE_TYPE_FP32)
