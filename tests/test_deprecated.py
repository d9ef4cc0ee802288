"""Options, classes and files of an earlier release: the old names work, with a warning that gives the new one."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import portnn
from portnn import Adam, Dense, Embedding, Flatten, NeuralNetwork, Tabular, registry, schedules
from portnn.io.files import read_model, write_model
from portnn.testing import check_gradients
from portnn.types import Statistics

X = np.random.default_rng(0).integers(0, 5, (24, 2)).astype(np.int32)
Y = np.random.default_rng(1).random((24, 1))

RENAMED = {
    "Embedding entries": (lambda: Embedding(entries=5, units=3), Embedding(5, 3), {"entries": 5, "units": 3}),
    "Tabular entries": (lambda: Tabular(entries=(5,)), Tabular((5,)), {"entries": (5,), "units": (4,)}),
    "schedule rate": (lambda: schedules.Constant(rate=0.1), schedules.Constant(0.1), {"rate": 0.1}),
    "WarmUp then": (
        lambda: schedules.WarmUp(0.1, 4, then=schedules.Constant(0.5)),
        schedules.WarmUp(0.1, 4, schedules.Constant(0.5)),
        {"then": schedules.Constant(0.5)},
    ),
    "OneCycle warm": (lambda: schedules.OneCycle(0.1, 9, warm=0.2), schedules.OneCycle(0.1, 9, 0.2), {"warm": 0.2}),
}


@pytest.mark.parametrize("name", RENAMED)
def test_an_option_by_its_old_name(name):
    old, new, values = RENAMED[name]
    with pytest.warns(DeprecationWarning, match=r"\w+\(\w+=...\) is now called") as said:
        assert old() == new
    assert {warning.filename for warning in said} == {__file__}
    for option, value in values.items():
        with pytest.warns(DeprecationWarning, match=f"{option} is now called"):
            assert getattr(new, option) == value


def test_a_second_value_by_the_old_name_is_refused():
    with pytest.raises(TypeError, match=r"Constant\(\) got two values for learning_rate: one by its old name rate"):
        schedules.Constant(learning_rate=0.1, rate=0.2)
    with pytest.raises(TypeError, match="two values"):  # not ignored in silence
        replace(schedules.Constant(0.1), rate=0.2)


def test_other_old_names():
    with pytest.warns(DeprecationWarning, match=r"portnn\.schedules\.Steps is now called StepDecay"):
        assert schedules.Steps is schedules.StepDecay
    with pytest.warns(DeprecationWarning, match=r"rest is now called Statistics\.mean_low"):
        assert Statistics(1, 2, 3, 4).rest == 2
    net = NeuralNetwork(1, 2, "tanh", 1, seed=0)
    with pytest.warns(DeprecationWarning, match=r"check_gradients\(entries=...\) is now called elements") as said:
        check_gradients(net, Y, Y, entries=2)
    assert said[0].filename == __file__


def network():
    schedule = schedules.WarmUp(0.01, 4, schedules.StepDecay(0.01, 2))
    layers = 2, Embedding(5, 3), Flatten(), Dense(4), 1
    return NeuralNetwork(*layers, loss="mse", optimizer=Adam(schedule), seed=0, backend="numpy")


def with_old_names(path):
    """Rewrite a file as the earlier release wrote it."""
    old = {"num_embeddings": "entries", "embedding_dim": "units", "after": "then", "step_decay": "steps"}
    replaced = set()

    def renamed(value):
        if isinstance(value, list):
            return list(map(renamed, value))
        if not isinstance(value, dict):
            replaced.update({value} & {"step_decay"})
            return old.get(value, value)
        names = {**old, "learning_rate": "rate"} if "schedule" in value else old
        replaced.update(names.keys() & value.keys())
        return {names.get(key, key): renamed(item) for key, item in value.items()}

    arrays, description = read_model(path)
    write_model(path, arrays, renamed(description))
    assert replaced == {*old, "learning_rate"}


def test_files_by_old_names(tmp_path):
    """A model is read, and a training is continued, as if the file had the new names; nothing warns."""
    options = {"epochs": 4, "batch_size": 8, "checkpoint": tmp_path / "run"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = network().fit(X, Y, **{**options, "checkpoint": None})
        stopped = network()
        stop = portnn.callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
        stopped.fit(X, Y, **{**options, "checkpoint": None}, callbacks=[stop])
        stopped.save(tmp_path / "model")
        with_old_names(tmp_path / "model")
        assert NeuralNetwork.load(tmp_path / "model").fingerprint() == stopped.fingerprint()

        killed = []

        def kill(net, event):
            if event.epoch == 2 and not killed:
                killed.append(event)
                raise OSError("killed")

        with pytest.raises(OSError, match="killed"):
            network().fit(X, Y, **options, callbacks=[kill])
        with_old_names(tmp_path / "run")
        assert network().fit(X, Y, **options, callbacks=[kill]).loss == whole.loss


def test_configurations_of_other_things_keep_their_words():
    """What is no component keeps its keys."""
    record = {"columns": ["entries", "rate"], "names": {"units": 1}}
    assert registry.with_current_names(record) == record
