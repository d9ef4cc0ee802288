"""What the adapter for CuPy asks of a GPU, as the stand-in (standin_cupy.py) counts it."""

import gc
import json
import re
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest

from portnn import BackendUnavailableError, BatchNorm, Dropout, LayerNorm, NeuralNetwork, Standardize, get_backend
from portnn.backend import backend_of, host_array
from portnn.losses import Loss

standin = sys.modules.get("standin_cupy")
pytestmark = pytest.mark.skipif(standin is None, reason="cupy: the stand-in is not loaded")

RNG = np.random.default_rng(0)
X, LABELS = RNG.random((24, 5)).astype(np.float32), RNG.integers(0, 3, 24).astype(np.int32)


@pytest.fixture(params=["cupy", "cupy:1"])
def device(request):
    return request.param


def classifier(device, *layers):
    widths = layers or (8, Dropout(0.2), 8)
    net = NeuralNetwork(5, Standardize(), *widths, 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
    net.fit(X, LABELS)
    return net


def test_a_step_sends_its_batch_and_waits_for_nothing(device):
    net = classifier(device)
    net.step(X, LABELS)  # which compiles, and uploads constants
    with standin.counted() as found:
        net.step(X, LABELS)
    # x, y, and what the first layer's part in float64 does on the host before.
    assert found == [0, 2]
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    with standin.counted() as found:
        net.step(*resident)
    assert found[0] == 0


@pytest.mark.parametrize("options", [{}, {"arithmetic": "reproducible"}])
def test_predictions_evaluations_and_gradients_are_fused(device, options):
    layers = 5, Standardize(), 8, BatchNorm(), Dropout(0.2), LayerNorm(), "gelu", 3
    nets = [
        NeuralNetwork(*layers, output="softmax", loss="cross_entropy", backend=name, seed=0, **options)
        for name in ("numpy", device)
    ]
    for net in nets:
        net.fit(X, LABELS, epochs=2, batch_size=8)
    for rows in (16, 16, 1, 7):
        standin.Counts.launches.clear()
        host, fused = (
            (net.predict(X[:rows]), *net.evaluate(X[:rows], LABELS[:rows], metrics=["accuracy"]).values())
            for net in nets
        )
        assert standin.Counts.launches.count("load") == (2 if rows != 7 else 0)
        for one, other in zip(host, fused, strict=True):
            if options:
                np.testing.assert_array_equal(one, other)
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    loss, gradients = nets[1].gradients(X[:16], LABELS[:16])
    expected, by_name = nets[0].gradients(X[:16], LABELS[:16])
    np.testing.assert_allclose(float(loss), float(expected), rtol=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(host_array(gradient), by_name[name], rtol=1e-3, atol=1e-5)


def test_resident_data_are_not_sent_again(device):
    net = NeuralNetwork(5, 8, Dropout(0.2), 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    net.step(*resident)
    with standin.counted() as found:
        loss = net.step(*resident)
        net.forward(resident[0])
        net.gradients(*resident)
    assert found == [0, 0]
    with standin.counted() as found:
        float(loss)
    assert found == [1, 0]


def test_a_step_is_a_few_kernels_that_contract_nothing(device, monkeypatch):
    made = []

    class Module(standin.RawModule):
        def __init__(self, code, options):
            made.append(options)
            super().__init__(code, options)

    monkeypatch.setattr(sys.modules["cupy"], "RawModule", Module)
    net = NeuralNetwork(5, 8, 8, 3, output="softmax", loss="cross_entropy", optimizer="adam", backend=device, seed=0)
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    for graphs in (0, 1, 1):
        before = standin.Counts.products, standin.Counts.graphs
        standin.Counts.launches.clear()
        net.step(*resident)
        assert len(standin.Counts.launches) == 1 + 8
        assert standin.Counts.products - before[0] == 8
        assert standin.Counts.graphs - before[1] == graphs
    net.fit(*resident, batch_size=24, shuffle=False)
    assert made == [("--std=c++17", "--fmad=false")]  # once, for ``step`` and for ``fit``


@pytest.fixture
def driver(device, monkeypatch):
    """The driver of a device, as it is at the start."""
    driver = get_backend(device)._driver
    for name, value in {"captures": True, "_last": None}.items():
        monkeypatch.setattr(driver, name, value)
    return driver


def steps(device, count=4):
    """Return a network's losses and fingerprint after some steps, the last ones of fewer rows."""
    net = NeuralNetwork(
        5, 8, Dropout(0.2), BatchNorm(), 3, output="softmax", loss="cross_entropy", backend=device, seed=0
    )
    losses = [float(net.step(X[:rows], LABELS[:rows])) for rows in (24, 24, 24, 7, 7, 24)[:count]]
    return losses, net.fingerprint()


def test_a_graph_keeps_its_memory(device, driver):
    """The weights of the classes are a constant on the device; a larger batch takes a larger arena."""
    loss = Loss.named("cross_entropy", class_weight=[1.0, 2.0, 3.0])
    net = NeuralNetwork(5, 8, 3, output="softmax", loss=loss, backend=device, seed=0)
    host = NeuralNetwork(5, 8, 3, output="softmax", loss=loss, backend="numpy", seed=0)
    for rows in (7, 7, 7, 24, 24, 7, 7):
        batch = X[:rows], LABELS[:rows]
        np.testing.assert_allclose(float(net.step(*batch)), float(host.step(*batch)), rtol=1e-5)
        gc.collect()


def test_a_step_without_memory_changes_nothing(device, driver, monkeypatch):
    """For its arena, where the batch is larger; for the loss that it returns; inside a fit."""
    empty, refused = driver.empty, []

    def allocate(shape, dtype):
        if refused and refused[0](shape, dtype):
            raise OutOfMemoryError(f"Out of memory allocating {shape} {dtype}")
        return empty(shape, dtype)

    monkeypatch.setattr(driver, "empty", allocate)
    net, expected = (
        NeuralNetwork(5, 8, Dropout(0.2), 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
        for _ in range(2)
    )
    for run in (net, expected):
        run.step(X[:7], LABELS[:7])
    before = net.fingerprint()
    for rows, refuses in ((24, lambda shape, dtype: dtype == "uint8"), (7, lambda shape, dtype: shape == ())):
        refused[:] = [refuses]
        with pytest.raises(MemoryError, match="Out of memory"):
            net.step(X[:rows], LABELS[:rows])
        assert net.fingerprint() == before
    third = iter([False, False, True])
    refused[:] = [lambda shape, dtype: next(third)]
    with pytest.raises(MemoryError, match="Out of memory"):
        net.fit(X[:21], LABELS[:21], batch_size=7)
    assert net.fingerprint() == before
    refused.clear()
    for run in (net, expected):
        run.step(X, LABELS)
        run.step(X[:7], LABELS[:7])
    assert net.fingerprint() == expected.fingerprint() != before


def test_a_graph_has_the_bits_of_its_kernels(device, driver, monkeypatch):
    with_graphs = steps(device, 6)
    monkeypatch.setattr(driver, "captures", False)
    before = standin.Counts.graphs
    assert steps(device, 6) == with_graphs
    assert standin.Counts.graphs == before


def test_graphs_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("PORTNN_CUPY_GRAPH", "0")
    assert not type(get_backend("cupy"))("0")._driver.captures


@pytest.mark.parametrize("broken", ["begin_capture", "end_capture"])
def test_a_capture_that_fails_is_said_once(device, driver, monkeypatch, caplog, broken):
    expected = steps(device)

    def refuse(self):
        standin.standin_cuda.CURRENT.calls = None
        raise standin.CUDARuntimeError("cudaErrorStreamCaptureUnsupported")

    monkeypatch.setattr(standin.standin_cuda.Stream, broken, refuse)
    assert steps(device) == expected
    assert not driver.captures
    assert [record.getMessage() for record in caplog.records] == [
        "steps are not captured as CUDA graphs: their kernels are started one by one "
        "(cudaErrorStreamCaptureUnsupported)"
    ]


def test_what_another_thread_computes_is_not_captured(device, driver, monkeypatch):
    """A thread that reads batches ahead writes to its arrays while the first step is captured."""
    adapter, end = get_backend(device), standin.standin_cuda.Stream.end_capture
    with adapter.scope():
        array = adapter.asarray(np.zeros(3))
    seen = []

    def write():
        with adapter.scope():
            array[...] = adapter.asarray(np.ones(3))
            seen.append(adapter.to_numpy(array).tolist())

    def meanwhile(stream):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        return end(stream)

    expected = steps(device)
    monkeypatch.setattr(standin.standin_cuda.Stream, "end_capture", meanwhile)
    assert steps(device) == expected
    assert seen
    assert all(values == [1.0, 1.0, 1.0] for values in seen)


def test_a_step_on_another_stream_waits_for_the_last_one(device, driver):
    net, stream = classifier(device), standin.standin_cuda.Stream(non_blocking=True)
    net.step(X, LABELS)
    with stream:
        net.step(X, LABELS)
        net.step(X, LABELS)
    assert stream.waited == [0]


def test_what_cublas_says_and_that_it_is_missing(device, driver, monkeypatch):
    xp = get_backend(device).xp
    with get_backend(device).scope():
        a, out = xp.ones((3, 4)), xp.ones((3, 3))
        product = driver.blas.product(a, xp.matrix_transpose(a), out)
        driver.blas.use(0)
        product()
        np.testing.assert_array_equal(host_array(out), np.full((3, 3), 4.0))
        monkeypatch.setattr(driver.blas, "_workspace", type("Memory", (), {"ptr": 0}))
        driver.blas.use(7)
        with pytest.raises(RuntimeError, match="cublasGemmEx: CUBLAS_STATUS_INVALID_VALUE"):
            product()
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(BackendUnavailableError, match=r"cuBLAS was not found .*; pip install 'portnn\[cuda13\]'"):
        type(driver.blas)(sys.modules["cupy"])


@pytest.mark.parametrize("shapes", [(3, 4, 5), (1, 7, 2), (6, 1, 3), (4, 4, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_all_transpositions(device, driver, shapes, dtype):
    backend, (m, n, k) = get_backend(device), shapes
    for transposed in ((False, False), (True, False), (False, True), (True, True)):
        sizes = [(m, k), (k, n)]
        left, right = (
            RNG.standard_normal(size[::-1] if t else size).astype(dtype)
            for size, t in zip(sizes, transposed, strict=True)
        )
        with backend.scope():
            arrays = [backend.asarray(a) for a in (left, right)]
            views = [a.T if t else a for a, t in zip(arrays, transposed, strict=True)]
            out = backend.xp.zeros((m, n), dtype=getattr(backend.xp, dtype))
            driver.blas.use(0)
            driver.blas.product(*views, out)()
        expected = (left.T if transposed[0] else left) @ (right.T if transposed[1] else right)
        np.testing.assert_allclose(host_array(out), expected, rtol=1e-5)


def test_many_parameters_are_joined_without_a_transfer(device):
    """Ten arrays: CuPy's concatenate would upload their pointers at every step."""
    net = NeuralNetwork(5, *[4] * 4, 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    assert len(net.parameters) == 10
    with standin.counted() as found:
        net.gradients(*resident)
    assert found == [0, 0]


def test_an_epoch_waits_once(device):
    net = classifier(device)
    net.fit(X, LABELS, batch_size=6)
    found = []
    for epochs in (1, 2, 3):
        with standin.counted() as counts:
            net.fit(X, LABELS, epochs=epochs, batch_size=6)
        found.append(counts)
    for fewer, more in pairwise(found):
        # The losses at its end; the order of its rows at its start.
        assert [b - a for a, b in zip(fewer, more, strict=True)] == [1, 1]


@pytest.mark.parametrize("y", [LABELS, np.eye(3, dtype=np.float32)[LABELS]], ids=["labels", "distributions"])
def test_an_epoch_of_data_on_the_host_waits_for_no_batch(device, y, tmp_path):
    np.save(tmp_path / "x.npy", X)
    there = np.load(tmp_path / "x.npy", mmap_mode="r")
    for size in (12, 6, 4):
        batches = [(X[i : i + size], y[i : i + size]) for i in range(0, 24, size)]
        for data, first in (((there, y), [Standardize()]), ((batches,), [])):
            net = NeuralNetwork(5, *first, 8, 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
            net.fit(X, LABELS)
            with standin.counted() as counts:
                net.fit(*data, epochs=2, batch_size=size)
            assert counts[0] <= 4 + 2  # losses and the order of the rows of two epochs; what the fit begins with


def test_large_predictions_wait_once(device, monkeypatch):
    """Blocks of rows are sent while the device computes the one before."""
    net = classifier(device)
    expected = net.predict(X, batch_size=8)
    with standin.counted() as counts:
        np.testing.assert_array_equal(net.predict_classes(X, batch_size=8), np.argmax(expected, axis=1))
    assert counts == [1, 3]


def test_the_first_kernel_of_a_step_takes_the_rows_of_the_batch(device, driver, monkeypatch):
    """No call of ``take`` in a fit; weights are taken by one."""
    taken = []
    namespace = get_backend(device).xp
    take = namespace.take
    monkeypatch.setattr(namespace, "take", lambda *a, **b: taken.append(1) or take(*a, **b), raising=False)
    for y in (LABELS, np.eye(3, dtype=np.float32)[LABELS]):
        net = NeuralNetwork(5, 8, 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
        standin.Counts.launches.clear()
        net.fit(X, y, epochs=2, batch_size=10)
        assert taken == []
        assert standin.Counts.launches.count("load") == 6
    net.fit(X, y, batch_size=10, sample_weight=np.arange(1.0, 25.0))
    assert taken == [1, 1, 1]


def test_rows_of_data_in_another_order_of_memory(device):
    backend, ends = get_backend(device), []
    with backend.scope():
        transposed = backend.xp.matrix_transpose(backend.asarray(X.T.copy()))
    assert not transposed.flags.c_contiguous
    for x in (backend.asarray(X), transposed):
        net = NeuralNetwork(5, 8, 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
        net.fit(x, LABELS, epochs=2, batch_size=10)
        ends.append(net.fingerprint())
    assert ends[0] == ends[1]
    order = backend.asarray(np.array([4, 0, 7, 2], dtype=np.int32))
    with backend.scope():
        np.testing.assert_array_equal(host_array(backend.take_rows(backend.asarray(X), order, 1, 3)), X[[0, 7]])


def test_a_fit_sends_its_data_once_also_where_widths_are_inferred(device):
    targets = np.eye(3, dtype=np.float32)[LABELS]
    with standin.counted() as drawn:
        known = NeuralNetwork(5, 100, 3, backend=device, seed=0)
    with standin.counted() as found:
        known.fit(X, targets, batch_size=None)
    assert found[1] == 2
    inferred = NeuralNetwork(backend=device, seed=0)
    with standin.counted() as found:
        inferred.fit(X, targets, batch_size=None)
    assert found[1] == 2 + drawn[1]
    assert inferred.fingerprint() == known.fingerprint()


def test_arrays_of_another_device_come_as_they_are(device):
    """A transposed array of the other GPU, too: CuPy copies between devices what is contiguous alone."""
    other = get_backend("cupy:1" if device == "cupy" else "cupy:0")
    theirs = other.asarray(X.T.copy())
    with other.scope():
        transposed = other.xp.matrix_transpose(theirs)
    assert not transposed.flags.c_contiguous
    net = classifier(device)
    moved = get_backend(device).asarray(transposed)
    assert backend_of(moved) is get_backend(device)
    np.testing.assert_array_equal(host_array(moved), X)
    outputs = net.predict(transposed)
    assert backend_of(outputs) is other
    np.testing.assert_array_equal(host_array(outputs), net.predict(X))


def test_the_current_device_is_the_default():
    assert repr(get_backend("cupy")) == "cupy:0"
    with standin.Device(1):
        assert repr(get_backend("cupy")) == "cupy:1"
        assert NeuralNetwork(5, 3, backend="cupy", seed=0).backend == "cupy:1"
    assert repr(get_backend("cupy", 1)) == repr(get_backend("cupy:1")) == "cupy:1"
    assert NeuralNetwork(5, 3, backend="cupy", device=1, seed=0).backend == "cupy:1"


def test_products_are_whole_float32_whatever_the_user_set(device):
    products = sys.modules["cupy._core._routines_linalg"]
    products.set_compute_type(np.float32, products.COMPUTE_TYPE_TF32)
    try:
        with get_backend(device).scope(), get_backend(device).scope():
            assert products.get_compute_type(np.float32) == products.COMPUTE_TYPE_FP32
        assert products.get_compute_type(np.float32) == products.COMPUTE_TYPE_TF32
    finally:
        products.set_compute_type(np.float32, "default")


class CompileException(Exception):  # noqa: N818
    pass


class OutOfMemoryError(MemoryError):
    pass


def raising(error):
    def call(*_, **__):
        raise error

    return call


RUNTIME = "cupy.cuda.runtime"
INSUFFICIENT = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"


@pytest.mark.parametrize(
    ("where", "name", "replacement", "driver", "reason"),
    [
        ("cupy.cuda.runtime", "getDeviceCount", RuntimeError(INSUFFICIENT), 0, "finds no NVIDIA driver"),
        (
            "cupy.cuda.runtime",
            "getDeviceCount",
            RuntimeError(INSUFFICIENT),
            11040,
            "too old: it has CUDA 11.4, .* needs 13.0",
        ),
        (
            "cupy.cuda.runtime",
            "getDeviceCount",
            RuntimeError("cudaErrorNoDevice: none"),
            13000,
            "no CUDA device .*NoDevice",
        ),
        ("cupy", "ones", OutOfMemoryError("Out of memory allocating 512 bytes"), 13000, "no memory left"),
        ("cupy", "ones", CompileException("nvrtc: error"), 13000, r"toolkit is incomplete .*cupy-cuda\d+x\[ctk\]"),
        ("cupy", "ones", ImportError("libcublasLt.so.13"), 13000, r"toolkit is incomplete .*libcublasLt"),
    ],
)
def test_what_keeps_it_from_running_is_said(monkeypatch, where, name, replacement, driver, reason):
    monkeypatch.setattr(sys.modules[where], name, raising(replacement))
    monkeypatch.setattr(sys.modules[RUNTIME], "driverGetVersion", lambda: driver)
    available, said = type(get_backend("cupy:0")).is_available()
    assert not available
    assert re.search(reason, said), said


def test_the_probe_is_a_product_of_matrices(monkeypatch):
    """One of 1x1 would not reach cuBLAS."""
    shapes, ndarray = [], standin.ndarray
    matmul = ndarray.__matmul__
    monkeypatch.setattr(ndarray, "__matmul__", lambda a, b: shapes.append((a.shape, b.shape)) or matmul(a, b))
    assert type(get_backend("cupy:0")).is_available() == (True, "")
    assert shapes == [((2, 2), (2, 2))]


def test_the_header_does_not_take_it_for_a_gpu():
    from portnn.pytest_plugin import header

    assert "cupy: STAND-IN on NumPy, not a GPU on 0, 1" in header()


def test_the_record_of_a_gpu_needs_no_other_library(monkeypatch, tmp_path, capsys):
    """benchmarks/gpu.py, its suite left out, where torch has no CUDA."""
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    spec = spec_from_file_location("gpu", Path(__file__).parents[2] / "benchmarks" / "gpu.py")
    gpu = module_from_spec(spec)
    spec.loader.exec_module(gpu)
    times = gpu.gpu_times
    for name, value in {
        "SHAPES": {"small": ((5, 4, 3), 8, 5)},
        "REPRODUCIBLE": ((5, 4, 3), 8, 2),
        "PREDICTED": (1, 20),
        "BATCHES": 3,
    }.items():
        monkeypatch.setattr(times, name, value)
    monkeypatch.setattr(
        gpu, "run", lambda *command: asked.append(command) or {"exit_code": 0, "seconds": 1, "output": "-"}
    )
    asked = []
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--output", str(tmp_path / "record.json")])
    assert gpu.main() == 0
    assert any("--portnn-require=numpy,cupy" in command for command in asked)
    record = json.loads((tmp_path / "record.json").read_text())
    measured = record["milliseconds per step"]["small"]
    for name in ("numpy", "cupy", "cupy, eager", "cupy, kernels one by one"):
        assert measured[name] > 0, name
    assert set(record["milliseconds"]) == {
        "a step of fit, data on the device",
        "a step of fit, data on the host",
        "predict, 1 rows",
        "predict, 20 rows",
        "reproducible 5-4-3, batch 8",
    }
    assert all(isinstance(row["cupy"], float) for row in record["milliseconds"].values())
    printed = capsys.readouterr().out
    assert "| small | " in printed
    assert "| predict, 20 rows | " in printed
    assert set(record["proofs"]) == {
        "tests",
        "accuracy",
        "bits, cupy",
        "bounds, float32, cupy",
        "bounds, float64, cupy",
    }
    monkeypatch.setattr(
        gpu, "run", lambda *command: {"exit_code": int("--bits" in command), "seconds": 1, "output": "-"}
    )
    assert gpu.main() == 1


@pytest.mark.parametrize("alone", ["left", "right", ""])
def test_a_product_of_a_stack_of_matrices_is_one_call(device, driver, alone):
    backend, rng = get_backend(device), np.random.default_rng(0)
    sizes = {"left": (3, 4, 2), "right": (3, 2, 5)}
    left, right = (rng.standard_normal(size[1:] if name == alone else size) for name, size in sizes.items())
    for transposed in (False, True):
        given = np.swapaxes(right, -1, -2).copy() if transposed else right
        with backend.scope():
            a, b = backend.asarray(left), backend.asarray(given)
            out = backend.xp.zeros((3, 4, 5), dtype=backend.xp.float64)
            driver.blas.use(0)
            driver.blas.product(a, b.swapaxes(-1, -2) if transposed else b, out)()
        np.testing.assert_allclose(host_array(out), left @ right, rtol=1e-12)
    with pytest.raises(ValueError, match="expected a matrix, or a stack"):
        driver.blas.product(backend.asarray(np.ones((2, 4, 2))), b, out)
