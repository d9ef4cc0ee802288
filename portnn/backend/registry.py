"""The registry of adapters, and the choice of a backend.

portnn's own adapters are in the table below; a third party registers one in the entry-point group ``portnn.backends``,
under another name.
"""

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from portnn.backend.protocol import Backend
from portnn.errors import ArgumentError, BackendUnavailableError, DTypeError
from portnn.options import as_python

_log = logging.getLogger("portnn")

GROUP = "portnn.backends"
_BUILTIN = {
    "numpy": "portnn.backends._numpy:NumPyBackend",
    "cupy": "portnn.backends._cupy:CuPyBackend",
    "torch": "portnn.backends._torch:TorchBackend",
    "jax": "portnn.backends._jax:JAXBackend",
    "array_api_strict": "portnn.backends._strict:StrictBackend",
}


@cache
def _registered() -> dict[str, Any]:
    """Return the entry point of each adapter: portnn's, and those of third parties under other names."""
    from importlib.metadata import EntryPoint, entry_points

    builtin = {name: EntryPoint(name, value, GROUP) for name, value in _BUILTIN.items()}
    return builtin | {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in builtin}


@cache
def _loaded(name: str) -> type[Backend] | str:
    """Return the adapter of a registered name, or the reason why it cannot be loaded: a broken one affects no other."""
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
    """Return (available, reason), also for an adapter that raises."""
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


def instance(name: str, device: str | None) -> Backend:
    """Return the backend on a device; None: the library's current device, which may change."""
    adapter = _usable(name)
    return adapter.on(adapter(None).device if device is None else device)


def _owner(array: object) -> type[Backend] | None:
    # No array exists of a library that was never imported: adapters look into sys.modules.
    if isinstance(array, np.ndarray | list | tuple | int | float):
        return None
    adapters = (_loaded(name) for name in _registered())
    return next((adapter for adapter in adapters if not isinstance(adapter, str) and _owns(adapter, array)), None)


def is_backend_array(array: object) -> bool:
    """Return whether an array belongs to a library with an adapter, NumPy excepted.

    Parameters
    ----------
    array : object

    Returns
    -------
    bool

    Examples
    --------
    >>> import array_api_strict
    >>> from portnn.backend import is_backend_array
    >>> is_backend_array(array_api_strict.zeros(2)), is_backend_array([0.0, 0.0])
    (True, False)
    """
    owner = _owner(array)
    return owner is not None and owner.name != "numpy"


def _owns(adapter: type[Backend], array: object) -> bool:
    try:
        return adapter.owns(array)
    except Exception:  # a third party's adapter that fails does not claim the array
        return False


def backend_of(array: object) -> Backend:
    """Return the backend and device of ``array``; NumPy for lists, data frames and the like.

    Parameters
    ----------
    array : object

    Returns
    -------
    Backend

    Examples
    --------
    >>> from portnn.backend import backend_of
    >>> backend_of([0.0, 1.0])
    numpy:cpu
    """
    owner = _owner(array)
    return instance("numpy", None) if owner is None else instance(owner.name, owner.device_of(array))


def requested_backend(name: str | None, device: str | None = None) -> Backend | None:
    """Return the backend of ``name``, or else of the variable PORTNN_BACKEND; None without either.

    A name is ``"cupy"``, ``"cupy:1"``, ``"torch:cuda:0"`` or ``"auto"``: CuPy if a CUDA device is available, else
    NumPy. Raises BackendUnavailableError with the install hint: a backend that the user names is never replaced.

    Parameters
    ----------
    name : str, optional
    device : str, optional

    Returns
    -------
    Backend or None

    Examples
    --------
    >>> from portnn.backend import requested_backend
    >>> requested_backend("numpy")
    numpy:cpu
    """
    name = name or os.environ.get("PORTNN_BACKEND") or None
    device = as_python(device)
    device = str(device) if type(device) is int else device  # "cupy" devices are numbers
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
            return instance("cupy", device)
        _log.warning("backend auto: using numpy (cupy: %s)", reason)
        return instance("numpy", None)
    library, _, suffix = name.partition(":")
    if suffix and device is not None and device != suffix:
        raise ArgumentError(f"device: backend={name!r} names a device already; got device={device!r}")
    return instance(library, suffix or device)


def get_backend(name: str | None = None, device: str | None = None) -> Backend:
    """Return a backend by name; without a name that of PORTNN_BACKEND, else NumPy.

    Raises ArgumentError for a name or device that does not exist, BackendUnavailableError (with the hint)
    for a backend that cannot run here.

    Parameters
    ----------
    name : str, optional
        "numpy", "cupy:1", "torch:cuda:0", "auto" ...; None: the variable PORTNN_BACKEND, else "numpy".
    device : str, optional

    Returns
    -------
    Backend

    Examples
    --------
    >>> from portnn import get_backend
    >>> get_backend("numpy")
    numpy:cpu
    """
    return requested_backend(name, device) or instance("numpy", None)


def require_dtype(backend: Backend, dtype: str) -> Backend:
    """Return the backend if its device supports the dtype. Raises DTypeError.

    Parameters
    ----------
    backend : Backend
    dtype : {"float32", "float64"}

    Returns
    -------
    Backend

    Examples
    --------
    >>> from portnn.backend import get_backend, require_dtype
    >>> require_dtype(get_backend("numpy"), "float64")
    numpy:cpu
    """
    if not isinstance(dtype, str) or dtype not in ("float32", "float64"):
        raise DTypeError(f"dtype: expected 'float32' or 'float64'; got {dtype!r}")
    if dtype not in backend.dtypes():
        raise DTypeError(f'dtype: {backend!r} has no {dtype}; use dtype="float32" or another device')
    return backend


@dataclass(frozen=True)
class BackendInfo:
    """One line of ``portnn backends``.

    Examples
    --------
    >>> from portnn import available_backends
    >>> info = available_backends()[0]
    >>> info.name, info.available, info.devices
    ('numpy', True, ('cpu',))
    """

    name: str
    available: bool
    version: str
    devices: tuple[str, ...]
    reason: str
    """The reason why the backend is not available, and the install hint; "" where it is."""
    slow: bool = False
    """Whether comparisons of all backends leave it out, and take it when it is named."""


def available_backends() -> list[BackendInfo]:
    """Return every registered backend: what it runs on, or why it cannot run.

    Returns
    -------
    list of BackendInfo

    Examples
    --------
    >>> from portnn import available_backends
    >>> [info.name for info in available_backends() if info.name == "numpy" and not info.reason]
    ['numpy']
    """
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
