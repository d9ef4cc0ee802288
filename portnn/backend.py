"""The backend protocol, and how a backend is chosen.

An adapter is a subclass of Backend, one per array library. Ours stand in a table below; a third party registers its
own in the entry-point group ``portnn.backends``, under a name of its own. It holds nothing per operation: the layers
call the array API on ``xp``.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from portnn.errors import ArgumentError, BackendUnavailableError, DataError, DTypeError
from portnn.jit.program import Traced
from portnn.options import plain
from portnn.types import Array, Namespace

Stretch: TypeAlias = tuple[int, Callable[..., tuple[Array, ...]]]
"""Where a stretch of vectors ends, and the kernel that is run on it."""

Elementwise: TypeAlias = Callable[[Namespace, Sequence[Array], Any], tuple[Array, ...]]
"""``run(xp, vectors, numbers) -> vectors``."""


class Consumed(NamedTuple):
    """How the first result of a function takes the place of its state."""

    whole: bool
    """Only when nothing can fail any more: a call that fails has changed nothing."""
    stops: tuple[int, ...]
    """Where each parameter ends in the state's vectors, for a library that had rather keep them in pieces."""


_log = logging.getLogger("portnn")

_CREATION = frozenset({"arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros"})


class BoundNamespace:
    """A library's array API namespace whose new arrays land on one device."""

    def __init__(self, library: Namespace, device: object, barrier: Callable[[Array], Array] | None = None) -> None:
        """Take the library and a device; ``barrier``: what its compiler does not look behind.

        Of ``z * mask`` a compiler makes a choice, which hides NaN where the mask is 0: masks are made behind it.
        """
        self._library = library
        self._device = device
        if barrier is not None:
            self.astype = partial(_astype, library.astype, barrier)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._library, name)
        if name in _CREATION:
            value = partial(value, device=self._device)
        setattr(self, name, value)  # looked up once
        return value


def _astype(
    astype: Callable[..., Array], barrier: Callable[[Array], Array], x: Array, dtype: Any, **options: Any
) -> Array:
    array = astype(x, dtype, **options)
    return barrier(array) if x.dtype == bool else array


class Backend:
    """One array library on one device. Adapters override what their library does otherwise."""

    name: ClassVar[str]
    mend: ClassVar[str]
    """What to type where the library is missing."""

    slow: ClassVar[bool] = False
    """Whether comparisons and fixtures of all backends leave it out, and take it when it is named."""

    one_by_one: ClassVar[bool] = False
    """Whether ``compile`` computes each operation by itself, as the library does: nothing is fused or contracted."""

    xp: Namespace
    device: str

    def __init__(self, device: str | None = None) -> None:
        """Take the device of that name, or the library's default for None. Raises ArgumentError."""
        raise NotImplementedError

    @classmethod
    def is_available(cls) -> tuple[bool, str]:
        """Return (True, "") or (False, why not and the mend). Never raises."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """Return the library's version."""
        raise NotImplementedError

    @classmethod
    def devices(cls) -> list[str]:
        """Return the names of the devices that can be asked for."""
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
        """Return ``obj``, anything array-like of any library, as an array on this device.

        It may share memory with ``obj``: nothing that comes from here is ever written.
        """
        raise NotImplementedError

    def copy(self, array: Array) -> Array:
        """Return a copy of one of the library's arrays, in memory that suits the library."""
        return self.xp.asarray(array, copy=True)

    def to_numpy(self, array: Array) -> np.ndarray:
        """Return one of the library's arrays as a NumPy array, waiting for it if need be."""
        raise NotImplementedError

    def read(self, scalars: Sequence[Array]) -> list[float]:
        """Return the values of 0-d arrays, of the library's, in as few transfers as it can."""
        return [float(self.to_numpy(scalar)) for scalar in scalars]

    def dtypes(self) -> Collection[str]:
        """Return the names of the floating dtypes that the device has."""
        with self.scope():
            return self.xp.__array_namespace_info__().dtypes(kind="real floating")  # type: ignore[no-any-return]

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which the library computes as the core expects."""
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until everything that was asked of the device is done."""

    def consumes(self, size: int) -> bool:
        """Return whether steps should consume a state of so many bytes, one by one too: then Ctrl-C waits for its end.

        Otherwise the state is whole until another takes its place.
        """
        return False

    def elementwise(
        self, stretches: Sequence[Stretch], donate: tuple[int, ...] = (), stops: Sequence[int] = ()
    ) -> Elementwise:
        """Return kernels over stretches of vectors as one function, run the best way the library has.

        ``stretches``: (stop, kernel) of consecutive ones, ``kernel(xp, vectors, numbers) -> vectors``, element by
        element. Output i may take the memory of vector ``donate[i]``, so callers use only what it returns. ``stops``:
        where each parameter ends in the vectors, if the library had rather work on pieces.
        """
        return partial(by_stretches, stretches)

    def additions(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that adds, subtracts and multiplies exactly, as one call if the library has one.

        Its results must have the bits of the operations one by one.
        """
        return function

    def compile(
        self, function: Callable[..., Any], static: int = 1, consumed: Consumed | None = None
    ) -> Callable[..., Any]:
        """Return a pure function, compiled if the library can.

        The first ``static`` arguments are no data (a namespace, functions), and the same at each call; the next is a
        state, nested tuples of arrays. Numbers may come as a function that gives them, called where they are needed.
        ``consumed``: the first result takes the state's place, and how. What is returned enters the ``scope`` by
        itself.
        """
        return partial(self.called, function, static)

    def called(self, function: Callable[..., Any], static: int, *arguments: Any) -> Any:
        """Call a function in the ``scope``; functions among the arguments after the first ``static`` give numbers."""
        with self.scope():
            return function(*arguments[:static], *(a() if callable(a) else a for a in arguments[static:]))

    def __reduce__(self) -> tuple[Any, ...]:
        return _instance, (self.name, self.device)

    def __repr__(self) -> str:
        return f"{self.name}:{self.device}"


class Held:
    """A setting of the whole process: at a value of ours while any thread is inside, and then the user's own again."""

    def __init__(
        self, read: Callable[[], Any], write: Callable[[Any], object], value: Any, own: Callable[[], Any] | None = None
    ) -> None:
        """Take what reads and writes it, and our value; ``own``: what to write back, where that is not what is read."""
        self._read, self._write, self._value, self._own = read, write, value, own or read
        self._lock, self._inside, self._before = threading.Lock(), 0, None

    def is_one_of(self, *values: Any) -> bool:
        """Return whether the user's own is one of these; False while it is held, as it is another then."""
        with self._lock:
            return not self._inside and self._read() in values

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold it until the last of those leaves who hold it."""
        with self._lock:
            if not self._inside:
                self._before = self._own()
                self._write(self._value)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._write(self._before)


def by_stretches(
    stretches: Sequence[Stretch], xp: Namespace, vectors: Sequence[Array], numbers: Any
) -> tuple[Array, ...]:
    """Run the kernel of each stretch on its part of the vectors, in any namespace."""
    if len(stretches) == 1:
        return stretches[0][1](xp, vectors, numbers)
    parts, start = [], 0
    for stop, kernel in stretches:
        parts.append(kernel(xp, [vector[start:stop] for vector in vectors], numbers))
        start = stop
    return tuple(xp.concat(list(pieces)) for pieces in zip(*parts, strict=True))


def by_blocks(
    stretches: Sequence[Stretch], donate: tuple[int, ...], size: int, empty_like: Callable[..., Array]
) -> Elementwise:
    """Return a function that runs the kernels in blocks of ``size`` elements, whose temporaries stay in a cache.

    The results go into the donated vectors, or into new ones that the library's ``empty_like`` makes. Traced, they are
    one line of a program.
    """
    blocks, start = [], 0
    for stop, kernel in stretches:
        blocks += [(slice(i, min(i + size, stop)), kernel) for i in range(start, stop, size)]
        start = stop

    def run(xp: Namespace, vectors: Sequence[Array], numbers: Any) -> tuple[Array, ...]:
        if isinstance(vectors[0], Traced):
            return vectors[0].tape.kernel(stretches, vectors, numbers)
        results = [vectors[i] for i in donate]
        for block, kernel in blocks:
            parts = kernel(xp, [vector[block] for vector in vectors], numbers)
            results = results or [empty_like(vectors[0], dtype=part.dtype) for part in parts]
            for result, part in zip(results, parts, strict=True):
                if part.dtype != result.dtype:  # an assignment would cast in silence
                    raise promoted(part.dtype, result.dtype)
                result[block] = part
        return tuple(results)

    return run


def host_array(obj: object, dtype: str | None = None, argument: str = "data") -> np.ndarray:
    """Return anything array-like as a NumPy array: other libraries' arrays, lists, data frames.

    What is too large for ``dtype`` becomes infinity without a warning, which some libraries lack. Raises DTypeError for
    what is no array, DataError for a ragged or a masked one; both name the ``argument``.
    """
    array = _host_array(obj, argument)
    if dtype is None or array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _host_array(obj: object, argument: str) -> np.ndarray:
    if type(obj) is np.ndarray:
        return obj
    if is_owned(obj):
        return backend_of(obj).to_numpy(obj)
    if not _array_like(obj):  # NumPy would make an array of one object of it
        mend = ""
        if hasattr(obj, "toarray"):
            mend = ": call toarray()"
        elif isinstance(obj, Iterable) and not isinstance(obj, Collection):  # generators, loaders
            mend = ": give batches of (x, y) to fit alone, without y"
        found = type(obj).__name__ + mend
        raise DTypeError(f"{argument}: expected real numbers in an array, a list or a data frame; got {found}")
    parts = [obj] if isinstance(obj, np.ma.MaskedArray) else _masked_parts(obj)
    if masked := sum(int(np.sum(np.ma.getmaskarray(part))) for part in parts):
        size = sum(part.size for part in parts)
        raise DataError(f"{argument}: expected a value in every place; got {masked} of {size} masked: fill them first")
    try:
        return np.asarray(obj)
    except ValueError as error:  # NumPy's way of saying that a list is ragged
        raise DataError(f"{argument}: expected rows of one length; got a ragged sequence ({error})") from error
    except TypeError as error:
        raise DTypeError(f"{argument}: expected an array; got {type(obj).__name__} ({error})") from error


def _masked_parts(obj: object) -> "list[np.ma.MaskedArray]":
    """Return the masked arrays in lists of lists: NumPy would read what lies under their masks."""
    if not isinstance(obj, list | tuple):
        return []
    parts = [part for part in obj if isinstance(part, np.ma.MaskedArray)]
    return parts + [part for row in obj if isinstance(row, list | tuple) for part in _masked_parts(row)]


def _array_like(obj: object) -> bool:
    if isinstance(obj, list | tuple | range | int | float | complex | memoryview | bytearray | np.ndarray | np.generic):
        return True
    return any(hasattr(obj, f"__array{end}__") for end in ("", "_interface", "_struct")) or hasattr(obj, "__dlpack__")


_GROUP = "portnn.backends"
_OURS = {
    "numpy": "portnn.backends._numpy:NumPyBackend",
    "cupy": "portnn.backends._cupy:CuPyBackend",
    "torch": "portnn.backends._torch:TorchBackend",
    "jax": "portnn.backends._jax:JAXBackend",
    "array_api_strict": "portnn.backends._strict:StrictBackend",
}


@cache
def _registered() -> dict[str, Any]:
    """Return the entry point of each adapter: ours, and those of third parties under names of their own."""
    from importlib.metadata import EntryPoint, entry_points

    ours = {name: EntryPoint(name, value, _GROUP) for name, value in _OURS.items()}
    return ours | {entry.name: entry for entry in entry_points(group=_GROUP) if entry.name not in ours}


@cache
def _loaded(name: str) -> type[Backend] | str:
    """Return the adapter of a registered name, or why there is none: one that is broken harms nobody else."""
    try:
        adapter = _registered()[name].load()
    except Exception as error:
        return f"its adapter cannot be loaded ({type(error).__name__}: {error})"
    if not (isinstance(adapter, type) and issubclass(adapter, Backend)):
        return f"its adapter is no subclass of portnn.backend.Backend but {adapter!r}"
    if adapter.name != name:
        return f"its adapter is registered under that name and calls itself {adapter.name!r}"
    return adapter


def _availability(name: str) -> tuple[bool, str]:
    """Return whether a backend can run here, or why not, whatever its adapter does."""
    if name not in _registered():
        raise ArgumentError(f"backend: expected one of {', '.join(sorted(_registered()))} or auto; got {name!r}")
    adapter = _loaded(name)
    if isinstance(adapter, str):
        return False, adapter
    try:
        return adapter.is_available()
    except Exception as error:
        return False, f"its adapter failed ({type(error).__name__}: {error})"


@cache
def _usable(name: str) -> type[Backend]:
    available, reason = _availability(name)
    adapter = _loaded(name)
    if not available or isinstance(adapter, str):
        raise BackendUnavailableError(f"backend {name!r}: {reason}")
    return adapter


@cache
def _on(name: str, device: str) -> Backend:
    backend = _usable(name)(device)
    # One instance a device, however it was named.
    return backend if backend.device == device else _on(name, backend.device)


def _instance(name: str, device: str | None) -> Backend:
    """Return the backend; without a device on the library's current one, which may change."""
    return _on(name, _usable(name)(None).device if device is None else device)


def _owner(array: object) -> type[Backend] | None:
    # An array of a library that was never imported cannot exist: adapters answer from sys.modules.
    if isinstance(array, np.ndarray | list | tuple | int | float):
        return None
    adapters = (_loaded(name) for name in _registered())
    return next((adapter for adapter in adapters if not isinstance(adapter, str) and _owns(adapter, array)), None)


def is_owned(array: object) -> bool:
    """Return whether an array is of a library with an adapter, other than NumPy."""
    owner = _owner(array)
    return owner is not None and owner.name != "numpy"


def _owns(adapter: type[Backend], array: object) -> bool:
    try:
        return adapter.owns(array)
    except Exception:  # a third party's; its arrays are its own affair
        return False


def backend_of(array: object) -> Backend:
    """Return the backend and device that hold ``array``; NumPy for lists, data frames and the like."""
    owner = _owner(array)
    return _instance("numpy", None) if owner is None else _instance(owner.name, owner.device_of(array))


def requested_backend(name: str | None, device: str | None = None) -> Backend | None:
    """Return the backend that ``name``, or else the variable PORTNN_BACKEND, asks for; None if neither does.

    A name is ``"cupy"``, ``"cupy:1"``, ``"torch:cuda:0"`` or ``"auto"``: CuPy where a CUDA device answers,
    else NumPy. Raises BackendUnavailableError with the mend; a backend asked for by name is never replaced.
    """
    name = name or os.environ.get("PORTNN_BACKEND") or None
    device = plain(device)
    device = str(device) if type(device) is int else device  # "cupy" numbers its devices
    if name is None:
        if device is not None:
            raise ArgumentError(f"device: needs a backend beside it; got device={device!r} alone")
        return None
    if not isinstance(name, str):
        raise ArgumentError(f"backend: expected a name; got {name!r}")
    if not isinstance(device, str | None):
        raise ArgumentError(f"device: expected a name or a number; got {device!r}")
    if name == "auto":
        available, reason = _availability("cupy")
        if available:
            _log.info("backend auto: using cupy")
            return _instance("cupy", device)
        _log.warning("backend auto: using numpy (cupy: %s)", reason)
        return _instance("numpy", None)
    library, _, suffix = name.partition(":")
    if suffix and device is not None and device != suffix:
        raise ArgumentError(f"device: backend={name!r} names a device already; got device={device!r}")
    return _instance(library, suffix or device)


def get_backend(name: str | None = None, device: str | None = None) -> Backend:
    """Return a backend by name; without a name that of PORTNN_BACKEND, else NumPy.

    Raises ArgumentError for a name or device that does not exist, BackendUnavailableError (with the mend)
    for a backend that cannot run here.
    """
    return requested_backend(name, device) or _instance("numpy", None)


def with_dtype(backend: Backend, dtype: str) -> Backend:
    """Return the backend, if its device computes in that dtype. Raises DTypeError."""
    if not isinstance(dtype, str) or dtype not in ("float32", "float64"):
        raise DTypeError(f"dtype: expected 'float32' or 'float64'; got {dtype!r}")
    if dtype not in backend.dtypes():
        raise DTypeError(f'dtype: {backend!r} has no {dtype}; use dtype="float32" or another device')
    return backend


def promoted(got: object, expected: object) -> DTypeError:
    """Return the error of a step whose results are of another dtype than the network's."""
    return DTypeError(
        f"step: expected {expected} throughout; got {got}: a layer, a loss or an optimizer computes with a NumPy "
        f"scalar (write float(...)) or casts its result"
    )


@dataclass(frozen=True)
class BackendInfo:
    """One line of ``portnn backends``."""

    name: str
    available: bool
    version: str
    devices: tuple[str, ...]
    reason: str
    """Why it is not available, and the mend; empty where it is."""
    slow: bool = False
    """Whether comparisons of all backends leave it out, and take it when it is named."""


def available_backends() -> list[BackendInfo]:
    """Return every registered backend: what it runs on, or why it cannot run."""
    names = sorted(_registered(), key=lambda name: (name != "numpy", name))
    return [_info(name, *_availability(name)) for name in names]


def _info(name: str, available: bool, reason: str) -> BackendInfo:
    adapter = _loaded(name)
    if not available or isinstance(adapter, str):
        return BackendInfo(name, False, "", (), reason)
    try:
        return BackendInfo(name, True, adapter.version(), tuple(adapter.devices()), "", adapter.slow)
    except Exception as error:
        return BackendInfo(name, False, "", (), f"its adapter failed ({type(error).__name__}: {error})")


def loaded(library: str) -> Any:
    """Return the library's module if something imported it, else None."""
    return sys.modules.get(library)
