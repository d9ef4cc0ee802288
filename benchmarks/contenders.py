"""One library at one piece of work, in a process of its own: benchmarks/peers.py starts it and asks for blocks.

    python benchmarks/contenders.py NAME WORK        (reads from standard input how many units to do next)

Every contender gets the same data, the same initial weights, the same optimizer and batches of the same size, in the
way that its own documentation shows for speed.
"""

import gzip
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import lenet
import numpy as np

STEPS = {
    "784-256-10, batch 128": ((784, 256, 10), 128),
    "317-200-150-7, batch 96": ((317, 200, 150, 7), 96),
    "784-512-512-10, batch 256": ((784, 512, 512, 10), 256),
    "1024-2048-2048-2048-10, batch 512": ((1024, 2048, 2048, 2048, 10), 512),
}
"""Widths and rows of a batch: relu, softmax, cross-entropy, adam, float32."""
DECK = "3-4-1, batch 4"
PREDICT = {"predict 1 row": 1, "predict 10,000 rows": 10_000}
MNIST = "MNIST epoch, 784-128-10, batch 128"
WORKS = [*STEPS, DECK, *PREDICT, *lenet.WORKS, MNIST]
RATE = 0.001

Unit = Callable[[], Any]
"""Does one unit of the work; what it returns is turned into a number at the end of a block."""


def weights(widths: tuple[int, ...]) -> list[np.ndarray]:
    """W1, b1, W2 ...: He's, in float32."""
    rng = np.random.default_rng(0)
    found: list[np.ndarray] = []
    for fan_in, units in pairwise(widths):
        found += [(rng.standard_normal((fan_in, units)) * np.sqrt(2 / fan_in)).astype(np.float32)]
        found += [np.zeros(units, np.float32)]
    return found


def batch(widths: tuple[int, ...], rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, widths[0])).astype(np.float32), rng.integers(0, widths[-1], rows)


def mnist(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in [0, 1] and labels, from the folder that the variable MNIST names."""
    folder = Path(os.environ["MNIST"])
    pixels = gzip.decompress((folder / f"{kind}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{kind}-labels-idx1-ubyte.gz").read_bytes())[8:]
    x = np.frombuffer(pixels, np.uint8).reshape(-1, 784).astype(np.float32) / np.float32(255)
    return x, np.frombuffer(labels, np.uint8).astype(np.int64)


def orders(rows: int) -> Iterator[np.ndarray]:
    """Yield the order of the rows of one epoch after the other: portnn's, for all."""
    from portnn.nn import random

    for epoch in count():
        yield random.generator(0, random.SHUFFLE, epoch).permutation(rows)


# ---- portnn


def portnn(backend: str, work: str) -> tuple[Unit, Unit]:
    from portnn import SGD, Adam, NeuralNetwork, get_backend

    if work in lenet.WORKS:
        return lenet.portnn(backend, work)
    library = get_backend(backend)
    if work == DECK:
        net = NeuralNetwork(
            3, 4, 1, activation="sigmoid", output="sigmoid", loss="sse", optimizer=SGD(1.0), bias=False,
            dtype="float64", seed=0, backend=backend,
        )  # fmt: skip
        x, y = map(library.asarray, deck_data())
        return lambda: net.step(x, y), library.synchronize
    widths, rows = shape_of(work)
    net = NeuralNetwork(*widths, output="softmax", loss="cross_entropy", optimizer=Adam(RATE), seed=0, backend=backend)
    net.set_parameters(dict(zip(net.parameters, weights(widths), strict=True)))
    if work == MNIST:
        x, y = map(library.asarray, mnist("train"))  # as for the others: once, not at each epoch
        held = mnist("t10k")
        return (
            lambda: net.fit(x, y, epochs=1, batch_size=128) and None,
            lambda: net.evaluate(*held, metrics=["accuracy"])["accuracy"],
        )
    inputs, labels = batch(widths, rows)
    x, y = library.asarray(inputs), library.asarray(labels, "int32")
    return (lambda: net.predict(x)) if work in PREDICT else (lambda: net.step(x, y)), library.synchronize


def deck_data() -> tuple[np.ndarray, np.ndarray]:
    return np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], float), np.array([[0], [1], [1], [0]], float)


def shape_of(work: str) -> tuple[tuple[int, ...], int]:
    if work == MNIST:
        return (784, 128, 10), 128
    return STEPS.get(work, ((784, 256, 10), PREDICT.get(work, 0)))


# ---- floors


def products(_: str, work: str) -> tuple[Unit, Unit]:
    """The products of matrices alone, into arrays that are there."""
    widths, rows = shape_of(work)
    w, a = weights(widths)[::2], [batch((n,) * 2, rows)[0] for n in widths]
    out, dw, da = [np.empty_like(x) for x in a], [np.empty_like(x) for x in w], [np.empty_like(x) for x in a]

    def unit() -> Any:
        for i, matrix in enumerate(w):
            np.matmul(a[i], matrix, out=out[i + 1])
        for i, matrix in reversed(list(enumerate(w))):
            if work not in PREDICT:
                np.matmul(a[i].T, a[i + 1], out=dw[i])
                if i:
                    np.matmul(a[i + 1], matrix.T, out=da[i])

    return unit, lambda: None


def bare_numpy(_: str, work: str) -> tuple[Unit, Unit]:
    """The loop that one would write by hand; for the deck's network the deck's, keeping its loss."""
    if work == DECK:
        return deck_loop(), lambda: None
    widths, rows = shape_of(work)
    w = weights(widths)
    inputs, labels = batch(widths, rows)
    m, v, step = [np.zeros_like(p) for p in w], [np.zeros_like(p) for p in w], 0

    def forward(x: np.ndarray) -> list[np.ndarray]:
        a = [x]
        for i in range(0, len(w), 2):
            z = a[-1] @ w[i] + w[i + 1]
            a.append(np.maximum(z, 0) if i < len(w) - 2 else z)
        e = np.exp(a[-1] - a[-1].max(axis=1, keepdims=True))
        a[-1] = e / e.sum(axis=1, keepdims=True)
        return a

    def train(x: np.ndarray, y: np.ndarray) -> Any:
        nonlocal step
        step += 1
        a = forward(x)
        loss = -np.log(a[-1][np.arange(len(y)), y]).mean()
        d = a[-1]
        d[np.arange(len(y)), y] -= 1
        d /= np.float32(len(y))
        for i in range(len(w) - 2, -1, -2):
            gradients = a[i // 2].T @ d, d.sum(axis=0)
            if i:
                d = (d @ w[i].T) * (a[i // 2] > 0)
            for j, g in zip((i, i + 1), gradients, strict=True):
                m[j] += (g - m[j]) * 0.1
                v[j] += (g * g - v[j]) * 0.001
                w[j] -= (RATE / (1 - 0.9**step)) * m[j] / (np.sqrt(v[j]) / np.sqrt(1 - 0.999**step) + 1e-8)
        return loss

    if work in PREDICT:
        return lambda: forward(inputs)[-1], lambda: None
    if work != MNIST:
        return lambda: train(inputs, labels), lambda: None
    x, y = mnist("train")
    held, shuffled = mnist("t10k"), orders(len(x))

    def epoch() -> None:
        order = next(shuffled)
        for i in range(0, len(x), 128):
            train(x[order[i : i + 128]], y[order[i : i + 128]])

    return epoch, lambda: float((forward(held[0])[-1].argmax(axis=1) == held[1]).mean())


def deck_loop() -> Unit:
    x, y = deck_data()
    rng = np.random.default_rng(0)
    w = [rng.random((3, 4)), rng.random((4, 1))]

    def sigmoid(z: np.ndarray) -> Any:
        return 1.0 / (1 + np.exp(-z))

    def slope(a: np.ndarray) -> Any:
        return a * (1.0 - a)

    def unit() -> Any:
        hidden = sigmoid(np.dot(x, w[0]))
        output = sigmoid(np.dot(hidden, w[1]))
        loss = np.sum((y - output) ** 2)
        second = np.dot(hidden.T, (2 * (y - output) * slope(output)))
        first = np.dot(x.T, (np.dot(2 * (y - output) * slope(output), w[1].T) * slope(hidden)))
        w[0] += first
        w[1] += second
        return loss

    return unit


# ---- peers


def torch(kind: str, work: str) -> tuple[Unit, Unit]:
    if work in lenet.WORKS:
        return lenet.torch(kind, work)
    import torch

    widths, rows = shape_of(work)
    layers: list[Any] = []
    for fan_in, units in pairwise(widths):
        layers += [torch.nn.Linear(fan_in, units), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), weights(widths), strict=True):
            parameter.copy_(torch.from_numpy(value.T))
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    criterion = torch.nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = torch.compile(step) if kind == "compiled" else step
    if work == MNIST:
        (x, y), held = map(torch.from_numpy, mnist("train")), tuple(map(torch.from_numpy, mnist("t10k")))
        shuffled = orders(len(x))

        def epoch() -> None:
            order = torch.from_numpy(next(shuffled))
            for i in range(0, len(x), 128):
                run(x[order[i : i + 128]], y[order[i : i + 128]])

        def accuracy() -> float:
            with torch.no_grad():
                return float((net(held[0]).argmax(dim=1) == held[1]).float().mean())

        return epoch, accuracy
    x, y = map(torch.from_numpy, batch(widths, rows))
    if work in PREDICT:
        softmax = torch.compile(lambda: torch.softmax(net(x), 1)) if kind == "compiled" else None

        def predict() -> Any:
            with torch.inference_mode():
                return softmax() if softmax else torch.softmax(net(x), 1)

        return predict, lambda: None
    return lambda: run(x, y), lambda: None


def jax(_: str, work: str) -> tuple[Unit, Unit]:
    """A jitted step by hand, with optax's adam and donated state."""
    import jax
    import jax.numpy as jnp
    import optax

    widths, rows = shape_of(work)
    optimizer = optax.adam(RATE)
    w = [jnp.asarray(value) for value in weights(widths)]
    state = [w, optimizer.init(w)]

    def logits(w: Any, x: Any) -> Any:
        for i in range(0, len(w), 2):
            x = x @ w[i] + w[i + 1]
            x = jax.nn.relu(x) if i < len(w) - 2 else x
        return x

    def loss(w: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits(w, x), y).mean()

    def train(w: Any, opt_state: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(w, x, y)
        updates, opt_state = optimizer.update(gradients, opt_state)
        return optax.apply_updates(w, updates), opt_state, value

    compiled = jax.jit(train, donate_argnums=(0, 1))
    softmax = jax.jit(lambda w, x: jax.nn.softmax(logits(w, x)))

    def step(x: Any, y: Any) -> Any:
        state[0], state[1], value = compiled(*state, x, y)
        return value

    def wait() -> None:
        jax.block_until_ready(state)

    if work == MNIST:
        (x, y), held = map(jnp.asarray, mnist("train")), tuple(map(jnp.asarray, mnist("t10k")))
        shuffled, take = orders(len(x)), jax.jit(lambda a, i: a[i])

        def epoch() -> None:
            order = jnp.asarray(next(shuffled))
            for i in range(0, len(x), 128):
                rows = order[i : i + 128]
                step(take(x, rows), take(y, rows))
            wait()

        return epoch, lambda: float((softmax(state[0], held[0]).argmax(axis=1) == held[1]).mean())
    x, y = map(jnp.asarray, batch(widths, rows))
    if work in PREDICT:
        return lambda: softmax(state[0], x).block_until_ready(), lambda: None
    return lambda: step(x, y), wait


def scikit_learn(_: str, work: str) -> tuple[Unit, Unit]:
    from sklearn.neural_network import MLPClassifier

    widths, rows = shape_of(work)
    size = 128 if work == MNIST else max(rows, 2)
    net = MLPClassifier(widths[1:-1], batch_size=size, alpha=0.0, shuffle=False, random_state=0)
    x, y = mnist("train") if work == MNIST else batch(widths, max(rows, 10))
    net.partial_fit(x[:256], y[:256], classes=np.arange(widths[-1]))
    net.coefs_[:], net.intercepts_[:] = weights(widths)[::2], weights(widths)[1::2]
    if work == MNIST:
        held, shuffled = mnist("t10k"), orders(len(x))

        def epoch() -> None:
            order = next(shuffled)
            net.partial_fit(x[order], y[order])

        return epoch, lambda: float(net.score(*held))
    x, y = x[:rows], y[:rows]
    return (lambda: net.predict_proba(x)) if work in PREDICT else (lambda: net.partial_fit(x, y).loss_), lambda: None


def keras(_: str, work: str) -> tuple[Unit, Unit]:
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    widths, rows = shape_of(work)
    layers = [keras.layers.Dense(units, "relu") for units in widths[1:-1]]
    net = keras.Sequential([keras.Input((widths[0],)), *layers, keras.layers.Dense(widths[-1], "softmax")])
    net.set_weights(weights(widths))
    net.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    if work == MNIST:
        x, y = mnist("train")
        held, shuffled = mnist("t10k"), orders(len(x))

        def epoch() -> None:
            order = next(shuffled)
            net.fit(x[order], y[order], batch_size=128, shuffle=False, verbose=0)

        return epoch, lambda: net.evaluate(*held, batch_size=1000, verbose=0)[1]
    x, y = batch(widths, rows)
    predict = net.predict_on_batch if rows == 1 else lambda x: net.predict(x, batch_size=10_000, verbose=0)
    return (lambda: predict(x)) if work in PREDICT else (lambda: net.train_on_batch(x, y)[0]), lambda: None


def thinc(_: str, work: str) -> tuple[Unit, Unit]:
    from thinc.api import Adam, CategoricalCrossentropy, Relu, Softmax, chain

    widths, rows = shape_of(work)
    net = chain(*(Relu(units) for units in widths[1:-1]), Softmax(widths[-1]))
    optimizer, criterion = Adam(RATE, L2=0.0, grad_clip=0.0), CategoricalCrossentropy()
    x, y = mnist("train") if work == MNIST else batch(widths, rows)
    net.initialize(x[:2], np.eye(widths[-1], dtype=np.float32)[y[:2]])
    values = weights(widths)
    for i, layer in enumerate(net.layers):
        layer.set_param("W", np.ascontiguousarray(values[2 * i].T))
        layer.set_param("b", values[2 * i + 1])

    def train(x: np.ndarray, y: np.ndarray) -> Any:
        outputs, backprop = net.begin_update(x)
        gradient, loss = criterion(outputs, y)
        backprop(gradient)
        net.finish_update(optimizer)
        return loss

    if work == MNIST:
        held, shuffled = mnist("t10k"), orders(len(x))

        def epoch() -> None:
            order = next(shuffled)
            for i in range(0, len(x), 128):
                train(x[order[i : i + 128]], y[order[i : i + 128]])

        return epoch, lambda: float((net.predict(held[0]).argmax(axis=1) == held[1]).mean())
    return (lambda: net.predict(x)) if work in PREDICT else (lambda: train(x, y)), lambda: None


def onnxruntime(_: str, work: str) -> tuple[Unit, Unit]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    widths, rows = shape_of(work)
    if work not in PREDICT:
        raise NotImplementedError("it predicts only")
    nodes, values = [], {f"p{i}": value for i, value in enumerate(weights(widths))}
    for i in range(0, len(values), 2):
        nodes.append(helper.make_node("Gemm", [f"a{i}" if i else "x", f"p{i}", f"p{i + 1}"], [f"z{i}"]))
        last = i == len(values) - 2
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{i}"], ["y" if last else f"a{i + 2}"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, widths[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, widths[-1]])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x, _y = batch(widths, rows)
    return lambda: session.run(None, {"x": x})[0], lambda: None


CONTENDERS: dict[str, tuple[Callable[[str, str], tuple[Unit, Unit]], str]] = {
    "portnn on numpy": (portnn, "numpy"),
    "portnn on torch": (portnn, "torch"),
    "portnn on jax": (portnn, "jax"),
    "torch": (torch, "eager"),
    "torch.compile": (torch, "compiled"),
    "jax": (jax, ""),
    "scikit-learn": (scikit_learn, ""),
    "keras on jax": (keras, ""),
    "thinc": (thinc, ""),
    "onnxruntime": (onnxruntime, ""),
    "bare numpy": (bare_numpy, ""),
    "products": (products, ""),
}


def takes_part(name: str, work: str) -> bool:
    """Whether a contender is asked at all: the deck's network is compared with the deck's loop."""
    if work == DECK:
        return name in ("portnn on numpy", "bare numpy")
    if work in lenet.WORKS:
        return name.startswith(("portnn", "torch"))
    return not (name == "onnxruntime" and work not in PREDICT) and not (name == "products" and work == MNIST)


def memory() -> float:
    """Most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(name: str, work: str) -> None:
    make, kind = CONTENDERS[name]
    unit, done = make(kind, work)
    before, units = memory(), 0
    for line in sys.stdin:
        n, result = int(line), None
        started = time.perf_counter()
        for _ in range(n):
            result = unit()
        ended = done() if work != MNIST else None
        seconds = time.perf_counter() - started
        units += n
        value = (
            (done() if n else 0.0)
            if work == MNIST
            else ended
            if result is None
            else float(np.asarray(result).ravel()[0])
        )
        print(json.dumps({"seconds": seconds, "value": value, "units": units, "mb": memory() - before}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
