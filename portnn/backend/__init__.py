"""Backends: the protocol of an adapter, and how one is chosen."""

from portnn.backend.host import host_array
from portnn.backend.kernels import Elementwise, ParamGroup, apply_blocked, apply_param_groups
from portnn.backend.precision import ScopedSetting, promoted
from portnn.backend.protocol import Backend, BoundNamespace, Consumed, loaded
from portnn.backend.registry import (
    BackendInfo,
    available_backends,
    backend_of,
    get_backend,
    is_backend_array,
    requested_backend,
    require_dtype,
)

__all__ = [
    "Backend",
    "BackendInfo",
    "BoundNamespace",
    "Consumed",
    "Elementwise",
    "ParamGroup",
    "ScopedSetting",
    "apply_blocked",
    "apply_param_groups",
    "available_backends",
    "backend_of",
    "get_backend",
    "host_array",
    "is_backend_array",
    "loaded",
    "promoted",
    "requested_backend",
    "require_dtype",
]
