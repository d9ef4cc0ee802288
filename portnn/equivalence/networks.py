"""Built-in networks that together use everything: what ``portnn check`` runs without a model."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from portnn.network import NeuralNetwork
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.layers import Dropout, Standardize, Unstandardize
from portnn.nn.losses import LOSSES, find
from portnn.nn.optimizers import SGD

ROWS = 200


def sample(net: NeuralNetwork, rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn data that fit a network whose widths are known: standard normal x, and targets for its loss."""
    rng = np.random.default_rng(seed)
    features = net.architecture.features
    assert features is not None
    width, loss = net.architecture.outputs, find(net.loss)
    x = rng.standard_normal((rows, *features))
    if loss.labels:
        return x, rng.integers(0, width, rows)
    y = rng.random((rows, width))
    return x, np.round(y) if loss.pair else y


def built_in(dtype: str) -> Iterator[tuple[str, NeuralNetwork]]:
    """Yield (title, network): the deck's, a classifier like MNIST's, a regression, and every activation and loss."""
    network = partial(NeuralNetwork, dtype=dtype, seed=0, backend="numpy")
    yield (
        "the deck: 3-4-1, sigmoid, sse, sgd",
        network(3, 4, 1, activation="sigmoid", output="sigmoid", loss="sse", optimizer=SGD(1.0), bias=False),
    )
    yield (
        "classifier: 784-256-128-10, relu, dropout, cross_entropy, adam",
        network(784, 256, "relu", Dropout(0.2), 128, 10, output="softmax", loss="cross_entropy"),
    )
    momentum = SGD(0.01, momentum=0.9)
    yield (
        "regression: 13-64-64-2, standardised, tanh, mse, momentum",
        network(13, Standardize(), 64, 64, 2, Unstandardize(), activation="tanh", optimizer=momentum),
    )
    for name in ACTIVATIONS:
        yield f"activation {name}", network(20, 32, 5, activation=name)
    for name, loss in LOSSES.items():
        yield f"loss {name}", network(20, 5, output=loss.pair or "tanh", loss=name)
