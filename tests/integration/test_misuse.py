"""What could be wrong without a word: it is refused, said, or right."""

import contextlib
import importlib
import pickle
import re
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread

import numpy as np
import pytest
from conftest import ROOT

import portnn
from portnn import (
    SGD,
    ArgumentError,
    BatchNorm,
    Checkpoint,
    DataError,
    Dense,
    Dropout,
    Layer,
    NeuralNetwork,
    SerializationError,
    Shapes,
    schedules,
)
from portnn.callbacks import EarlyStopping, ReduceOnPlateau
from portnn.metrics import METRICS, Metric
from portnn.nn.activations import ACTIVATIONS
from portnn.testing import assert_same_on_backends

RNG = np.random.default_rng(0)
X, Y = RNG.random((20, 3)), RNG.random((20, 2))
LABELS = RNG.integers(0, 3, 20)


def values(**options):
    return NeuralNetwork(3, 4, 2, loss="mse", seed=0, backend="numpy", **options)


def classifier(**options):
    return NeuralNetwork(3, 4, 3, output="softmax", loss="cross_entropy", seed=0, backend="numpy", **options)


# ---- masks


def masked_map(tmp_path):
    np.save(tmp_path / "x.npy", X)
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    return np.ma.MaskedArray(rows, mask=np.arange(60).reshape(20, 3) == 7)


@pytest.mark.parametrize("form", ["over a map", "rows", "rows of rows", "batches"])
def test_masks_are_refused_by_whatever_way_they_come(form, tmp_path):
    array = np.ma.MaskedArray(X, mask=np.arange(60).reshape(20, 3) == 7)
    x = {
        "over a map": masked_map(tmp_path),
        "rows": list(array),
        "rows of rows": [[row] for row in array],
        "batches": array,
    }[form]
    net = NeuralNetwork((1, 3), portnn.Flatten(), 4, 2, loss="mse", seed=0) if form == "rows of rows" else values()
    before = net.fingerprint()
    calls = [lambda: net.fit(x, Y), lambda: net.predict(x), lambda: net.evaluate(x, Y), lambda: net.step(x, Y)]
    for call in [lambda: net.fit([(x, Y)])] if form == "batches" else calls:
        with pytest.raises(DataError, match="x: expected a value in every place; got 1 of"):
            call()
    with pytest.raises(DataError, match="y: expected a value in every place; got 2 of"):
        values().fit(X, [np.ma.MaskedArray(row, mask=[i < 2, False]) for i, row in enumerate(Y)])
    with pytest.raises(DataError, match="sample_weight: expected a value in every place"):
        values().fit(X, Y, sample_weight=np.ma.MaskedArray(np.ones(20), mask=np.arange(20) < 1))
    assert net.fingerprint() == before


# ---- metrics


def mean_error(outputs, y):
    return np.abs(outputs - y).mean()


@pytest.mark.parametrize("callback", [EarlyStopping, ReduceOnPlateau])
def test_a_function_says_which_way_is_better(callback):
    def fit(function, **options):
        net = values(optimizer=SGD(0.5))
        stop = callback(f"validation_{function.__name__}", patience=2, **options)
        net.fit(X, Y, epochs=12, metrics=[function], validation=0.25, callbacks=[stop])
        return net.fingerprint(), stop.state["_best"]

    with pytest.raises(ArgumentError, match='mode: expected "min" or "max" for \'validation_mean_error\''):
        fit(mean_error)
    least = fit(mean_error, mode="min")

    def told(outputs, y):
        return mean_error(outputs, y)

    told.greater_is_better = False
    assert fit(told) == least
    told.greater_is_better = True
    assert fit(told) == fit(mean_error, mode="max") != least


def test_a_metric_may_write_to_its_arrays():
    def clips(outputs, y):
        outputs -= y
        y *= 0.0
        return np.abs(np.clip(outputs, 0, 1, out=outputs)).mean()

    net = values()
    alone = net.evaluate(X, Y, metrics=["mae", "r2"])
    assert {**net.evaluate(X, Y, metrics=[clips, "mae", "r2"]), **alone} == net.evaluate(
        X, Y, metrics=["mae", "r2", clips]
    )
    history = net.fit(X, Y, metrics=[clips, "mae"], validation=(X, Y))
    assert history.metrics["validation_mae"][-1] == net.evaluate(X, Y, metrics=["mae"])["mae"]


@pytest.mark.parametrize("value", [np.zeros(3), None, "0.5", [1.0]])
def test_a_metric_gives_a_number(value):
    def wrong(outputs, y):
        return value

    with pytest.raises(ArgumentError, match="metrics: expected a number of 'wrong'; got"):
        values().evaluate(X, Y, metrics=[wrong])
    for right in (1, 0.5, np.float32(0.5), np.array(0.5), True):
        assert values().evaluate(X, Y, metrics=[lambda outputs, y, right=right: right])["<lambda>"] == float(right)


def test_functions_are_weighted_where_they_take_weights(caplog):
    weight = np.arange(20.0)

    def weighted(outputs, y, sample_weight=None):
        return np.average(np.abs(outputs - y).mean(axis=1), weights=sample_weight)

    def third(outputs, y, power=2):
        return float(power)

    net = values()
    found = net.evaluate(X, Y, metrics=["mae", weighted, third, mean_error], sample_weight=weight)
    assert found["weighted"] == pytest.approx(found["mae"], rel=1e-6)
    assert found["third"] == 2.0
    said = [record.message for record in caplog.records if "is not weighted" in record.message]
    assert [message.split("'")[1] for message in said] == ["third", "mean_error"]
    caplog.clear()
    net.fit(X, Y, epochs=4, metrics=[mean_error], sample_weight=weight)
    assert caplog.text.count("is not weighted") == 1
    assert net.evaluate(X, Y, metrics=[weighted])["weighted"] == pytest.approx(
        net.evaluate(X, Y, metrics=["mae"])["mae"]
    )


CLASSES = ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "top_k", "roc_auc", "log_loss"]


@pytest.mark.parametrize("name", CLASSES)
def test_metrics_of_classes_want_classes(name):
    with pytest.raises(ArgumentError, match=f"metrics: {name!r} is for classes; got outputs that are values"):
        values().evaluate(X, Y, metrics=[name])
    several = NeuralNetwork(3, 4, 2, output="sigmoid", loss="binary_cross_entropy", seed=0)
    with pytest.raises(ArgumentError, match=f"metrics: {name!r} is for one class a row; got 2 outputs"):
        several.fit(X, np.round(Y), metrics=[name])
    assert several.evaluate(X, np.round(Y), metrics=[mean_error])["mean_error"] > 0
    assert name in classifier().evaluate(X, LABELS, metrics=[name])
    one = NeuralNetwork(3, 4, 1, output="sigmoid", loss="sse", seed=0)  # the deck's
    assert name in one.evaluate(X, np.round(Y[:, :1]), metrics=[name])


@pytest.mark.parametrize("name", ["mae", "rmse", "r2"])
def test_metrics_of_values_want_values(name):
    for net, y in (
        (classifier(), LABELS),
        (classifier(), np.eye(3)[LABELS]),
        (NeuralNetwork(3, 1, output="sigmoid", loss="binary_cross_entropy", seed=0), np.round(Y[:, :1])),
    ):
        with pytest.raises(ArgumentError, match=f"metrics: {name!r} is for targets that are values; got class labels"):
            net.evaluate(X, y, metrics=[name])


def test_functions_of_portnn_are_what_their_names_are():
    """A function in place of its name goes round no check, and is weighted."""
    weight = np.arange(20.0)
    by_name, by_function = (
        values().evaluate(X, Y, metrics=metrics, sample_weight=weight) for metrics in (["mae"], [portnn.metrics.mae])
    )
    assert by_name == by_function
    with pytest.raises(ArgumentError, match="metrics: 'accuracy' is for classes"):
        values().evaluate(X, Y, metrics=[portnn.metrics.accuracy])

    class Unhashable:
        __hash__ = None

        def __call__(self, outputs, y):
            return 0.5

    assert values().evaluate(X, Y, metrics=[Unhashable()])["Unhashable"] == 0.5


def test_log_loss_wants_probabilities():
    with pytest.raises(ArgumentError, match="metrics: 'log_loss' is for probabilities"):
        NeuralNetwork(3, 4, 3, output="log_softmax", loss="mse", seed=0).evaluate(
            X, np.eye(3)[LABELS], metrics=["log_loss"]
        )


@pytest.mark.parametrize("score", ["precision", "recall", "f1"])
def test_averages_that_three_classes_do_not_have(score):
    for average, message in (
        ("binary", 'average: "binary" is for two classes; got 3'),
        (3, "expected one of 3 classes"),
    ):
        with pytest.raises(ArgumentError, match=message):
            classifier().evaluate(X, LABELS, metrics=[Metric.named(score, average=average)])
    two = np.eye(2)[LABELS % 2]
    assert METRICS[score]()(two, LABELS % 2) == Metric.named(score, average="binary")(two, LABELS % 2) == 1.0


# ---- batches


def cut(x, y):
    return [(x[i : i + 5], y[i : i + 5]) for i in range(0, 20, 5)]


def test_batches_in_one_memory(backend):
    """A generator that fills the same arrays, or lists, again and again: as if it made new ones."""
    if backend.startswith("jax"):
        pytest.skip("jax: its arrays cannot be written to")
    adapter = portnn.get_backend(backend)

    def one_memory():
        with adapter.scope():
            x, y = adapter.asarray(np.zeros((5, 3)), "float32"), adapter.asarray(np.zeros((5, 2)), "float32")
        for new_x, new_y in cut(X, Y):
            with adapter.scope():
                x[...], y[...] = adapter.asarray(new_x, "float32"), adapter.asarray(new_y, "float32")
            yield x, y

    def one_list():
        x, y = [], []
        for new_x, new_y in cut(X, Y):
            x[:], y[:] = new_x.tolist(), new_y.tolist()
            yield x, y

    expected, one, other = (NeuralNetwork(3, 4, 2, loss="mse", seed=0, backend=backend) for _ in range(3))
    expected.fit(cut(np.float32(X), np.float32(Y)), epochs=3)
    one.fit(one_memory, epochs=3)
    other.fit(one_list, epochs=3)
    assert one.fingerprint() == expected.fingerprint()
    assert other.fingerprint() == expected.fingerprint()


def test_the_look_at_the_first_batch_loses_none():
    once = iter(cut(X, Y))
    one, expected = values(), values()
    history = one.fit(lambda: (batch for batch in once))
    expected.fit(cut(X, Y))
    assert one.fingerprint() == expected.fingerprint()
    assert len(history.loss) == 1
    once = iter(cut(X, Y))
    with pytest.raises(DataError, match="a function must return a new iterator at each call"):
        values().fit(lambda: (batch for batch in once), epochs=2)
    once = iter(cut(X, Y))
    assert values().evaluate(lambda: (batch for batch in once)) == values().evaluate(cut(X, Y))


# ---- labels


def test_the_classes_are_the_values_that_occur():
    """Where no width is given; else they are 0 to outputs - 1."""
    for y in (LABELS * 10 + 10, (LABELS * 10 + 10).tolist(), (LABELS * 10 - 10)[:, None], np.int8(LABELS * 2)):
        net = NeuralNetwork(output="softmax", loss="cross_entropy", seed=0)
        net.fit(X, y, epochs=2)
        assert net.classes == tuple(np.unique(y).tolist())
        assert net.predict(X).shape == (20, 3)
        assert set(net.predict_classes(X).tolist()) <= set(np.unique(y).tolist())
        assert net.evaluate(X, y, metrics=["accuracy"])["accuracy"] == np.mean(
            net.predict_classes(X) == np.asarray(y).reshape(-1)
        )
        with pytest.raises(DataError, match="expected the classes"):
            net.fit(X, np.full(20, 7))
    plain = NeuralNetwork(output="softmax", loss="cross_entropy", seed=0)
    plain.fit(X, LABELS)
    assert plain.classes is None
    with pytest.raises(DataError, match=r"y: expected labels in 0\.\.2; got 20"):
        classifier().fit(X, LABELS * 10)


# ---- arguments


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("validation", wrong) for wrong in ([], (), (X,), [X], (X, Y, Y), {}, "all", 0, 1.5, True, None.__class__)),
        *(("metrics", wrong) for wrong in (5, "mae", [5], [None], {"mae": 1}, ["no such"], mean_error)),
        *(("callbacks", wrong) for wrong in (5, "stop", mean_error, [5], EarlyStopping(), {"a": 1})),
        *(("checkpoint", wrong) for wrong in (5, ["run"], True)),
        *(("sample_weight", wrong) for wrong in ("uneven", {"a": 1.0})),
        *((name, wrong) for name in ("epochs", "batch_size") for wrong in (0, -1, 2.5, "all", [])),
        ("progress", "yes"),
    ],
)
def test_arguments_that_fit_cannot_take(name, wrong):
    net = values()
    before = net.fingerprint()
    with pytest.raises((ArgumentError, DataError), match=rf"^({name}|y|x|batch\w*|monitor)\b"):
        net.fit(X, Y, **{name: wrong})
    assert net.fingerprint() == before
    assert net.step_count == 0


def test_keys_that_a_file_would_make_texts(tmp_path):
    net = values()
    for metadata in ({1: "a"}, {"a": {2.5: 1}}, {"a": [{None: 1}]}, {"a": ({True: 1},)}):
        net.metadata = metadata
        with pytest.raises(SerializationError, match="metadata: expected plain JSON values; keys are to be texts; got"):
            net.save(tmp_path / "m")
        assert not (tmp_path / "m").exists()
    net.metadata = {"a": {"2": [1]}}
    net.save(tmp_path / "m")
    assert NeuralNetwork.load(tmp_path / "m").metadata == net.metadata


def test_what_compares_nothing_does_not_pass():
    for function in (lambda x: (), lambda x: [], lambda x: x[:0]):
        with pytest.raises(AssertionError, match="expected results to compare"):
            assert_same_on_backends(function, X)


# ---- schedules and checkpoints


@pytest.mark.parametrize("schedule", [schedules.Cosine(0.1, 8), schedules.StepDecay(0.1, 4, 0.0)])
def test_a_schedule_that_has_ended_is_said(schedule, caplog):
    net = values(optimizer=SGD(schedule))
    net.fit(X, Y, epochs=2, batch_size=5)
    assert not caplog.text
    before = net.fingerprint()
    net.fit(X, Y, epochs=3, batch_size=5)
    assert net.fingerprint() == before
    assert caplog.text.count("has ended, with a rate of 0") == 1
    net.learning_rate = 0.1
    caplog.clear()
    net.fit(X, Y)
    assert not caplog.text


@pytest.mark.parametrize("place", ["first", "last", "argument"])
def test_a_checkpoint_stands_anywhere_among_callbacks(place, tmp_path):
    """The file is the network; and what was broken off ends as what was not."""

    def fit(epochs_before_it_breaks, path):
        net = values(optimizer=SGD(0.9))
        others = [EarlyStopping("loss", patience=3, min_delta=1e-3), ReduceOnPlateau(patience=2)]

        def breaks(network, event):
            if event.epoch == epochs_before_it_breaks:
                raise KeyboardInterrupt

        ours, checkpoint = [*others, breaks], Checkpoint(path)
        callbacks = {"first": [checkpoint, *ours], "last": [*ours, checkpoint], "argument": ours}[place]
        with contextlib.suppress(KeyboardInterrupt):
            net.fit(X, Y, epochs=40, callbacks=callbacks, checkpoint=path if place == "argument" else None)
        return net

    whole = fit(None, tmp_path / "whole")
    assert NeuralNetwork.load(tmp_path / "whole").fingerprint() == whole.fingerprint()
    fit(6, tmp_path / "run")
    resumed = fit(None, tmp_path / "run")
    assert resumed.fingerprint() == whole.fingerprint()
    assert len(resumed.history.loss) == len(whole.history.loss)


# ---- NaN


def with_nan():
    x = X[:4].copy()
    x[1, 0], x[2, 1], x[3, 2] = np.nan, np.inf, -np.inf
    return x


@pytest.mark.parametrize("activation", ["relu", "elu", "softplus", "all"])
def test_nan_and_infinity_are_not_hidden(activation, backend):
    """NaN in a row gives NaN, and what is NaN on NumPy is NaN everywhere: no compiler makes a choice of a product."""
    names = list(ACTIVATIONS) if activation == "all" else [activation]
    if activation == "all" and backend.startswith("jax"):
        pytest.skip("jax: compiles for seconds; three are enough")
    for name in names:
        nets = [NeuralNetwork(3, 4, name, 2, seed=0, backend=each, loss="mse") for each in ("numpy", backend)]
        with np.errstate(all="ignore"):
            expected, found = (np.asarray(portnn.backend.host_array(net.predict(with_nan()))) for net in nets)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), err_msg=name)
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[0]).all()


def test_nan_in_training_is_not_hidden(backend):
    """The loss and every gradient that it reaches are NaN, through dropout, relu and the losses that have masks."""
    x = X.copy()
    x[3, 1] = np.nan
    for layers, options in (
        ((4, "relu", Dropout(0.5)), {"loss": "mse"}),
        ((4, "elu"), {"loss": "binary_cross_entropy", "output": "sigmoid"}),
    ):
        net = NeuralNetwork(3, *layers, 2, seed=0, backend=backend, **options)
        with np.errstate(all="ignore"):
            loss, gradients = net.gradients(x, np.round(Y))
        assert np.isnan(portnn.backend.host_array(loss))
        assert all(np.isnan(portnn.backend.host_array(gradient)).any() for gradient in gradients.values())


# ---- parts of one's own


@dataclass(frozen=True)
class Sine(Layer):
    """A layer with a function that no program holds."""

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        slope = xp.cos(x)
        return xp.sin(x), lambda dy: (dy * slope, {})


def test_a_function_that_is_not_recorded_is_named_once(caplog):
    for _ in range(2):
        net = NeuralNetwork(3, 4, Sine(), 2, loss="mse", seed=0, backend="numpy")
        net.fit(X, Y, epochs=3, batch_size=5)
        net.predict(X)
    said = [record.message for record in caplog.records]
    assert said == [
        "xp.sin is not a function that the tracer knows, nor registered (portnn.register_op): it runs "
        "eagerly, more slowly (docs/guides/test-equivalence.md)"
    ]
    with pytest.raises(
        AttributeError, match=r"xp.sin has no bound yet: .*assert_same_on_backends \(docs/guides/test-equi"
    ):
        portnn.compare(net, X, Y, backends=["array_api_strict"])


def test_a_layer_object_keeps_its_bias_before_batch_norm():
    """An int has none there; what a user made is as it was made."""
    net = NeuralNetwork(3, Dense(8), BatchNorm(), 2, BatchNorm(), seed=0)
    assert [layer.bias for layer in net.architecture.layers if isinstance(layer, Dense)] == [True, False]
    assert "before BatchNorm, which takes them away, they have none" in NeuralNetwork.__doc__


LOOKS = {
    "predict": lambda net: net.predict(X[:2]).tobytes(),
    "evaluate": lambda net: net.evaluate(X, Y, metrics=["mae"]),
    "fingerprint": lambda net: net.fingerprint(),
    "parameters": lambda net: {name: value.tobytes() for name, value in net.parameters.items()},
    "gradients": lambda net: float(net.gradients(X, Y)[0]),
    "copy": lambda net: net.to().fingerprint(),
    "pickle": lambda net: pickle.loads(pickle.dumps(net)).fingerprint(),
    "contents": lambda net: [{name: a.tobytes() for name, a in net.serialize()[0].items()}, net.serialize()[1]],
}


@pytest.mark.parametrize("name", LOOKS)
def test_threads_see_whole_steps(name):
    """What is asked for in the middle of another thread's step is that of the step before or after it."""
    net, middle, looked = values(), Event(), Event()
    steps = net._runtime._steps

    def halfway(step, xp, update, state, *rest):
        kept = state.parameters.copy()
        state.parameters[...] = 0.0
        middle.set()
        looked.wait(0.1)  # who looks waits for the step's end
        state.parameters[...] = kept
        return step(xp, update, state, *rest)

    net._runtime._steps = tuple(partial(halfway, step) for step in steps)
    before = LOOKS[name](net)
    thread = Thread(target=lambda: net.step(X, Y))
    thread.start()
    middle.wait()
    found = LOOKS[name](net)
    looked.set()
    thread.join()
    assert found in (before, LOOKS[name](net))
    assert before != LOOKS[name](net)


def test_a_file_is_of_one_step():
    """Arrays and counters, while another thread steps between the two; and no later step changes what was taken."""
    net, told = values(), []
    get_config = net._runtime.get_config

    def slowly():
        config = get_config()
        thread = Thread(target=lambda: net.step(X, Y))
        thread.start()
        thread.join(0.1)  # it waits
        told.append(thread)
        return config

    net._runtime.get_config = slowly
    expected = values()
    arrays, description = net.serialize()
    told[0].join()
    assert description["counters"]["step"] == 0
    assert net.step_count == 1
    for name, array in expected.serialize()[0].items():
        np.testing.assert_array_equal(arrays[name], array)
    for _ in range(6):  # steps in place, by now
        expected.step(X, Y)
    arrays, _ = expected.serialize()
    kept = {name: array.copy() for name, array in arrays.items()}
    for _ in range(3):
        expected.step(X, Y)
    for name, array in kept.items():
        np.testing.assert_array_equal(arrays[name], array)


# ---- rows and names that do not match


def misaligned(given):
    """The same rows as a column of pandas, whose index has its labels in another order than the frame's."""
    pandas = pytest.importorskip("pandas")
    return pandas.Series(np.asarray(given)[::-1], index=range(len(given))[::-1])


CALLS = {
    "fit": lambda net, x, y: net.fit(x, misaligned(y), epochs=1),
    "batches": lambda net, x, y: net.fit([(x, misaligned(y))], epochs=1),
    "validation": lambda net, x, y: net.fit(x, y, validation=(x, misaligned(y)), epochs=1),
    "weights": lambda net, x, y: net.fit(x, y, sample_weight=misaligned(y), epochs=1),
    "evaluate": lambda net, x, y: net.evaluate(x, misaligned(y).to_frame()),
    "step": lambda net, x, y: net.step(x, misaligned(y)),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_index_in_another_order_is_refused(name):
    """pandas would match them by label, arrays by place: the one or the other trains on rows mixed up."""
    pandas = pytest.importorskip("pandas")
    x, y, net = pandas.DataFrame(X), Y[:, 0], NeuralNetwork(3, 4, 1, seed=0)
    before = net.fingerprint()
    with pytest.raises(DataError, match=r"(y|sample_weight): expected its rows in the order of x's index; got"):
        CALLS[name](net, x, y)
    assert net.fingerprint() == before
    net.fit(x.set_index(x.index + 7), pandas.Series(y), epochs=1)  # rows of a split, targets counted anew
    net.fit(x[::-1], pandas.Series(y)[::-1], epochs=1)


@pytest.mark.parametrize("labels", [np.zeros(20, np.int64), np.full(20, 7), ["a"] * 20, np.ones((20, 1), np.int32)])
def test_one_class_is_none(labels):
    with pytest.raises(DataError, match="y: expected labels of at least two classes; got the same in every row"):
        NeuralNetwork(loss="cross_entropy", output="softmax", seed=0).fit(X, labels, epochs=1)


def test_a_metric_called_loss_is_refused():
    def loss(outputs, y):
        return 1.0

    with pytest.raises(ArgumentError, match="metrics: expected other names than 'loss'"):
        values().evaluate(X, Y, metrics=[loss])


# ---- documents


NAMES = sorted(
    {
        n
        for d in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for n in re.findall(r"portnn(?:\.[a-zA-Z_]\w*)+", d.read_text())
    }
)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_documents_can_be_imported(name):
    parts, found = name.split("."), portnn
    if parts[1] == "sklearn":
        pytest.importorskip("sklearn")
    for i, part in enumerate(parts[1:], start=2):
        if part in ("py", "backends"):
            return
        if not hasattr(found, part):  # a module that nothing has imported yet
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
        if type(found) is type(portnn):
            assert importlib.import_module(".".join(parts[:i])).__name__
