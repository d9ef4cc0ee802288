"""A fused function is compiled at the first sight of a signature, or never; it overwrites its state alone."""

import logging
from dataclasses import dataclass
from threading import Thread

import fused
import gxx
import numpy as np
import pytest

from portnn import BatchNorm, Dense, Dropout, Layer, NeuralNetwork, Shapes, get_backend
from portnn.jit.cuda import function as module
from portnn.jit.cuda.function import FusedFunction
from portnn.jit.cuda.rows import Rows
from portnn.jit.graph import leaves

pytestmark = pytest.mark.skipif(not gxx.available, reason="g++ is not installed")
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 4)).astype(np.float32), RNG.standard_normal((40, 3)).astype(np.float32)


def network(*layers, **options):
    layers = layers or (8, Dense(6, bias=False), BatchNorm(), "relu", Dropout(0.3))
    net = NeuralNetwork(4, *layers, 3, loss="mse", optimizer="adam", seed=0, backend="numpy", **options)
    net.step(X, Y)
    return net


class Steps:
    """Training steps of a network, fused on a driver."""

    def __init__(self, net, driver=None):
        self.net, self.driver = net, gxx.Gxx() if driver is None else driver
        self.function, self.before = fused.fused(net, self.driver)
        self.state, self.done = net._runtime.state, 0

    def __call__(self, rows=slice(0, 7), weight=None, x=X, batch=None):
        self.done += 1
        weight = 1.0 / len(X[rows]) if weight is None else weight
        numbers = self.net._runtime.chain.hyperparams(self.done + 1)
        batch = (x[rows], Y[rows], weight) if batch is None else batch
        with np.errstate(all="ignore"):
            self.state, loss = self.function(*self.before, self.state, batch, (self.done, -5), numbers)
        return loss

    def bytes(self):
        return [array.tobytes() for array in leaves(self.state)]


def test_the_state_is_overwritten_and_nothing_else():
    net = network()
    steps, given = Steps(net), [array.copy() for array in leaves(net._runtime.state)]
    losses = [steps() for _ in range(3)]
    state = steps.state
    assert [a.tobytes() for a in leaves(net._runtime.state)] == [a.tobytes() for a in given]
    for _ in range(2):
        losses.append(steps())
        assert steps.state is state
    # Once the state came; at each step the buffers of BatchNorm, which an earlier kernel reads.
    assert steps.driver.copies == len(given) + 5
    assert len({id(loss) for loss in losses}) == len({float(loss) for loss in losses}) == 5


def test_a_state_from_elsewhere_is_taken():
    net = network()
    one, other = Steps(net), Steps(net)
    for _ in range(3):
        one()
    one.state, one.done = net._runtime.state, 0
    one()
    other()
    assert one.bytes() == other.bytes()


def test_each_signature_has_a_program_on_one_state():
    """Programs share memory; a larger one takes new memory, and all go there."""
    one, other = Steps(network()), Steps(network())
    sizes = [slice(0, 7), slice(7, 11), slice(0, 40), slice(0, 7), slice(7, 11)]
    for rows in sizes:
        one(rows)
    assert len(one.function.programs) == 3
    other.function, _ = fused.fused(other.net, other.driver)
    for rows in sizes:  # a function of its own for each step
        other.function, _ = fused.fused(other.net, other.driver)
        other(rows)
    assert one.bytes() == other.bytes()


def test_numbers_are_those_of_the_step():
    """The learning rate, the key of dropout and the weight; a product with 1.0 is left out by who sees it first."""
    steps, references = Steps(network()), []
    for weight in (1.0, 0.25, 0.5, 1.0, 0.25):
        alone = Steps(steps.net)
        alone.state, alone.done = steps.state._replace(), steps.done
        alone.state = type(steps.state)(
            *(a.copy() if hasattr(a, "copy") else tuple(b.copy() for b in a) for a in steps.state)
        )
        assert float(alone(weight=weight)) == float(steps(weight=weight))
        references.append(alone.bytes() == steps.bytes())
    assert references == [True] * 5
    assert len(steps.function.programs) == 2


def test_arrays_in_another_order_give_the_same_bits():
    wide = np.asfortranarray(np.repeat(X, 2, axis=1))
    one, other = Steps(network()), Steps(network())
    for _ in range(3):
        one()
        other(x=wide[:, ::2])
    assert one.bytes() == other.bytes()
    assert len(other.function.programs) == 1


def test_rows_are_read_where_they_are():
    """Batches of an order, the last one short, and one that comes as a copy."""
    order = np.random.default_rng(1).permutation(len(X))
    one, other = Steps(network()), Steps(network())
    for start, stop in ((0, 16), (16, 32), (32, 40), (8, 24)):
        chosen, weight = order[start:stop], 1.0 / (stop - start)
        one(batch=(Rows(X, order, start, stop), Rows(Y, order, start, stop), weight))
        other(batch=(X[chosen], Y[chosen], weight))
    assert one.bytes() == other.bytes()
    assert len(one.function.programs) == len(other.function.programs) == 2
    chosen = order[3:11]
    one(batch=(X[chosen], Rows(Y, order, 3, 11), 0.125))
    other(batch=(X[chosen], Y[chosen], 0.125))
    assert one.bytes() == other.bytes()


def test_rows_of_vectors_and_of_matrices():
    order = np.arange(40)[::-1].copy()

    def step(xp, s, labels, images):
        return (s + xp.sum(images, axis=(1, 2)),), xp.sum(xp.astype(labels, xp.float64) * s)

    xp, driver = get_backend("numpy").xp, gxx.Gxx()
    function = FusedFunction(driver, xp, xp, lambda xp, state, *data: step(xp, *state, *data), None, 1)
    s, labels, images = np.arange(5.0), np.arange(40, dtype=np.int32), np.arange(40 * 6.0).reshape(40, 2, 3)
    (new,), total = function(xp, (s.copy(),), Rows(labels, order, 4, 9), Rows(images, order, 4, 9))
    np.testing.assert_array_equal(new, s + images[order[4:9]].sum(axis=(1, 2)))
    assert float(total) == labels[order[4:9]] @ s


def test_a_function_without_a_new_state_is_compiled_for_powers_of_two():
    calls = []

    def scaled(xp, state, x):
        calls.append(type(x))
        return xp.matmul(x, state[0]), xp.sum(x)

    xp = get_backend("numpy").xp
    function = FusedFunction(gxx.Gxx(), xp, xp, scaled, scaled, 1, in_place=False)
    weights, x = (np.full((4, 3), 2.0, np.float32),), np.ones((40, 4), np.float32)
    other = (np.full((4, 3), 5.0, np.float32),)
    results = []
    for rows, state in ((8, weights), (8, weights), (7, weights), (8, other), (0, weights), (16, weights), (8, other)):
        y, total = function(xp, state, x[:rows])
        np.testing.assert_array_equal(y, x[:rows] @ state[0])
        assert float(total) == 4.0 * rows
        results.append((y, y.copy()))
    assert [kind is np.ndarray for kind in calls] == [False, True, True, False]  # traced, 7 rows, none, traced
    assert weights[0].tolist() == [[2.0] * 3] * 4
    for y, before in results:  # in memory of their own
        np.testing.assert_array_equal(y, before)


def test_a_state_that_cannot_be_bound_is_not_taken_for_bound():
    xp, driver = get_backend("numpy").xp, gxx.Gxx()

    def shifted(xp, state, x):
        return x * state[0] + xp.asarray(np.arange(4.0))

    def refuse(value):
        raise MemoryError

    function = FusedFunction(driver, xp, xp, shifted, None, 1, in_place=False)
    x, upload = np.ones((2, 4)), driver.upload
    states = [(np.full(4, value),) for value in (1.0, 2.0, 3.0, 4.0)]
    for refused, taken in ((0, 1), (2, 2), (3, 0)):  # the first one is the first of all
        driver.upload = refuse
        with pytest.raises(MemoryError):
            function(xp, states[refused], x)
        driver.upload = upload
        result = function(xp, states[taken], x)
        np.testing.assert_array_equal(result, states[taken][0] + np.tile(np.arange(4.0), (2, 1)))


@dataclass(frozen=True)
class Looks(Layer):
    """y = x, after a look at a value."""

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, context):
        if context.training and bool(xp.sum(x) > 1e9):
            raise AssertionError("large")
        return x, lambda dy: (dy, {})


def test_what_cannot_be_traced_runs_eagerly_and_is_said_once(caplog, monkeypatch):
    monkeypatch.setattr(module, "_logged", set())
    net = NeuralNetwork(4, 5, Looks(), 3, loss="mse", seed=0, backend="numpy")
    net.step(X, Y)
    runtime = net._runtime
    calls = []

    def eagerly(*arguments):
        calls.append(arguments)
        return "eager"

    function = FusedFunction(gxx.Gxx(), runtime.xp, runtime.xp, runtime.model.step, eagerly, 2)
    with caplog.at_level(logging.WARNING, "portnn"):
        for rows in (7, 7, 4):
            numbers = runtime.chain.hyperparams(2)
            batch = X[:rows], Rows(Y, np.arange(40), 2, rows + 2), 0.5
            result = function(runtime.xp, runtime._updates[1], runtime.state, batch, (1, 2), numbers)
            assert result == "eager"
            np.testing.assert_array_equal(calls[-1][3][1], Y[2 : rows + 2])
    assert len(calls) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "a training step runs eagerly, many times more slowly (Looks.forward, UntraceableError: control flow that "
        "depends on the value of an array, or on a number of the step)"
    ]


def function_of(step):
    """Return a function of a state alone, fused, and the driver."""
    driver = gxx.Gxx()
    xp = get_backend("numpy").xp
    return FusedFunction(driver, xp, xp, lambda xp, state: step(xp, *state), None, 1), xp, driver


@pytest.mark.parametrize("change", ["dtype", "shape"])
def test_a_state_that_becomes_another_is_left_to_the_caller(change):
    """Written over the old one it would be cast or broadcast in silence; the runtime refuses it."""

    def step(xp, state):
        (s,) = state
        new = xp.astype(s * 2.0, xp.float64) if change == "dtype" else xp.sum(s, axis=0, keepdims=True)
        return (new,), xp.sum(s)

    xp = get_backend("numpy").xp
    function = FusedFunction(gxx.Gxx(), xp, xp, step, step, 1)
    s = np.linspace(0.0, 1.0, 40, dtype=np.float32)
    (new,), _ = function(xp, (s,))
    assert (new.dtype, new.shape) == ((np.float64, (40,)) if change == "dtype" else (np.float32, (1,)))


def test_a_function_of_no_rows_runs_eagerly():
    xp = get_backend("numpy").xp
    function = FusedFunction(gxx.Gxx(), xp, xp, lambda xp, state, *data: "eager", lambda *_: "eager", 1, in_place=False)
    for data in ((), (2.0,), (np.ones(()),)):
        assert function(xp, (np.ones(3),), *data) == "eager"


def test_an_array_that_is_read_later_is_not_written_over_before():
    def step(xp, s):
        return (s * 0.5,), xp.sum(xp.exp(s))  # the sum is another kernel, after the first

    function, xp, driver = function_of(step)
    s = np.linspace(0.0, 1.0, 40)
    (new,), total = function(xp, (s,))
    np.testing.assert_array_equal(new, s * 0.5)
    assert float(total) == pytest.approx(np.exp(s).sum(), rel=1e-15)
    assert driver.launched == ["load", "k0", "k1"]


def test_what_other_threads_write_is_read_in_a_later_kernel():
    def step(xp, s):
        vector = xp.concat([s * 2.0])
        return (xp.take(vector, xp.asarray(np.arange(40)[::-1].copy()), axis=0),), xp.sum(vector)

    function, xp, driver = function_of(step)
    s = np.linspace(0.0, 1.0, 40)
    (new,), _ = function(xp, (s,))
    np.testing.assert_array_equal(new, s[::-1] * 2.0)
    assert driver.launched[:3] == ["load", "k0", "k1"]


def test_sums_over_different_axes_are_different_kernels():
    def step(xp, s):
        x = xp.reshape(s, (3, 3, 5))
        return (s + 1.0,), xp.sum(x, axis=(0, 2)), xp.sum(x, axis=(1, 2)), xp.sum(x, axis=0)

    function, xp, _ = function_of(step)
    s = np.arange(45.0)
    _, *sums = function(xp, (s.copy(),))
    for result, axis in zip(sums, ((0, 2), (1, 2), 0), strict=True):
        np.testing.assert_array_equal(result, s.reshape(3, 3, 5).sum(axis=axis))


def test_another_namespace_runs_eagerly():
    steps = Steps(network())
    with pytest.raises(AssertionError, match="runs eagerly"):
        steps.function(object(), *steps.before[1:], steps.state, (X, Y, 0.5), (1, 2), ())


def test_threads_take_turns():
    """Each call is whole: the losses of two threads are those of one that does all of it."""
    steps, losses = Steps(network(5, "tanh")), []
    state, numbers = steps.state, steps.net._runtime.chain.hyperparams(2)

    def work():
        for _ in range(5):
            with np.errstate(all="ignore"):
                _, loss = steps.function(*steps.before, state, (X, Y, 0.025), (1, 2), numbers)
            losses.append(float(loss))

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(losses) == 10
    assert len(set(losses)) == 1
