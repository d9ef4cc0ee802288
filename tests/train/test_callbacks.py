"""The loop's hook: what it is told, what it may do, and how it ends the training."""

import csv
import signal
from dataclasses import dataclass

import numpy as np
import pytest

from portnn import SGD, ArgumentError, BackendUnavailableError, BatchNorm, DivergenceError, NeuralNetwork, schedules
from portnn.backend import host_array
from portnn.callbacks import Callback, CSVLogger, EarlyStopping, ReduceOnPlateau
from portnn.metrics import METRICS
from portnn.train import history as history_module
from portnn.train.fit_state import FitState
from portnn.train.history import Event, History

RNG = np.random.default_rng(0)
X = RNG.random((20, 3))
Y = X.sum(axis=1, keepdims=True)

MEASURED = {name: metric() for name, metric in METRICS.items()}


def net(**options):
    return NeuralNetwork(3, 4, 1, seed=0, **options)


def test_a_function_is_told_of_each_epoch(backend):
    """The losses and metrics of the history, counted on over two fits; the network is the one that trains."""
    one, told = net(backend=backend), []

    def see(network, event):
        assert network is one
        told.append((event.epoch, event.step, event.loss, dict(event.metrics), network.fingerprint()))
        assert event.history.loss[-1] == event.loss

    first = one.fit(X, Y, epochs=2, batch_size=8, validation=(X, Y), metrics=["mae"], callbacks=[see])
    second = one.fit(X, Y, epochs=1, batch_size=8, callbacks=[see])
    assert [(epoch, step) for epoch, step, *_ in told] == [(1, 3), (2, 6), (3, 9)]
    assert [loss for _, _, loss, *_ in told] == first.loss + second.loss
    assert [m["validation_mae"] for *_, m, _ in told[:2]] == first.metrics["validation_mae"]
    assert told[0][-1] != told[1][-1] != told[2][-1] == one.fingerprint()
    other = net(backend=backend)
    other.fit(X, Y, epochs=2, batch_size=8), other.fit(X, Y, epochs=1, batch_size=8)
    assert other.fingerprint() == one.fingerprint()


def test_what_returns_true_ends_the_training_and_all_are_told():
    one, told = net(), []
    callbacks = [lambda network, event: event.epoch == 3, lambda network, event: told.append(event.epoch)]
    history = one.fit(X, Y, epochs=10, callbacks=callbacks)
    assert told == [1, 2, 3]
    assert (len(history.loss), one.epoch_count) == (3, 3)


class Steps(Callback):
    def __init__(self, last=None):
        self.seen, self.last = [], last

    def on_train_batch_end(self, network, event):
        self.seen.append((event.step, float(host_array(event.loss)), dict(event.metrics)))
        return event.step == self.last


def test_methods_by_their_old_names():
    """Of a subclass, and of an object that is none: they are called, and the new names are said."""
    seen = []

    def method(name):
        return lambda self, network, *rest: seen.append(name)

    members = {name: method(name) for name in ("begin", "epoch", "step", "end", "interrupted")}
    with pytest.warns(DeprecationWarning, match=r"Before\.\w+ is now called on_"):
        before = type("Before", (Callback,), members)
    net().fit(X, Y, callbacks=[before()], batch_size=10)
    assert seen == ["begin", "step", "step", "epoch", "end"]
    with pytest.warns(DeprecationWarning, match="EarlyStopping.interrupted is now called on_interrupt"):
        assert EarlyStopping().interrupted is not None

    with pytest.warns(DeprecationWarning, match="is now called on_train_begin") as said:

        class Counting(EarlyStopping):
            def begin(self, network, run):
                super().begin(network, run)
                seen.append(self.run is run)

    assert [warning.filename for warning in said] == [__file__]
    seen.clear()
    with pytest.raises(ArgumentError, match="monitor: expected one of loss"):
        net().fit(X, Y, callbacks=[Counting("nothing")])
    net().fit(X, Y, callbacks=[Counting("loss")])
    assert seen == [True]
    seen.clear()
    duck = type("Duck", (), {name: members[name] for name in ("epoch", "step")})
    with pytest.warns(DeprecationWarning, match=r"Duck\.(step|epoch) is now called on_"):
        net().fit(X, Y, callbacks=[duck()], batch_size=10)
    assert seen == ["step", "step", "epoch"]


def test_options_may_bear_the_old_names_of_methods():
    class Until(Callback):
        def __init__(self, epoch, step):
            self.epoch, self.step = epoch, step

        def on_epoch_end(self, network, event):
            return event.epoch == self.epoch

    @dataclass
    class Last(Callback):
        end: int = 3

        def on_epoch_end(self, network, event):
            return event.epoch == self.end

    assert len(net().fit(X, Y, epochs=9, callbacks=[Until(epoch=2, step=7)]).loss) == 2
    assert len(net().fit(X, Y, epochs=9, callbacks=[Last(end=4)]).loss) == 4


def test_steps_are_told_to_who_asks(backend):
    one, steps = net(backend=backend), Steps()
    history = one.fit(X, Y, epochs=2, batch_size=8, callbacks=[steps])
    assert [step for step, *_ in steps.seen] == [1, 2, 3, 4, 5, 6]
    means = [np.average([loss for _, loss, _ in steps.seen[i : i + 3]], weights=[8, 8, 4]) for i in (0, 3)]
    np.testing.assert_allclose(means, history.loss, rtol=1e-6)
    assert all(metrics == {} for *_, metrics in steps.seen)


def test_a_step_may_end_it():
    """In the middle of an epoch: its steps are kept, it is not counted."""
    one, other = net(), net()
    history = one.fit(X, Y, epochs=5, batch_size=8, callbacks=[Steps(last=4)])
    assert (one.step_count, one.epoch_count, len(history.loss)) == (4, 1, 1)
    other.fit(X, Y, epochs=1, batch_size=8)
    assert other.fingerprint() != one.fingerprint()


def test_a_divergence_is_no_success_because_a_step_ended_it():
    one = net(optimizer=SGD(1e30))
    with pytest.raises(DivergenceError):
        one.fit(X, Y, epochs=5, batch_size=8, callbacks=[Steps(last=3)])
    assert one.step_count == 0


def test_the_network_may_be_changed(backend):
    """The learning rate and the weights that a callback sets are those of the next step."""
    one = net(backend=backend, optimizer=SGD(0.1))

    def change(network, event):
        network.learning_rate = 0.0
        network.set_parameters({"W1": np.ones((3, 4))})

    one.fit(X, Y, epochs=3, callbacks=[change])
    assert one.learning_rate == 0.0
    np.testing.assert_array_equal(host_array(one.parameters["W1"]), np.ones((3, 4)))


def test_an_error_in_a_callback_leaves_a_whole_network():
    one = net()

    def fail(network, event):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        one.fit(X, Y, epochs=3, callbacks=[fail])
    assert one.epoch_count == 1
    one.fit(X, Y)


def scripted(callback, values, name="loss"):
    """Tell a callback of epochs with these values; return what it answers, and the network, whose b2 is the epoch."""
    one, said = net(optimizer=SGD(1.0)), []
    callback.run = FitState(one._runtime, None, None, len(values), None, True, MEASURED)
    for epoch, value in enumerate(values):
        one.set_parameters({"b2": [float(epoch)]})
        loss, metrics = (value, {}) if name == "loss" else (0.0, {name: value})
        said.append(bool(callback.on_epoch_end(one, Event(epoch + 1, 1, loss, metrics, History()))))
    return said, one


@pytest.mark.parametrize(
    ("name", "values", "options", "end", "best"),
    [
        ("loss", [5, 4, 4.5, 4, 3, 3, 3, 3], {"patience": 3}, 7, 4),
        ("loss", [5, 4, 3.95, 3.9, 3.5], {"patience": 2, "min_delta": 0.2}, 3, 4),
        ("loss", [2, 4, 3, 2.5], {"patience": 3}, 3, 0),
        ("validation_accuracy", [0.1, 0.5, 0.4, 0.5], {"patience": 2}, 3, 1),
        ("validation_mae", [0.5, 0.1, 0.4, 0.2], {"patience": 2}, 3, 1),
        ("validation_mae", [0.1, 0.2, 0.15, 0.15], {"patience": 2, "mode": "max"}, 3, 1),
        ("loss", [float("nan"), 2, 3, 1], {"patience": 2}, None, 3),
        ("loss", [3, 2, 1], {"patience": 1}, None, 2),
    ],
)
def test_early_stopping(name, values, options, end, best):
    """It ends after so many epochs without a better one, and puts the best one's weights back, in any case."""
    stopping = EarlyStopping(name, **options)
    said, one = scripted(stopping, values, name)
    assert [epoch for epoch, over in enumerate(said) if over][:1] == ([] if end is None else [end])
    stopping.on_train_end(one)
    assert float(one.parameters["b2"][0]) == best
    stopping = EarlyStopping(name, restore_best=False, **options)
    _, one = scripted(stopping, values, name)
    stopping.on_train_end(one)
    assert float(one.parameters["b2"][0]) == len(values) - 1


def test_the_best_epoch_of_a_training_is_put_back(backend):
    """Parameters and buffers: what it is measured at is the best value of the history."""
    rng = np.random.default_rng(1)
    x, y = rng.random((30, 3)), rng.random((30, 1))  # nothing to learn: the validation loss soon rises
    one = NeuralNetwork(3, 16, BatchNorm(), "tanh", 1, optimizer=SGD(0.3), seed=0, backend=backend, dtype="float64")
    history = one.fit(x[:20], y[:20], epochs=30, validation=(x[20:], y[20:]), callbacks=[EarlyStopping(patience=4)])
    losses = history.metrics["validation_loss"]
    assert len(losses) == int(np.argmin(losses)) + 5 < 30
    found = one.evaluate(x[20:], y[20:])["loss"]
    np.testing.assert_allclose(found, min(losses), rtol=1e-12)
    assert one.epoch_count == len(losses)


def test_a_callback_of_two_trainings_begins_anew():
    """What it waited for, and the weights that it kept, are those of one training."""
    both, one, other = EarlyStopping("loss", patience=2), net(optimizer=SGD(0.1)), net(optimizer=SGD(0.1))
    for network, stopping in ((one, [both, both]), (other, [EarlyStopping("loss", patience=2) for _ in range(2)])):
        network.fit(X, Y, epochs=3, callbacks=stopping[:1])
        network.set_parameters({name: value + 1.0 for name, value in network.parameters.items()})
        network.fit(X, Y, epochs=3, callbacks=stopping[1:])
    assert one.history.loss == other.history.loss
    assert one.fingerprint() == other.fingerprint()


def test_numpys_true_ends_it_too():
    history = net().fit(X, Y, epochs=9, callbacks=[lambda network, event: np.float64(event.epoch) > 1])
    assert len(history.loss) == 2


def test_csv_logger(tmp_path):
    path, one = tmp_path / "log.csv", net()
    options = {"epochs": 3, "validation": (X, Y), "metrics": ["mae"], "callbacks": [CSVLogger(path)]}
    history = one.fit(X, Y, **options)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["loss"]) for row in rows] == history.loss
    assert [float(row["validation_mae"]) for row in rows] == history.metrics["validation_mae"]
    written = path.read_text()
    again = net()
    again.fit(X, Y, **options)  # the same training once more
    assert path.read_text() == written
    with pytest.raises(ArgumentError, match=r"log\.csv holds something else: remove it, or name another file"):
        one.fit(X, Y, **options)
    assert path.read_text() == written
    path.unlink()
    one.fit(X, Y, **options)
    assert path.read_text().splitlines()[1].startswith("5,")


def test_ctrl_c_puts_the_best_epoch_back_after_the_checkpoint_was_written(interruptible, tmp_path):
    """What early stopping promises holds for a training that is broken off; the checkpoint goes on where it was."""
    epochs, seen = 8, []

    class Note(Callback):
        def on_epoch_end(self, network, event):
            seen.append((event.metrics["validation_loss"], network.fingerprint()))

        def on_train_batch_end(self, network, event):
            if event.step == stop:
                signal.raise_signal(signal.SIGINT)

    def fit(network, path):
        early = EarlyStopping(patience=20)
        rate = {"optimizer": SGD(0.9)}
        made = network(**rate)
        try:
            made.fit(
                X, Y, epochs=epochs, batch_size=8, validation=(X[:5], Y[:5]), callbacks=[early, Note()], checkpoint=path
            )
        except KeyboardInterrupt:
            return made, True
        return made, False

    stop = 23
    broken, interrupted = fit(net, tmp_path / "run")
    assert interrupted
    best = min(seen)[1]
    assert broken.fingerprint() == best != seen[-1][1]
    stop = 10**9
    resumed, _ = fit(net, tmp_path / "run")
    whole, _ = fit(net, tmp_path / "whole")
    assert resumed.fingerprint() == whole.fingerprint()


def test_the_history_is_on_the_network_and_in_arrays(interruptible):
    one = net()
    assert one.history.loss == []
    history = one.fit(X, Y, epochs=2, metrics=["mae"])
    assert one.history is history
    arrays = {"epoch": [1, 2], "loss": history.loss, "mae": history.metrics["mae"]}
    assert {name: values.tolist() for name, values in history.arrays().items()} == arrays
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, Y, epochs=5, callbacks=[lambda network, event: event.epoch == 5 and signal.raise_signal(2)])
    assert len(one.history.loss) == 3
    other = one.to()
    one.fit(X, Y)
    assert (len(one.history.loss), len(other.history.loss)) == (1, 3)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", None])
def test_the_history_as_a_data_frame(library, monkeypatch):
    history = History([3.0, 2.0], {"mae": [1.0, 0.5]})
    if library is None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(BackendUnavailableError, match="expected pandas, polars or pyarrow; none is installed"):
            history.frame()
        return
    module = pytest.importorskip(library)
    monkeypatch.setattr("portnn.train.history._FRAMES", {library: history_module._FRAMES[library]})
    frame = history.frame()
    assert type(frame).__module__.split(".")[0] == module.__name__
    assert np.asarray(frame["mae"]).tolist() == [1.0, 0.5]
    assert np.asarray(frame["epoch"]).tolist() == [1, 2]


def test_a_line_an_epoch(capsys):
    one = net()
    history = one.fit(X, Y, epochs=2, metrics=["mae"], progress="log")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"epoch 1 of 2: loss {history.loss[0]:.4g}, mae {history.metrics['mae'][0]:.4g}, ")
    assert second.startswith("epoch 2 of 2: ")
    with pytest.raises(ArgumentError, match="progress: expected None, True, False or \"log\"; got 'bar'"):
        one.fit(X, Y, progress="bar")


def test_reduce_on_plateau():
    """Of losses 5, 4, 4, 4, 3, 3, 3, 3: after two that have not fallen, and after two more."""
    losses = [5.0, 4.0, 4.0, 3.9999999, 3.0, 3.0, 3.0, 3.0, 3.0]
    one, rates = net(optimizer=SGD(1.0)), []
    reduce = ReduceOnPlateau(factor=0.5, patience=2, min_lr=0.2)
    reduce.run = FitState(one._runtime, None, None, len(losses), None, True, {})
    for loss in losses:
        reduce.on_epoch_end(one, Event(1, 1, loss, {}, History()))
        rates.append(one.learning_rate)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2]


def test_what_cannot_be_used_is_refused():
    one = net()
    start = one.fingerprint()
    with pytest.raises(ArgumentError, match="callbacks: expected functions"):
        one.fit(X, Y, callbacks=["early"])
    assert one.fingerprint() == start
    with pytest.raises(ArgumentError, match="monitor: expected one of loss; got 'validation_loss'"):
        one.fit(X, Y, callbacks=[ReduceOnPlateau("validation_loss")])
    one.learning_rate = schedules.Cosine(0.1, 10)
    with pytest.raises(ArgumentError, match="learning_rate: expected a number to reduce"):
        one.fit(X, Y, callbacks=[ReduceOnPlateau()])
    for bad in ({"factor": 1.0}, {"patience": 0}, {"min_delta": -1}):
        with pytest.raises(ArgumentError, match="expected"):
            ReduceOnPlateau(**bad)
