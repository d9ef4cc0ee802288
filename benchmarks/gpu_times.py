"""Times on a CUDA GPU, in milliseconds, for gpu.py. What cannot be run is an entry that says why."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple
from unittest.mock import patch

import lenet
import numpy as np

import portnn
from portnn import NeuralNetwork, get_backend
from portnn.backend import Backend

SHAPES = {
    "784-256-10, batch 128": ((784, 256, 10), 128, 200),
    "784-512-512-10, batch 256": ((784, 512, 512, 10), 256, 200),
    "1024-2048-2048-2048-10, batch 512": ((1024, 2048, 2048, 2048, 10), 512, 50),
    "LeNet, batch 128": (((1, 28, 28), *portnn.lenet(784)[1:], 10), 128, 100),
}
"""Widths and layers, rows of a batch, and timed steps."""
REPRODUCIBLE = (784, 128, 10), 128, 20
PREDICTED = (1, 100_000)
"""Rows of predictions."""
BATCHES = 200
"""Batches of an epoch."""


class Case(NamedTuple):
    """A network's widths, a batch on the host, and the number of timed steps."""

    widths: tuple[int, ...]
    x: np.ndarray
    labels: np.ndarray
    steps: int

    @classmethod
    def of(cls, widths: tuple[int, ...], rows: int, steps: int) -> "Case":
        """Return a case with random data."""
        rng = np.random.default_rng(0)
        shape = widths[0] if isinstance(widths[0], tuple) else widths[:1]
        x = rng.standard_normal((rows, *shape)).astype(np.float32)
        return cls(widths, x, rng.integers(0, widths[-1], rows).astype(np.int32), steps)

    def network(self, backend: str, **options: Any) -> NeuralNetwork:
        """Return a classifier that is trained with adam."""
        return NeuralNetwork(
            *self.widths, output="softmax", loss="cross_entropy", optimizer="adam", backend=backend, seed=0, **options
        )


def tried(call: Callable[[], Any]) -> Any:
    """Return a call's result, or what kept it from one."""
    try:
        return call()
    except Exception as error:  # of a library that is missing, or has no GPU
        return f"{type(error).__name__}: {error}"[:300]


def median_ms(step: Callable[[], Any], wait: Callable[[], Any], count: int) -> float:
    """Return the milliseconds of a step: the median of five timed runs."""
    runs = []
    for _ in range(6):  # the first one warms up
        wait()
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        runs.append((time.perf_counter() - started) / count * 1e3)
    return round(statistics.median(runs[1:]), 4)


@contextmanager
def eager_cupy() -> Iterator[None]:
    """Run CuPy's steps operation by operation."""
    with patch.object(type(get_backend("cupy")), "compile", Backend.compile):
        yield


def kernels_one_by_one() -> Any:
    """Run CuPy's fused steps without a CUDA graph."""
    return patch.object(get_backend("cupy")._driver, "captures", False)  # type: ignore[attr-defined]


def step_ms(case: Case, name: str, way: Callable[[], Any] = nullcontext, **options: Any) -> float:
    """Return the time of ``NeuralNetwork.step`` with the batch on the device."""
    backend = get_backend(name)
    with way():
        net = case.network(name, **options)
        data = backend.asarray(case.x), backend.asarray(case.labels)
        count = case.steps if name != "numpy" else max(case.steps // 10, 5)
        return median_ms(lambda: net.step(*data), backend.synchronize, count)


def torch_ms(case: Case, how: str) -> float:
    """Return the time of PyTorch's own step with its fused adam: eager, compiled or as one CUDA graph."""
    import torch

    if case.x.ndim > 2:
        net = lenet.module().cuda()
    else:
        layers = [part for pair in pairwise(case.widths) for part in (torch.nn.Linear(*pair), torch.nn.ReLU())][:-1]
        net = torch.nn.Sequential(*layers).cuda()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True, capturable=how == "graph")
    x, labels = torch.tensor(case.x).cuda(), torch.tensor(case.labels, dtype=torch.int64).cuda()

    def loss() -> Any:
        return torch.nn.functional.cross_entropy(net(x), labels)

    forward = torch.compile(loss) if how == "compiled" else loss

    def step() -> None:
        optimizer.zero_grad(set_to_none=how != "graph")
        forward().backward()
        optimizer.step()

    if how != "graph":
        return median_ms(step, torch.cuda.synchronize, case.steps)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return median_ms(graph.replay, torch.cuda.synchronize, case.steps)


def jax_ms(case: Case) -> float:
    """Return the time of a jitted step by hand, with adam and donated state."""
    import jax
    import jax.numpy as jnp

    device = jax.devices("gpu")[0]
    rng = np.random.default_rng(0)
    weights = [
        jax.device_put(rng.standard_normal((m, n)).astype(np.float32) * np.float32((2 / m) ** 0.5), device)
        for m, n in pairwise(case.widths)
    ]
    params = [(w, jax.device_put(np.zeros(w.shape[1], np.float32), device)) for w in weights]
    zeros = partial(jax.tree.map, jnp.zeros_like)
    x, labels = jax.device_put(case.x, device), jax.device_put(case.labels, device)

    def loss(params: Any) -> Any:
        z = x
        for i, (w, b) in enumerate(params):
            z = z @ w + b if i == len(params) - 1 else jax.nn.relu(z @ w + b)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], axis=1))

    def train(params: Any, m: Any, v: Any, t: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params)
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        params = jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b) + 1e-8), params, m, v)
        return params, m, v, t + 1, value

    compiled = jax.jit(train, donate_argnums=(0, 1, 2))
    state: list[Any] = [params, zeros(params), zeros(params), 1.0]

    def step() -> None:
        state[:] = compiled(*state)[:4]

    return median_ms(step, lambda: jax.block_until_ready(state), case.steps)


def step_times(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the time of a training step in float32 by network and contender."""
    times: dict[str, dict[str, Any]] = {}
    for title, shape in SHAPES.items():
        case = Case.of(*shape)
        contenders: dict[str, Callable[[], float]] = {n: partial(step_ms, case, n) for n in ("numpy", *names)}
        contenders["cupy, eager"] = partial(step_ms, case, "cupy", eager_cupy)
        contenders["cupy, kernels one by one"] = partial(step_ms, case, "cupy", kernels_one_by_one)
        contenders["torch's own loop"] = partial(torch_ms, case, "eager")
        contenders["torch.compile"] = partial(torch_ms, case, "compiled")
        contenders["torch, one CUDA graph"] = partial(torch_ms, case, "graph")
        contenders["jax's own jit"] = partial(jax_ms, case)
        times[title] = {name: tried(contender) for name, contender in contenders.items()}
    return times


def epoch_ms(case: Case, name: str, resident: bool) -> float:
    """Return the time of a step inside ``fit``, the data on the device or on the host."""
    backend, net = get_backend(name), case.network(name)
    x, labels = np.tile(case.x, (BATCHES, 1)), np.tile(case.labels, BATCHES)
    data = (backend.asarray(x), backend.asarray(labels)) if resident else (x, labels)

    def seconds(epochs: int) -> float:
        backend.synchronize()
        started = time.perf_counter()
        net.fit(*data, batch_size=len(case.x), epochs=epochs)
        backend.synchronize()
        return time.perf_counter() - started

    seconds(1)
    return round((seconds(4) - seconds(1)) / (3 * BATCHES) * 1e3, 4)


def predict_ms(case: Case, name: str, rows: int) -> float:
    """Return the time of ``predict`` from the host to the host."""
    net, x = case.network(name), np.resize(case.x, (rows, case.widths[0]))
    return median_ms(lambda: net.predict(x), get_backend(name).synchronize, 100 if rows == 1 else 3)


def other_times(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return times of epochs, predictions and reproducible arithmetic, of the first network."""
    case, reproducible = Case.of(*next(iter(SHAPES.values()))), Case.of(*REPRODUCIBLE)
    times: dict[str, dict[str, Any]] = {}
    for resident, where in ((True, "device"), (False, "host")):
        times[f"a step of fit, data on the {where}"] = {n: tried(partial(epoch_ms, case, n, resident)) for n in names}
    for rows in PREDICTED:
        times[f"predict, {rows} rows"] = {n: tried(partial(predict_ms, case, n, rows)) for n in ("numpy", *names)}
    title = f"reproducible {'-'.join(map(str, reproducible.widths))}, batch {len(reproducible.x)}"
    times[title] = {
        n: tried(partial(step_ms, reproducible, n, arithmetic="reproducible"))
        for n in ("numpy", *names)
        if n != "jax"  # it compiles nothing there: a minute a step
    }
    return times


def kernel_times(steps: int = 20) -> dict[str, Any]:
    """Return microseconds on the GPU per step by kernel, of CuPy's step of each network; torch's profiler sees all."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    if not torch.cuda.is_available():
        raise RuntimeError("torch has no CUDA device: its profiler is what names kernels")
    kernels: dict[str, Any] = {}
    for title, shape in SHAPES.items():
        case, backend = Case.of(*shape), get_backend("cupy")
        net, data = case.network("cupy"), (backend.asarray(case.x), backend.asarray(case.labels))
        for _ in range(3):
            net.step(*data)
        backend.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            for _ in range(steps):
                net.step(*data)
            backend.synchronize()
        kernels[title] = {
            event.key: round(event.self_device_time_total / steps, 2)
            for event in profiled.key_averages()
            if event.self_device_time_total > 0
        }
    return kernels
