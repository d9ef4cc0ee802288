"""The adapter protocol: what the library needs from an array library.

An adapter is a subclass of Backend, one per array library. It has no method per operation: the layers call the array
API on ``xp``.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from portnn.backend.kernels import Elementwise, ParamGroup, apply_param_groups
from portnn.deprecated import RenamedMembers, warn_renamed
from portnn.distributed import Communicator
from portnn.errors import BackendUnavailableError
from portnn.types import Array, Namespace

_CREATION = frozenset({"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"})


class Donation(NamedTuple):
    """How the first result of a function takes the place of its state.

    Examples
    --------
    >>> from portnn.backend import Donation
    >>> Donation(atomic=True, offsets=(6, 8)).offsets
    (6, 8)
    """

    atomic: bool
    """Whether the old state is replaced only after the call has succeeded; a failing call then changes nothing."""
    offsets: tuple[int, ...]
    """End offset of each parameter in the state's vectors, for a library that keeps the vectors split."""

    @property
    def whole(self) -> bool:
        """The old name of ``atomic``."""
        warn_renamed("Consumed.whole", "Donation.atomic")
        return self.atomic

    @property
    def stops(self) -> tuple[int, ...]:
        """The old name of ``offsets``."""
        warn_renamed("Consumed.stops", "Donation.offsets")
        return self.offsets


class BoundNamespace:
    """A library's array API namespace whose new arrays land on one device.

    Examples
    --------
    >>> import array_api_strict
    >>> from portnn.backend import BoundNamespace
    >>> xp = BoundNamespace(array_api_strict, array_api_strict.Device("device1"))
    >>> xp.zeros(3).device
    array_api_strict.Device('device1')
    """

    def __init__(self, library: Namespace, device: object, barrier: Callable[[Array], Array] | None = None) -> None:
        """``barrier``: a function across which the compiler does not fuse.

        A compiler turns ``z * mask`` into a selection, which hides NaN where the mask is 0: masks are computed behind
        it.
        """
        self._library = library
        self._device = device
        if barrier is not None:
            self.astype = partial(_astype, library.astype, barrier)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._library, name)
        if name in _CREATION:
            value = partial(value, device=self._device)
        setattr(self, name, value)  # cached: __getattr__ runs once per name
        return value


def _astype(
    astype: Callable[..., Array], barrier: Callable[[Array], Array], x: Array, dtype: Any, **options: Any
) -> Array:
    array = astype(x, dtype, **options)
    return barrier(array) if x.dtype == bool else array


class Backend(RenamedMembers):
    """One array library on one device. An adapter overrides the methods in which its library differs.

    ``portnn.testing.check_backend`` checks an adapter.

    Parameters
    ----------
    device : str, optional
        None: the library's default.

    Examples
    --------
    >>> from portnn.backend import get_backend
    >>> backend = get_backend("numpy")
    >>> backend.name, backend.device, backend.to_numpy(backend.asarray([1.0], "float32")).dtype.name
    ('numpy', 'cpu', 'float32')
    """

    name: ClassVar[str]
    install_hint: ClassVar[str]
    """Command that installs the library, for messages."""

    slow: ClassVar[bool] = False
    """Whether comparisons and fixtures of all backends skip this one, unless it is named."""

    preserves_op_order: ClassVar[bool] = False
    """Whether a compiled function computes operation by operation, as the library does: nothing is fused."""

    xp: Namespace
    device: str

    _renamed: ClassVar[Mapping[str, str]] = {
        "additions": "jit_exact",
        "called": "call_in_scope",
        "consumes": "donates_state",
        "mend": "install_hint",
        "one_by_one": "preserves_op_order",
    }

    def __init__(self, device: str | None = None) -> None:
        """``device``: a name, or None for the library's default. Raises ArgumentError."""
        raise NotImplementedError

    @classmethod
    @cache
    def on(cls, device: str) -> "Backend":
        """Return the cached instance of a device, whichever of its names is given."""
        backend = cls(device)
        return backend if backend.device == device else cls.on(backend.device)

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        """Return (True, "") or (False, the reason and the install hint). Never raises."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """Return the library's version."""
        raise NotImplementedError

    @classmethod
    def devices(cls) -> list[str]:
        """Return the names of the available devices."""
        raise NotImplementedError

    @classmethod
    def owns(cls, array: object) -> bool:
        """Return whether the array is this library's. Must not import the library."""
        raise NotImplementedError

    @classmethod
    def device_of(cls, array: Array) -> str:
        """Return the name of the device that holds one of the library's arrays."""
        raise NotImplementedError

    def asarray(self, obj: object, dtype: str | None = None) -> Array:
        """Return ``obj``, an array of any library or a list, as an array on this device.

        The result may share memory with ``obj``: portnn never writes into it.
        """
        raise NotImplementedError

    def copy(self, array: Array) -> Array:
        """Return a copy of one of the library's arrays, in memory that the library allocates."""
        return self.xp.asarray(array, copy=True)

    def device_sum(self, comm: Communicator) -> Callable[[Array], Array]:
        """Return a function that sums arrays over the processes of a training, without the host.

        Raises BackendUnavailableError where the library has none.
        """
        raise BackendUnavailableError(
            f'distributed: {self!r} sums through the host; expected distributed="mpi", or backend="cupy" for NCCL'
        )

    def take_rows(self, array: Array, order: Array, start: int, stop: int) -> Array:
        """Return the rows ``order[start:stop]`` of an array, for the batch of a compiled step alone.

        An adapter may return an object that has a shape and a dtype, of which the step takes the rows.
        """
        return self.xp.take(array, order[start:stop], axis=0)

    def to_numpy(self, array: Array) -> np.ndarray:
        """Return one of the library's arrays as a NumPy array; waits until it is computed."""
        raise NotImplementedError

    def read(self, scalars: Sequence[Array]) -> list[float]:
        """Return the values of the library's 0-d arrays, in as few transfers as possible."""
        return [float(self.to_numpy(scalar)) for scalar in scalars]

    def dtypes(self) -> Collection[str]:
        """Return the names of the floating dtypes that the device supports."""
        with self.scope():
            return self.xp.__array_namespace_info__().dtypes(kind="real floating")  # type: ignore[no-any-return]

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context manager in which the library computes with portnn's settings."""
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until the device has finished all its work."""

    def donates_state(self, size: int) -> bool:
        """Return whether a step updates a state of ``size`` bytes in place.

        If so, Ctrl-C waits for the end of the step. Otherwise the old state stays valid until a new one replaces it.
        """
        return False

    def elementwise(
        self, param_groups: Sequence[ParamGroup], donate: tuple[int, ...] = (), offsets: Sequence[int] = ()
    ) -> Elementwise:
        """Return the kernels of parameter groups as one function, run the best way the library has.

        ``param_groups``: (stop, kernel) of consecutive ones, ``kernel(xp, vectors, numbers) -> vectors``, element by
        element. Output i may take the memory of vector ``donate[i]``, so callers use only what it returns. ``offsets``:
        where each parameter ends in the vectors, if the library had rather work on pieces.
        """
        return partial(apply_param_groups, param_groups)

    def jit_exact(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of exact additions, subtractions and multiplications, compiled if the library can.

        The results have the bits of the separate operations.
        """
        return function

    def compile(
        self, function: Callable[..., Any], static: int = 1, donation: Donation | None = None
    ) -> Callable[..., Any]:
        """Return a pure function, compiled if the library can compile; it enters the ``scope`` itself.

        Parameters
        ----------
        function : callable
            ``function(*static_arguments, state, *data)``.
        static : int
            Number of leading arguments that are no arrays (a namespace, functions), and the same at each call. The next
            argument is the state, nested tuples of arrays. Scalars after it may be callables, evaluated at each call.
        donation : Donation, optional
            The first result reuses the state's memory; None: all results are fresh arrays.

        Returns
        -------
        callable
        """
        return partial(self.call_in_scope, function, static)

    def call_in_scope(self, function: Callable[..., Any], static: int, *arguments: Any) -> Any:
        """Call a function in the ``scope``.

        Callables among the arguments after the first ``static`` are called; the function gets their values.
        """
        with self.scope():
            return function(*arguments[:static], *(a() if callable(a) else a for a in arguments[static:]))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.device)

    def __repr__(self) -> str:
        return f"{self.name}:{self.device}"


def _restored(adapter: type[Backend], device: str) -> Backend:
    """Return the backend of a pickle. Raises BackendUnavailableError if it cannot run here."""
    available, reason = adapter.is_available()
    if not available:
        raise BackendUnavailableError(f"backend {adapter.name!r}: {reason}")
    return adapter.on(device)


def imported_module(library: str) -> Any:
    """Return the library's module if something imported it, else None.

    Parameters
    ----------
    library : str

    Returns
    -------
    module or None

    Examples
    --------
    >>> from portnn.backend import imported_module
    >>> imported_module("numpy").__name__, imported_module("a_library_of_nobody")
    ('numpy', None)
    """
    return sys.modules.get(library)
