"""A recorded step has the bits of the step itself, whatever is in it, and shares no memory with its user."""

import itertools
import re
import threading
import weakref
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import registered

from portnn import (
    SGD,
    BatchNorm,
    Dropout,
    Layer,
    NeuralNetwork,
    Shapes,
    Standardize,
    get_backend,
)
from portnn.backend import Backend
from portnn.equivalence.networks import built_in, sample
from portnn.jit import targets
from portnn.jit.compiled import CompiledFunction
from portnn.jit.memory import placed
from portnn.optim.optimizer import Optimizer

RNG = np.random.default_rng(0)


def poisoned(memory):
    """Return a way to memory that is full of NaN, so that whatever reads it before it is written shows."""

    def made(self, size):
        found = memory(self, size)
        found[...] = 0xFF
        return found

    return made


@pytest.fixture(autouse=True)
def _memory_that_nobody_wrote(monkeypatch):
    for target in (targets.NumPyTarget, targets.TorchTarget):
        monkeypatch.setattr(target, "memory", poisoned(target.memory))


X, LABELS = RNG.standard_normal((40, 4)).astype(np.float32), RNG.integers(0, 3, 40)
ROWS = (7, 7, 7, 4, 4, 7, 4, 1, 1, 1, 7)
"""Of the batches of a run: each kind comes again, in turns with another."""


def classifier(*hidden, dtype="float32", backend="numpy", **options):
    hidden = hidden or (8, BatchNorm(), "relu", Dropout(0.3))
    kinds = {"output": "softmax", "loss": "cross_entropy", "seed": 0, "backend": backend, **options}
    return NeuralNetwork(4, *hidden, 3, dtype=dtype, **kinds)


def programs(net):
    """The compiled functions of a network."""
    runtime = net._runtime
    found = [*runtime._steps, runtime._forward, runtime._evaluate, runtime._gradients]
    return [each.args[0] if isinstance(each, partial) else each for each in found]  # in reproducible arithmetic


def recorded(net):
    """How many kinds of arguments have a program, and how many turned out to have none."""
    found = [program for each in programs(net) for program in each._programs.values()]
    return sum(program is not None for program in found), found.count(None)


def size(outputs, y):
    """A metric of any outputs and targets."""
    return np.abs(outputs).mean() + np.abs(y).mean()


def everything(net, x, y, rows):
    """All that a user sees of training and using a network, as bytes."""
    seen = []
    for i, n in enumerate(rows):
        start = i % max(len(x) - n, 1)
        some = slice(start, start + n)
        seen += [np.asarray(net.step(x[some], y[some])).tobytes(), net.fingerprint()]
        seen.append(np.asarray(net.predict(x[some])).tobytes())
        for _ in range(3 if i % 3 == 0 else 0):  # of one state, for views of it to be made
            loss, gradients = net.gradients(x[some], y[some])
            seen += [np.asarray(each).tobytes() for each in (loss, *gradients.values())]
            seen.append(net.evaluate(x, y, metrics=[size]))
    for weight in (None, np.linspace(0.5, 1.5, len(x))):
        seen += [net.fit(x, y, epochs=3, batch_size=max(rows), sample_weight=weight).loss, net.fingerprint()]
    # What else may change a state: all of it, a part, the optimizer's numbers; and a copy goes on alone.
    net.set_parameters({name: value * 0.5 for name, value in net.parameters.items()})
    net.learning_rate = 1.0
    other = net.to(dtype=net.dtype)
    for each in (net, other, net):
        seen += [np.asarray(each.step(x[: rows[0]], y[: rows[0]])).tobytes(), each.fingerprint()]
    return [*seen, *(value.tobytes() for value in net._runtime.arrays().values())]


def same_as_itself(make, monkeypatch, rows=ROWS):
    net, x, y = make()
    got = everything(net, x, y, rows)
    with monkeypatch.context() as patch:
        patch.setattr(type(get_backend(net.backend)), "compile", Backend.compile)
        net, x, y = make()
        expected = everything(net, x, y, rows)
        assert not isinstance(programs(net)[0], CompiledFunction)
    assert got == expected


NAMES = [name for name, *_ in registered.covering()]


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_everything_has_the_bits_of_itself(name, dtype, recording, monkeypatch):
    """tests/replay_table.py has each layer with each activation, loss and optimizer."""

    def make():
        options = {"dtype": dtype, "backend": recording}
        return next((net, x, y) for found, net, x, y in registered.covering(**options) if found == name)

    same_as_itself(make, monkeypatch, rows=(4, 4, 4, 3, 3, 4, 3))


@pytest.mark.parametrize("title", [title for title, _ in built_in("float32") if title.startswith(("a", "b", "c", "r"))])
def test_built_in_networks_have_the_bits_of_themselves(title, monkeypatch):
    def make():
        net = next(net for found, net in built_in("float32") if found == title)
        return net, *sample(net, 30)

    same_as_itself(make, monkeypatch, rows=(7, 7, 4, 4, 7))


@pytest.mark.exhaustive
@pytest.mark.parametrize("arithmetic", ["fast", "reproducible"])
@pytest.mark.parametrize("name", NAMES)
def test_everything_is_recorded(name, arithmetic, recording):
    """In reproducible arithmetic tests/integration/test_training_bits.py compares it with other libraries."""
    every = registered.covering(backend=recording, arithmetic=arithmetic)
    net, x, y = next((n, x, y) for found, n, x, y in every if found == name)
    for _ in range(3):
        net.step(x, y), net.predict(x), net.gradients(x, y), net.evaluate(x, y)
    net.fit(x, y, epochs=2, batch_size=len(x))
    assert recorded(net) == (5, 0)


@pytest.mark.parametrize("arguments", [["6007"], ["--drawn", "2"], ["--drawn", "1", "--times", "37"]])
def test_the_table_runs(arguments, capsys):
    import replay_table

    assert replay_table.main(arguments) == 0
    assert re.fullmatch(r"(\d) of \1 networks have the bits of themselves\n", capsys.readouterr().out)


def test_vectors_of_several_blocks_and_stretches(recording, monkeypatch):
    """Weight decay is for weights alone: two stretches, of which the first takes several blocks and a rest."""
    monkeypatch.setattr(targets.TorchTarget, "block", targets.NumPyTarget.block)
    options = {
        "backend": recording,
        "optimizer": SGD(0.1, momentum=0.9, weight_decay=0.1, clip_norm=0.5, average=0.9),
        "activation": "tanh",
    }
    same_as_itself(lambda: (classifier(300, 300, **options), X, LABELS), monkeypatch, rows=(7, 7, 7))


@pytest.mark.exhaustive
@pytest.mark.parametrize("activation", ["gelu", "softplus", "tanh"])
def test_large_elementary_functions_of_reproducible_arithmetic(activation, monkeypatch):
    """They run in blocks of their own, with tables; the weights are cut in planned memory."""
    monkeypatch.setattr("portnn.reproducible.arithmetic._BLOCK", 100)
    monkeypatch.setattr(targets.NumPyTarget, "block", 1000)
    make = lambda: (classifier(40, activation, 5, arithmetic="reproducible", dtype=None), X, LABELS)  # noqa: E731
    same_as_itself(make, monkeypatch, rows=(7, 7, 7))
    net, x, labels = make()
    for _ in range(3):
        net.step(x[:7], labels[:7])
    program = net._runtime._steps[0 if net._runtime.donates_state else 1].args[0]._programs.popitem()[1]
    assert sum(line.operation == "kernel" for line in program.program.lines) > 1


@pytest.mark.parametrize("size", [90, 900])
def test_two_kernels_keep_their_own_tables(size, recording, monkeypatch):
    """Of one block, which is a part of the program, and of several, each with a function of its own."""
    backend = get_backend(recording)
    target = type(backend.compile(abs)._target)
    monkeypatch.setattr(target, "block", 1000)
    turned, tens = np.array([3, 1, 4, 0, 2]), np.array([10, 20, 30, 40, 50])

    def looked_up(table, xp, vectors, numbers):
        return (xp.take(table, xp.astype(vectors[0], xp.int32), axis=0) * 0.5 * 2.0,)

    tables = (backend.asarray(table, "float32") for table in (turned, tens))
    first, second = (backend.elementwise([(size, partial(looked_up, table))]) for table in tables)

    def function(xp, state):
        (found,) = first(xp, state, ())
        return second(xp, (found,), ())[0] + found

    codes, compiled = np.arange(size) % 5, backend.compile(function)
    state = (backend.asarray(codes, "float32"),)
    results = [np.asarray(compiled(backend.xp, state)) for _ in range(4)]
    (program,) = compiled._programs.values()
    assert program.source.count("def k") == (0 if size == 90 else 2)
    for each in results:
        np.testing.assert_array_equal(each, tens[turned[codes]] + turned[codes])


@dataclass(frozen=True)
class Shown(Layer):
    """Gives a view of what it was given."""

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        return xp.reshape(xp.reshape(x, (-1,)), x.shape), lambda dy: (dy, {})


def test_results_that_are_views_of_what_is_used_again(monkeypatch):
    make = lambda: (NeuralNetwork(4, 8, 3, Shown(), loss="huber", seed=0), X, np.eye(3)[LABELS])  # noqa: E731
    same_as_itself(make, monkeypatch, rows=(4, 4, 4, 3, 3, 4))


def test_an_update_that_ends_with_what_it_replaces(monkeypatch):
    """p = (-rate g) + p: what is added must not be computed in p's place."""

    @dataclass(frozen=True)
    class Backwards(Optimizer):
        def kernel(self, xp, parameters, gradients, opt_state, hyperparams):
            return (gradients * hyperparams[0]) * -1.0 + parameters, ()

    same_as_itself(lambda: (classifier(8, "tanh", optimizer=Backwards(0.1)), X, LABELS), monkeypatch, rows=(4, 4, 4))


@dataclass(frozen=True)
class Shift(Layer):
    """y = x + s: after a Dense, s has the gradient of its bias, the very same line of the program."""

    def shapes(self, features):
        return Shapes(features, {"s": (features, "zeros")})

    def forward(self, xp, weights, x, mode):
        return x + weights["s"], lambda dy: (dy, {"s": xp.sum(dy, axis=0)})


def test_two_parameters_of_one_gradient(monkeypatch):
    same_as_itself(lambda: (classifier(8, Shift(), Shift(), "tanh"), X, LABELS), monkeypatch, rows=(7, 7, 4, 4, 7))


# ---- what users hold


@pytest.mark.parametrize("last", [(), (Shown(),)])
def test_nothing_that_users_hold_changes(last, recording):
    """Losses, outputs, gradients, parameters, copies: each keeps its value while training goes on."""
    net = NeuralNetwork(4, 8, BatchNorm(), "relu", Dropout(0.3), 3, *last, loss="mse", seed=0, backend=recording)
    held = []
    for i in range(8):
        x, y = X[i : i + 7], np.eye(3, dtype=np.float32)[LABELS[i : i + 7]]
        arrays = [net.step(x, y), net.predict(x), net.forward(x), *net.gradients(x, y)[1].values()]
        arrays += [*net.parameters.values(), *net.buffers.values()]
        held.append((arrays, [np.asarray(array).copy() for array in arrays]))
    for arrays, values in held:
        for array, value in zip(arrays, values, strict=True):
            np.testing.assert_array_equal(np.asarray(array), value)
    held_losses = [arrays[0] for arrays, _ in held]
    assert len(set(map(float, held_losses))) == len(held_losses)


@pytest.mark.parametrize("width", [8, 600])
def test_batches_are_neither_written_nor_kept(width, recording):
    net = classifier(width, "tanh", backend=recording)
    for _ in range(4):
        x, y = get_backend(recording).asarray(X[:7].copy()), LABELS[:7].astype(np.int32)
        before, gone = np.asarray(x).copy(), weakref.ref(x)
        net.step(x, y), net.predict(x), net.gradients(x, y), net.evaluate(x, y)
        np.testing.assert_array_equal(np.asarray(x), before)
        del x
        assert gone() is None


def test_an_interrupted_step_changes_nothing(recording):
    """Ctrl-C between two operations of the update: the state is what it was, and training goes on as it would."""
    one, other = (classifier(8, "tanh", backend=recording) for _ in range(2))
    for net in (one, other):
        for _ in range(4):
            net.step(X[:7], LABELS[:7])
    state, runs = one._runtime.state, one._runtime._steps[1]._bound
    run = next(run for known, run in runs if known is state).__wrapped__
    real = run.__globals__["sqrt"]

    def interrupted(*arguments, **into):
        raise KeyboardInterrupt

    run.__globals__["sqrt"] = interrupted
    with pytest.raises(KeyboardInterrupt):
        one.step(X[:7], LABELS[:7])
    run.__globals__["sqrt"] = real
    assert one.fingerprint() == other.fingerprint()
    assert one.step_count == 4
    for net in (one, other):
        net.step(X[:7], LABELS[:7])
    assert one.fingerprint() == other.fingerprint()


def test_many_row_counts_need_no_more_memory(recording):
    """At most eight programs, in one piece of memory; what comes later is computed call by call, with the same bits."""
    net, plain = (classifier(16, "relu", backend=recording) for _ in range(2))
    for each in programs(plain):
        each._lock.acquire()  # in use: computed call by call
    x, labels = np.concatenate([X, X]), np.concatenate([LABELS, LABELS])
    for rows in [*range(1, 51), *range(50, 0, -1)]:
        for each in (net, plain):
            each.step(x[:rows], labels[:rows]), each.predict(x[:rows])
    largest = max(len(each._arena) for each in programs(net))
    net.step(x[:7], labels[:7]), plain.step(x[:7], labels[:7])
    assert max(len(each._arena) for each in programs(net)) == largest < 1e5
    assert net.fingerprint() == plain.fingerprint()
    for each in programs(net):
        assert len(each._programs) <= CompiledFunction.LIMIT
        assert len(each._bound) <= 2 * CompiledFunction.LIMIT
        assert len(each._signatures) <= 8 * CompiledFunction.LIMIT + 1


def test_threads_that_predict_on_one_network_are_right(recording):
    net = classifier(64, "tanh", 64, "tanh", backend=recording)
    inputs = [RNG.standard_normal((20, 4)).astype(np.float32) for _ in range(4)]
    expected = [net.predict(x) for x in inputs]
    for _ in range(3):
        net.predict(inputs[0])
    wrong, start = [], threading.Barrier(4)

    def predict(x, outputs):
        start.wait()
        wrong.extend(i for i in range(200) if not np.array_equal(net.predict(x), outputs))

    threads = [threading.Thread(target=predict, args=pair) for pair in zip(inputs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- what cannot be recorded


def test_another_namespace_over_numpy_is_not_replayed(monkeypatch):
    """Whose exp is twice NumPy's: a program of NumPy's calls would not know."""

    class Twice:
        def __getattr__(self, name):
            return (lambda x: 2.0 * real.exp(x)) if name == "exp" else getattr(real, name)

    net = classifier(8, "sigmoid")
    real, runtime, x = net._runtime.xp, net._runtime, X[:7]
    plain = [runtime.forward(x) for _ in range(4)]
    monkeypatch.setattr(type(runtime), "xp", Twice())
    doubled = [runtime.forward(x) for _ in range(4)]
    for outputs in doubled:
        np.testing.assert_array_equal(outputs, doubled[0])
    assert not np.array_equal(doubled[0], plain[0])


def test_a_layer_that_looks_at_values_is_computed_call_by_call():
    @dataclass(frozen=True)
    class Gated(Layer):
        """Off where the batch's mean is below 0: what no straight line of operations can say."""

        def shapes(self, features):
            return Shapes(features)

        def forward(self, xp, weights, x, mode):
            gate = 1.0 if float(xp.sum(x)) > 0 else 0.0
            return x * gate, lambda dy: (dy * gate, {})

    net = classifier("tanh", 5, Gated())
    outputs = [net.predict(sign * np.abs(X[:7])) for sign in (1, 1, 1, -1, 1)]
    for off in (outputs[0], outputs[1], outputs[2], outputs[4]):
        np.testing.assert_array_equal(off, outputs[0])
    assert not np.array_equal(outputs[3], outputs[0])
    for _ in range(3):
        net.step(X[:7], LABELS[:7])
    assert recorded(net) == (0, 2)


@pytest.mark.parametrize("layout", ["fortran", "every other", "another byte order"])
def test_arrays_that_lie_otherwise_are_computed_call_by_call(layout, recording):
    """Their order in memory would change the order of sums: the program of those that lie plainly is not for them."""
    wide = np.zeros((80, 4), np.float32)
    wide[::2] = X
    x = {"fortran": np.asfortranarray(X), "every other": wide[::2], "another byte order": X.astype(">f4")}[layout]
    nets = [classifier(BatchNorm(), 8, "tanh", backend=recording) for _ in range(2)]  # which sums x over its rows
    asked = []
    for each in programs(nets[1]):
        each._lock.acquire()  # in use: computed call by call
    for net in nets:
        for batch in (X, X, X, x, X, x):
            net.step(batch, LABELS)
        asked.append([np.asarray(net.predict(batch)).tobytes() for batch in (X, X, X, x)])
    assert nets[0].fingerprint() == nets[1].fingerprint()
    assert asked[0] == asked[1]
    assert recorded(nets[0]) == (2, 0)


def test_standardised_data_are_recorded_too():
    net = classifier(Standardize(), 8, "relu")
    net.fit(X, LABELS, epochs=4, batch_size=20)
    assert recorded(net) == (1, 0)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_memory_that_are_in_use_together_lie_apart(seed):
    """And all of them need hardly more than those that are in use at once."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5000, 60).tolist()
    lives = [(int(first), int(first + length)) for first, length in rng.integers(0, 30, (60, 2))]
    starts, size = placed(sizes, lives)
    assert all(start % 64 == 0 for start in starts)
    assert max(start + one for start, one in zip(starts, sizes, strict=True)) <= size
    for i, j in itertools.combinations(range(60), 2):
        together = lives[i][0] <= lives[j][1] and lives[j][0] <= lives[i][1]
        apart = starts[i] + sizes[i] <= starts[j] or starts[j] + sizes[j] <= starts[i]
        assert apart or not together
    most = max(sum(one for one, (a, b) in zip(sizes, lives, strict=True) if a <= t <= b) for t in range(60))
    assert size < 1.25 * most
