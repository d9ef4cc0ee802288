"""What a range test of the learning rate sees."""

import numpy as np
import pytest

from portnn import (
    SGD,
    ArgumentError,
    DataError,
    DivergenceError,
    NeuralNetwork,
    Standardize,
    find_learning_rate,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5))
Y = X @ RNG.standard_normal((5, 2))


def test_losses_are_those_after_a_step_at_each_rate(backend):
    """A loop by hand on the full batch has the same losses; the network is as it was."""
    net = NeuralNetwork(5, 4, 2, seed=0, optimizer="sgd", backend=backend)
    before = net.fingerprint(), net.learning_rate, net.step_count
    found = find_learning_rate(net, X, Y, low=1e-4, high=1.0, steps=12, batch_size=None)
    assert (net.fingerprint(), net.learning_rate, net.step_count) == before
    assert np.allclose(found.rates, np.geomspace(1e-4, 1.0, 12))
    by_hand, losses = net.to(), []
    for rate in found.rates:
        by_hand.learning_rate = float(rate)
        by_hand.step(X, Y)
        losses.append(by_hand.evaluate(X, Y)["loss"])
    assert found.losses == pytest.approx(losses, rel=1e-5)


def test_the_suggestion_lies_below_where_gradient_descent_diverges():
    """On least squares that is at 2 / the largest eigenvalue of the loss's curvature."""
    net = NeuralNetwork(5, 2, seed=0, optimizer=SGD())
    columns = np.c_[X, np.ones(len(X))]
    limit = 2 / np.linalg.eigvalsh(2 * columns.T @ columns / len(X) / 2).max()
    found = find_learning_rate(net, X, Y, low=limit / 1e5, high=limit * 1e5, steps=100, batch_size=None)
    assert limit / 30 < found.suggestion < limit
    assert len(found.losses) < 100  # ended early
    assert np.all(np.isfinite(found.losses))
    assert found.rates[-1] > limit
    smooth = found.smoothed
    assert smooth[0] == found.losses[0]
    assert smooth[1] == pytest.approx((0.9 * found.losses[0] + found.losses[1]) / 1.9)


def test_batches_and_schedules_and_inferred_widths(digits):
    x, y = digits
    net = NeuralNetwork(Standardize(), 32, 10, output="softmax", loss="cross_entropy", seed=0)
    found = find_learning_rate(net, x, y)
    net.learning_rate = found.suggestion
    net.fit(x[300:], y[300:], epochs=3)
    assert net.evaluate(x[:300], y[:300], metrics=["accuracy"])["accuracy"] > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_what_scatters_is_no_fall(digits, seed):
    net = NeuralNetwork(Standardize(), 8, 10, output="softmax", loss="cross_entropy", seed=seed)
    with pytest.raises(ArgumentError, match="falls nowhere from 1e-09 to 1e-06 by more than it scatters"):
        _ = find_learning_rate(net, *digits, low=1e-9, high=1e-6).suggestion


def test_what_teaches_no_rate_is_refused():
    net = NeuralNetwork(5, 2, seed=0, optimizer="sgd")
    with pytest.raises(ArgumentError, match="low, high: the loss falls nowhere from 100 to"):
        _ = find_learning_rate(net, X, Y, low=100.0, high=1e4, steps=10).suggestion
    for options, message in (
        ({"low": 0.0}, "low: expected a number above 0; got 0.0"),
        ({"low": 2.0, "high": 1.0}, r"high: expected a number in \[2.0, inf\); got 1.0"),
        ({"steps": 3}, "steps: expected an int of at least 10; got 3"),
    ):
        with pytest.raises(ArgumentError, match=message):
            find_learning_rate(net, X, Y, **options)
    with pytest.raises(DataError, match="NaN"):
        find_learning_rate(net, np.where(X > 2, np.nan, X), Y)
    with pytest.raises(DivergenceError):
        find_learning_rate(net, 1e30 * X, Y)
