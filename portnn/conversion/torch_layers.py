"""The table of layers that PyTorch and portnn both have, with the options under which they compute the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portnn.errors import ArgumentError
from portnn.nn.embedding import Embedding
from portnn.nn.layer import Features, Layer
from portnn.nn.layers import Activation, Dense, Flatten
from portnn.nn.noise import Dropout
from portnn.nn.normalization import BatchNorm, LayerNorm


@dataclass(frozen=True)
class Kind:
    """A module of torch.nn: what it needs, and how it becomes a layer."""

    layer: Callable[[Any], Layer | str]
    """Returns the layer of a module."""
    fixed: Mapping[str, Any]
    """Options that need one value."""
    tensors: Mapping[str, str]
    """Names in the module by the layer's own; Dense's W is the transposed weight."""
    features: Callable[[Any], Features | None] = lambda module: None
    """Returns the shape of a row of the input, if the module tells it."""


def _is_free(module: Any) -> bool:
    return all(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _layer_norm(module: Any) -> Layer:
    trainable = module.weight is not None and _is_free(module)
    return LayerNorm(eps=module.eps, trainable=trainable)


_NORM = {"gamma": "weight", "beta": "bias"}
_RUNNING = {"running_mean": "running_mean", "running_var": "running_var"}
_ROWS = {"start_dim": 1, "end_dim": -1}
_PLAIN_EMBEDDING = {"padding_idx": None, "max_norm": None, "scale_grad_by_freq": False}

KINDS: dict[str, Kind] = {
    "Linear": Kind(
        lambda m: Dense(m.out_features, bias=m.bias is not None, trainable=_is_free(m)),
        {},
        {"W": "weight", "b": "bias"},
        lambda m: (m.in_features,),
    ),
    "Flatten": Kind(lambda m: Flatten(), _ROWS, {}),
    "Dropout": Kind(lambda m: Dropout(m.p), {}, {}),
    "BatchNorm1d": Kind(
        lambda m: BatchNorm(momentum=m.momentum, eps=m.eps, trainable=_is_free(m)),
        {"affine": True, "track_running_stats": True},
        _NORM | _RUNNING,
        lambda m: (m.num_features,),
    ),
    "LayerNorm": Kind(_layer_norm, {}, _NORM, lambda m: tuple(m.normalized_shape)),
    "Embedding": Kind(
        lambda m: Embedding(m.num_embeddings, m.embedding_dim, trainable=_is_free(m)), _PLAIN_EMBEDDING, {"E": "weight"}
    ),
}
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "identity": ("Identity", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.01}),
    "elu": ("ELU", {"alpha": 1.0}),
    "selu": ("SELU", {}),
    "silu": ("SiLU", {}),
    "gelu": ("GELU", {"approximate": "none"}),
    "softplus": ("Softplus", {"beta": 1.0}),
    "hard_sigmoid": ("Hardsigmoid", {}),
    "softmax": ("Softmax", {}),
    "log_softmax": ("LogSoftmax", {}),
}
"""Name of the class in torch.nn, and its options."""
KINDS |= {kind: Kind(lambda m, name=name: name, fixed, {}) for name, (kind, fixed) in ACTIVATIONS.items()}  # type: ignore[misc]
SOFTPLUS = 40.0
"""Beyond its threshold PyTorch's softplus is z itself: exp(-40) is below the last digit of 40 in float64."""


def check_module(where: str, module: Any, features: Features, dtype: str) -> None:
    """Raise ArgumentError for options under which the layer would compute something else."""
    kind = type(module).__name__
    required = dict(KINDS[kind].fixed)
    if kind == "BatchNorm1d" and module.momentum is None:
        raise ArgumentError(f"{where}: expected a number as momentum; got None, a cumulative average")
    if kind == "BatchNorm1d" and not _is_free(module) and module.training:
        raise ArgumentError(
            f"{where}: expected a frozen BatchNorm1d in eval mode, as portnn's uses the running averages"
        )
    if kind == "LayerNorm" and len(module.normalized_shape) != 1:
        raise ArgumentError(f"{where}: expected a normalisation over the last axis; got {module.normalized_shape}")
    if kind == "LayerNorm" and module.weight is not None and module.bias is None:
        raise ArgumentError(f"{where}: expected a bias beside the weight, or neither of them; got a weight alone")
    if kind in ("Softmax", "LogSoftmax") and module.dim not in (-1, len(features)):
        raise ArgumentError(f"{where}: expected dim=-1, the last axis; got {module.dim}")
    least = 15.0 if dtype == "float32" else 36.0
    if kind == "Softplus" and module.threshold < least:
        raise ArgumentError(
            f"{where}: expected threshold={SOFTPLUS:g} in {dtype}, as portnn has none; got {module.threshold:g}"
        )
    for option, value in required.items():
        if (got := getattr(module, option)) != value:
            raise ArgumentError(f"{where}: expected {option}={value!r}; got {got!r}")
    if len({parameter.requires_grad for parameter in module.parameters(recurse=False)}) > 1:
        raise ArgumentError(f"{where}: expected all parameters trainable or none; got some with requires_grad=False")


def module_of(nn: Any, layer: Layer, features: Features) -> Any:
    """Return the module of torch.nn of a layer, for rows of the shape ``features``.

    Raises ArgumentError for a layer that PyTorch has not.
    """
    if isinstance(layer, Activation) and layer.name in ACTIVATIONS:
        kind, options = ACTIVATIONS[layer.name]
        if kind == "Softplus":
            options = {"threshold": SOFTPLUS}
        elif kind.endswith("Softmax"):
            options = {"dim": -1}
        return getattr(nn, kind)(**options)
    makers: dict[type[Layer], Callable[[Any], Any]] = {
        Dense: lambda one: nn.Linear(features[0], one.units, bias=one.bias),
        Flatten: lambda one: nn.Flatten(),
        Dropout: lambda one: nn.Dropout(one.rate),
        BatchNorm: lambda one: nn.BatchNorm1d(features[0], eps=one.eps, momentum=one.momentum),
        LayerNorm: lambda one: nn.LayerNorm(features[-1], eps=one.eps),
        Embedding: lambda one: nn.Embedding(one.num_embeddings, one.embedding_dim),
    }
    if type(layer) not in makers or (isinstance(layer, BatchNorm) and len(features) > 2):
        names = ", ".join(sorted(cls.__name__ for cls in makers))
        raise ArgumentError(f"to_torch: expected {names} and activations; got {layer!r} for rows of {features}")
    return makers[type(layer)](layer)
