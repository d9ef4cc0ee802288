"""The loop's hook: what it is told, what it may do, and how it ends the training."""

import numpy as np
import pytest

from portnn import SGD, ArgumentError, DivergenceError, NeuralNetwork, schedules
from portnn.backend import host_array
from portnn.callbacks import Callback, ReduceOnPlateau

RNG = np.random.default_rng(0)
X = RNG.random((20, 3))
Y = X.sum(axis=1, keepdims=True)


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

    def step(self, network, event):
        self.seen.append((event.step, float(host_array(event.loss)), dict(event.metrics)))
        return event.step == self.last


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


def test_reduce_on_plateau():
    """Of losses 5, 4, 4, 4, 3, 3, 3, 3: after two that have not fallen, and after two more."""
    losses = [5.0, 4.0, 4.0, 3.9999999, 3.0, 3.0, 3.0, 3.0, 3.0]
    one, rates = net(optimizer=SGD(1.0)), []
    reduce = ReduceOnPlateau(factor=0.5, patience=2, minimum=0.2)
    from portnn.training import Event, History

    for loss in losses:
        reduce.epoch(one, Event(1, 1, loss, {}, History()))
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
    for bad in ({"factor": 1.0}, {"patience": 0}, {"least": -1}):
        with pytest.raises(ArgumentError, match="expected"):
            ReduceOnPlateau(**bad)
