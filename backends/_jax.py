"""JAX: CPU or its accelerator; functions are compiled for each set of shapes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from portnn.backend import Backend, BoundNamespace, Donation, host_array, imported_module
from portnn.backend.kernels import Elementwise, ParamGroup, apply_param_groups
from portnn.errors import ArgumentError
from portnn.jit.split_vector import SplitVector, concatenate, is_split
from portnn.types import Array


def _name(device: Any) -> str:
    return f"{device.platform}:{device.id}"


class JAXBackend(Backend):
    """JAX arrays; devices are platform and number: "cpu:0", "gpu:0"."""

    name = "jax"
    install_hint = "pip install 'portnn[jax]'"

    def __init__(self, device: str | None = None) -> None:
        import jax

        devices = {_name(d): d for d in (*jax.devices(), *jax.devices("cpu"))}
        devices |= {d.platform: d for d in reversed(devices.values())}
        if device is not None and device not in devices:
            raise ArgumentError(f"device: jax has {', '.join(self.devices())}; got {device!r}")
        self._device = jax.devices()[0] if device is None else devices[device]
        self.device = _name(self._device)
        self._jax = jax
        _register()
        self.xp = BoundNamespace(jax.numpy, self._device, jax.lax.optimization_barrier)

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        if imported_module("jax") is None and find_spec("jax") is None:
            return False, f"JAX is not installed; {cls.install_hint}"
        try:
            cls.devices()
        except (ImportError, RuntimeError) as error:
            return False, f"JAX cannot run ({error}); {cls.install_hint}"
        return True, ""

    @classmethod
    def version(cls) -> str:
        import jax

        return str(jax.__version__)

    @classmethod
    def devices(cls) -> list[str]:
        import jax

        return list(dict.fromkeys(_name(d) for d in (*jax.devices(), *jax.devices("cpu"))))

    @classmethod
    def owns(cls, array: object) -> bool:
        jax = imported_module("jax")
        return jax is not None and isinstance(array, jax.Array)

    @classmethod
    def device_of(cls, array: Array) -> str:
        return _name(next(iter(array.devices())))

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        if self.owns(obj) and obj.device == self._device and obj.dtype == (dtype or obj.dtype):  # type: ignore[attr-defined]
            return obj
        with self.scope():
            if self.owns(obj):
                return self.xp.asarray(obj, dtype=dtype)
            # xp.asarray compiles for each shape. device_put aliases NumPy's memory and reads it later.
            return self._jax.device_put(np.array(host_array(obj, dtype)), self._device)

    def copy(self, array: Array) -> Array:
        return self._jax.device_put(array, self._device, may_alias=False)

    def to_numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array)

    def read(self, scalars: Sequence[Array]) -> list[float]:
        return [float(value) for value in self._jax.device_get(list(scalars))]

    @contextmanager
    def scope(self) -> Iterator[None]:
        # Without x64 JAX turns float64 and int64 into 32 bits silently; without "float32" products on an
        # accelerator lose bits. Both hold inside this block alone: the user's settings stay as they are.
        with self._jax.enable_x64(True), self._jax.default_matmul_precision("float32"):
            yield

    def synchronize(self) -> None:
        self._jax.block_until_ready(self.xp.zeros(1) + 1.0)

    def donates_state(self, size: int) -> bool:
        return True  # XLA allocates new memory for everything that it may not overwrite

    def elementwise(
        self, param_groups: Sequence[ParamGroup], donate: tuple[int, ...] = (), offsets: Sequence[int] = ()
    ) -> Elementwise:
        """Run the kernels on each parameter's part of the vectors: XLA copies slices of a vector."""
        parts = [(stop, next(kernel for end, kernel in param_groups if stop <= end)) for stop in offsets]
        return partial(apply_param_groups, parts or param_groups)

    def jit_exact(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._jax.jit(function)  # type: ignore[no-any-return]

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        """Compile for each set of shapes. A donated state stays split: it is neither cut nor concatenated."""
        tree, offsets = self._jax.tree_util, donation.offsets if donation else ()
        donated = () if donation is None or donation.atomic else (static,)
        split = partial(SplitVector.of, offsets=offsets)

        def split_leaves(state: Any, cut: Callable[[Array], SplitVector] = split) -> Any:
            def of(array: Any) -> Any:
                return cut(array) if array.shape == offsets[-1:] and not is_split(array) else array

            return tree.tree_map(of, state, is_leaf=is_split)

        def inside(*arguments: Any) -> Any:
            joined = tree.tree_map(concatenate, arguments[static:], is_leaf=is_split)
            result = function(*arguments[:static], *joined)
            return result if donation is None else (split_leaves(result[0]), *result[1:])

        compiled = self._jax.jit(inside, static_argnums=tuple(range(static)), donate_argnums=donated)

        def run(*arguments: Any) -> Any:
            fixed, state, data = arguments[:static], arguments[static], arguments[static + 1 :]
            if donation is not None:  # split on the host: XLA would compile each slice
                cut = lambda array: SplitVector(map(self.asarray, split(self.to_numpy(array)).parts))  # noqa: E731
                state = self.call_in_scope(partial(split_leaves, cut=cut), 0, state)
            return self.call_in_scope(compiled, static, *fixed, state, *data)

        return run


@cache
def _register() -> None:
    """Register SplitVector as a pytree."""
    from jax import tree_util

    tree_util.register_pytree_node(SplitVector, lambda vector: (vector.parts, None), lambda _, new: SplitVector(new))
