"""Training in reproducible arithmetic ends in the same bits: on every backend, BLAS, number of threads and machine."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import registered
from conftest import ROOT, spare
from numpy._core._multiarray_umath import __cpu_features__

from portnn import SGD, Dropout, NeuralNetwork, get_backend
from portnn.equivalence.networks import built_in, sample
from portnn.reproducible.arithmetic import ARITHMETICS
from portnn.testing import assert_same_bits

ROWS, FEATURES, CLASSES = 28, 6, 3


def data(rows=ROWS, zeros=False, gain=1.0, tiny=False):
    """Return x and labels, drawn as whole numbers: no generator's floating point is in the digests below."""
    rng = np.random.default_rng(1)
    x = rng.integers(-1000, 1001, (rows, FEATURES)) / 512.0 * gain
    if zeros:
        x[::4], x[:, 2] = 0.0, 0.0
    if tiny:
        x[1::3] *= 2.0**-1060
    return x, rng.integers(0, CLASSES, rows)


def network(*layers, **options):
    """Return a network whose initial weights are multiples of 2^-10 in [-1/2, 1/2)."""
    net = NeuralNetwork(FEATURES, *layers, arithmetic="reproducible", seed=3, **options)
    rng = np.random.default_rng(2)
    net.set_parameters({name: rng.integers(-512, 512, w.shape) / 1024 for name, w in net.parameters.items()})
    return net


def sigmoid(**options):
    """The deck's. (All are of one shape: JAX compiles each operation for each shape.)"""
    return network(
        8, CLASSES, activation="sigmoid", output="sigmoid", loss="sse", optimizer=SGD(0.5), bias=False, **options
    )


def classifier(**options):
    return network(8, "relu", Dropout(0.25), CLASSES, output="softmax", loss="cross_entropy", **options)


def regression(**options):
    return network(8, CLASSES, activation="tanh", loss="mse", optimizer=SGD(0.05, momentum=0.9), **options)


CASES = {
    "sigmoid, sse, sgd, full batch": (sigmoid, {"rows": 7}, None),
    "relu, dropout, cross-entropy, adam, batches of 7": (classifier, {}, 7),
    "tanh, mse, momentum, batches of 1": (regression, {}, 1),
    "rows and columns of zeros": (classifier, {"zeros": True}, 7),
    "saturated": (sigmoid, {"gain": 30.0}, 7),
    "denormal inputs": (regression, {"tiny": True}, 7),
}
"""By name: network, data, rows of a batch."""

DIGESTS = {
    "sigmoid, sse, sgd, full batch": ("00f06c60ba0db7f5", "71e291dc21098e00"),
    "relu, dropout, cross-entropy, adam, batches of 7": ("57f8f63552ab8d88", "443be3f15dc3de8b"),
    "tanh, mse, momentum, batches of 1": ("074530a2c173f8fa", "74962783c65cb20e"),
    "rows and columns of zeros": ("5e7861c3d82ae7a0", "e91d31c62e3b4aef"),
    "saturated": ("48caefaf492333a7", "0a52d0c77c24b3b9"),
    "denormal inputs": ("4fa8c85ac8c17c54", "3ace728375842187"),
}
"""By case: fingerprints after each number of STEPS, on any machine."""


STEPS = (28, 224)


def digests(case, backend, steps):
    """Return the fingerprints of a case, cut short, after so many steps each."""
    make, options, size = CASES[case]
    x, labels = data(**options)
    net = make(backend=backend)
    y = labels if net.loss == "cross_entropy" else np.eye(CLASSES)[labels]
    found, each = [], -(-len(x) // (size or len(x)))
    for upto in steps:
        net.fit(x, y, epochs=(upto - net.step_count) // each, batch_size=size)
        found.append(net.fingerprint()[:16])
    return tuple(found)


@pytest.mark.parametrize("case", CASES)
def test_the_digests_of_known_training_runs(backend, case):
    if CASES[case][2] is None:
        spare(backend, "the other cases have all its operations")
    if CASES[case][2] == 1:
        spare(backend, "that of denormal inputs has its operations, the predictions below its shapes")
    # Each operation takes JAX ten times as long, and array-api-strict five times.
    steps = STEPS[:1] if backend.startswith(("jax", "array_api_strict")) else STEPS
    assert digests(case, backend, steps) == DIGESTS[case][: len(steps)]


def size(outputs, y):
    """A metric of any outputs."""
    return np.abs(outputs).mean()


COVERING = [name for name, *_ in registered.covering()]


def trained(name, backend):
    """Return what a network of tests/registered.py ends with: fingerprint, outputs, and what a fit measured."""
    options = {"arithmetic": "reproducible", "backend": backend}
    net, x, y = next((net, x, y) for found, net, x, y in registered.covering(**options) if found == name)
    history = net.fit(x, y, epochs=3, batch_size=None, metrics=[size])
    return net.fingerprint(), np.asarray(net.predict(x)).tobytes(), history.loss, history.metrics


on_numpy = cache(lambda name: trained(name, "numpy"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", COVERING)
def test_everything_that_can_be_added_has_the_same_bits(other, name):
    spare(other, "the built-in networks, below, have everything too")
    assert trained(name, other) == on_numpy(name)


BUILT_IN = {
    title: net
    for title, net in built_in("float64")
    if not title.startswith(("the deck", "classifier", "regression"))  # the digests, above, are of their like
}


@pytest.mark.parametrize("title", BUILT_IN)
def test_the_built_in_networks_have_the_same_bits(other, title):
    """In one step on the data of one shape."""
    if title.startswith(("a table", "convolutions of sequences")):
        spare(other, "its products are those of the other networks")
    net = BUILT_IN[title].to(arithmetic="reproducible")
    report = assert_same_bits(net, *sample(net, 7), backends=[other], steps=1, batch_size=7)
    assert len(set(map(tuple, report.fingerprints.values()))) == 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name, *_ in registered.networks()])
def test_everything_is_close_to_fast_float64(name):
    """Bits may agree on nonsense: after three steps within 2^-30 of what the library's own functions give."""
    if "lion" in name or "loss mae" in name:
        return  # a sign turns over at any difference
    net, x, y = next(
        (net, x, y) for found, net, x, y in registered.networks(arithmetic="reproducible") if found == name
    )
    fast = net.to(arithmetic="fast")
    for each in (net, fast):
        each.fit(x, y, epochs=3, batch_size=None)
    np.testing.assert_allclose(net.predict(x), fast.predict(x), rtol=0, atol=2.0**-30)
    for parameter, value in fast.parameters.items():
        np.testing.assert_allclose(net.parameters[parameter], value, rtol=0, atol=2.0**-30, err_msg=parameter)


def test_dead_units_of_batch_norm_reach_no_denormals(other):
    """A running variance on its way to zero: denormals, which JAX flushes, are 0 on every library."""
    runs = []
    for backend in ("numpy", other):
        (net,) = (net.to(backend, arithmetic="reproducible") for title, net in BUILT_IN.items() if "residual" in title)
        net.optimizer = SGD(0.0)
        net.set_parameters({name: np.zeros(value.shape) for name, value in net.parameters.items()})
        with get_backend(backend).scope():
            net._runtime.assign({"running_var1": np.full(16, 1e-281)}, "buffers")
        for _ in range(8):
            net.step(*sample(net, 7))
        assert get_backend(backend).to_numpy(net.buffers["running_var1"]).max() < 1e-281
        runs.append(net)
    assert runs[0].fingerprint() == runs[1].fingerprint()
    # Multiples of 2^-952: what a denormal could grow out of is not there.
    assert np.all(np.ldexp(runs[0].buffers["running_var1"], 952) % 1 == 0)


def test_the_bits_of_a_prediction_do_not_depend_on_the_batch(backend):
    """Rows alone, in pairs, in sevens and all at once: each row's outputs have the same bits."""
    x, labels = data()
    if backend.startswith("jax"):  # of the shapes that are compiled for the digests
        net = classifier(backend=backend)
    else:
        net = network(8, "gelu", 8, "tanh", CLASSES, output="softmax", loss="cross_entropy", backend=backend)
    net.step(x[:7], labels[:7])
    whole = net.predict(x[:7])
    for size, count in ((1, 2),) if backend.startswith("jax") else ((1, 7), (2, 6), (3, 7)):
        np.testing.assert_array_equal(net.predict(x[:count], batch_size=size), whole[:count])
    if not backend.startswith("jax"):
        np.testing.assert_array_equal(net.predict(x)[:7], whole)


def test_a_step_is_a_fit_is_a_gradient():
    """What is remembered within a call does not show: the gradients of a step, taken by hand, are the step's."""
    x, labels = data()
    nets = [classifier(optimizer=SGD(1.0)) for _ in range(3)]
    nets[0].step(x, labels)
    nets[1].fit(x, labels, batch_size=None, shuffle=False)
    before, (_, gradients) = nets[2].parameters, nets[2].gradients(x, labels)
    nets[2].set_parameters({name: before[name] - gradients[name] for name in before})
    assert len({net.fingerprint() for net in nets}) == 1


@pytest.mark.parametrize("layout", ["fortran", "reversed", "every other", "float32", "read-only"])
def test_the_layout_of_the_data_changes_no_bit(layout):
    x, labels = data()
    wide = np.zeros((2 * ROWS, FEATURES))
    wide[::2] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    same = {
        "fortran": np.asfortranarray(x),
        "reversed": x[::-1].copy()[::-1],
        "every other": wide[::2],
        "float32": x.astype(np.float32),
        "read-only": frozen,
    }[layout]
    nets = [classifier() for _ in range(2)]
    for net, inputs in zip(nets, (x, same), strict=True):
        net.fit(inputs, labels, epochs=2, batch_size=7)
    assert nets[0].fingerprint() == nets[1].fingerprint()


SCRIPT = """
import sys; sys.path[:0] = ["tests", "tests/integration"]
import numpy as np
from portnn import NeuralNetwork, Standardize, Unstandardize
import test_training_bits
for case, (make, options, size) in test_training_bits.CASES.items():
    x, labels = test_training_bits.data(**options)
    net = make(backend="numpy")
    net.fit(x, labels if net.loss == "cross_entropy" else np.eye(3)[labels], epochs=2, batch_size=size)
    print(net.fingerprint())
rng = np.random.default_rng(0)
x, y = rng.standard_normal((700, 300)) * 50 + 7, rng.integers(0, 9, 700)
net = NeuralNetwork(300, Standardize(), 260, 9, initializer="orthogonal", output="softmax", loss="cross_entropy",
                    arithmetic="reproducible", seed=0)
net.fit(x, y, epochs=2, batch_size=None, sample_weight=rng.random(700))
print(net.fingerprint(), net.predict(x).sum())
net = NeuralNetwork(1, Standardize(), 5, 1, Unstandardize(), arithmetic="reproducible", seed=0)
net.fit(x[:, :1], x[:, 1:2], batch_size=100, sample_weight=x[:, 2] ** 2)
print(net.fingerprint())
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
print(*(name for name in __cpu_dispatch__ if __cpu_features__[name]))
try:
    import threadpoolctl
    print(*(f"{each['internal_api']} {each['architecture']}" for each in threadpoolctl.threadpool_info()[:1]))
except ImportError:
    print("unknown")
"""
KERNELS = {
    "Haswell": ("AVX2", "FMA3"),
    "SkylakeX": ("AVX512F", "AVX512CD", "AVX512_SKX"),
    "Nehalem": ("SSE42",),
    "NEOVERSEN1": ("ASIMD",),
    "ARMV8": ("ASIMD",),
}
"""Kernels of OpenBLAS, and the features of a processor that they need, by NumPy's names."""


def run_script(**settings):
    """Return what SCRIPT prints in a process of its own, and what that says of NumPy's kernels and its BLAS."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore", **settings}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *prints, kernels, blas = done.stdout.splitlines()
    return prints, set(kernels.split()), blas


here = cache(run_script)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", KERNELS)
def test_no_kernel_of_openblas_changes_a_bit(name):
    pytest.importorskip("threadpoolctl")
    if missing := [feature for feature in KERNELS[name] if not __cpu_features__.get(feature)]:
        pytest.skip(f"{name}: this processor has no {', '.join(missing)}")
    prints, _, blas = run_script(OPENBLAS_CORETYPE=name)
    if blas.lower() != f"openblas {name.lower()}":
        pytest.skip(f"{name}: a kernel of OpenBLAS's wheels; asked for it, NumPy's BLAS is {blas}")
    assert prints == here()[0]


@pytest.mark.exhaustive
def test_no_kernel_of_numpy_changes_a_bit():
    """All those that NumPy takes where the processor allows are off: the baseline of its build is left."""
    _, chosen, _ = here()
    if not chosen:
        pytest.skip("this processor has no kernels beside NumPy's baseline")
    prints, left, _ = run_script(NPY_DISABLE_CPU_FEATURES=" ".join(chosen))
    assert not left
    assert prints == here()[0]


@pytest.mark.exhaustive
def test_no_number_of_threads_changes_a_bit():
    assert run_script(OPENBLAS_NUM_THREADS="1")[0] == here()[0]


# ---- copies, files


def test_copies_go_to_it_and_back():
    x, labels = data()
    net = NeuralNetwork(FEATURES, 8, CLASSES, output="softmax", loss="cross_entropy", seed=0)
    net.fit(x, labels)
    there = net.to(arithmetic="reproducible")
    assert (there.arithmetic, there.dtype, net.arithmetic, net.dtype) == ("reproducible", "float64", "fast", "float32")
    assert there.step_count == net.step_count
    np.testing.assert_array_equal(there.parameters["W1"], net.parameters["W1"])
    back = there.to(arithmetic="fast")
    assert (back.arithmetic, back.dtype) == ("fast", "float64")
    assert there.to("array_api_strict").arithmetic == "reproducible"
    assert "reproducible arithmetic" in there.summary()


def test_the_arithmetic_is_kept_in_the_file(tmp_path, backend):
    x, labels = data()
    net = classifier()
    net.fit(x, labels, batch_size=7)
    net.save(tmp_path / "net.safetensors")
    again = NeuralNetwork.load(tmp_path / "net.safetensors", backend=backend)
    assert again.arithmetic == "reproducible"
    for each in (net, again):
        each.fit(x, labels, batch_size=7)
    assert again.fingerprint() == net.fingerprint()


def test_a_step_outside_the_arithmetic_is_refused():
    """A layer of one's own that calls what may differ: by name, not in silence."""
    from dataclasses import dataclass

    from portnn import Layer, Shapes

    @dataclass(frozen=True)
    class Sine(Layer):
        def shapes(self, features):
            return Shapes(features)

        def forward(self, xp, weights, x, mode):
            return xp.sin(x), lambda dy: (dy * xp.cos(x), {})

    net = NeuralNetwork(FEATURES, 5, Sine(), CLASSES, loss="mse", arithmetic="reproducible", seed=0)
    x, labels = data()
    before = net.fingerprint()
    with pytest.raises(AttributeError, match=r"xp\.sin may differ from one array library to the next"):
        net.step(x, np.eye(CLASSES)[labels])
    assert net.fingerprint() == before


def test_one_object_a_backend():
    make = ARITHMETICS["reproducible"]
    assert make(get_backend("numpy")) is make(get_backend("numpy"))
    assert make(get_backend("numpy")) is not make(get_backend("array_api_strict"))
