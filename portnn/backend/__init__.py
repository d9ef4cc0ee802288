"""Backends: the adapter protocol, the registry of adapters, and the choice of a backend."""

from portnn.backend.host import host_array
from portnn.backend.kernels import Elementwise, ParamGroup, apply_blocked, apply_param_groups
from portnn.backend.precision import ScopedSetting, dtype_promotion_error
from portnn.backend.protocol import Backend, BoundNamespace, Donation, imported_module
from portnn.backend.registry import (
    BackendInfo,
    available_backends,
    backend_of,
    get_backend,
    is_backend_array,
    requested_backend,
    require_dtype,
)
from portnn.deprecated import renamed_globals

__all__ = [
    "Backend",
    "BackendInfo",
    "BoundNamespace",
    "Donation",
    "Elementwise",
    "ParamGroup",
    "ScopedSetting",
    "apply_blocked",
    "apply_param_groups",
    "available_backends",
    "backend_of",
    "dtype_promotion_error",
    "get_backend",
    "host_array",
    "imported_module",
    "is_backend_array",
    "requested_backend",
    "require_dtype",
]

__getattr__ = renamed_globals(
    __name__,
    {
        "Consumed": "Donation",
        "Stretch": "ParamGroup",
        "by_blocks": "apply_blocked",
        "by_stretches": "apply_param_groups",
        "loaded": "imported_module",
    },
)
