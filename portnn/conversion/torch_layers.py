"""The table of layers that PyTorch and portnn both have, with the options under which they compute the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portnn.errors import ArgumentError
from portnn.nn.convolution import Conv1D, Conv2D
from portnn.nn.embedding import Embedding
from portnn.nn.layer import Features, Layer
from portnn.nn.layers import Activation, Dense, Flatten, Reshape
from portnn.nn.noise import Dropout
from portnn.nn.normalization import BatchNorm, LayerNorm
from portnn.nn.pooling import AveragePool2D, MaxPool2D, ZeroPad2D
from portnn.nn.windows import check_pair


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


def _convolution(layer: type[Conv1D] | type[Conv2D]) -> Callable[[Any], Layer]:
    def size(value: Any) -> Any:
        return value[0] if layer is Conv1D and isinstance(value, tuple) else value

    def make(module: Any) -> Layer:
        sizes = {name: size(getattr(module, name)) for name in ("stride", "padding", "dilation")}
        options = {"groups": module.groups, "bias": module.bias is not None, "trainable": _is_free(module)}
        return layer(module.out_channels, size(module.kernel_size), **sizes, **options)

    return make


def _pool(layer: type[MaxPool2D] | type[AveragePool2D]) -> Callable[[Any], Layer]:
    return lambda module: layer(module.kernel_size, module.stride)


_NORM = {"gamma": "weight", "beta": "bias"}
_RUNNING = {"running_mean": "running_mean", "running_var": "running_var"}
_ROWS = {"start_dim": 1, "end_dim": -1}
_PLAIN_EMBEDDING = {"padding_idx": None, "max_norm": None, "scale_grad_by_freq": False}

_ZEROS = {"padding_mode": "zeros"}
_WHOLE_WINDOWS = {"padding": 0, "ceil_mode": False}
_WEIGHTS = {"W": "weight", "b": "bias"}

KINDS: dict[str, Kind] = {
    "Linear": Kind(
        lambda m: Dense(m.out_features, bias=m.bias is not None, trainable=_is_free(m)),
        {},
        {"W": "weight", "b": "bias"},
        lambda m: (m.in_features,),
    ),
    "Flatten": Kind(lambda m: Flatten(), _ROWS, {}),
    "Unflatten": Kind(lambda m: Reshape(tuple(m.unflattened_size)), {"dim": 1}, {}),
    "Conv1d": Kind(_convolution(Conv1D), _ZEROS, _WEIGHTS),
    "Conv2d": Kind(_convolution(Conv2D), _ZEROS, _WEIGHTS),
    "MaxPool2d": Kind(_pool(MaxPool2D), {**_WHOLE_WINDOWS, "dilation": 1, "return_indices": False}, {}),
    "AvgPool2d": Kind(_pool(AveragePool2D), {**_WHOLE_WINDOWS, "divisor_override": None}, {}),
    "ZeroPad2d": Kind(lambda m: ZeroPad2D((m.padding[2], m.padding[0])), {}, {}),
    "Dropout": Kind(lambda m: Dropout(m.p), {}, {}),
    "Dropout2d": Kind(lambda m: Dropout(m.p, whole_channels=True), {}, {}),
    "BatchNorm2d": Kind(
        lambda m: BatchNorm(momentum=m.momentum, eps=m.eps, trainable=_is_free(m)),
        {"affine": True, "track_running_stats": True},
        _NORM | _RUNNING,
    ),
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
    channels = getattr(module, "in_channels", module.num_features if kind == "BatchNorm2d" else None)
    if channels is not None and channels != features[0]:
        raise ArgumentError(f"{where}: expected {channels} channels; got rows of {features} from the modules before it")
    if kind == "ZeroPad2d" and module.padding[::2] != module.padding[1::2]:
        raise ArgumentError(f"{where}: expected as many zeros on one side as on the other; got {module.padding}")
    if kind.startswith("BatchNorm") and module.momentum is None:
        raise ArgumentError(f"{where}: expected a number as momentum; got None, a cumulative average")
    if kind.startswith("BatchNorm") and not _is_free(module) and module.training:
        raise ArgumentError(f"{where}: expected a frozen {kind} in eval mode, as portnn's uses the running averages")
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


def _options(layer: Any) -> dict[str, Any]:
    padding = 0 if layer.padding == "valid" else layer.padding
    sizes = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation}
    return {**sizes, "groups": layer.groups, "bias": layer.bias}


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
        Reshape: lambda one: nn.Unflatten(1, one.shape),
        Conv1D: lambda one: nn.Conv1d(features[0], one.filters, one.kernel, **_options(one)),
        Conv2D: lambda one: nn.Conv2d(features[0], one.filters, one.kernel, **_options(one)),
        MaxPool2D: lambda one: nn.MaxPool2d(one.size, one.stride),
        AveragePool2D: lambda one: nn.AvgPool2d(one.size, one.stride),
        ZeroPad2D: lambda one: nn.ZeroPad2d(
            [zeros for zeros in check_pair("padding", one.padding)[::-1] for _ in range(2)]
        ),
        Dropout: lambda one: (nn.Dropout2d if one.whole_channels else nn.Dropout)(one.rate),
        BatchNorm: lambda one: (nn.BatchNorm2d if len(features) == 3 else nn.BatchNorm1d)(
            features[0], eps=one.eps, momentum=one.momentum
        ),
        LayerNorm: lambda one: nn.LayerNorm(features[-1], eps=one.eps),
        Embedding: lambda one: nn.Embedding(one.num_embeddings, one.embedding_dim),
    }
    if isinstance(layer, MaxPool2D | AveragePool2D) and layer.padding != "valid":
        raise ArgumentError(f"to_torch: expected whole windows; got {layer!r}, whose partial windows PyTorch has not")
    if isinstance(layer, Conv1D | Conv2D) and layer.padding == "same" and check_pair("stride", layer.stride) != (1, 1):
        raise ArgumentError(f'to_torch: expected a stride of 1 with padding="same"; got {layer!r}')
    if isinstance(layer, Reshape) and len(features) > 1:
        raise ArgumentError(f"to_torch: expected rows of one axis before {layer!r}; got {features}")
    if type(layer) not in makers or (isinstance(layer, BatchNorm) and len(features) not in (1, 2, 3)):
        names = ", ".join(sorted(cls.__name__ for cls in makers))
        raise ArgumentError(f"to_torch: expected {names} and activations; got {layer!r} for rows of {features}")
    return makers[type(layer)](layer)
