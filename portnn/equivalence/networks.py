"""Built-in networks that together use every component: ``portnn check`` without a model."""

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest

import numpy as np

from portnn.network import NeuralNetwork
from portnn.nn.activations import ACTIVATIONS
from portnn.nn.convolution import Conv1D, Conv2D
from portnn.nn.embedding import Embedding, Tabular
from portnn.nn.layer import as_preprocessing
from portnn.nn.layers import Activation, Dense, Flatten, Reshape, Residual
from portnn.nn.losses import LOSSES, find
from portnn.nn.noise import Dropout, GaussianNoise, RandomShift
from portnn.nn.normalization import BatchNorm, LayerNorm
from portnn.nn.pooling import AveragePool2D, GlobalAveragePool2D, MaxPool2D, ZeroPad2D
from portnn.nn.preprocessing import Rescale, Standardize, Unstandardize
from portnn.optim.optimizers import OPTIMIZERS, SGD, AdamW

ROWS = 200


def sample(net: NeuralNetwork, rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return random data for a network of known widths: standard normal x, and targets for its loss."""
    rng = np.random.default_rng(seed)
    features = net.architecture.features
    assert features is not None
    width, loss = net.architecture.outputs, find(net.loss)
    x = as_preprocessing(net.architecture.layers[0]).sample_input(rng, (rows, *features))
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
    names = list(ACTIVATIONS)
    for part in (names[: len(names) // 2], names[len(names) // 2 :]):
        layers = [layer for name in part for layer in (Dense(16), Activation(name))]
        yield f"activations {', '.join(part)}", network(20, *layers, 5)
    block = Residual((BatchNorm(), "relu", 16))
    yield (
        "rescaled, batch and layer normalisation, noise, a residual block, adamw with clipping and averaging",
        network(
            20,
            Rescale(2.0),
            GaussianNoise(0.1),
            Dense(16),
            block,
            LayerNorm(),
            5,
            optimizer=AdamW(clip_norm=1.0, l1=1e-4, l2=1e-3, average=0.9, weight_decay=0.1),
        ),
    )
    yield "an embedding", network(3, Embedding(11, 4), Flatten(), 5, output="softmax", loss="cross_entropy")
    yield (
        "a table with two columns of codes",
        network(5, Tabular((60, 5)), 8, 3, output="softmax", loss="cross_entropy"),
    )
    yield (
        "convolutions with strides, dilation and groups, pools with ties and partial windows",
        network(
            (2, 9, 11),
            RandomShift(1),
            ZeroPad2D(1),
            Conv2D(4, (3, 2), stride=(1, 2), padding="same", groups=2),
            "relu",
            MaxPool2D(2, padding="same"),
            Conv2D(6, 2, dilation=2),
            BatchNorm(),
            "relu",
            Dropout(0.3, whole_channels=True),
            AveragePool2D((2, 1), stride=1),
            GlobalAveragePool2D(),
            3,
            output="softmax",
            loss="cross_entropy",
        ),
    )
    yield (
        "convolutions of sequences",
        network(40, Reshape((2, 20)), Conv1D(4, 5, stride=2, padding=2), "tanh", Flatten(), 3),
    )
    # A loss and an optimizer share a network: libraries that compile take seconds for each network.
    for loss, optimizer in zip_longest(LOSSES, OPTIMIZERS):
        loss, optimizer = loss or "mse", optimizer or "sgd"
        output = LOSSES[loss].pair or "tanh"
        yield f"loss {loss}, optimizer {optimizer}", network(20, 5, output=output, loss=loss, optimizer=optimizer)
