"""A ``torch.nn.Sequential`` as the layers and arrays of a network, and the other way round."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from portnn.conversion.torch_layers import KINDS, Kind, check_module, module_of
from portnn.errors import ArgumentError
from portnn.model.runtime import Runtime
from portnn.nn.layer import Features, Layer
from portnn.nn.layers import Activation, as_layer

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
_HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"


class Part(NamedTuple):
    """One module of a network, with its place in the whole."""

    path: str
    """As in ``state_dict``: "0", "features.2"."""
    module: Any

    @property
    def kind(self) -> Kind:
        return KINDS[type(self.module).__name__]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"module {self.path!r}, {type(self.module).__name__}"


def parts_of(module: Any) -> list[Part]:
    """Return the modules of nested Sequentials in order. Raises ArgumentError for others, and for shared tensors."""
    parts = list(_walked(module, ""))
    owners: dict[int, str] = {}
    for part in parts:
        for parameter in part.module.parameters():
            if owners.setdefault(id(parameter), part.name) != part.name:
                raise ArgumentError(
                    f"{part.name}: expected parameters of its own; got those of {owners[id(parameter)]}"
                )
    if not parts:
        raise ArgumentError("module: expected at least one layer; got an empty Sequential")
    return parts


def _walked(module: Any, path: str) -> Iterator[Part]:
    kind, where = type(module), f"module {path!r}" if path else "module"
    is_sequential = isinstance(module, torch.nn.Sequential) and kind.forward is torch.nn.Sequential.forward
    if not is_sequential and not (kind.__name__ in KINDS and kind is getattr(torch.nn, kind.__name__, None)):
        raise ArgumentError(f"{where}: expected Sequential, {', '.join(KINDS)}; got {kind.__module__}.{kind.__name__}")
    if any(getattr(module, hooks, None) for hooks in _HOOKS):
        raise ArgumentError(f"{where}: expected no hooks, which may change its numbers")
    if is_sequential:
        for name, child in module._modules.items():  # named_children leaves out a module that occurs twice
            yield from _walked(child, f"{path}.{name}" if path else name)
    else:
        yield Part(path or "0", module)


def dtype_of(parts: Sequence[Part]) -> str:
    """Return the one dtype of all parameters."""
    found = {tensor.dtype for part in parts for tensor in part.module.parameters()}
    if len(found) != 1 or not found <= set(DTYPES):
        raise ArgumentError(f"module: expected parameters of float32 or of float64; got {sorted(map(str, found))}")
    return DTYPES[found.pop()]


def input_shape(parts: Sequence[Part]) -> Features:
    """Return the shape of one row of input, as far as the first modules tell it; flat before a Flatten."""
    embedding = 0
    for part in parts:
        if type(part.module).__name__ == "Embedding":
            embedding = part.module.embedding_dim
        elif (features := part.kind.features(part.module)) is not None:
            if not embedding:
                return features
            if type(part.module).__name__ == "Linear" and features[0] % embedding == 0:
                return (features[0] // embedding,)
            break
    raise ArgumentError(
        "input_shape: expected the shape of one row, which the modules do not tell, such as (1, 28, 28)"
    )


def layers_of(parts: Sequence[Part], features: Features, dtype: str) -> list[Layer | str]:
    """Return the layers of the modules, for rows of the shape ``features``."""
    layers = []
    for part in parts:
        check_module(part.name, part.module, features, dtype)
        layer = part.kind.layer(part.module)
        expected = part.kind.features(part.module)
        on_last_axis = type(part.module).__name__ == "LayerNorm"
        got = features[-1:] if on_last_axis else features[: len(expected or ())]
        if expected is not None and got != expected:
            raise ArgumentError(f"{part.name}: expected rows of {expected}; got {features} from the modules before it")
        features = as_layer(layer).shapes(features).output
        layers.append(layer)
    return layers


def tensors_of(part: Part) -> dict[str, Any]:
    """Return the parameters and buffers of a module by the layer's names for them."""
    return {key: getattr(part.module, name, None) for key, name in part.kind.tensors.items()}


def arrays_of(parts: Sequence[Part], runtime: Runtime) -> dict[str, np.ndarray]:
    """Return a network's parameters and buffers by name, from the modules of its layers."""
    arrays = {}
    for tensor in (*runtime.model.parameters.tensors, *runtime.model.buffers.tensors):
        value = tensors_of(parts[tensor.layer])[tensor.key]
        if value is None:  # a LayerNorm without weight and bias
            arrays[tensor.name] = np.full(tensor.shape, float(tensor.key == "gamma"))
        else:
            arrays[tensor.name] = on_host(value, tensor.key)
    return arrays


def on_host(tensor: Any, key: str) -> np.ndarray:
    """Return a copy of a tensor as the layer has it: Dense's W is (in, out), PyTorch's weight (out, in)."""
    array = np.array(tensor.detach().cpu().numpy())
    return array.T if key == "W" and array.ndim == 2 else array


def names_in_state_dict(parts: Sequence[Part], runtime: Runtime) -> dict[str, Any]:
    """Return the paths of the modules, and the names of tensors in ``state_dict`` by portnn's."""
    tensors = (*runtime.model.parameters.tensors, *runtime.model.buffers.tensors)
    names = {t.name: f"{parts[t.layer].path}.{parts[t.layer].kind.tensors[t.key]}" for t in tensors}
    return {"modules": [part.path for part in parts], "state_dict": names}


def sequential_of(runtime: Runtime, paths: Sequence[str] | None) -> Any:
    """Return a Sequential, in eval mode, that computes a network's outputs. ``paths``: where the modules shall be."""
    architecture = runtime.model.architecture
    layers, features = list(architecture.layers), architecture.features
    assert features is not None
    if architecture.output != "identity":
        layers.append(Activation(architecture.output))
    modules = []
    for layer in layers:
        output = layer.shapes(features).output
        modules.append(module_of(torch.nn, layer, features))
        modules[-1].requires_grad_(getattr(layer, "trainable", True))
        features = output
    for module in modules:
        module.to(dtype=getattr(torch, runtime.dtype))
    _fill(modules, runtime)
    numbers = [str(i) for i in range(len(modules))]
    sequential = _nested(dict(zip(numbers, modules, strict=True)))
    if paths:
        names = [*paths, "output"][: len(modules)]
        named = _nested(dict(zip(names, modules, strict=False)))
        sequential = named if [part.path for part in _walked(named, "")] == names else sequential
    return sequential.to(runtime.backend.device if runtime.backend.name == "torch" else "cpu").eval()


def _fill(modules: Sequence[Any], runtime: Runtime) -> None:
    """Copy a network's parameters and buffers to the modules."""
    arrays = runtime.arrays()
    for tensor in (*runtime.model.parameters.tensors, *runtime.model.buffers.tensors):
        part = Part("", modules[tensor.layer])
        array = arrays[tensor.name]
        value = torch.from_numpy(np.array(array.T if tensor.key == "W" and array.ndim == 2 else array))
        with torch.no_grad():
            tensors_of(part)[tensor.key].copy_(value)


def _nested(modules: Mapping[str, Any]) -> Any:
    """Return the Sequential of modules by their paths."""
    groups: dict[str, dict[str, Any]] = {}
    for path, module in modules.items():
        name, _, rest = path.partition(".")
        groups.setdefault(name, {})[rest] = module
    sequential = torch.nn.Sequential()
    for name, group in groups.items():
        sequential.add_module(name, group[""] if "" in group else _nested(group))
    return sequential
