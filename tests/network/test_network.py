"""NeuralNetwork: what the deck's loop gives, kinds of arrays, state, interruption."""

import copy
import signal

import numpy as np
import pytest

from portnn import (
    SGD,
    Activation,
    ArgumentError,
    Dense,
    DivergenceError,
    NeuralNetwork,
    NotFittedError,
    Residual,
    Standardize,
    Unstandardize,
    get_backend,
)
from portnn.backend import host_array
from portnn.model.runtime import Runtime
from portnn.options import format_bytes

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
Y = np.array([[0], [1], [1], [0]])
DECK = {
    "activation": "sigmoid",
    "output": "sigmoid",
    "loss": "sse",
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "bias": False,
    "dtype": "float64",
}


def deck_losses(w1: np.ndarray, w2: np.ndarray, iterations: int) -> list[float]:
    """The deck's loop (slides 13 to 16), written out."""
    losses = []
    for _ in range(iterations):
        h = 1 / (1 + np.exp(-(X @ w1)))
        z = 1 / (1 + np.exp(-(h @ w2)))
        losses.append(float(np.sum((z - Y) ** 2)))
        delta = 2 * (z - Y) * z * (1 - z)
        w1, w2 = w1 - X.T @ (delta @ w2.T * h * (1 - h)), w2 - h.T @ delta
    return losses


def kind(backend, array, dtype="float32"):
    return get_backend(backend).asarray(array, dtype)


def test_the_decks_loop(backend):
    rng = np.random.default_rng(1)
    w1, w2 = rng.random((3, 4)), rng.random((4, 1))
    net = NeuralNetwork(3, 4, 1, backend=backend, **DECK)
    net.set_parameters({"W1": w1, "W2": w2})
    history = net.fit(X, Y, epochs=1000, batch_size=None)
    np.testing.assert_allclose(history.loss, deck_losses(w1, w2, 1000), rtol=0, atol=1e-12)


def test_widths_are_inferred():
    rng = np.random.default_rng(0)
    net = NeuralNetwork(backend="numpy", seed=0)
    with pytest.raises(NotFittedError, match="fit"):
        net.predict(np.ones((1, 5)))
    net.fit(rng.random((40, 5)), rng.random((40, 2)))
    assert {k: v.shape for k, v in net.parameters.items()} == {
        "W1": (5, 100),
        "b1": (100,),
        "W2": (100, 2),
        "b2": (2,),
    }


def test_layers_first_take_the_width_of_the_data():
    net = NeuralNetwork(Standardize(), Dense(4), "tanh", 2, seed=0)
    net.fit(np.ones((5, 3)) * np.arange(5.0)[:, None], np.zeros((5, 2)))
    assert list(net.parameters) == ["W1", "b1", "W2", "b2"]
    assert net.parameters["W1"].shape == (3, 4)
    np.testing.assert_allclose(net.buffers["mean1"], [2, 2, 2])
    np.testing.assert_allclose(net.buffers["inverse_std1"], 1 / np.std(np.arange(5.0)), rtol=1e-6)


def test_same_kind_of_array_out(backend):
    x = kind(backend, np.linspace(0, 1, 12).reshape(4, 3))
    y = kind(backend, np.ones((4, 2)))
    net = NeuralNetwork(3, 5, 2, seed=0)
    assert net.backend == "numpy:cpu"
    net.predict(x)
    assert net.backend == "numpy:cpu"  # predict never decides
    net.fit(x, y)
    assert net.backend.startswith(backend)
    out = net.predict(x)
    assert type(out) is type(x)
    assert out.dtype == x.dtype
    assert isinstance(net.predict([[1.0, 2.0, 3.0]]), np.ndarray)
    assert type(net.parameters["W1"]) is type(x)
    loss = net.step(x, y)
    assert get_backend(backend).owns(loss)
    assert loss.shape == ()


@pytest.mark.parametrize("home", ["numpy", "torch", "jax", "array_api_strict"])
def test_foreign_arrays_in_and_out(backend, home):
    pytest.importorskip(home)
    x = kind(home, np.linspace(0, 1, 12).reshape(4, 3))
    net = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
    net.fit(x, kind(home, np.ones((4, 1))))
    assert net.backend.startswith(backend)
    assert type(net.predict(x)) is type(x)
    reference = get_backend(home).to_numpy(net.predict(x))
    np.testing.assert_allclose(reference, net.predict(np.linspace(0, 1, 12).reshape(4, 3)), rtol=1e-6)


def test_one_seed_one_start(backend):
    for dtype in ("float32", "float64"):
        net = NeuralNetwork(7, 5, 3, seed=3, backend=backend, dtype=dtype)
        assert net.fingerprint() == NeuralNetwork(7, 5, 3, seed=3, backend="numpy", dtype=dtype).fingerprint()
        assert net.fingerprint() != NeuralNetwork(7, 5, 3, seed=4, backend=backend, dtype=dtype).fingerprint()


@pytest.mark.parametrize("device", ["device1", "no_float64"])
def test_strict_devices(device):
    pytest.importorskip("array_api_strict")
    net = NeuralNetwork(3, 4, 2, backend=f"array_api_strict:{device}", seed=0, loss="cross_entropy", output="softmax")
    history = net.fit(X, Y[:, 0], epochs=3, validation=0.25, metrics=["accuracy"])
    cpu = NeuralNetwork(3, 4, 2, backend="numpy", seed=0, loss="cross_entropy", output="softmax")
    np.testing.assert_allclose(
        history.loss, cpu.fit(X, Y[:, 0], epochs=3, validation=0.25, metrics=["accuracy"]).loss, rtol=1e-6
    )
    array = net.forward(X)
    with pytest.raises(RuntimeError, match="NumPy"):
        np.asarray(array)
    assert isinstance(net.predict(X), np.ndarray)


def test_jax_settings_stay_as_they_are():
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    net = NeuralNetwork(3, 4, 1, backend="jax", dtype="float64", seed=0)
    net.fit(X, Y * 1.0, epochs=2)
    assert jax.config.jax_enable_x64 == before
    assert str(net.parameters["W1"].dtype) == "float64"


def test_environment_names_the_backend(monkeypatch):
    pytest.importorskip("array_api_strict")
    monkeypatch.setenv("PORTNN_BACKEND", "array_api_strict")
    net = NeuralNetwork(3, 4, 1)
    net.fit(X, Y * 1.0)
    assert net.backend.startswith("array_api_strict")
    assert NeuralNetwork(3, 1, backend="numpy").backend == "numpy:cpu"


def test_to_copies_all_of_the_state(backend):
    net = NeuralNetwork(3, 6, 1, backend="numpy", seed=0)
    net.fit(X, Y * 1.0, epochs=5)
    other = net.to(backend)
    assert other.fingerprint() == net.fingerprint()
    before = net.fingerprint()
    other.fit(X, Y * 1.0, epochs=2)
    assert net.fingerprint() == before
    net.fit(X, Y * 1.0, epochs=2)
    for name, value in net.parameters.items():
        np.testing.assert_allclose(get_backend(backend).to_numpy(other.parameters[name]), value, rtol=1e-4, atol=1e-6)
    assert net.to(dtype="float64").parameters["W1"].dtype == np.float64


def test_a_deep_copy_is_a_network_of_its_own(backend):
    net = NeuralNetwork(3, 6, 1, backend=backend, seed=0)
    other = copy.deepcopy(net)
    before = net.fingerprint()
    other.fit(X, Y * 1.0)
    assert net.fingerprint() == before != other.fingerprint()


def test_kinds_of_numbers(backend):
    """Every real dtype is taken; labels may be truth values."""
    expected = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
    expected.fit(X, Y * 1.0)
    for dtype in ("bool", "uint8", "int64", "uint64", "float16", "longdouble"):
        net = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
        net.fit(X.astype(dtype), Y * 1.0)
        assert net.fingerprint() == expected.fingerprint()
    labels = Y[:, 0]
    one, other = (
        NeuralNetwork(3, 2, output="softmax", loss="cross_entropy", backend=backend, seed=0) for _ in range(2)
    )
    assert one.fit(X, labels).loss == other.fit(X, labels.astype(bool)).loss
    torch = pytest.importorskip("torch")
    net = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
    net.fit(torch.tensor(X, dtype=torch.bfloat16), Y * 1.0)
    assert net.fingerprint() == expected.fingerprint()


def test_what_users_hold_is_theirs(backend):
    net = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
    x, y = X * 1.0, Y * 1.0
    held = net.parameters
    values = {k: np.array(get_backend(backend).to_numpy(v)) for k, v in held.items()}
    net.set_parameters(held)
    for _ in range(3):
        net.step(x, y)
    for name, value in held.items():
        np.testing.assert_array_equal(get_backend(backend).to_numpy(value), values[name])
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    with pytest.raises(TypeError):
        held["W1"] = 0


def test_gradients_change_nothing(backend):
    net = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
    before = net.fingerprint()
    loss, gradients = net.gradients(X, Y * 1.0)
    assert net.fingerprint() == before
    assert list(gradients) == ["W1", "b1", "W2", "b2"]
    assert float(get_backend(backend).to_numpy(loss)) == pytest.approx(net.evaluate(X, Y * 1.0)["loss"], rel=1e-6)


def test_fit_is_steps_on_batches_and_a_last_short_one(backend):
    x, y = np.random.default_rng(0).random((2, 7, 3))
    for loss in ("mse", "sse"):
        fitted, stepped = (NeuralNetwork(3, 4, 3, loss=loss, backend=backend, seed=0) for _ in range(2))
        history = fitted.fit(x, y, batch_size=5, shuffle=False)
        first, last = (host_array(stepped.step(x[part], y[part])) for part in (slice(0, 5), slice(5, 7)))
        assert fitted.fingerprint() == stepped.fingerprint()
        expected = (5 * first + 2 * last) / 7 if loss == "mse" else first + last
        assert history.loss == pytest.approx([float(expected)], rel=1e-6)


def test_read_only_and_strided_data(backend):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3)).astype(np.float32), rng.random((20, 1)).astype(np.float32)
    reference = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
    reference.fit(x, y)
    packed = np.zeros(20, np.dtype([("a", "i1"), ("x", "<f4", (3,))]))  # rows of 13 bytes
    packed["x"] = x
    views = np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[::-1][::-1], x.astype(">f4"), packed["x"]
    for view, writeable in ((view, writeable) for view in views for writeable in (True, False)):
        view.flags.writeable = writeable
        net = NeuralNetwork(3, 4, 1, backend=backend, seed=0)
        net.fit(view, y)
        assert net.fingerprint() == reference.fingerprint()


def test_validation_and_history(digits):
    x, y = digits
    net = NeuralNetwork(64, 16, 10, loss="cross_entropy", output="softmax", seed=0)
    history = net.fit(x, y, epochs=3, validation=0.25, metrics=["accuracy"])
    assert set(history.metrics) == {"accuracy", "validation_loss", "validation_accuracy"}
    assert len(history.loss) == 3
    assert history.loss[2] < history.loss[0]
    kept = net.fit(x, y, epochs=1, validation=(x[:100], y[:100]))
    assert kept.metrics["validation_loss"][0] == pytest.approx(net.evaluate(x[:100], y[:100])["loss"])


def test_sample_weights_stand_for_repeated_rows():
    rng = np.random.default_rng(0)
    x, y, weight = rng.random((6, 3)), rng.random((6, 2)), np.array([1, 2, 0, 3, 1, 1])
    for loss in ("mse", "sse"):
        weighted, repeated = (NeuralNetwork(3, 4, 2, loss=loss, seed=0, dtype="float64") for _ in range(2))
        weighted.fit(x, y, batch_size=None, epochs=5, sample_weight=weight)
        repeated.fit(np.repeat(x, weight, axis=0), np.repeat(y, weight, axis=0), batch_size=None, epochs=5)
        for name, value in weighted.parameters.items():
            np.testing.assert_allclose(value, repeated.parameters[name], rtol=1e-9, atol=1e-12)


def test_divergence_puts_the_network_back(backend):
    net = NeuralNetwork(3, 8, 1, backend=backend, optimizer=SGD(1e20), seed=0)
    before = net.fingerprint()
    with pytest.raises(DivergenceError, match=r"step \d"):
        net.fit(X * 1e10, Y * 1e10, epochs=20, batch_size=1)
    assert net.step_count % 4 == 0
    assert np.all(np.isfinite(net.predict(X)))
    assert (net.fingerprint() == before) == (net.step_count == 0)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_is_held_to_the_end_of_the_step(backend, monkeypatch):
    net = NeuralNetwork(3, 8, 1, backend=backend, seed=0)
    step = Runtime.step

    def interrupted(runtime, batch):
        if runtime.counters.step == 5:
            signal.raise_signal(signal.SIGINT)
        return step(runtime, batch)

    monkeypatch.setattr(Runtime, "step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y * 1.0, epochs=10, batch_size=2)
    assert signal.getsignal(signal.SIGINT) is handler
    assert net.step_count == 6
    monkeypatch.undo()
    other = NeuralNetwork(3, 8, 1, backend=backend, seed=0)
    other.fit(X, Y * 1.0, epochs=3, batch_size=2)
    assert other.step_count == 6
    assert net.fingerprint() == other.fingerprint()


def test_a_process_that_ignores_ctrl_c_goes_on():
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        net = NeuralNetwork(3, 8, 1, seed=0)
        step = net._runtime.step

        def interrupted(batch):
            signal.raise_signal(signal.SIGINT)
            return step(batch)

        net._runtime.step = interrupted
        net.fit(X, Y * 1.0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_predict_batches_give_the_whole(digits):
    x, _ = digits
    net = NeuralNetwork(64, 16, 10, output="softmax", loss="cross_entropy", seed=0)
    whole = net.predict(x)
    assert whole.shape == (1797, 10)
    # Rows of a product may differ by rounding with its size: k = 64 terms.
    np.testing.assert_allclose(net.predict(x, batch_size=100), whole, rtol=64 * 2**-23, atol=64 * 2**-23)
    np.testing.assert_array_equal(net.predict_classes(x), whole.argmax(axis=1))


def test_predict_classes_of_one_output():
    net = NeuralNetwork(3, 1, output="sigmoid", loss="binary_cross_entropy", seed=0)
    assert set(np.unique(net.predict_classes(X))) <= {0, 1}
    with pytest.raises(ArgumentError, match="sigmoid"):
        NeuralNetwork(3, 1).predict_classes(X)


def layer_names(*layers, **options):
    architecture = NeuralNetwork(*layers, seed=0, **options).architecture
    named = [layer.name if isinstance(layer, Activation) else type(layer).__name__ for layer in architecture.layers]
    return " ".join([*named, architecture.output])


def test_what_the_widths_mean():
    assert layer_names(3, 4, 5, 1) == "Dense relu Dense relu Dense identity"
    assert layer_names(3, 4, "tanh", 5, 1, "sigmoid") == "Dense tanh Dense relu Dense sigmoid"
    assert layer_names(3, 4, Activation("tanh"), 1) == "Dense tanh Dense identity"
    assert layer_names(3, Dense(4), 5, Dense(1)) == "Dense Dense relu Dense identity"
    assert layer_names(Standardize(), 4, 1, Unstandardize()) == "Standardize Dense relu Dense Unstandardize identity"
    assert layer_names(3, 4, 1, activation="tanh", output="sigmoid") == "Dense tanh Dense sigmoid"
    with pytest.raises(ArgumentError, match="Unstandardize must be the last"):
        NeuralNetwork(3, Unstandardize(), 1)
    with pytest.raises(ArgumentError, match="Unstandardize must be the last"):
        NeuralNetwork(3, 1, Unstandardize(), output="sigmoid")


def test_unstandardize_makes_the_unit_of_the_target_irrelevant():
    x = np.random.default_rng(0).random((50, 3))
    y = x @ [[1.0], [2.0], [3.0]]
    one, scaled = (NeuralNetwork(3, 8, 1, Unstandardize(), seed=0, dtype="float64") for _ in range(2))
    one.fit(x, y, epochs=5)
    scaled.fit(x, 1024 * y, epochs=5)  # a power of two: nothing is rounded otherwise but adam's epsilon
    np.testing.assert_allclose(scaled.predict(x), 1024 * one.predict(x), rtol=1e-4)


def test_summary_and_repr():
    net = NeuralNetwork(3, 4, 1, seed=7)
    assert "21" in net.summary()
    assert "seed 7" in net.summary()
    assert repr(net) == "NeuralNetwork(3-4-1, backend='numpy:cpu', dtype='float32', seed=7)"
    assert NeuralNetwork(3, 1).seed != NeuralNetwork(3, 1).seed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_summary_says_the_memory_of_what_is_there(dtype):
    layers = 30, Standardize(), Dense(200, trainable=False), "relu", Residual((200, "tanh")), 10
    net = NeuralNetwork(*layers, seed=0, dtype=dtype, optimizer="adam")
    arrays, _ = net.serialize()
    held = {"parameters": 0, "buffers": 0, "optimizer": 0}
    for name, array in arrays.items():
        kind = "optimizer" if "." in name else "parameters" if name in net.parameters else "buffers"
        held[kind] += array.nbytes
    held["layers' outputs a row"] = (30 + 200 + 200 + 200 + 10) * np.dtype(dtype).itemsize
    (line,) = [line for line in net.summary().splitlines() if line.startswith("memory: ")]
    assert line == "memory: " + ", ".join(f"{name} {format_bytes(size)}" for name, size in held.items())
    assert "memory" not in NeuralNetwork().summary()
    assert [format_bytes(n) for n in (0, 999, 1000, 35_880, 2_500_000, 7e9, 3e13)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "35.9 kB",
        "2.5 MB",
        "7 GB",
        "3e+04 GB",
    ]
