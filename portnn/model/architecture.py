"""The architecture: layers from a user's arguments, their shapes, and the layout of the flat vectors."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from portnn import registry
from portnn.errors import ArgumentError, ShapeError
from portnn.nn import activations, random
from portnn.nn.embedding import Tabular
from portnn.nn.initializers import Initializer, resolve
from portnn.nn.layer import Features, Layer, PreprocessingLayer, Shapes, Spec, SpecLike, as_preprocessing
from portnn.nn.layers import Activation, Dense, Residual
from portnn.nn.normalization import BatchNorm
from portnn.options import as_python, check_positive_int
from portnn.types import Array, Namespace


@dataclass(frozen=True)
class TensorInfo:
    """A parameter or buffer: its name ("W1"), its layer and its slice of the flat vector."""

    name: str
    key: str
    layer: int
    spec: Spec
    start: int
    stop: int
    order: int
    """Index among all parameters and buffers, in depth order."""
    parameter: bool
    """Whether it is a parameter, trained or not, rather than a buffer."""

    @property
    def shape(self) -> Features:
        return self.spec.shape


@dataclass(frozen=True)
class Layout:
    """The tensors of a flat vector, and the slice of each."""

    tensors: tuple[TensorInfo, ...]
    """The tensors in depth order."""
    layers: int
    storage_order: tuple[TensorInfo, ...]
    """The tensors in the order of the vector: first those with weight decay, which are one parameter group."""
    n_decayed: int
    """Length of that group."""

    @classmethod
    def of(cls, tensors: Iterable[TensorInfo], layers: int) -> "Layout":
        """Return the layout of a vector that holds these tensors."""
        placed, stop, n_decayed = {}, 0, 0
        for tensor in sorted(tensors, key=lambda t: not t.spec.decays):
            start, stop = stop, stop + int(np.prod(tensor.shape))
            placed[tensor.name] = replace(tensor, start=start, stop=stop)
            n_decayed = stop if tensor.spec.decays else n_decayed
        storage_order = tuple(placed.values())
        return cls(tuple(sorted(storage_order, key=lambda e: e.order)), layers, storage_order, n_decayed)

    @property
    def size(self) -> int:
        """Length of the vector."""
        return self.storage_order[-1].stop if self.storage_order else 0

    def views(self, xp: Namespace, vector: Array) -> list[dict[str, Array]]:
        """Return the shaped views of the vector, one mapping per layer."""
        views: list[dict[str, Array]] = [{} for _ in range(self.layers)]
        for layer, key, span, shape in self._spans:
            views[layer][key] = xp.reshape(vector[span], shape)
        return views

    @cached_property
    def _spans(self) -> list[tuple[int, str, slice, Features]]:
        """Layer, key, slice and shape of each tensor, in the order of the vector: read at every step."""
        return [(e.layer, e.key, slice(e.start, e.stop), e.shape) for e in self.storage_order]

    def by_name(self, xp: Namespace, vector: Array) -> dict[str, Array]:
        """Return the shaped views of the vector by name."""
        return {e.name: xp.reshape(vector[e.start : e.stop], e.shape) for e in self.tensors}

    def flatten(self, xp: Namespace, arrays: Sequence[Mapping[str, Array]]) -> Array:
        """Return one vector of each layer's arrays: the inverse of ``views``."""
        return xp.concat([xp.reshape(arrays[layer][key], (-1,)) for layer, key, *_ in self._spans])


class Sizes(NamedTuple):
    """Numbers of parameters, buffers and outputs per row of a layer."""

    parameters: int
    buffers: int
    output: int


def _count(specs: Mapping[str, SpecLike]) -> int:
    return sum(int(np.prod(spec[0])) for spec in specs.values())


@dataclass(frozen=True)
class Architecture:
    """The layers, the output activation, and the input shape."""

    layers: tuple[Layer, ...]
    output: str
    features: Features | None = None
    """Shape of one row of input; None: known at the first fit."""

    @classmethod
    def parse(
        cls,
        items: Iterable[int | str | Layer | Features],
        *,
        activation: str,
        output: str,
        bias: bool,
        initializer: str | Initializer,
    ) -> "Architecture":
        """Return the architecture of the widths, names and layers that a user gave."""
        activation, output = map(activations.name_of, (activation, output))
        activations.find("activation", activation)
        activations.find("output", output)
        remaining: list[Any] = [
            item if isinstance(item, Layer) else activations.name_of(as_python(item)) for item in items
        ]
        features: Features | None = None
        if remaining and isinstance(remaining[0], int | tuple):
            first = remaining.pop(0)
            features = tuple(
                check_positive_int("units", width) for width in (first if isinstance(first, tuple) else (first,))
            )
        if remaining and isinstance(remaining[-1], str):
            name = str(remaining.pop())
            activations.find("layers", name)
            if output not in ("identity", name):
                raise ArgumentError(f"output: the last layer is {name!r} already; got output={output!r}")
            output = name
        layers = _hidden(remaining, activation, bias, initializer)
        if not any(isinstance(layer, Dense) for layer in layers):
            raise ArgumentError(f"layers: expected at least an input and an output width; got {tuple(items)!r}")
        _check_order(layers, output)
        return cls(tuple(layers), output, features)

    @property
    def rescales_outputs(self) -> bool:
        """Whether the last layer scales the outputs to the targets, whose statistics it takes."""
        return as_preprocessing(self.layers[-1]).adapts_to == "y"

    @property
    def needs_vocabulary(self) -> bool:
        """Whether the first layer is ``Tabular`` and its numbers of categories are not known yet."""
        return isinstance(self.layers[0], Tabular) and not self.layers[0].num_embeddings

    def with_vocabulary(self, num_embeddings: tuple[int, ...]) -> "Architecture":
        """Return the architecture whose first layer, a ``Tabular`` without them, has these numbers of categories."""
        first = self.layers[0]
        if not (isinstance(first, Tabular) and self.needs_vocabulary and num_embeddings):
            return self
        return replace(self, layers=(replace(first, num_embeddings=num_embeddings), *self.layers[1:]))

    def shapes(self) -> list[tuple[Layer, Shapes]]:
        """Return each layer with its Shapes. The width of the input must be known."""
        if self.features is None:
            raise AssertionError("the width of the input is not known yet")
        features, result = self.features, []
        for layer in self.layers:
            shapes = layer.shapes(features)
            features = shapes.output
            result.append((layer, shapes))
        return result

    @property
    def outputs(self) -> int:
        """Number of outputs per row. The width of the input must be known."""
        output = self.shapes()[-1][1].output
        if len(output) != 1:
            raise ShapeError(f"layers: expected one axis of outputs; got {output}: Flatten() makes one of them")
        return int(output[0])

    @property
    def min_batch_size(self) -> int:
        """Least number of rows of a training batch. The width of the input must be known."""
        return max(shapes.min_batch_size for _, shapes in self.shapes())

    def make_layouts(self) -> tuple[Layout, Layout]:
        """Return two layouts: of the trained parameters; of the buffers and the parameters of frozen layers.

        Numbers count per name in depth order: W1, b1, W2, b2.
        """
        trained: list[TensorInfo] = []
        untrained: list[TensorInfo] = []
        counts: Counter[str] = Counter()
        for index, (layer, shapes) in enumerate(self.shapes()):
            for parameter, specs in ((True, shapes.parameters), (False, shapes.buffers)):
                for key, spec in specs.items():
                    base = key.rpartition(".")[2]  # of a layer within a layer: "0.W"
                    counts[base] += 1
                    is_trained = parameter and layer.trainable
                    spec = Spec(*spec) if is_trained else Spec(*spec)._replace(decays=False)
                    order = len(trained) + len(untrained)
                    tensor = TensorInfo(f"{base}{counts[base]}", key, index, spec, 0, 0, order, parameter)
                    (trained if is_trained else untrained).append(tensor)
        return Layout.of(trained, len(self.layers)), Layout.of(untrained, len(self.layers))

    def initial_vectors(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the initial values of the vectors of parameters and buffers, in float64, on the host."""
        rng = random.generator(seed, random.WEIGHTS)
        layouts = self.make_layouts()
        vectors = np.zeros(layouts[0].size), np.zeros(layouts[1].size)
        pairs = [(e, vector) for layout, vector in zip(layouts, vectors, strict=True) for e in layout.tensors]
        # In depth order, whether trained or not: a frozen layer starts as it would otherwise.
        for e, vector in sorted(pairs, key=lambda pair: pair[0].order):
            draw = resolve(e.spec.initializer, self._activation_after(e.layer))
            vector[e.start : e.stop] = np.ravel(draw(rng, e.shape, *e.spec.fans))
        return vectors

    def _activation_after(self, index: int) -> str:
        following = self.layers[index + 1 :]
        return next((layer.name for layer in following if isinstance(layer, Activation)), self.output)

    def sizes(self) -> list[Sizes]:
        """Return each layer's ``Sizes``. The width of the input must be known."""
        return [
            Sizes(_count(shapes.parameters), _count(shapes.buffers), int(np.prod(shapes.output)))
            for _, shapes in self.shapes()
        ]

    def table(self) -> list[tuple[str, str, str]]:
        """Return (layer, shape of the output, number of parameters) of each layer, "?" where not known yet."""
        if self.features is None:
            return [(str(layer), "?", "?") for layer in self.layers]
        counts = [sizes.parameters for sizes in self.sizes()]
        rows = [
            (str(layer), f"(batch, {', '.join(map(str, shapes.output))})", f"{count:,}")
            for (layer, shapes), count in zip(self.shapes(), counts, strict=True)
        ]
        return [*rows, (f"{self.output} (output)", rows[-1][1], "0"), ("total", "", f"{sum(counts):,}")]

    def column_labels(self, widths: Sequence[int]) -> list[str]:
        """Return the text below each column of a drawing: input and Dense layers, with the layers up to the next one.

        ``widths``: units of each column.
        """
        of_rows = self.features is None or len(self.features) == 1
        labels = [[_counted(widths[0], "input") if of_rows else f"{' x '.join(map(str, self.features or ()))} inputs"]]
        for layer in self.layers:
            if isinstance(layer, Dense):
                if len(labels) == 1 and not of_rows and widths[0] != np.prod(self.features or ()):
                    labels[0].append(f"{widths[0]} features")
                labels.append([_counted(widths[len(labels)], "unit")])
            else:
                labels[-1].append(getattr(layer, "name", type(layer).__name__))
        if self.output != "identity":
            labels[-1].append(self.output)
        return ["\n".join(label) for label in labels]

    def get_config(self) -> dict[str, Any]:
        """Return the architecture as plain values, for a file."""
        layers = [registry.get_config(layer) for layer in self.layers]
        return {"layers": layers, "output": self.output, "features": self.features}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Architecture":
        """Return the architecture of a configuration that ``get_config`` returned."""
        layers = [registry.from_config("layer", options) for options in config["layers"]]
        activations.find("output", config["output"])
        features = config["features"]
        return cls(tuple(layers), config["output"], None if features is None else tuple(features))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _hidden(items: Sequence[Any], activation: str, bias: bool, initializer: str | Initializer) -> list[Layer]:
    """Return the layers of widths, names and layers, each width with the activation that follows it."""
    layers: list[Layer] = []
    widths: set[int] = set()
    for position, item in enumerate(items):
        if isinstance(item, Layer):
            layers.append(item)
        elif isinstance(item, str):
            activations.find("layers", item)
            layers.append(Activation(item))
        elif isinstance(item, int):
            widths.add(len(layers))
            layers.append(Dense(item, bias, initializer))
            following = items[position + 1 :]
            hidden = any(isinstance(later, int | Dense | Residual) for later in following)
            if hidden and not isinstance(following[0], str | Activation):
                layers.append(Activation(activation))
        else:
            raise ArgumentError(f"layers: expected an int, a layer or the name of an activation; got {item!r}")
    for i, (layer, next_layer) in enumerate(pairwise(layers)):
        if i in widths and isinstance(layer, Dense) and isinstance(next_layer, BatchNorm):
            # BatchNorm subtracts the bias with the mean: its gradient is rounding noise, which adam would scale up.
            layers[i] = replace(layer, bias=False)
    return layers


def _check_order(layers: Sequence[Layer], output: str) -> None:
    """Raise ArgumentError for a first or last layer in another position."""
    for i, layer in enumerate(layers):
        name = type(layer).__name__
        if as_preprocessing(layer).adapts_to == "y":
            if not (i == len(layers) - 1 and output == "identity"):
                raise ArgumentError(f'layers: {name} must be the last, before output="identity"; got {output!r}')
        elif i and isinstance(layer, PreprocessingLayer):
            raise ArgumentError(f"layers: {name} must be the first layer: it takes raw data")
