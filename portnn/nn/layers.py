"""The layers, and the table of all of them.

To add one, write a frozen dataclass with ``shapes`` and ``forward`` (portnn/nn/layer.py) and enter it in LAYERS.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from portnn import registry
from portnn.errors import ArgumentError, ShapeError
from portnn.nn import activations
from portnn.nn.convolution import Conv1D, Conv2D
from portnn.nn.embedding import Embedding, Tabular
from portnn.nn.initializers import Initializer, automatic, check
from portnn.nn.layer import Features, Layer, PreprocessingLayer, Shapes, Spec
from portnn.nn.noise import Dropout, GaussianNoise, RandomShift
from portnn.nn.normalization import BatchNorm, LayerNorm
from portnn.nn.pooling import AveragePool2D, GlobalAveragePool2D, MaxPool2D, ZeroPad2D
from portnn.nn.preprocessing import Rescale, Standardize, Unstandardize
from portnn.options import check_positive_int
from portnn.types import Array, Forward, ForwardContext, Namespace, Weights


@dataclass(frozen=True)
class Dense(Layer):
    r"""Fully connected layer: y = x W + b, with W of (in_features, units) and b of (units,).

    dx = dy W^T, dW = x^T dy, db = sum of dy over the batch.

    Parameters
    ----------
    units : int
        Width of the output.
    bias : bool
        Whether b is added.
    initializer : str or Initializer
        Of W; b starts at 0. "auto": He before relu, else Glorot.
    trainable : bool
        Whether training changes W and b.

    Notes
    -----
    .. math::

       y &= x W + b \\
       \frac{\partial L}{\partial x} &= \frac{\partial L}{\partial y} W^T, \qquad
       \frac{\partial L}{\partial W} = x^T \frac{\partial L}{\partial y}, \qquad
       \frac{\partial L}{\partial b} = \sum_n \frac{\partial L}{\partial y_n}

    Examples
    --------
    >>> from portnn import Dense, NeuralNetwork
    >>> net = NeuralNetwork(3, Dense(5, bias=False), "tanh", 2, seed=0, backend="numpy")
    >>> list(net.parameters)
    ['W1', 'W2', 'b1']
    """

    units: int
    bias: bool = True
    initializer: str | Initializer = "auto"
    trainable: bool = True

    def __post_init__(self) -> None:
        check_positive_int("units", self.units)
        check(self.initializer)

    def shapes(self, features: Features) -> Shapes:
        if len(features) != 1:
            raise ShapeError(
                f"Dense: expected an input of (batch, features); got (batch, {features}): Flatten() makes rows of it"
            )
        parameters = {"W": Spec((features[0], self.units), self.initializer, decays=True)}
        if self.bias:
            parameters["b"] = Spec((self.units,), "zeros")
        return Shapes((self.units,), parameters)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        w = weights["W"]
        y = xp.matmul(x, w)
        if self.bias:
            y = y + weights["b"]

        def backward(dy: Array) -> tuple[Array, dict[str, Array]]:
            gradients = {"W": xp.matmul(xp.matrix_transpose(x), dy)}
            if self.bias:
                gradients["b"] = xp.sum(dy, axis=0)
            dx = xp.matmul(dy, xp.matrix_transpose(w)) if context.needs_input_grad else None
            return dx, gradients

        return Forward(y, backward)


@dataclass(frozen=True)
class Activation(Layer):
    """An activation function as a layer, by its name or a registered function.

    Parameters
    ----------
    name : str or callable
        A name from docs/reference/options.md, or a function of your own under ``portnn.register``.

    Examples
    --------
    >>> from portnn import Activation, Dense, NeuralNetwork
    >>> NeuralNetwork(3, Dense(4), Activation("gelu"), 2, seed=0, backend="numpy").predict([[0.0] * 3]).shape
    (1, 2)
    """

    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", activations.name_of(self.name))
        activations.find("activation", self.name)

    def shapes(self, features: Features) -> Shapes:
        return Shapes(features)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        y, closure = activations.find("activation", self.name)(xp, x)
        return Forward(y, lambda dy: (closure(dy), {}))


@dataclass(frozen=True)
class Flatten(Layer):
    """Flattens each row: (batch, channels, height, width) to (batch, channels height width).

    Examples
    --------
    >>> from portnn import Flatten, NeuralNetwork
    >>> net = NeuralNetwork((1, 4, 4), Flatten(), 8, 2, seed=0, backend="numpy")
    >>> net.parameters["W1"].shape
    (16, 8)
    """

    def shapes(self, features: Features) -> Shapes:
        return Shapes((math.prod(features),))

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        shape = x.shape
        return Forward(xp.reshape(x, (shape[0], math.prod(shape[1:]))), lambda dy: (xp.reshape(dy, shape), {}))


@dataclass(frozen=True)
class Reshape(Layer):
    """Gives each row another shape: (batch, 784) to (batch, 1, 28, 28).

    Parameters
    ----------
    shape : tuple of int
        Of a row.

    Examples
    --------
    >>> from portnn import Conv2D, Flatten, NeuralNetwork, Reshape
    >>> net = NeuralNetwork(64, Reshape((1, 8, 8)), Conv2D(4, 3), "relu", Flatten(), 10, seed=0, backend="numpy")
    >>> net.parameters["W2"].shape
    (144, 10)
    """

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple | list):
            raise ArgumentError(f"shape: expected that of a row, such as (1, 28, 28); got {self.shape!r}")
        object.__setattr__(self, "shape", tuple(check_positive_int("shape", n) for n in self.shape))

    def shapes(self, features: Features) -> Shapes:
        if math.prod(features) != math.prod(self.shape):
            raise ShapeError(
                f"Reshape: expected {math.prod(self.shape)} numbers a row for {self.shape}; got {features}"
            )
        return Shapes(self.shape)

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        shape = x.shape
        return Forward(xp.reshape(x, (shape[0], *self.shape)), lambda dy: (xp.reshape(dy, shape), {}))


@dataclass(frozen=True)
class Residual(Layer):
    r"""A residual block: y = x + block(x) (He et al. 2016, eq. 1); dx = dy + the block's.

    ``layers``: layer objects, widths and names of activations, as for a network. The output of the block must have the
    shape of its input.

    Parameters
    ----------
    layers : tuple of layers, ints and str
        The block.
    trainable : bool
        Whether training changes the block's parameters.

    Notes
    -----
    .. math:: y = x + F(x)

    Examples
    --------
    >>> from portnn import BatchNorm, NeuralNetwork, Residual
    >>> net = NeuralNetwork(3, 8, Residual((BatchNorm(), "relu", 8)), 2, seed=0, backend="numpy")
    >>> net.predict([[0.0] * 3]).shape
    (1, 2)
    """

    layers: tuple[Any, ...]
    trainable: bool = True

    def __post_init__(self) -> None:
        layers = tuple(as_layer(item) for item in self.layers)
        for layer in layers:
            if isinstance(layer, PreprocessingLayer):
                raise ArgumentError(f"layers: {type(layer).__name__} cannot be in a block; got {layer!r}")
        if not self.trainable:
            layers = tuple(_frozen(layer) for layer in layers)
        object.__setattr__(self, "layers", layers)

    def shapes(self, features: Features) -> Shapes:
        parameters: dict[str, Spec] = {}
        buffers: dict[str, Spec] = {}
        inner_features, rows = features, 1
        for i, layer in enumerate(self.layers):
            shapes = layer.shapes(inner_features)
            inner_features, rows = shapes.output, max(rows, shapes.min_batch_size)
            for specs, specs_of_layer in ((parameters, shapes.parameters), (buffers, shapes.buffers)):
                specs |= {f"{i}.{key}": self._resolved(i, Spec(*spec)) for key, spec in specs_of_layer.items()}
        if inner_features != features:
            raise ShapeError(f"Residual: expected a block that keeps the shape {features}; got {inner_features}")
        return Shapes(features, parameters, buffers, rows)

    def _resolved(self, index: int, spec: Spec) -> Spec:
        """Return a specification whose initializer suits the next activation in the block."""
        names = [layer.name for layer in self.layers[index + 1 :] if isinstance(layer, Activation)]
        return spec._replace(initializer=automatic(names[0])) if spec.initializer == "auto" and names else spec

    def forward(self, xp: Namespace, weights: Weights, x: Array, context: ForwardContext) -> Forward:
        y, closures = x, []
        changed: dict[str, Array] = {}
        for i, layer in enumerate(self.layers):
            prefix = f"{i}."
            layer_weights = {k.removeprefix(prefix): value for k, value in weights.items() if k.startswith(prefix)}
            # Each inner layer needs its own number: random bits must differ.
            inner_context = context._replace(needs_input_grad=True, layer=((context.layer + 1) * 1024 + i) & 0x7FFFFFFF)
            result = Forward.of(layer.forward(xp, layer_weights, y, inner_context))
            y = result.output
            closures.append(result.backward)
            changed |= {f"{i}.{key}": value for key, value in result.buffers.items()}

        def back(dy: Array) -> tuple[Array, dict[str, Array]]:
            d = dy
            gradients: dict[str, Array] = {}
            for i in reversed(range(len(closures))):
                d, layer_gradients = closures[i](d)
                gradients |= {f"{i}.{key}": value for key, value in layer_gradients.items()}
            return dy + d, gradients

        return Forward(x + y, back, changed)


def _frozen(layer: Any) -> Any:
    return replace(layer, trainable=False) if "trainable" in vars(layer) else layer


def as_layer(item: Any) -> Layer:
    """Return the layer of a width, a name or a layer."""
    if isinstance(item, Layer):
        return item
    return Activation(item) if isinstance(item, str) or callable(item) else Dense(item)


LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Dense,
        Activation,
        Flatten,
        Reshape,
        Conv2D,
        Conv1D,
        MaxPool2D,
        AveragePool2D,
        GlobalAveragePool2D,
        ZeroPad2D,
        Embedding,
        Residual,
        Dropout,
        GaussianNoise,
        RandomShift,
        BatchNorm,
        LayerNorm,
        Rescale,
        Standardize,
        Unstandardize,
        Tabular,
    )
}
registry.register_kind("layer", Layer, LAYERS)
