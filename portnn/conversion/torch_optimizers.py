"""PyTorch's SGD, Adam and AdamW as portnn's optimizers, with their state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from portnn.conversion.torch_modules import Part, on_host, tensors_of
from portnn.errors import ArgumentError
from portnn.model.runtime import Runtime
from portnn.optim.optimizer import Optimizer
from portnn.optim.optimizers import SGD, Adam, AdamW

SLOTS = {"velocity": "momentum_buffer", "m": "exp_avg", "v": "exp_avg_sq"}
"""Names of state vectors in PyTorch's by portnn's."""
_UNKNOWN = {"maximize": False, "amsgrad": False, "dampening": 0}
"""Options that portnn has not, and the value at which they change nothing."""


def optimizer_of(optimizer: Any, parts: Sequence[Part]) -> Optimizer:
    """Return portnn's optimizer with the options of one of PyTorch. Raises ArgumentError for others."""
    kinds = {torch.optim.SGD: SGD, torch.optim.Adam: Adam, torch.optim.AdamW: AdamW}
    if type(optimizer) not in kinds:
        raise ArgumentError(f"optimizer: expected torch.optim.SGD, Adam or AdamW; got {type(optimizer).__name__}")
    first, *others = optimizer.param_groups
    for option, value in _UNKNOWN.items():
        if first.get(option, value) != value:
            raise ArgumentError(f"optimizer: expected {option}={value!r}; got {first[option]!r}")
    for group in others:
        for option in set(first) - {"params", "weight_decay", "initial_lr"}:
            if group[option] != first[option]:
                raise ArgumentError(
                    f"optimizer: expected one {option} for all parameters; got {first[option]} and {group[option]}"
                )
    decay, rate = _weight_decay(optimizer, parts), float(first["lr"])
    if isinstance(optimizer, torch.optim.SGD):
        return SGD(rate, momentum=float(first["momentum"]), nesterov=first["nesterov"], l2=decay)
    betas = {f"beta{i}": float(beta) for i, beta in enumerate(first["betas"], start=1)}
    if kinds[type(optimizer)] is AdamW:
        return AdamW(rate, **betas, epsilon=float(first["eps"]), weight_decay=decay)
    return Adam(rate, **betas, epsilon=float(first["eps"]), l2=decay)


def _weight_decay(optimizer: Any, parts: Sequence[Part]) -> float:
    """Return the one weight decay of weights. Raises ArgumentError where others have it, or parameters are missing."""
    decays = {id(p): float(group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    of_weights: set[float] = set()
    of_others: set[float] = set()
    for part in parts:
        for key, tensor in tensors_of(part).items():
            if isinstance(tensor, torch.nn.Parameter) and tensor.requires_grad:
                if id(tensor) not in decays:
                    raise ArgumentError(f"optimizer: expected all trainable parameters; got none of {part.name}")
                (of_weights if key == "W" else of_others).add(decays.pop(id(tensor)))
    if len(of_weights) > 1 or of_others - {0.0}:
        raise ArgumentError(
            "optimizer: expected one weight_decay for the weights of Linear and 0 for all other parameters, in a group "
            f"of their own; got {sorted(of_weights)} and {sorted(of_others)}"
        )
    return of_weights.pop() if of_weights else 0.0


def state_of(optimizer: Any, parts: Sequence[Part], runtime: Runtime) -> tuple[dict[str, np.ndarray], int]:
    """Return the state vectors by name, and the number of updates. Raises ArgumentError for states of several ages."""
    arrays, ages = {}, set()
    for tensor in runtime.model.parameters.tensors:
        parameter = tensors_of(parts[tensor.layer])[tensor.key]
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        has_state = any(state.get(name) is not None for name in SLOTS.values())
        ages.add(int(state["step"]) if "step" in state else int(has_state))
        for slot in runtime.chain.state_names:
            value = state.get(SLOTS[slot])
            arrays[f"{slot}.{tensor.name}"] = np.zeros(tensor.shape) if value is None else on_host(value, tensor.key)
    if len(ages) > 1:
        raise ArgumentError(f"optimizer: expected the same number of steps for all parameters; got {sorted(ages)}")
    return arrays, ages.pop() if ages else 0
