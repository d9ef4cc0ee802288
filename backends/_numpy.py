"""NumPy: the reference backend, on the CPU."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from portnn.backend import Backend, Donation, Elementwise, ParamGroup, apply_blocked, host_array
from portnn.errors import ArgumentError
from portnn.interrupts import INPLACE_MIN_BYTES
from portnn.jit.compiled import CompiledFunction
from portnn.jit.targets import NumPyTarget
from portnn.types import Array

# Elements of one block of an element-wise kernel: adam's four operands and its temporaries stay in a core's
# second-level cache (8 vectors of 64 KiB in float32).
BLOCK = 16384
TARGET = NumPyTarget()


class NumPyBackend(Backend):
    """NumPy on the CPU."""

    name = "numpy"
    install_hint = "pip install numpy"
    preserves_op_order = True

    def __init__(self, device: str | None = None) -> None:
        import array_api_compat.numpy as namespace

        if device not in (None, "cpu"):
            raise ArgumentError(f"device: numpy runs on cpu; got {device!r}")
        self.device = "cpu"
        self.xp = namespace

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        return True, ""

    @classmethod
    def version(cls) -> str:
        return np.__version__

    @classmethod
    def devices(cls) -> list[str]:
        return ["cpu"]

    @classmethod
    def owns(cls, array: object) -> bool:
        return isinstance(array, np.ndarray | np.generic)

    @classmethod
    def device_of(cls, array: Array) -> str:
        return "cpu"

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        return host_array(obj, dtype)

    def copy(self, array: Array) -> Array:
        # In unaligned memory a product of one row takes a seventh longer.
        copy = TARGET.aligned(array.shape, array.dtype)
        copy[...] = array
        return copy

    def to_numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array)

    def scope(self) -> AbstractContextManager[Any]:
        # exp overflows to infinity by design (see activations.sigmoid); no other library warns of it.
        return np.errstate(all="ignore")

    def donates_state(self, size: int) -> bool:
        return size > INPLACE_MIN_BYTES

    def elementwise(
        self, param_groups: Sequence[ParamGroup], donate: tuple[int, ...] = (), offsets: Sequence[int] = ()
    ) -> Elementwise:
        """Run the kernels in cache-sized blocks, in place where a vector is donated; traced, as one line."""
        return apply_blocked(param_groups, donate, BLOCK, np.empty_like)

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        eagerly = super().compile(function, static)
        double_buffer = None if donation is None else donation.atomic
        return CompiledFunction(TARGET, self.xp, function, eagerly, static, double_buffer)
