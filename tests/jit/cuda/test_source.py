"""The generated source, compiled by g++: each kernel within its bound, exact ones to the bit; and NVRTC takes it."""

import ctypes
import importlib.util
from pathlib import Path

import fused
import gxx
import numpy as np
import pytest
import registered

from portnn import BatchNorm, Dense, Dropout, Embedding, Flatten, LayerNorm, NeuralNetwork, Tabular
from portnn.equivalence.networks import built_in, sample
from portnn.jit.graph import leaves
from portnn.nn.activations import ACTIVATIONS

pytestmark = pytest.mark.skipif(not gxx.available, reason="g++ is not installed")
RNG = np.random.default_rng(0)


def everything(dtype):
    """Yield (name, network, x, y): every layer, activation, loss, optimizer and schedule, and the built-in networks."""
    yield from registered.covering(dtype=dtype, backend="numpy")
    for title, net in built_in(dtype):
        yield title, net, *sample(net)


CASES = [
    pytest.param(dtype, i, id=f"{dtype}-{name}", marks=[pytest.mark.exhaustive] * (dtype == "float64" or i % 4 != 0))
    for dtype in ("float32", "float64")
    for i, (name, *_) in enumerate(everything(dtype))
]


def judge(net, x, y):
    found = fused.judged(net, x, y)
    assert found.wrong == []
    assert found.exact + found.within >= 2
    return found


@pytest.mark.parametrize(("dtype", "i"), CASES)
def test_each_kernel_is_within_its_bound(dtype, i):
    _, net, x, y = list(everything(dtype))[i]
    judge(net, x, y)


@pytest.mark.parametrize("rows", [1, 2, 33, 97])
@pytest.mark.parametrize("widths", [(1, 1, 1), (33, 1, 33), (1, 65, 2), (3, 129, 3)])
def test_odd_sizes(widths, rows):
    x, y = RNG.standard_normal((rows, widths[0])), RNG.standard_normal((rows, widths[-1]))
    judge(NeuralNetwork(*widths, loss="mse", seed=0, backend="numpy"), x, y)
    if rows > 1:
        first, middle, last = widths
        layers = first, Dense(middle), BatchNorm(), "relu", LayerNorm(), Dropout(0.3), last
        judge(NeuralNetwork(*layers, loss="mse", seed=0, backend="numpy"), x, y)


def test_wide_rows_and_images():
    """More columns than threads, and a reduction over axes that are not neighbours."""
    x, y = RNG.standard_normal((3, 5)), RNG.integers(0, 2049, 3).astype(np.int32)
    net = NeuralNetwork(5, 2049, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    judge(net, x, y)
    images = RNG.standard_normal((6, 3, 4, 5))
    layers = (3, 4, 5), BatchNorm(), "tanh", Flatten(), 2
    judge(NeuralNetwork(*layers, loss="mse", seed=0, backend="numpy"), images, RNG.standard_normal((6, 2)))


def test_large_sums_take_two_kernels():
    x, y = RNG.standard_normal((210, 4)), RNG.standard_normal((210, 180))
    found = judge(NeuralNetwork(4, 180, loss="mse", seed=0, backend="numpy"), x, y)
    assert "partial" in str(found.function.programs[0].graph)


SPECIAL = [pytest.param(name, marks=[pytest.mark.exhaustive] * (i % 3 != 0)) for i, name in enumerate(ACTIVATIONS)]


@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name):
    """Zeros of both signs, infinities, NaN, denormals and what overflows: what NumPy makes of them."""
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 3e38, -3e38, 1.0], np.float32)
    x = np.zeros((9, 7), np.float32)
    x[4:] = RNG.standard_normal((5, 7))
    net = NeuralNetwork(7, name, 33, name, 1, loss="mse", seed=0, backend="numpy")
    net.step(x, x[:, :1])
    x.ravel()[28:38] = special
    judge(net, x, RNG.standard_normal((9, 1)))


@pytest.mark.parametrize("value", [0.0, np.inf, -np.inf, np.nan])
def test_rows_that_are_not_finite(value):
    x = RNG.standard_normal((8, 5))
    x[0] = value
    net = NeuralNetwork(5, 4, 3, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    judge(net, x, RNG.integers(0, 3, 8).astype(np.int32))


def test_codes_and_joined_columns():
    x = np.column_stack([RNG.standard_normal(11), RNG.integers(0, 4, 11), RNG.integers(0, 3, 11)])
    net = NeuralNetwork(3, Tabular((3, 2), (2, 3)), 6, 2, loss="mse", seed=0, backend="numpy")
    judge(net, x, RNG.standard_normal((11, 2)))
    codes = RNG.integers(0, 7, (11, 4)).astype(np.int32)
    layers = 4, Embedding(7, 3), Flatten(), 5
    judge(NeuralNetwork(*layers, loss="mse", seed=0, backend="numpy"), codes, RNG.standard_normal((11, 5)))


REPRODUCIBLE = [
    pytest.param(i, id=name, marks=[pytest.mark.exhaustive] * (i % 6 != 0))
    for i, (name, _) in enumerate(built_in("float64"))
]


@pytest.mark.parametrize("i", REPRODUCIBLE)
def test_reproducible_arithmetic_has_numpys_bits(i):
    """Also through exact products, tables and elementary functions: nothing is contracted, nothing added otherwise."""
    net = list(built_in("float64"))[i][1].to("numpy", arithmetic="reproducible")
    assert same_bits(net, gxx.Gxx())


def same_bits(net, *drivers, steps=2):
    """Return whether fused steps of a network in reproducible arithmetic have the bits of its own steps."""
    x, y = sample(net)
    net.step(x, y)
    runtime = net._runtime
    schema = net._schema
    batch = runtime.inputs(x), schema.convert_targets(runtime.backend, y), 1.0 / len(x)
    results = []
    with runtime.backend.scope():
        for driver in drivers:
            function, before = fused.fused(net, driver)
            copy = runtime.copy()
            state = runtime.state
            for _ in range(steps):
                state, loss = function(*before, state, batch, copy.key, copy.hyperparams)
                expected = copy.step(batch, donate=False)
                pairs = zip([*leaves(state), loss], [*leaves(copy.state), expected], strict=True)
                results += [a.tobytes() == np.asarray(b).tobytes() for a, b in pairs]
    return all(results)


SIMT = {
    "batch norm": (70, (Dense(40), BatchNorm(), "relu", 6)),
    "layer norm": (3, (700, LayerNorm(), "tanh", 6)),
    "dropout": (10, (40, Dropout(0.3), 6)),
}


@pytest.mark.parametrize("name", SIMT)
def test_threads_in_any_order_have_the_same_bits(name):
    """As a GPU runs them: barriers, shuffles, and the blocks and threads of a launch; in order, and in reverse."""
    rows, layers = SIMT[name]
    net = NeuralNetwork(5, *layers, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    x, y = RNG.standard_normal((rows, 5)).astype(np.float32), RNG.integers(0, 6, rows).astype(np.int32)
    net.step(x, y)
    batch, results = (x, y, 1 / rows), []
    for driver in (gxx.Gxx(), gxx.Simt(), gxx.Simt(reverse=True)):
        function, before = fused.fused(net, driver)
        runtime = net._runtime
        state, loss = function(*before, runtime.state, batch, runtime.key, runtime.hyperparams)
        results.append([a.tobytes() for a in (*leaves(state), loss)])
    assert results[0] == results[1] == results[2]


def nvrtc():
    """Return NVIDIA's compiler, which needs no GPU; None where its wheel is not installed."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [path for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*")]
    return ctypes.CDLL(str(found[0])) if found else None


@pytest.mark.skipif(nvrtc() is None, reason="nvrtc: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90", "sm_100"])
def test_nvrtc_compiles_every_kernel(architecture):
    sources = []
    for dtype, nets in (("float32", 7), ("float64", 3)):
        for _, net, x, y in list(everything(dtype))[::nets]:
            found = fused.judged(net, x, y, steps=1)
            sources.append(found.function.programs[0].source)
    for source in sources:
        text = compiled(nvrtc(), source, architecture)
        assert text.count(".entry") == source.count("KERNEL(") - 2  # the macro's two definitions


@pytest.mark.skipif(nvrtc() is None, reason="nvrtc: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_contracted(dtype):
    """A kernel without elementary functions has no fused multiply-add: NumPy's bits."""
    net = NeuralNetwork(4, 5, BatchNorm(), "relu", 3, loss="mse", optimizer="sgd", dtype=dtype, seed=0, backend="numpy")
    found = fused.judged(net, RNG.standard_normal((9, 4)), RNG.standard_normal((9, 3)), steps=1)
    assert "fma.rn" not in compiled(nvrtc(), found.function.programs[0].source, "sm_90")


def compiled(library, source, architecture):
    """Return the PTX, or the assembly's text, of a source."""
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"k.cu", 0, None, None) == 0
    compute = f"compute_{architecture.removeprefix('sm_')}"
    options = [f"--gpu-architecture={compute}".encode(), b"--std=c++17", b"--fmad=false", b"-ftz=true"]
    status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    library.nvrtcGetPTX(program, text)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return text.value.decode()
