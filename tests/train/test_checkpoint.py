"""A fit that is broken off anywhere and called again ends as one that never was: every bit, and the history."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from portnn import AdamW, ArgumentError, Checkpoint, DivergenceError, Dropout, NeuralNetwork, SerializationError
from portnn.callbacks import Callback, CSVLogger, EarlyStopping, ReduceOnPlateau
from portnn.optim.schedules import Cosine

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 4))
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
STEPS = 5
"""Of an epoch."""


class Killed(BaseException):
    """Nothing is done about it, as about a SIGKILL."""


class KilledAt(Callback):
    """Breaks off at the given step, or, where that is the last of an epoch, before anybody is told of the epoch."""

    def __init__(self, step):
        self.last = step

    def on_train_batch_end(self, network, event):
        if event.step == self.last:
            raise Killed

    def __repr__(self):
        return "killed"


def net(**options):
    kinds = {"output": "softmax", "loss": "cross_entropy", "seed": 0, **options}
    optimizer = AdamW(Cosine(0.02, 20), average=0.9, clip_norm=1.0)
    return NeuralNetwork(4, 8, "relu", Dropout(0.3), 3, **{"optimizer": optimizer, **kinds})


def fit(network, path, last=None, callbacks=(), x=X, y=LABELS, stopping=True, **options):
    """Train, with early stopping; ``last``: the step after which it is killed."""
    asked = {"epochs": 4, "batch_size": 8, "validation": 0.2, "metrics": ["accuracy"], **options}
    # Its steps are counted by the checkpoint's own, so that it changes nothing but the end.
    told = [*([EarlyStopping(patience=2)] if stopping else []), *callbacks, KilledAt(last)]
    return network.fit(x, y, callbacks=told, checkpoint=path, **asked)


@pytest.mark.parametrize("steps", [None, 1, 3])
def test_wherever_it_is_broken_off_it_ends_the_same(steps, tmp_path):
    whole = net()
    history = fit(whole, Checkpoint(tmp_path / "whole", steps))
    # At each step where the file may be a step old or two; else at every third, so that each phase of an epoch comes.
    for last in range(1, 4 * STEPS + 1, 1 if steps == 3 else 3):
        path = tmp_path / f"{last}"
        with pytest.raises(Killed):
            fit(net(), Checkpoint(path, steps), last)
        again = net()
        found = fit(again, Checkpoint(path, steps))
        assert again.fingerprint() == whole.fingerprint()
        assert (found.loss, found.metrics) == (history.loss, history.metrics)
        assert again.history is found
        for name, array in again._runtime.arrays().items():  # the optimizer's too
            np.testing.assert_array_equal(array, whole._runtime.arrays()[name])
        assert again._runtime.counters == whole._runtime.counters


def test_it_goes_on_and_does_not_start_anew(tmp_path):
    """Of 20 steps the file knows 9, or the two epochs before them."""
    for steps, missing in ((None, 10), (3, 11)):
        path, taken = tmp_path / str(steps), []

        class Seen(Callback):
            def on_train_batch_end(self, network, event, taken=taken):
                taken.append(event.step)

        with pytest.raises(Killed):
            fit(net(), Checkpoint(path, steps), 2 * STEPS + 1 if steps is None else 10, [Seen()])
        del taken[:]
        fit(net(), Checkpoint(path, steps), callbacks=[Seen()])
        assert taken == list(range(21 - missing, 21))


def test_on_another_backend(other, tmp_path):
    """From NumPy to another one, and back: in reproducible arithmetic the same bits."""
    # JAX compiles each operation of it; in float64 a row or a mask elsewhere would still show ten thousandfold.
    exact = not other.startswith("jax")
    options = {"optimizer": "adam", **({"arithmetic": "reproducible"} if exact else {"dtype": "float64"})}
    whole = net(backend="numpy", **options)
    fit(whole, tmp_path / "whole", epochs=3)
    for first, second in (("numpy", other), (other, "numpy")):
        path = tmp_path / first
        with pytest.raises(Killed):
            fit(net(backend=first, **options), path, STEPS + 2, epochs=3)
        again = net(backend=second, **options)
        fit(again, path, epochs=3)
        assert again.backend.startswith(second.partition(":")[0])
        assert again.fingerprint() == whole.fingerprint() or not exact
        for name, array in again._runtime.arrays().items():
            np.testing.assert_allclose(array, whole._runtime.arrays()[name], rtol=1e-6, atol=1e-9)


class Pressed(Callback):
    """Ctrl-C after a step."""

    def __init__(self, at):
        self.at = at

    def on_train_batch_end(self, network, event):
        if event.step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_writes_the_place_where_it_stopped(tmp_path):
    """Also between checkpoints; a new network and that very one go on from there."""
    options = {"epochs": 4, "batch_size": 8, "validation": 0.2, "checkpoint": tmp_path / "run.safetensors"}
    one, two, whole = net(), net(), net()
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, LABELS, callbacks=[Pressed(8)], **options)
    assert one.step_count == 8
    assert len(one.history.loss) == 1
    assert NeuralNetwork.load(options["checkpoint"]).fingerprint() == one.fingerprint()
    with pytest.raises(KeyboardInterrupt):
        two.fit(X, LABELS, callbacks=[Pressed(12)], **options)
    assert two.step_count == 12
    history = two.fit(X, LABELS, callbacks=[Pressed(None)], **options)
    assert history.loss == whole.fit(X, LABELS, **{**options, "checkpoint": None}).loss
    assert two.fingerprint() == whole.fingerprint()


def test_what_callbacks_remember_goes_on(tmp_path):
    """A learning rate that fell, and how long has been waited, are those of the training broken off."""

    def train(path, last=None):
        one = net(optimizer="adam", learning_rate=0.5)
        reduce = ReduceOnPlateau(factor=0.5, patience=1)
        one.fit(X, LABELS, epochs=6, batch_size=8, callbacks=[reduce, KilledAt(last)], checkpoint=path)
        return one, reduce

    whole, reduced = train(tmp_path / "whole")
    assert whole.learning_rate < 0.5
    with pytest.raises(Killed):
        train(tmp_path / "run", 32)
    again, reduce = train(tmp_path / "run")
    assert again.learning_rate == whole.learning_rate
    assert reduce.state == reduced.state
    assert again.fingerprint() == whole.fingerprint()


def test_a_finished_one_returns_at_once(tmp_path):
    path, first = tmp_path / "run.safetensors", net()
    history = fit(first, path)
    written = path.read_bytes()
    again = net()
    found = fit(again, path, last=1)  # no step is taken
    assert (found.loss, again.fingerprint()) == (history.loss, first.fingerprint())
    with pytest.raises(ArgumentError, match="holds this training, finished; name another file to train further"):
        fit(first, path)
    assert path.read_bytes() == written
    done = first.epoch_count
    fit(first, tmp_path / "more", stopping=False)
    assert first.epoch_count == done + 4


OTHER = X.copy()
OTHER[7, 2] += 1e-6


@pytest.mark.parametrize(
    ("network", "options", "difference"),
    [
        ({"seed": 1}, {}, "seed 0, here 1"),
        ({"optimizer": "adam"}, {}, "optimizer .*AdamW|optimizer .*adamw"),
        ({"dtype": "float64"}, {}, "dtype 'float32', here 'float64'"),
        ({"loss": "mse"}, {}, "loss 'cross_entropy', here 'mse'"),
        ({}, {"epochs": 5}, "epochs 4, here 5"),
        ({}, {"batch_size": 10}, "batch_size 8, here 10"),
        ({}, {"shuffle": False}, "shuffle True, here False"),
        ({}, {"metrics": []}, "metrics"),
        ({}, {"validation": None}, "other data"),
        ({}, {"x": OTHER}, "other data|other validation data"),
        ({}, {"sample_weight": np.linspace(1, 2, 50)}, "other data"),
        ({}, {"callbacks": [CSVLogger("log.csv")]}, "callbacks"),
    ],
)
def test_another_fit_is_refused_and_changes_nothing(network, options, difference, tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        fit(net(), path, 7, stopping=False)
    written, one = path.read_bytes(), net(**network)
    before = one.fingerprint()
    if network.get("loss") == "mse":
        options = {**options, "y": np.eye(3)[LABELS]}
    with pytest.raises(ArgumentError, match=f"checkpoint: expected one of this .* of one with .*({difference})"):
        fit(one, path, stopping=False, **options)
    assert path.read_bytes() == written
    assert one.fingerprint() == before
    assert one.step_count == 0


def test_other_weights_and_files_are_refused(tmp_path):
    path, one = tmp_path / "run.safetensors", net()
    with pytest.raises(Killed):
        fit(net(), path, 7)
    one.set_parameters({"b1": np.ones(8)})
    with pytest.raises(ArgumentError, match="is of one with other initial weights"):
        fit(one, path)
    one.save(tmp_path / "model")
    with pytest.raises(ArgumentError, match="is a model: name another file"):
        fit(one, tmp_path / "model")
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(SerializationError, match="notes"):
        fit(one, tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
    with pytest.raises(OSError, match="nowhere"):
        fit(one, tmp_path / "nowhere" / "run")
    with pytest.raises(ArgumentError, match="steps: expected a positive int"):
        Checkpoint(path, 0)


def test_a_divergence_leaves_the_file_before_it(tmp_path):
    path, one = tmp_path / "run", net(optimizer="sgd", learning_rate=0.1)

    def blow(network, event):
        network.learning_rate = 1e30 if event.epoch == 2 else network.learning_rate

    with pytest.raises(DivergenceError, match=r"at the start of the epoch \(step 14\)"):
        one.fit(X, LABELS, epochs=5, batch_size=8, callbacks=[blow], checkpoint=Checkpoint(path, 2))
    kept = NeuralNetwork.load(path)
    assert kept.step_count == 14
    assert kept.fingerprint() == one.fingerprint()


SCRIPT = """
import os, signal, sys
sys.path[:0] = [{tests!r}, {tests!r} + "/train"]
import test_checkpoint as t
path, at, writes = sys.argv[1], int(sys.argv[2]), 0
replace = os.replace
def killing(*names):
    global writes
    writes += 1
    if writes == at:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
    if writes == -at:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = killing
one = t.net()
t.fit(one, t.Checkpoint(path, 2))
print(one.fingerprint())
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("at", [3, -3])
def test_a_process_killed_as_it_writes(at, tmp_path):
    """Before and after the new file takes the old one's place. tests/killed.py kills at random instants."""
    whole, path = net(), tmp_path / "run.safetensors"
    fit(whole, tmp_path / "whole")
    command = [sys.executable, "-c", SCRIPT.format(tests=str(ROOT / "tests")), path]
    killed = subprocess.run([*command, str(at)], cwd=ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert NeuralNetwork.load(path).step_count == (4 if at > 0 else 6)
    done = subprocess.run([*command, "0"], cwd=ROOT, timeout=60, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == whole.fingerprint()


def test_the_seconds_of_a_fit_go_on_where_it_was_broken_off(tmp_path):
    x, y = np.random.default_rng(0).random((20, 3)), np.random.default_rng(1).random((20, 1))
    breaks = True

    def long(network, event):
        if breaks and event.epoch == 1:
            event.history.seconds = 1e6
        if breaks and event.epoch == 2:
            raise KeyboardInterrupt

    def fit():
        return NeuralNetwork(3, 1, seed=0).fit(x, y, epochs=3, callbacks=[long], checkpoint=tmp_path / "run")

    with pytest.raises(KeyboardInterrupt):
        fit()
    breaks = False
    assert fit().seconds > 1e6
