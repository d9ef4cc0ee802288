"""LeNet's pieces of work for benchmarks/peers.py, and what memory a step takes: python benchmarks/lenet.py

28 x 28 pixels, 61,706 parameters, float32, relu, pools of the largest pixel, softmax, cross-entropy, adam. The memory
is that of the recorded step on NumPy at batch 128: of all results together, of the most that is alive at once, of what
the layers give, and of the windows of one tile. Last, the kernels and products of the same step on CuPy.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

WORKS = {"LeNet, batch 128": 128, "LeNet, predict 1 row": 1}
RATE = 0.001
Unit = Callable[[], Any]


def batch(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((rows, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, rows)


def network(backend: str) -> Any:
    from portnn import Adam, NeuralNetwork, lenet

    hidden = lenet(784)[1:]  # images come as such
    options = {"output": "softmax", "loss": "cross_entropy", "optimizer": Adam(RATE), "seed": 0, "backend": backend}
    return NeuralNetwork((1, 28, 28), *hidden, 10, **options)


def portnn(backend: str, work: str) -> tuple[Unit, Unit]:
    from portnn import get_backend

    library, net = get_backend(backend), network(backend)
    inputs, labels = batch(WORKS[work])
    x, y = library.asarray(inputs), library.asarray(labels, "int32")
    return (lambda: net.predict(x)) if WORKS[work] == 1 else (lambda: net.step(x, y)), library.synchronize


def module() -> Any:
    """The same network as a module of PyTorch."""
    from torch import nn

    convolutions = nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()
    dense = nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), nn.Flatten(), *dense)


def torch(kind: str, work: str) -> tuple[Unit, Unit]:
    import torch
    from torch import nn

    net = module()
    optimizer, criterion = torch.optim.Adam(net.parameters(), lr=RATE, fused=True), nn.CrossEntropyLoss()
    x, y = map(torch.from_numpy, batch(WORKS[work]))

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def predict() -> Any:
        with torch.inference_mode():
            return torch.softmax(net(x), 1)

    unit = predict if WORKS[work] == 1 else step
    return torch.compile(unit) if kind == "compiled" else unit, lambda: None


def main() -> None:
    from portnn.jit.cuda.fusion import FusedGraph
    from portnn.jit.trace import Trace
    from portnn.nn.windows import TILE

    net, (x, y) = network("numpy"), batch(128)
    for _ in range(3):
        net.step(x, y)
    (program,) = [p for steps in net._runtime._steps for p in steps._programs.values() if p]
    plan, lines = program._code.plan, program.program.lines
    sizes = {
        line.line: prod(line.shape) * np.dtype(line.dtype).itemsize
        for line in lines
        if plan.locations.get(line.line, ("",))[0] == "slot"
    }
    alive = max(
        sum(size for line, size in sizes.items() if line <= now <= plan.last_use[line]) for now in range(len(lines))
    )
    given = 4 * 128 * sum(size.output for size in net.architecture.sizes())
    print(f"results of a step  {program.size / 1e6:6.1f} MB")
    print(f"alive at once      {alive / 1e6:6.1f} MB")
    print(f"layers' outputs    {given / 1e6:6.1f} MB")
    print(f"windows of a tile  {4 * TILE / 1e6:6.1f} MB at most")
    runtime, rows = net._runtime, (x, y.astype(np.int32), 1.0 / 128)
    arguments = runtime.state, rows, (3, 4), runtime.chain.hyperparams(2)
    trace = Trace(np.ndarray, runtime.xp, runtime.model.step, (runtime._updates[1],), arguments, True)
    print(f"on CuPy            {str(FusedGraph(trace.graph, len(trace.changed))).splitlines()[-1]}")


if __name__ == "__main__":
    main()
