"""PyTorch: CPU, CUDA, or any device that it names."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from portnn.backend import Backend, BoundNamespace, Donation, ScopedSetting, host_array, imported_module
from portnn.backend.kernels import Elementwise, ParamGroup, apply_blocked
from portnn.errors import ArgumentError
from portnn.interrupts import INPLACE_MIN_BYTES
from portnn.jit.compiled import CompiledFunction
from portnn.jit.targets import TorchTarget
from portnn.types import Array

# Elements of one block of an element-wise kernel on a CPU: enough for several threads.
BLOCK = 1 << 19


class TorchBackend(Backend):
    """PyTorch tensors, without autograd; devices are PyTorch's: "cpu", "cuda:0"."""

    name = "torch"
    install_hint = "pip install 'portnn[torch]'"
    preserves_op_order = True

    def __init__(self, device: str | None = None) -> None:
        import array_api_compat.torch as namespace
        import torch

        try:
            self._device = torch.empty(0, device=device or torch.get_default_device()).device
        except (RuntimeError, AssertionError) as error:
            raise ArgumentError(f"device: torch has {', '.join(self.devices())}; got {device!r}") from error
        self.device = str(self._device)
        self._records = self._device.type == "cpu"  # the recorded program was not yet run on a GPU
        self._torch = torch
        self.xp = BoundNamespace(namespace, self._device)
        self._cuda = self._device.type == "cuda"

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        if imported_module("torch") is None and find_spec("torch") is None:
            return False, f"PyTorch is not installed; {cls.install_hint}"
        try:
            import torch  # noqa: F401
        except (ImportError, OSError) as error:
            return False, f"PyTorch cannot be imported ({error}); {cls.install_hint}"
        return True, ""

    @classmethod
    def version(cls) -> str:
        import torch

        return str(torch.__version__)

    @classmethod
    def devices(cls) -> list[str]:
        import torch

        return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]

    @classmethod
    def owns(cls, array: object) -> bool:
        torch = imported_module("torch")
        return torch is not None and isinstance(array, torch.Tensor)

    @classmethod
    def device_of(cls, array: Array) -> str:
        return str(array.device)

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        target_dtype = None if dtype is None else getattr(self._torch, dtype)
        elsewhere = self._cuda and not self.owns(obj)
        if elsewhere and getattr(obj, "__dlpack_device__", lambda: (1, 0))()[0] == 2:  # kDLCUDA
            obj = self._torch.from_dlpack(obj)
        if not self.owns(obj):
            host = host_array(obj, dtype)
            # PyTorch has no read-only tensors and warns; it takes neither foreign byte order nor strides that are
            # negative or, as those of a packed record's field, no multiple of the item.
            native = host.dtype.newbyteorder("=")
            steps = all(stride >= 0 and stride % host.itemsize == 0 for stride in host.strides)
            can_share = host.flags.writeable and host.dtype.isnative and steps
            obj = self._torch.from_numpy(host if can_share else np.array(host, dtype=native, order="C"))
        return obj.detach().to(device=self._device, dtype=target_dtype)  # type: ignore[attr-defined]

    def to_numpy(self, array: Array) -> np.ndarray:
        host = array.detach().cpu()
        # NumPy has no bfloat16; float32 holds its values.
        return np.asarray((host.float() if host.dtype is self._torch.bfloat16 else host).numpy())

    def read(self, scalars: Sequence[Array]) -> list[float]:
        return self._torch.stack(list(scalars)).tolist() if scalars else []

    def donates_state(self, size: int) -> bool:
        return self._records and size > INPLACE_MIN_BYTES

    def scope(self) -> AbstractContextManager[Any]:
        torch = self._torch
        altered = torch.is_inference_mode_enabled() or torch.is_autocast_enabled(self._device.type)
        usual = not altered and _precision(self._cuda).is_one_of("none", "ieee")
        return torch.no_grad() if usual else self._unaltered()

    @contextmanager
    def _unaltered(self) -> Iterator[None]:
        """Leave modes that shorten float32 products, or whose tensors no other mode may write into."""
        torch, precision = self._torch, _precision(self._cuda).hold()
        with precision, torch.inference_mode(False), torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            yield

    def elementwise(
        self, param_groups: Sequence[ParamGroup], donate: tuple[int, ...] = (), offsets: Sequence[int] = ()
    ) -> Elementwise:
        """Run the kernels on a CPU's large vectors in blocks: each operation's result is new memory."""
        if not self._records:
            return super().elementwise(param_groups)
        return apply_blocked(param_groups, donate, BLOCK, self._torch.empty_like)

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        eagerly = super().compile(function, static)
        if not self._records:
            return eagerly
        double_buffer = None if donation is None else donation.atomic
        return CompiledFunction(
            TorchTarget(self._torch, self.xp, self.scope), self.xp, function, eagerly, static, double_buffer
        )

    def synchronize(self) -> None:
        if self._cuda:
            self._torch.cuda.synchronize(self._device)


@cache
def _precision(cuda: bool) -> ScopedSetting:
    """Return the setting that shortens float32 products, for all devices of a kind."""
    from torch import backends

    above, products = (backends.cudnn, backends.cuda.matmul) if cuda else (backends.mkldnn, backends.mkldnn.matmul)

    def inherited_device() -> str:  # an inherited value stays inherited: the parent's may change
        return "none" if products.fp32_precision == above.fp32_precision else str(products.fp32_precision)

    return ScopedSetting(
        lambda: products.fp32_precision, partial(setattr, products, "fp32_precision"), "ieee", inherited_device
    )
