"""Data in batches of a user's own: as arrays in the same order, each batch checked, a thread ahead and no further."""

import threading
import time

import numpy as np
import pytest
from conftest import spare

from portnn import (
    ArgumentError,
    BatchNorm,
    Checkpoint,
    DataError,
    Dropout,
    NeuralNetwork,
    NotFittedError,
    ShapeError,
    Standardize,
    Unstandardize,
)
from portnn.callbacks import EarlyStopping
from portnn.data import batches as batches_module

RNG = np.random.default_rng(0)
X, Y, LABELS = RNG.standard_normal((23, 4)), RNG.standard_normal((23, 2)), RNG.integers(0, 3, 23)
W = RNG.integers(1, 4, 23).astype(float)


def cut(*arrays, size=5):
    return [tuple(array[i : i + size] for array in arrays) for i in range(0, len(arrays[0]), size)]


def values(**options):
    return NeuralNetwork(4, 6, Dropout(0.3), 2, seed=0, **options)


def classifier(**options):
    return NeuralNetwork(4, 6, 3, seed=0, output="softmax", loss="cross_entropy", **options)


class Loader:
    """Batches as a loader gives them: anew each time, without a length."""

    def __init__(self, batches):
        self.batches, self.times = batches, 0

    def __iter__(self):
        self.times += 1
        yield from self.batches


@pytest.mark.parametrize("kind", [list, Loader, lambda batches: lambda: iter(batches)])
def test_batches_train_as_arrays_in_their_order(backend, kind):
    """The same bits: masks, a short last batch, metrics over all rows, a validation of either kind."""
    spare(backend, "NumPy cuts the rows")
    options = {"epochs": 3, "metrics": ["mae"]}
    one, other = values(backend=backend), values(backend=backend)
    expected = one.fit(X, Y, shuffle=False, batch_size=5, validation=(X[:7], Y[:7]), **options)
    found = other.fit(kind(cut(X, Y)), validation=kind(cut(X[:7], Y[:7])), **options)
    assert other.fingerprint() == one.fingerprint()
    assert found.loss == expected.loss
    for name, measured in expected.metrics.items():
        assert found.metrics[name] == pytest.approx(measured, rel=1e-6)
    assert other.evaluate(kind(cut(X, Y)))["loss"] == pytest.approx(one.evaluate(X, Y)["loss"], rel=1e-6)


def test_labels_and_weights_of_batches():
    """Weights count as they are: those of equal sum in each batch train as weights of rows do."""
    one, other = classifier(), classifier()
    even = np.tile([0.5, 1.5], 10)
    one.fit(X[:20], LABELS[:20], shuffle=False, batch_size=4, sample_weight=even, metrics=["accuracy"])
    other.fit(cut(X[:20], LABELS[:20], even, size=4), metrics=["accuracy"])
    assert other.history.loss == pytest.approx(one.history.loss, rel=1e-6)
    assert other.history.metrics == one.history.metrics
    for name, value in one.parameters.items():
        np.testing.assert_allclose(other.parameters[name], value, rtol=1e-5, atol=1e-7)
    doubled = classifier()
    loss = doubled.fit(cut(X[:20], LABELS[:20], 2 * even, size=4)).loss[0]
    assert loss > 1.5 * other.history.loss[0]


def test_what_is_learnt_from_the_data_is_learnt_from_all_batches():
    """Mean and deviation over all rows, weighted; of targets too."""
    layers = 4, Standardize(), 6, 2, Unstandardize()
    x, y = X * [1, 10, 100, 0] + [0, 1e6, 0, 7], 1e3 * Y
    for arrays, weights in (((x, y), None), ((x, y, W), W)):
        one, other = NeuralNetwork(*layers, seed=0), NeuralNetwork(*layers, seed=0)
        one.fit(x, y, shuffle=False, batch_size=5, sample_weight=weights)
        other.fit(cut(*arrays))
        for name, value in one.buffers.items():
            np.testing.assert_allclose(other.buffers[name], value, rtol=1e-6, atol=1e-9, err_msg=name)


def test_a_fit_of_batches_goes_on_from_a_checkpoint(tmp_path):
    """Broken off in the middle of the third epoch, by the data themselves."""
    path, batches = tmp_path / "run.safetensors", cut(X, Y)

    def fit(net, data):
        return net.fit(
            data, epochs=4, validation=(X, Y), callbacks=[EarlyStopping(patience=9)], checkpoint=Checkpoint(path, 2)
        )

    def broken():
        times.append(len(times))
        for i, batch in enumerate(batches):
            if len(times) == 5 and i == 3:  # after the first look, the digest, and two epochs
                raise OSError("the disk is gone")
            yield batch

    whole, times = values(), []
    expected = fit(whole, batches)
    path.unlink()
    with pytest.raises(OSError, match="the disk is gone"):
        fit(values(), broken)
    with pytest.raises(ArgumentError, match="other data"):
        fit(values(), cut(X + 1, Y))
    again = values()
    found = fit(again, batches)
    assert again.fingerprint() == whole.fingerprint()
    assert (found.loss, found.metrics) == (expected.loss, expected.metrics)


def test_the_thread_is_ahead_by_a_few_batches_and_ends_with_the_fit():
    made, used, most = [], [], []

    def batches():
        for batch in cut(X, Y, size=1):
            made.append(threading.current_thread())
            yield batch

    def stop(network, event):
        used.append(event.step)
        most.append(len(made) - event.step)
        return event.step == 9

    class Steps:
        on_train_batch_end = staticmethod(stop)

    net = values()
    net.fit(batches, callbacks=[Steps()])
    assert net.step_count == 9
    assert threading.main_thread() not in made[1:]  # the first is looked at before
    made_then = len(made)
    time.sleep(0.05)
    assert len(made) == made_then
    assert (
        max(most) <= 1 + 1 + batches_module.PREFETCH + 1
    )  # that look, the one in use, those ahead, the one being made
    assert not [thread for thread in threading.enumerate() if thread is not threading.main_thread() and thread in made]


def test_errors_of_the_batches_are_raised_and_leave_whole_steps():
    net = values()
    before = net.fingerprint()

    def broken():
        yield X[:5], Y[:5]
        yield X[5:10], Y[5:10]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        net.fit(broken)
    expected = values()
    expected.fit(X[:10], Y[:10], shuffle=False, batch_size=5)
    assert net.fingerprint() == expected.fingerprint() != before
    holed = X[5:10].copy()
    holed[2, 2] = np.nan
    for bad, kind, message in (
        (
            (holed, Y[5:10]),
            DataError,
            "batch 1, x: expected finite .* in row 2, column 2",
        ),
        ((X[5:10, :3], Y[5:10]), ShapeError, r"batch 1, x: expected \(rows, 4\); got shape \(5, 3\)"),
        ((X[5:10], Y[5:9]), ShapeError, "batch 1, y: expected 5 rows"),
        ((X[5:10], Y[5:10], -W[5:10]), ArgumentError, r"batch 1: expected 2 items, as before; got 3 items"),
        (X[5:10], ArgumentError, r"batch 1: expected 2 items, as before; got ndarray"),
    ):
        with pytest.raises(kind, match=message):
            values().fit([(X[:5], Y[:5]), bad])
    with pytest.raises(ShapeError, match="validation batch 0, x: expected"):
        values().fit(X, Y, validation=[(X[:, :2], Y)])


def test_what_are_no_batches_is_refused():
    net = values()
    before = net.fingerprint()
    for arguments, options, message in (
        ((X,), {}, r"y: expected targets, or batches of \(x, y\) for x; got ndarray alone"),
        (("x",), {}, "y: expected targets, .* got str alone"),
        (({"x": X},), {}, "y: expected targets, .* got dict alone"),
        ((iter(cut(X, Y)),), {}, "x: expected batches that can be iterated again; got list_iterator"),
        (([],), {}, "x: expected at least one batch in each pass"),
        (([X, Y],), {}, r"batch 0: expected \(x, y\) or \(x, y, weight\); got ndarray"),
        ((cut(X, Y),), {"validation": 0.25}, r"validation: expected \(x, y\) or batches beside batches; got 0.25"),
        ((cut(X, Y),), {"sample_weight": W}, r"sample_weight: expected batches of \(x, y, weight\)"),
    ):
        with pytest.raises((ArgumentError, DataError), match=message):
            net.fit(*arguments, **options)
    assert net.fingerprint() == before
    once = iter(cut(X, Y))
    with pytest.raises(ArgumentError, match="x: expected batches that can be iterated again; got list_iterator"):
        net.fit(lambda: once, epochs=2)
    with pytest.raises(ArgumentError, match=r'y: expected the classes of batches to be named .*classes=\("a", "b"\)'):
        NeuralNetwork(4, 3, output="softmax", loss="cross_entropy").fit(cut(X, np.array(list("abc"))[LABELS]))
    with pytest.raises(NotFittedError):
        NeuralNetwork().evaluate(cut(X, Y))


@pytest.mark.parametrize("widths", [(4, 3), ()])
def test_classes_that_are_named_beforehand(widths, backend, tmp_path):
    """In the order of the outputs, whichever the first batch lacks; the same training as of their places."""
    names, order = ("c", "a", "b"), np.argsort(LABELS, kind="stable")
    texts, x = np.array(names)[LABELS[order]], X[order]
    made = {"output": "softmax", "loss": "cross_entropy", "seed": 0, "backend": backend}
    net = NeuralNetwork(*widths, **made, classes=names)
    net.fit(cut(x, texts), epochs=2)
    by_place = NeuralNetwork(*(widths or (4, 100, 3)), **made)
    by_place.fit(cut(x, LABELS[order]), epochs=2)
    assert net.fingerprint() == by_place.fingerprint()
    assert (net.classes, net.to("numpy").classes) == (names, names)
    net.save(tmp_path / "m")
    loaded = NeuralNetwork.load(tmp_path / "m")
    assert loaded.classes == names
    assert loaded.predict_classes(x).tolist() == [names[i] for i in np.asarray(by_place.to("numpy").predict_classes(x))]
    assert net.evaluate(x, texts) == by_place.evaluate(x, LABELS[order])
    with pytest.raises(DataError, match="y: expected the classes c, a, b; got 'd'"):
        net.fit(cut(x, np.full(len(x), "d")))


def test_one_probability_of_two_named_classes():
    made = {"output": "sigmoid", "loss": "binary_cross_entropy", "seed": 0}
    net, by_place = NeuralNetwork(4, 1, **made, classes=(True, False)), NeuralNetwork(4, 1, **made)
    net.fit(cut(X, LABELS == 0), epochs=2)
    by_place.fit(cut(X, (LABELS != 0).astype(float)), epochs=2)
    assert net.fingerprint() == by_place.fingerprint()
    assert set(net.predict_classes(X).tolist()) <= {True, False}


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        ("abc", {}, "classes: expected at least two different labels; got 'abc'"),
        (("a",), {}, "classes: expected at least two different labels"),
        (("a", "b", "a"), {}, "classes: expected at least two different labels"),
        ((0, False, 1), {}, "classes: expected at least two different labels"),
        (3, {}, "classes: expected at least two different labels; got 3"),
        (("a", None, "c"), {}, "classes: expected texts, numbers or bools"),
        (("a", "b"), {}, "classes: expected one for each of 3 outputs; got 2"),
        (("a", "b", "c"), {"loss": "mse", "output": "identity"}, "classes: expected loss="),
        (("a", "b", "c"), {"loss": None, "output": "identity"}, "classes: expected loss="),
        (("a", "b", "c"), {"loss": "binary_cross_entropy", "output": "sigmoid"}, "classes: expected two for a loss"),
    ],
)
def test_what_cannot_be_classes_is_refused(classes, options, message):
    with pytest.raises(ArgumentError, match=message):
        NeuralNetwork(4, 3, **{"output": "softmax", "loss": "cross_entropy", **options}, classes=classes)


def test_rows_that_a_layer_needs():
    with pytest.raises(ShapeError, match="batches of at least 2 rows"):
        NeuralNetwork(4, 6, BatchNorm(), 2, seed=0).fit(cut(X[:6], Y[:6]))


def test_frames_in_batches():
    pd = pytest.importorskip("pandas")
    names = list("abcd")
    frames = [(pd.DataFrame(x, columns=names)[names[:: 1 - 2 * (i % 2)]], y) for i, (x, y) in enumerate(cut(X, Y))]
    one, other = values(), values()
    one.fit(X, Y, shuffle=False, batch_size=5)
    other.fit(frames)
    assert one.fingerprint() == other.fingerprint()
