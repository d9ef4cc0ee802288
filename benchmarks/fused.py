"""The plan of a fused step, and the host's part of it: python benchmarks/fused.py

For each network: kernels, products and bytes that the kernels move; then the time that Python needs for a step on a
driver that does nothing, and for the same step call by call on arrays of a few elements, both with NumPy. A call on
CuPy takes the host several times as long as one on NumPy: the quotient is a lower bound of the gain. Last, what a step
of the first network takes inside ``fit``, and by ``NeuralNetwork.step``, with that driver.
"""

import argparse
import timeit
from contextlib import nullcontext
from functools import partial
from unittest.mock import patch

import numpy as np

from portnn import NeuralNetwork, get_backend
from portnn.jit.cuda.function import FusedFunction
from portnn.jit.cuda.fusion import FusedGraph
from portnn.jit.cuda.rows import Rows
from portnn.jit.trace import Trace

NETWORKS = {
    "784-256-10, batch 128": ((784, 256, 10), 128),
    "784-512-512-10, batch 256": ((784, 512, 512, 10), 256),
    "1024-2048-2048-2048-10, batch 512": ((1024, 2048, 2048, 2048, 10), 512),
}


class Idle:
    """A driver that computes nothing."""

    array = np.ndarray

    def scope(self):
        return nullcontext()

    def load(self, source):
        return lambda name: name

    def empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def upload(self, value):
        return value

    def contiguous(self, array):
        return array

    def copy(self, source, target):
        pass

    def launch(self, kernel, blocks, threads, arguments):
        pass

    def address(self, array):
        return 0

    def product(self, left, right, out):
        return lambda: None

    def replay(self, steps):
        return lambda: [step() for step in steps]


def step_of(layers, rows):
    """Return a network's runtime and the arguments of a step after the state."""
    net = NeuralNetwork(*layers, output="softmax", loss="cross_entropy", optimizer="adam", seed=0, backend="numpy")
    runtime = net._runtime
    batch = np.zeros((rows, layers[0]), np.float32), np.zeros(rows, np.int32), 1.0 / rows
    return runtime, (batch, (3, 4), runtime.chain.hyperparams(2))


def best(function, number=300):
    """Return the least time of a call, in microseconds."""
    return min(timeit.repeat(function, number=number, repeat=7)) / number * 1e6


def idle(backend, function, static=1, donation=None):
    """Return a step that is fused on the driver that computes nothing; other functions as they are."""
    eagerly = partial(backend.call_in_scope, function, static)
    return eagerly if donation is None else FusedFunction(Idle(), backend.xp, backend.xp, function, eagerly, static)


def network_times(layers, rows, batches=200):
    """Return the time of a step inside ``fit``, and of ``NeuralNetwork.step``, in microseconds.

    The work at the end of an epoch is part of ``fit``.
    """
    adapter = type(get_backend("numpy"))
    x, y = np.zeros((rows * batches, layers[0]), np.float32), np.zeros(rows * batches, np.int32)
    with patch.multiple(
        adapter, compile=idle, take_rows=lambda _, *arguments: Rows(*arguments), donates_state=lambda *_: True
    ):
        net = NeuralNetwork(*layers, output="softmax", loss="cross_entropy", optimizer="adam", seed=0, backend="numpy")
        net.fit(x, y, batch_size=rows)
        epochs = [best(partial(net.fit, x, y, batch_size=rows, epochs=n), 1) for n in (1, 6)]
        batch = x[:rows].copy(), y[:rows].copy()
        net.step(*batch)
        return (epochs[1] - epochs[0]) / (5 * batches), best(partial(net.step, *batch))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="print each kernel and product")
    plan = parser.parse_args().plan
    for title, (layers, rows) in NETWORKS.items():
        runtime, arguments = step_of(layers, rows)
        static = (runtime._updates[1],)
        trace = Trace(np.ndarray, runtime.xp, runtime.model.step, static, (runtime.state, *arguments), True)
        text = str(FusedGraph(trace.graph, len(trace.changed)))
        print(f"\n{title}: {text if plan else text.splitlines()[-1]}")
        small, arguments = step_of([min(n, 8) for n in layers], 4)
        function = FusedFunction(Idle(), small.xp, small.xp, small.model.step, None, 2)
        before = small.xp, small._updates[1]
        state, _ = function(*before, small.state, *arguments)
        with small.backend.scope():
            eager = best(partial(small.model.step, *before, small.state, *arguments))
        fused = best(partial(function, *before, state, *arguments))
        print(f"host: {fused:.1f} us a step, call by call {eager:.1f} us: {eager / fused:.1f} times")
    title, (layers, rows) = next(iter(NETWORKS.items()))
    in_fit, step = network_times(layers, rows)
    print(f"\nhost, {title}, in all: {in_fit:.1f} us a step of fit, {step:.1f} us by NeuralNetwork.step")


if __name__ == "__main__":
    main()
