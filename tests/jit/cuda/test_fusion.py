"""How many kernels and products a step takes, and what the plan says of itself."""

import numpy as np
import pytest

from portnn import AdamW, BatchNorm, Dense, Dropout, LayerNorm, NeuralNetwork, get_backend, schedules
from portnn.jit.cuda.fusion import FusedGraph
from portnn.jit.cuda.nodes import MisfitError
from portnn.jit.graph import Graph, SymbolicScalar
from portnn.jit.trace import Trace
from portnn.jit.tracer import Tape, TracingNamespace
from portnn.model.architecture import Architecture

CHAIN = AdamW(schedules.Cosine(0.01, 100), clip_norm=1.0, average=0.99)
NETWORKS = {
    "small": ((784, 256, 10), 128, {}, (6, 5)),
    "middle": ((784, 512, 512, 10), 256, {}, (8, 8)),
    "large": ((1024, 2048, 2048, 2048, 10), 512, {}, (10, 11)),
    "dropout": ((784, 512, Dropout(0.2), 512, Dropout(0.2), 10), 256, {}, (8, 8)),
    "batch norm": ((784, Dense(512, bias=False), BatchNorm(), "relu", 512, 10), 256, {}, (8, 8)),
    "layer norm": ((784, 512, LayerNorm(), 512, LayerNorm(), 10), 256, {}, (12, 8)),
    "a chain of transformations": ((784, 512, 512, 10), 256, {"optimizer": CHAIN}, (12, 8)),
    "reproducible": ((784, 128, 10), 128, {"arithmetic": "reproducible"}, (14, 15)),
}


@pytest.fixture(autouse=True)
def _parameters_of_zero(monkeypatch):
    """Only shapes count here."""

    def zeros(self, seed):
        return tuple(np.zeros(layout.size) for layout in self.make_layouts())

    monkeypatch.setattr(Architecture, "initial_vectors", zeros)


def graph_of(layers, rows, options):
    options = {"optimizer": "adam", **options}
    net = NeuralNetwork(*layers, output="softmax", loss="cross_entropy", seed=0, backend="numpy", **options)
    runtime = net._runtime
    computes = runtime._computes

    def step(xp, *arguments):
        return runtime.model.step(computes._over(xp) if net.arithmetic == "reproducible" else xp, *arguments)

    batch = np.zeros((rows, layers[0]), runtime.dtype), np.zeros(rows, np.int32), 1.0 / rows
    arguments = runtime.state, batch, (3, 4), runtime.chain.hyperparams(2)
    trace = Trace(np.ndarray, runtime.backend.xp, step, (runtime._updates[1],), arguments, True)
    return FusedGraph(trace.graph, len(trace.changed))


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_and_products_of_a_step(name):
    layers, rows, options, (kernels, products) = NETWORKS[name]
    graph = graph_of(layers, rows, options)
    assert (len(graph.sources), len(graph.steps) - len(graph.sources)) == (kernels, products)
    for number in graph.sources:
        kernel = graph.steps[number]
        assert kernel.threads <= 1024
        assert kernel.threads % 32 == 0


def test_the_plan_says_what_it_does():
    text = str(graph_of((784, 256, 10), 128, {}))
    assert text.endswith("6 kernels, 5 products")
    lines = text.splitlines()
    assert lines[0].startswith("product  matmul")
    assert lines[0].endswith("of input4, input0")
    # Three vectors and the gradient are read, three written: 203,530 parameters of 4 bytes.
    assert lines[-2].startswith("map ")
    assert lines[-2].endswith("(796 x 256 threads, 5.70 MB)")


def test_the_text_is_the_same_in_each_process():
    """CuPy's cache of compiled kernels goes by it; names are numbers in the program's order."""
    one, other = (graph_of((20, 16, 5), 8, {"optimizer": CHAIN}) for _ in range(2))
    assert [s.text for s in one.sources.values()] == [s.text for s in other.sources.values()]


@pytest.mark.parametrize(
    ("function", "shape", "message"),
    [
        (lambda xp, x: x * 2.0, (2**31,), "an array of 2147483648 elements"),
        (lambda xp, x: xp.astype(xp.searchsorted(x * 2.0, x, side="left"), xp.float32), (5,), "a search in computed"),
        (lambda xp, x: x * SymbolicScalar(x.tape, "a1") > 0.5, (5,), None),
    ],
)
def test_what_no_kernel_computes_is_refused(function, shape, message):
    tape = Tape(get_backend("numpy").xp)
    graph = Graph(tape, [function(TracingNamespace(tape), tape.input(shape, np.dtype("float32")))])
    if message is None:
        assert str(FusedGraph(graph, 0)).endswith("1 kernels, 0 products")
        return
    with pytest.raises(MisfitError, match=message):
        FusedGraph(graph, 0)
