"""What a network holds: it is whole or as before, what is shown is what trains, copies go on alone."""

import copy
import gc
import pickle
import signal
import weakref

import numpy as np
import pytest

from portnn import (
    SGD,
    Adam,
    ArgumentError,
    DataError,
    DivergenceError,
    Dropout,
    DTypeError,
    NeuralNetwork,
    PortnnError,
    ShapeError,
    Standardize,
    Unstandardize,
    get_backend,
)
from portnn.backend import host_array
from portnn.model.runtime import Runtime
from portnn.nn.losses import LOSSES

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 3)) * [1, 10, 100] + [0, 5, -50], RNG.standard_normal((20, 2))


def net(*hidden, **options):
    return NeuralNetwork(3, *hidden or (4,), 2, **{"seed": 0, "backend": "numpy", **options})


# ---- finite to the last step


def test_a_last_step_that_diverges_is_seen(backend):
    """Its loss came before it: one step, whose update alone is infinite."""
    one = NeuralNetwork(3, 2, backend=backend, optimizer=SGD(1e38), seed=0)
    before = one.fingerprint()
    with pytest.raises(DivergenceError, match=r"parameters: .* by step 1\. The network is as it was"):
        one.fit(X * 1e3, Y, batch_size=None)
    assert one.fingerprint() == before
    assert one.step_count == one.epoch_count == 0


def test_infinite_moments_are_seen(backend):
    """Adam's second moment overflows: the parameters stay finite, and would never move again."""
    one = NeuralNetwork(3, 2, backend=backend, optimizer=Adam(1e-3), seed=0, loss="sse")
    with pytest.raises(DivergenceError, match="parameters: expected finite values"):
        one.fit(X * 1e8, Y, batch_size=None)
    assert np.all(np.isfinite(host_array(one.predict(X))))


def test_a_fit_does_not_start_from_nan(backend):
    one = NeuralNetwork(3, 2, backend=backend, optimizer=SGD(1e38), seed=0)
    for _ in range(3):
        one.step(X * 1e3, Y)
    with pytest.raises(DivergenceError, match="finite parameters to start from"):
        one.fit(X, Y)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_after_a_divergence_leaves_a_usable_network(backend, monkeypatch):
    one = NeuralNetwork(3, 2, backend=backend, optimizer=SGD(1e-3), seed=0)
    one.fit(X, Y)
    before, step = one.fingerprint(), Runtime.step
    one.learning_rate = 1e38

    def interrupted(runtime, batch):
        loss = step(runtime, batch)
        if runtime.counters.step == 5:
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(Runtime, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, Y, batch_size=4)
    assert one.fingerprint() == before
    assert one.step_count == 1


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("width", [4, 15_000])
def test_an_interrupt_in_a_step_comes_before_or_after_it(backend, monkeypatch, width):
    """The loop is the user's own: the step has not happened, or, where its state may be changed in place, is whole."""
    one, other = (NeuralNetwork(3, width, 2, backend=backend, seed=0) for _ in range(2))
    kernel, pressed = Adam.kernel, []

    def interrupted(self, *arguments):
        if not pressed:  # once: a second one would come through
            pressed.append(signal.raise_signal(signal.SIGINT))
        return kernel(self, *arguments)

    for _ in range(2):
        one.step(X, Y), other.step(X, Y)
    monkeypatch.setattr(Adam, "kernel", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    one._runtime._bind()  # to the interrupted kernel
    with pytest.raises(KeyboardInterrupt):
        one.step(X, Y)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is handler
    one._runtime._bind()
    assert one.step_count == (3 if one._runtime.donates_state else 2)
    assert one._runtime.donates_state or width == 4 or backend != "numpy"
    for each in (one, other):
        while each.step_count < 4:
            each.step(X, Y)
    np.testing.assert_allclose(host_array(one.predict(X)), host_array(other.predict(X)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_DFL, lambda number, frame: None])
def test_who_handles_ctrl_c_is_the_same_afterwards(handler):
    wide = NeuralNetwork(3, 15_000, 2, seed=0)
    previous = signal.signal(signal.SIGINT, handler)
    try:
        for train in (lambda: wide.step(X, Y), lambda: wide.fit(X, Y)):
            train()
            assert wide._runtime.donates_state
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_while_the_last_epoch_is_measured_is_raised(monkeypatch):
    one, evaluate = net(), Runtime.evaluate

    def interrupted(runtime, *arguments):
        signal.raise_signal(signal.SIGINT)
        return evaluate(runtime, *arguments)

    monkeypatch.setattr(Runtime, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, Y, validation=0.25)
    assert one.epoch_count == 1


class Failing:
    """Adam's kernel, which fails in its third block."""

    kernel = Adam.kernel

    def __init__(self):
        self.calls = 0

    def __call__(self, xp, *arguments):
        self.calls += 1
        if self.calls == 3:
            raise MemoryError("no room for a temporary")
        return Failing.kernel(Adam(), xp, *arguments)


@pytest.mark.parametrize("method", ["fit", "step"])
def test_a_failure_in_the_middle_of_an_update_changes_nothing(method, monkeypatch):
    """NumPy updates in blocks of 16,384: the first two are done when the third fails."""
    one, other = (net(10_000) for _ in range(2))
    for _ in range(2):
        one.step(X, Y), other.step(X, Y)
    monkeypatch.setattr(Adam, "kernel", failing := Failing())
    one.optimizer = Adam(beta1=0.8)  # whose first step is computed block by block
    with pytest.raises(MemoryError):
        getattr(one, method)(X, Y)
    assert failing.calls == 3
    monkeypatch.undo()
    one.optimizer = Adam()
    assert one.fingerprint() == other.fingerprint()
    assert one.step_count == 2
    for _ in range(2):  # and the moments are those of the steps before
        one.step(X, Y), other.step(X, Y)
    assert one.fingerprint() == other.fingerprint()


def test_steps_do_not_share_memory_with_what_was_handed_out():
    """The update writes into vectors of earlier steps: nobody else may hold them."""
    one, held = net(), []
    for _ in range(5):
        one.step(X, Y)
        held.append((one.parameters["W1"], one.fingerprint(), one.to()))
    assert len({fingerprint for _, fingerprint, _ in held}) == 5
    for value, fingerprint, copied in held:
        assert copied.fingerprint() == fingerprint
        np.testing.assert_array_equal(copied.parameters["W1"], value)


# ---- standardising


def statistics(one):
    """Return mean and standard deviation as the network holds them."""
    buffers = {name: host_array(value).astype(np.float64) for name, value in one.buffers.items()}
    return buffers["mean1"] + buffers["rest1"], 1 / buffers["inverse_std1"]


def test_a_step_loop_learns_to_standardise(backend):
    one, fitted = (NeuralNetwork(3, Standardize(), 4, 2, backend=backend, seed=0) for _ in range(2))
    loss, gradients = one.gradients(X, Y)
    assert np.all(host_array(one.buffers["inverse_std1"]) == 1)  # no state is changed
    first = one.step(X, Y)
    np.testing.assert_array_equal(host_array(first), host_array(loss))  # the gradients were the next step's
    for found, expected in zip(statistics(one), (X.mean(axis=0), X.std(axis=0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    fitted.fit(X, Y, batch_size=None)
    assert one.fingerprint() == fitted.fingerprint()
    assert set(gradients) == {"W1", "b1", "W2", "b2"}
    one.fit(X * 2, Y)  # what was learnt stays
    np.testing.assert_allclose(statistics(one)[1], X.std(axis=0), rtol=1e-6)


def test_one_row_teaches_no_deviation():
    for method in ("fit", "step", "gradients"):
        with pytest.raises(DataError, match="at least two rows for mean and standard deviation"):
            getattr(net(Standardize(), 4), method)(X[:1], Y[:1])
    with pytest.raises(DataError, match="row 3"):
        net(Standardize(), 4).step(np.where(np.arange(20)[:, None] == 3, np.nan, X), Y)


def far(dtype):
    """Columns whose variation float32 cannot hold, and a target that hangs on them."""
    z = np.random.default_rng(1).standard_normal((200, 2))
    return (z * [100, 0.01] + [1.7e9, 1e5]).astype(dtype), z @ [[1.0], [-2.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardising_keeps_what_varies_at_a_large_offset(backend, dtype):
    x, y = far(np.float64)
    one = NeuralNetwork(2, Standardize(), 16, "tanh", 1, backend=backend, dtype=dtype, learning_rate=0.02, seed=0)
    one.fit(x, y, epochs=60 if backend == "numpy" else 1, batch_size=50)
    # The largest deviation of the inputs that the network saw from those of float64: a few units of rounding.
    seen = host_array(one._runtime.inputs(x)).astype(np.float64)
    np.testing.assert_allclose(seen, (x - x.mean(axis=0)) / x.std(axis=0), atol=8 * 2.0**-24 * 4)
    assert backend != "numpy" or one.evaluate(x, y, metrics=["r2"])["r2"] > 0.99
    alone = one.predict(x[:1])
    np.testing.assert_allclose(alone, one.predict(x)[:1], rtol=1e-4, atol=1e-4)


def test_the_same_inputs_wherever_the_data_are(backend):
    """Data on the device are standardised there, those of the host on the host: the same bits."""
    x, y = far(np.float64)
    one = NeuralNetwork(2, Standardize(), 4, 1, backend=backend, seed=0)
    one.fit(x, y)
    reference = NeuralNetwork(2, Standardize(), 4, 1, backend="numpy", seed=0)
    reference.fit(x, y)
    expected = reference._runtime.inputs(x)
    adapter = get_backend(backend)
    with adapter.scope():
        own = adapter.asarray(x, "float64")
        for given in (x, own, x[::2], np.asfortranarray(x)):
            seen = host_array(one._runtime.inputs(given))
            np.testing.assert_array_equal(seen, expected[::2] if len(seen) == 100 else expected)


def test_a_device_without_float64_standardises_on_the_host():
    pytest.importorskip("array_api_strict")
    x, y = far(np.float64)
    one, other = (NeuralNetwork(2, Standardize(), 4, 1, backend=b, seed=0) for b in ("numpy", STRICT))
    one.fit(x, y)
    other.fit(x, y)
    np.testing.assert_array_equal(host_array(other._runtime.inputs(x)), one._runtime.inputs(x))
    own = get_backend(STRICT).asarray(x, "float32")
    np.testing.assert_array_equal(host_array(other._runtime.inputs(own)), one._runtime.inputs(x.astype(np.float32)))


STRICT = "array_api_strict:no_float64"


def test_standardising_in_blocks_of_rows():
    x = np.random.default_rng(0).standard_normal((10_000, 3)) * 5 + 1e6
    one = net(Standardize(), 4)
    one.fit(x, np.zeros((10_000, 2)), batch_size=None)
    expected = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(one._runtime.inputs(x), expected, atol=8 * 2.0**-24 * np.abs(expected).max())


def test_the_mean_survives_a_change_of_dtype():
    x, y = far(np.float64)
    one = NeuralNetwork(2, Standardize(), 4, 1, seed=0, dtype="float64")
    one.fit(x, y)
    narrow = one.to(dtype="float32")
    np.testing.assert_allclose(narrow._runtime.inputs(x), one._runtime.inputs(x), atol=1e-6)
    np.testing.assert_allclose(narrow.predict(x), one.predict(x), atol=1e-5)


def test_a_target_that_the_dtype_cannot_resolve_is_refused():
    """float32 holds 1.7e9 in steps of 128: what varies by 100 there would be learnt as noise."""
    x, y = far(np.float64)
    for dtype, target in (("float32", y * 20 + 1.7e9), ("float64", y * 1e-7 + 1.7e9)):
        one = NeuralNetwork(2, Standardize(), 4, 1, Unstandardize(), seed=0, dtype=dtype)
        with pytest.raises(DataError, match=rf"y: .* {dtype} .* column 0 varies by .* around 1.7e\+09"):
            one.fit(x, target)
        assert one.step_count == 0
    for fine in (y * 20 + 1.7e4, np.full_like(y, 1.7e9)):
        NeuralNetwork(2, Standardize(), 4, 1, Unstandardize(), seed=0).fit(x, fine)


def test_constant_columns_and_their_noise():
    x = np.stack([np.full(20, 0.1 + 0.2), np.where(np.arange(20) % 2, 0.1 + 0.2, 0.3), np.arange(20.0)], axis=1)
    one = net(Standardize(), 4)
    one.fit(x, Y)
    np.testing.assert_array_equal(one.buffers["inverse_std1"][:2], 1)
    assert np.all(np.abs(one._runtime.inputs(x)[:, :2]) < 1e-6)
    many = np.broadcast_to([0.1, 1.7e9 + 0.3, 5.0], (20_000, 3))  # sums of so many are off by hundreds of roundings
    one = net(Standardize(), 4)
    one.fit(many, np.zeros((20_000, 2)), batch_size=None)
    np.testing.assert_array_equal(one.buffers["inverse_std1"], 1)
    assert np.all(np.abs(one._runtime.inputs(many)) < 1e-5)


# ---- weights of rows


@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_weights_stand_for_repeated_rows_in_standardising_too(loss):
    weight = np.array([1, 2, 0, 3, 1] * 4)
    ends = []
    for x, y, w in ((X, Y, weight), (np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0), None)):
        one = NeuralNetwork(3, Standardize(), 4, 2, Unstandardize(), loss=loss, dtype="float64", seed=0)
        one.fit(x, y, batch_size=None, epochs=3, sample_weight=w)
        ends.append(one)
    for name in ("mean1", "inverse_std1", "mean2", "std1"):
        np.testing.assert_allclose(ends[0].buffers[name], ends[1].buffers[name], rtol=1e-12)
    np.testing.assert_allclose(ends[0].predict(X), ends[1].predict(X), rtol=1e-9, atol=1e-9)


def test_weights_are_normalised_where_they_are_used():
    """Heavy rows that were held out must not shrink the training loss: it is that of the rows that train."""
    from portnn.nn import random

    kept, held = random.split(20, 0.25, 0)
    weight = np.where(np.isin(np.arange(20), held), 1e6, RNG.integers(1, 4, 20))
    one, alone = net(), net()
    history = one.fit(X, Y, validation=0.25, sample_weight=weight, batch_size=None)
    expected = alone.fit(X[kept], Y[kept], sample_weight=weight[kept], batch_size=None)
    assert history.loss == pytest.approx(expected.loss, rel=1e-6)
    assert one.fingerprint() == alone.fingerprint()
    squares = (alone.predict(X[held]) - Y[held]) ** 2
    assert history.metrics["validation_loss"][0] == pytest.approx(squares.mean(), rel=1e-5)  # equal weights there


@pytest.mark.parametrize("size", [1e-300, 1e307])
def test_the_size_of_weights_means_nothing_to_a_mean(size):
    weight = RNG.integers(0, 4, 20)
    one, other = (NeuralNetwork(3, Standardize(), 4, 2, Unstandardize(), seed=0) for _ in range(2))
    losses = [each.fit(X, Y, sample_weight=w).loss for each, w in ((one, weight), (other, weight * size))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-4, atol=1e-5)


def test_a_part_without_weight_is_refused():
    from portnn.nn import random

    _, held = random.split(20, 0.25, 0)
    for weight, part in (
        (np.isin(np.arange(20), held), "the rows"),
        (~np.isin(np.arange(20), held), "validation rows"),
    ):
        one = net()
        with pytest.raises(DataError, match=f"sample_weight: expected a weight above 0 among .*{part}"):
            one.fit(X, Y, validation=0.25, sample_weight=weight)
        assert one.step_count == 0


# ---- what is shown is what trains


@pytest.mark.parametrize("name", ["loss", "seed", "dtype", "architecture", "backend", "step_count", "epoch_count"])
def test_what_cannot_be_changed_cannot_be_assigned(name):
    one = net()
    with pytest.raises(AttributeError):
        setattr(one, name, getattr(one, name))


def test_another_optimizer_is_obeyed(backend):
    """Of the same kind it goes on with its vectors; of another it starts anew, bias corrections included."""
    one = NeuralNetwork(3, 4, 2, backend=backend, seed=0, optimizer=Adam(0.01))
    for _ in range(3):
        one.step(X, Y)
    one.learning_rate = 0.0
    assert one.optimizer == Adam(0.0)
    assert "learning_rate=0.0" in one.summary()
    before = one.fingerprint()
    one.step(X, Y)
    assert one.fingerprint() == before
    one.learning_rate = np.float64(0.01)
    started = one.to()
    started.set_parameters(one.parameters)
    started.optimizer = SGD(0.5)
    started.optimizer = "adam"
    started.learning_rate = 0.01
    fresh = NeuralNetwork(3, 4, 2, backend=backend, seed=0, optimizer=Adam(0.01))
    fresh.set_parameters(one.parameters)
    for each in (one, started, fresh):
        each.step(X, Y)
    assert started.fingerprint() == fresh.fingerprint() != one.fingerprint()


def test_another_optimizer_repeats_no_masks():
    """They count steps of the network, not of the optimizer."""
    one, x = net(200, Dropout(0.5)), np.ones((4, 3))
    first = one.gradients(x, Y[:4])[1]["b1"] == 0
    one.step(x, Y[:4])
    one.optimizer = SGD(0.0)
    assert np.mean((one.gradients(x, Y[:4])[1]["b1"] == 0) != first) > 0.05


def test_optimizers_before_the_widths_are_known():
    one = NeuralNetwork(seed=0)
    one.optimizer = SGD(0.5)
    other = NeuralNetwork(seed=0, optimizer=SGD(0.5))
    assert one.fit(X, Y).loss == other.fit(X, Y).loss
    assert one.fingerprint() == other.fingerprint()
    for bad in ("admm", 0.1, None):
        with pytest.raises(ArgumentError, match="optimizer: expected"):
            one.optimizer = bad
    with pytest.raises(ArgumentError, match="learning_rate: expected"):
        one.learning_rate = -1
    assert one.optimizer == SGD(0.5)


# ---- copies


def everything(backend="numpy", **options):
    one = NeuralNetwork(
        3,
        Standardize(),
        6,
        Dropout(0.25),
        2,
        Unstandardize(),
        backend=backend,
        seed=5,
        **{"optimizer": "adam", **options},
    )
    one.metadata = {"note": ["mine"]}
    one.fit(X, Y, epochs=2)
    return one


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("following", [False, True])
def test_a_duplicate_goes_on_alone(backend, duplicate, following):
    one = everything(None if following else backend)
    other, before = duplicate(one), one.fingerprint()
    other.metadata["note"].append("theirs")
    assert one.metadata == {"note": ["mine"]}
    assert other.summary() == one.summary()
    assert other.backend == one.backend
    other.fit(X, Y)
    assert one.fingerprint() == before != other.fingerprint()
    assert (one.step_count, other.step_count) == (2, 3)
    # The compiled step of JAX may round otherwise than its eager first one.
    one.fit(X, Y)
    np.testing.assert_allclose(host_array(one.predict(X)), host_array(other.predict(X)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_pickled(loss):
    one = NeuralNetwork(3, 4, 2, loss=loss, output=LOSSES[loss].pair or "tanh", seed=0)
    other = pickle.loads(pickle.dumps(one))
    y = np.eye(2)[RNG.integers(0, 2, 20)]
    assert one.fit(X, y).loss == other.fit(X, y).loss
    assert one.fingerprint() == other.fingerprint()


def test_networks_without_widths_are_copied():
    for duplicate in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        one = NeuralNetwork(Standardize(), 4, 2, seed=0)
        other = duplicate(one)
        assert other.fit(X, Y).loss == one.fit(X, Y).loss


def test_a_device_alone_is_one_of_the_networks_own_backend(monkeypatch):
    pytest.importorskip("array_api_strict")
    one = NeuralNetwork(3, 2, backend="array_api_strict", seed=0)
    for other_default in ("numpy", None):
        if other_default:
            monkeypatch.setenv("PORTNN_BACKEND", other_default)
        else:
            monkeypatch.delenv("PORTNN_BACKEND")
        moved = one.to(device="device1")
        assert moved.backend == "array_api_strict:device1"
        assert moved.to(dtype="float64").backend == "array_api_strict:device1"
        assert moved.fingerprint() == one.fingerprint()
    with pytest.raises(ArgumentError, match="device: array_api_strict has"):
        one.to(device="cuda:0")


# ---- what is refused decides nothing


LATE = {
    "metrics": {"metrics": ["accuracyy"]},
    "weights": {"sample_weight": np.ones(3)},
    "validation": {"validation": (X[:4], Y[:3])},
    "validation values": {"validation": (np.full((4, 3), np.nan), Y[:4])},
    "share": {"validation": 2.0},
    "too small to standardise": {},
}


@pytest.mark.parametrize(
    ("case", "layers"),
    [
        (case, layers)
        for case in LATE
        for layers in ((), (Standardize(), 4, 2), (3, Standardize(), 4, 2))
        if layers or case != "too small to standardise"
    ],
)
def test_data_refused_late_decide_nothing(case, layers):
    pytest.importorskip("array_api_strict")
    pandas = pytest.importorskip("pandas") if case == "weights" else None
    one, fresh = (NeuralNetwork(*layers, seed=0) for _ in range(2))
    x = get_backend("array_api_strict").asarray(X * 1e-42 if case.startswith("too small") else X)
    with pytest.raises(PortnnError):
        one.fit(pandas.DataFrame(X, columns=list("abc")) if pandas else x, Y, **LATE[case])
    assert one.backend == "numpy:cpu"
    assert one.summary() == fresh.summary()
    # Nothing of it is left: not where they were, nor their columns' names, nor what Standardize learnt of them.
    x, y = X[:, ::-1] * 3 + 1, Y * 2
    if pandas:
        x = pandas.DataFrame(x, columns=list("def"))
    assert one.fit(x, y).loss == fresh.fit(x, y).loss
    assert one.fingerprint() == fresh.fingerprint()


@pytest.mark.parametrize("first", ["fit", "step", "gradients", "to"])
def test_where_a_network_is_once_it_stays(first):
    """The first data to train on decide, or ``to``: later data of another library come to it."""
    pytest.importorskip("array_api_strict")
    one = NeuralNetwork(3, 4, 2, seed=0)
    if first == "to":
        one = one.to("array_api_strict")
    else:
        getattr(one, first)(get_backend("array_api_strict").asarray(X), Y)
    for _ in range(2):
        assert one.backend == "array_api_strict:CPU_DEVICE"
        one.step(X, Y)
    one.fit(X, Y)
    assert one.backend == one.to(dtype="float64").backend == "array_api_strict:CPU_DEVICE"


def test_prepared_changes_nothing():
    one, fresh = (NeuralNetwork(Standardize(), 4, 2, seed=0) for _ in range(2))
    one.prepare(X, Y)
    assert one.summary() == fresh.summary()
    built = net(Standardize(), 4)
    before = built.fingerprint()
    built.prepare(X, Y)
    assert built.fingerprint() == before


@pytest.mark.parametrize("kind", ["numpy", "own", "strict"])
def test_a_batch_like_the_last_one_is_looked_at_again_where_it_must_be(backend, kind):
    """Kinds that were accepted are not checked again; values are, as at the first time, and so is another kind."""
    home = get_backend({"numpy": "numpy", "own": backend, "strict": "array_api_strict"}[kind])
    one = NeuralNetwork(4, 6, 3, output="softmax", loss="cross_entropy", backend=backend, seed=0)
    rng = np.random.default_rng(0)
    x, labels, wrong = home.asarray(rng.standard_normal((6, 4))), np.array([0, 1, 2] * 2), np.array([0, 1, 7] * 2)
    for _ in range(3):
        one.step(x, home.asarray(labels)), one.predict(x)
    before = one.fingerprint()
    if "numpy" in (kind, backend):  # on the host; elsewhere looking would wait for a device
        with pytest.raises(DataError, match=r"y: expected labels in 0..2; got 7"):
            one.step(x, home.asarray(wrong))
    with pytest.raises(ShapeError, match="x: expected"):
        one.step(home.asarray(rng.standard_normal((6, 5))), home.asarray(labels))
    with pytest.raises(ShapeError, match="y: expected 6 rows"):
        one.step(x, home.asarray(labels[:5]))
    with pytest.raises(DTypeError, match="y: expected integer class labels"):
        one.step(x, home.asarray(labels.astype(float)))
    with pytest.raises(ShapeError, match="x: expected"):
        one.predict(home.asarray(rng.standard_normal((6, 5))))
    assert one.fingerprint() == before


def test_a_copy_keeps_nothing_of_the_original_alive():
    one = NeuralNetwork(3, 4, 1, seed=0, backend="numpy")
    for _ in range(3):
        one.step([[0.0, 1.0, 2.0]], [[1.0]])
    copies, original = [one.to(), one.to("array_api_strict")], weakref.ref(one._runtime)
    del one
    gc.collect()
    assert original() is None
    assert all(copy.step_count == 3 for copy in copies)
