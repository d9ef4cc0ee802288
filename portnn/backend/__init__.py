"""Backends: the protocol of an adapter, and how one is chosen."""

from portnn.backend.host import host_array
from portnn.backend.kernels import Elementwise, Stretch, by_blocks, by_stretches
from portnn.backend.precision import Held, promoted
from portnn.backend.protocol import Backend, BoundNamespace, Consumed, loaded
from portnn.backend.registry import (
    BackendInfo,
    available_backends,
    backend_of,
    get_backend,
    is_owned,
    requested_backend,
    with_dtype,
)

__all__ = [
    "Backend",
    "BackendInfo",
    "BoundNamespace",
    "Consumed",
    "Elementwise",
    "Held",
    "Stretch",
    "available_backends",
    "backend_of",
    "by_blocks",
    "by_stretches",
    "get_backend",
    "host_array",
    "is_owned",
    "loaded",
    "promoted",
    "requested_backend",
    "with_dtype",
]
