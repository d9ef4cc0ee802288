"""What the adapter for CuPy asks of a GPU, as the stand-in (standin_cupy.py) counts it."""

import json
import re
import sys
from itertools import pairwise

import numpy as np
import pytest

from portnn import Dropout, NeuralNetwork, Standardize, get_backend
from portnn.backend import backend_of, host_array

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
    with standin.Counts.counted() as found:
        net.step(X, LABELS)
    # x, y, and what the first layer's part in float64 does on the host before.
    assert found == [0, 2]
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    with standin.Counts.counted() as found:
        net.step(*resident)
    assert found[0] == 0


def test_resident_data_are_not_sent_again(device):
    net = NeuralNetwork(5, 8, Dropout(0.2), 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    net.step(*resident)
    with standin.Counts.counted() as found:
        loss = net.step(*resident)
        net.forward(resident[0])
        net.gradients(*resident)
    assert found == [0, 0]
    with standin.Counts.counted() as found:
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
    net.step(*resident)
    products = standin.Counts.products
    standin.Counts.launches.clear()
    net.step(*resident)
    assert len(standin.Counts.launches) == 1 + 8
    assert standin.Counts.products - products == 8
    assert made == [("--std=c++17", "--fmad=false")]


def test_many_parameters_are_joined_without_a_transfer(device):
    """Ten arrays: CuPy's concatenate would upload their pointers at every step."""
    net = NeuralNetwork(5, *[4] * 4, 3, output="softmax", loss="cross_entropy", backend=device, seed=0)
    backend = get_backend(device)
    resident = backend.asarray(X), backend.asarray(LABELS)
    assert len(net.parameters) == 10
    with standin.Counts.counted() as found:
        net.gradients(*resident)
    assert found == [0, 0]


def test_an_epoch_waits_once(device):
    net = classifier(device)
    net.fit(X, LABELS, batch_size=6)
    found = []
    for epochs in (1, 2, 3):
        with standin.Counts.counted() as counts:
            net.fit(X, LABELS, epochs=epochs, batch_size=6)
        found.append(counts)
    for fewer, more in pairwise(found):
        # The losses at its end; the order of its rows at its start.
        assert [b - a for a, b in zip(fewer, more, strict=True)] == [1, 1]


def test_a_fit_sends_its_data_once_also_where_widths_are_inferred(device):
    targets = np.eye(3, dtype=np.float32)[LABELS]
    with standin.Counts.counted() as drawn:
        known = NeuralNetwork(5, 100, 3, backend=device, seed=0)
    with standin.Counts.counted() as found:
        known.fit(X, targets, batch_size=None)
    assert found[1] == 2
    inferred = NeuralNetwork(backend=device, seed=0)
    with standin.Counts.counted() as found:
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


def test_the_record_of_a_gpu_needs_no_other_library(monkeypatch, tmp_path):
    """benchmarks/gpu.py, its suite left out, where torch has no CUDA."""
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    spec = spec_from_file_location("gpu", Path(__file__).parents[2] / "benchmarks" / "gpu.py")
    gpu = module_from_spec(spec)
    spec.loader.exec_module(gpu)
    monkeypatch.setattr(gpu, "SHAPES", {"small": ((5, 4, 3), 8, 5)})
    monkeypatch.setattr(
        gpu, "run", lambda *command: asked.append(command) or {"exit_code": 0, "seconds": 1, "output": "-"}
    )
    asked = []
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--output", str(tmp_path / "record.json")])
    assert gpu.main() == 0
    assert any("--portnn-require=numpy,cupy" in command for command in asked)
    record = json.loads((tmp_path / "record.json").read_text())
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
