"""The one table of everything that can be added: an example of each, and who else says what it computes.

tests/nn/test_nn.py drives it: gradients, rules, backends, files, PyTorch. What is added to a table of portnn and
not to this one is named by ``test_everything_is_in_the_table``.
"""

import math
from dataclasses import replace
from itertools import cycle, islice

import numpy as np

from portnn import (
    SGD,
    Activation,
    Adagrad,
    Adam,
    AdamW,
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePool2D,
    LayerNorm,
    Lion,
    MaxPool2D,
    NeuralNetwork,
    PreprocessingLayer,
    RandomShift,
    Rescale,
    Reshape,
    Residual,
    RMSprop,
    Standardize,
    Tabular,
    Unstandardize,
    ZeroPad2D,
    metrics,
)
from portnn.nn import activations, initializers, layers, losses
from portnn.nn.layer import as_preprocessing
from portnn.optim import optimizers, schedules

RNG = np.random.default_rng(5)
ROWS = 6
CODES = RNG.integers(0, 7, (ROWS, 4)).astype(np.int32)
X = RNG.standard_normal((ROWS, 4))
ONE_HOT = np.eye(3)[RNG.integers(0, 3, ROWS)]

LAYERS = {
    "Dense": (Dense(5), (4,)),
    "Activation": (Activation("tanh"), (4,)),
    "Flatten": (Flatten(), (2, 2)),
    "Reshape": (Reshape((2, 2)), (4,)),
    "Conv2D": (Conv2D(4, (2, 3), (1, 2), "same", groups=2), (2, 4, 5)),
    "Conv1D": (Conv1D(3, 3, padding=1, dilation=2), (2, 6)),
    "MaxPool2D": (MaxPool2D(2, padding="same"), (2, 3, 4)),
    "AveragePool2D": (AveragePool2D(2, 1), (2, 3, 4)),
    "GlobalAveragePool2D": (GlobalAveragePool2D(), (4, 3, 2)),
    "ZeroPad2D": (ZeroPad2D((1, 2)), (1, 2, 2)),
    "Embedding": (Embedding(7, 3), (4,)),
    "Residual": (Residual((LayerNorm(), Dense(4), "tanh")), (4,)),
    "Dropout": (Dropout(0.3), (4,)),
    "RandomShift": (RandomShift(2), (2, 3, 4)),
    "GaussianNoise": (GaussianNoise(0.3), (4,)),
    "BatchNorm": (BatchNorm(), (4,)),
    "LayerNorm": (LayerNorm(), (4,)),
    "Rescale": (Rescale(3.0), (4,)),
    "Standardize": (Standardize(), (4,)),
    "Unstandardize": (Unstandardize(), (4,)),
    "Tabular": (Tabular((3, 2), (2, 3)), (4,)),
}
"""By name: an example, and the shape of a row that it takes."""

ACTIVATIONS = {
    "identity": lambda torch, z: z,
    "sigmoid": lambda torch, z: torch.sigmoid(z),
    "tanh": lambda torch, z: torch.tanh(z),
    "relu": lambda torch, z: torch.relu(z),
    "leaky_relu": lambda torch, z: torch.nn.functional.leaky_relu(z),
    "elu": lambda torch, z: torch.nn.functional.elu(z),
    "selu": lambda torch, z: torch.nn.functional.selu(z),
    "silu": lambda torch, z: torch.nn.functional.silu(z),
    "gelu": lambda torch, z: torch.nn.functional.gelu(z),
    "softplus": lambda torch, z: torch.nn.functional.softplus(z, threshold=1e9),
    "hard_sigmoid": lambda torch, z: torch.clamp(z / 6 + 0.5, 0, 1),
    "softmax": lambda torch, z: torch.softmax(z, dim=-1),
    "log_softmax": lambda torch, z: torch.log_softmax(z, dim=-1),
}
"""PyTorch's."""

LOSSES = {
    "mae": lambda F, z, y: F.l1_loss(z, y),
    "huber": lambda F, z, y: F.huber_loss(z, y),
    "poisson": lambda F, z, y: F.poisson_nll_loss(z, y),
    "sse": lambda F, z, y: ((z - y) ** 2).sum(),
    "half_sse": lambda F, z, y: 0.5 * ((z - y) ** 2).sum(),
    "mse": lambda F, z, y: F.mse_loss(z, y),
    "binary_cross_entropy": lambda F, z, y: F.binary_cross_entropy_with_logits(z, y),
    "cross_entropy": lambda F, z, y: F.cross_entropy(z, y),
}
"""PyTorch's, of what the loss takes."""

CLASS_WEIGHT = (0.5, 2.0, 3.0)
OPTIONS = {
    ("huber", "delta"): ({"delta": 0.3}, lambda F, z, y: F.huber_loss(z, y, delta=0.3)),
    ("cross_entropy", "smoothing"): ({"smoothing": 0.2}, lambda F, z, y: F.cross_entropy(z, y, label_smoothing=0.2)),
    ("cross_entropy", "class_weight"): (
        {"class_weight": CLASS_WEIGHT, "smoothing": 0.1},
        lambda F, z, y: F.cross_entropy(z, y, weight=z.new_tensor(CLASS_WEIGHT), label_smoothing=0.1),
    ),
}
"""By loss and option: values, and PyTorch's."""

OPTIMIZERS = {
    "sgd": (SGD(0.1), lambda o, p: o.SGD(p, lr=0.1)),
    "momentum": (SGD(0.1, momentum=0.9), lambda o, p: o.SGD(p, lr=0.1, momentum=0.9)),
    "nesterov": (SGD(0.1, 0.9, nesterov=True), lambda o, p: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
    "l2": (SGD(0.1, l2=0.05), lambda o, p: o.SGD(p, lr=0.1, weight_decay=0.05)),
    "adagrad": (Adagrad(0.1), lambda o, p: o.Adagrad(p, lr=0.1)),
    "rmsprop": (RMSprop(0.02, decay=0.9), lambda o, p: o.RMSprop(p, lr=0.02, alpha=0.9)),
    "adam": (Adam(0.01), lambda o, p: o.Adam(p, lr=0.01)),
    "adam with l2": (Adam(0.01, l2=0.1), lambda o, p: o.Adam(p, lr=0.01, weight_decay=0.1)),
    "adamw": (AdamW(0.01, weight_decay=0.1), lambda o, p: o.AdamW(p, lr=0.01, weight_decay=0.1)),
    "lion": (Lion(0.01, weight_decay=0.1), None),
}
"""An example, and PyTorch's (Lion's is in optax)."""

CHAINS = {
    "a chain": (AdamW(schedules.Cosine(0.01, 9), l1=0.01, l2=0.01, clip_norm=0.1, average=0.9), None),
    "clipped": (SGD(0.1, momentum=0.9, clip_value=0.01), None),
}
"""What else can stand around a rule."""

SCHEDULES = {
    "constant": (schedules.Constant(0.5), lambda t: 0.5),
    "step_decay": (schedules.StepDecay(0.5, 10, 0.3), lambda t: 0.5 * 0.3 ** (t // 10)),
    "exponential": (schedules.Exponential(0.5, 0.9), lambda t: 0.5 * 0.9**t),
    "cosine": (
        schedules.Cosine(0.5, 20, 0.1),
        lambda t: 0.1 + 0.4 * (1 + math.cos(math.pi * min(t, 20) / 20)) / 2,
    ),
    "warm_up": (
        schedules.WarmUp(0.5, 4, schedules.Exponential(0.5, 0.9)),
        lambda t: 0.5 * (t + 1) / 4 if t < 4 else 0.5 * 0.9 ** (t - 4),
    ),
    "one_cycle": (schedules.OneCycle(0.5, 30), None),
}
"""An example, and its formula (one_cycle's is PyTorch's)."""

INITIALIZERS = {
    "zeros": (0, 0),
    "ones": (1, 0),
    "uniform": (0.5, 1 / 12),
    "normal": (0, 1),
    "glorot": (0, 2 / 260),
    "he": (0, 2 / 200),
    "lecun": (0, 1 / 200),
    "orthogonal": (0, 1 / 200),
}
"""Mean and variance of (200, 60) values."""


def _each_class(score):
    """Return the mean over classes of a score of (hits, taken for it, of it)."""

    def mean(a, y):
        found, truth = a.argmax(axis=1), y.argmax(axis=1)
        return np.mean(
            [score(np.sum((found == c) & (truth == c)), np.sum(found == c), np.sum(truth == c)) for c in range(3)]
        )

    return mean


def _pairs(a, y):
    """Return how often, over pairs of a row of a class and one of another, the first has the larger output."""
    truth = y.argmax(axis=1)
    wins = [np.sign(a[truth == c, c][:, None] - a[truth != c, c][None]) / 2 + 0.5 for c in range(3)]
    return np.mean([each.mean() for each in wins])


METRICS = {
    "accuracy": lambda a, y: np.mean(a.argmax(axis=1) == y.argmax(axis=1)),
    "balanced_accuracy": _each_class(lambda hits, found, support: hits / support),
    "precision": _each_class(lambda hits, found, support: hits / found),
    "recall": _each_class(lambda hits, found, support: hits / support),
    "f1": _each_class(lambda hits, found, support: 2 * hits / (found + support)),
    "top_k": lambda a, y: 1.0,  # five of three classes
    "roc_auc": _pairs,
    "log_loss": lambda a, y: -np.mean((y * np.log(np.clip(a, 2.0**-52, 1 - 2.0**-52))).sum(axis=1)),
    "mae": lambda a, y: np.mean(np.abs(y - a)),
    "mse": lambda a, y: np.mean((y - a) ** 2),
    "rmse": lambda a, y: np.mean(np.sqrt(np.mean((y - a) ** 2, axis=0))),
    "r2": lambda a, y: np.mean(1 - ((y - a) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)),
}
"""From their definitions, of three classes or values; tests/metrics/test_metrics.py asks scikit-learn."""

TABLES = {
    "LAYERS": (layers.LAYERS, LAYERS),
    "ACTIVATIONS": (activations.ACTIVATIONS, ACTIVATIONS),
    "LOSSES": (losses.LOSSES, LOSSES),
    "OPTIMIZERS": (optimizers.OPTIMIZERS, OPTIMIZERS),
    "SCHEDULES": (schedules.SCHEDULES, SCHEDULES),
    "METRICS": (metrics.METRICS, METRICS),
    "INITIALIZERS": (initializers.INITIALIZERS, INITIALIZERS),
}


def inputs(layer, features):
    """Return rows that a network with this layer first takes."""
    if isinstance(layer, Tabular):
        return layer.sample_input(np.random.default_rng(6), (ROWS, *features))
    if isinstance(layer, Embedding):
        return CODES
    return X if features == (4,) else np.random.default_rng(6).standard_normal((ROWS, *features))


def is_first(layer):
    """Return whether a layer must be the first one."""
    return isinstance(layer, PreprocessingLayer) and layer.adapts_to != "y"


def before(layer, features):
    """Return layers to put before one so that a gradient comes through it; none before one that must be the first."""
    of_rows = {1: Dense, 2: lambda channels: Conv1D(channels, 1), 3: lambda channels: Conv2D(channels, 1)}
    return [] if is_first(layer) else [of_rows[len(features)](features[0])]


def with_layer(layer, features, activation="tanh", **options):
    """Return a network that has the layer between others, so that gradients pass through it where it has one."""
    options = {"loss": "mse", "seed": 1, **options}
    if as_preprocessing(layer).adapts_to == "y":
        return NeuralNetwork(4, 5, activation, Dense(3), layer, **options)
    return NeuralNetwork(features, *before(layer, features), layer, Flatten(), Dense(5), activation, 3, **options)


def covering(**options):
    """Yield (name, network, x, y): every layer, activation, loss, optimizer and schedule, one of each in a network."""
    found = {name: losses.LOSSES[name]() for name in LOSSES}
    found |= {" ".join(key): losses.Loss.named(key[0], **values) for key, (values, _) in OPTIONS.items()}
    pairs = [*islice(cycle(found.items()), max(len(LAYERS), len(found)))]
    pairs[list(LAYERS).index("Unstandardize")] = "mse", losses.LOSSES["mse"]()  # it takes no softmax before it
    tables = [LAYERS.items(), ACTIVATIONS, pairs, {**OPTIMIZERS, **CHAINS}.items(), SCHEDULES.items()]
    rows = zip(*(islice(cycle(table), max(map(len, tables))) for table in tables), strict=True)
    for (title, (layer, features)), activation, (name, loss), (rule, (optimizer, _)), (rate, (schedule, _)) in rows:
        # At the rates of the table losses that are sums run away.
        schedule = replace(schedule, learning_rate=0.01, **({"final": 0.001} if rate == "cosine" else {}))
        optimizer = replace(optimizer, learning_rate=schedule)
        made = {"loss": loss, "output": loss.pair or "identity", "optimizer": optimizer, **options}
        net = with_layer(layer, features, activation, **made)
        yield ", ".join((title, activation, name, rule, rate)), net, inputs(layer, features), ONE_HOT


def networks(**options):
    """Yield (name, network, x, y): one network for everything in the tables that a step computes with."""
    for name, (layer, features) in LAYERS.items():
        yield f"layer {name}", with_layer(layer, features, **options), inputs(layer, features), ONE_HOT
    for name in ACTIVATIONS:
        yield f"activation {name}", NeuralNetwork(4, 5, name, 3, loss="mse", seed=1, **options), X, ONE_HOT
    bare = [(name, losses.LOSSES[name]()) for name in LOSSES]
    given = [(" ".join(key), losses.Loss.named(key[0], **values)) for key, (values, _) in OPTIONS.items()]
    for name, loss in (*bare, *given):
        net = NeuralNetwork(4, 5, "tanh", 3, loss=loss, output=loss.pair or "tanh", seed=1, **options)
        yield f"loss {name}", net, X, ONE_HOT
    for name, (optimizer, _) in {**OPTIMIZERS, **CHAINS}.items():
        net = NeuralNetwork(4, 5, "tanh", 3, loss="mse", optimizer=optimizer, seed=1, **options)
        yield f"optimizer {name}", net, X, ONE_HOT
