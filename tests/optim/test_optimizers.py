"""Optimizers against PyTorch's, in float64, and on vectors longer than a block."""

from dataclasses import dataclass

import numpy as np
import pytest
import registered

from portnn import (
    SGD,
    Adam,
    ArgumentError,
    Embedding,
    Flatten,
    LayerNorm,
    NeuralNetwork,
    Optimizer,
    get_backend,
    schedules,
)
from portnn.backend import host_array
from portnn.optim.transforms import ClipNorm

CASES = {name: pair for name, pair in registered.OPTIMIZERS.items() if pair[1] is not None}


def run(backend, optimizer, start, gradients, n_decayed=None, opt_state=False):
    adapter = get_backend(backend)
    chain = optimizer.chain()
    size = len(start)
    param_groups = chain.param_groups(size if n_decayed is None else n_decayed, size)
    run = adapter.elementwise(param_groups, donate=(0, *range(2, 2 + len(chain.state_names))))
    parameters, *vectors = (
        adapter.asarray(np.array(a), "float64") for a in (start, *[np.zeros_like(start)] * len(chain.state_names))
    )
    with adapter.scope():
        for step, gradient in enumerate(gradients, start=1):
            gradient = adapter.asarray(gradient, "float64")
            parameters, vectors = chain.update(run, adapter.xp, parameters, gradient, vectors, chain.hyperparams(step))
    found = adapter.to_numpy(parameters)
    return (found, *map(adapter.to_numpy, vectors)) if opt_state else found


@pytest.mark.parametrize("case", CASES)
def test_against_torch(case):
    torch = pytest.importorskip("torch")
    optimizer, make = CASES[case]
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(50), rng.standard_normal((200, 50))
    p = torch.tensor(start.copy(), requires_grad=True)
    theirs = make(torch.optim, [p])
    for gradient in gradients:
        p.grad = torch.tensor(gradient)
        theirs.step()
    # 200 steps of about ten roundings each, on values of order ten.
    np.testing.assert_allclose(run("numpy", optimizer, start, gradients), p.detach().numpy(), rtol=0, atol=1e-12)


def stages_by_hand(start, gradients, n_decayed, rates, decay, l1, l2, clip, average):
    """SGD with all that may stand around it, as one would write it down."""
    p, mean, total = np.array(start), 0.0, 0.0
    for rate, g in zip(rates, gradients, strict=True):
        g = g * min(1.0, clip / np.linalg.norm(g))
        w = np.where(np.arange(p.size) < n_decayed, 1.0, 0.0)
        p = p - rate * (g + w * (l2 * p + l1 * np.sign(p))) - w * rate * decay * p
        mean, total = average * mean + p, average * total + 1.0
    return p, mean / total


def test_what_stands_around_the_rule(backend):
    """Clipping, penalties and decay of the weights alone, a schedule, and the average, against a plain loop."""
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(50), rng.standard_normal((40, 50)) * np.linspace(0.02, 0.6, 40)[:, None]
    schedule = schedules.Cosine(0.3, 30, 0.05)
    optimizer = SGD(schedule, weight_decay=0.2, l1=0.01, l2=0.03, clip_norm=1.5, average=0.9)
    rates = [0.05 + 0.25 * (1 + np.cos(np.pi * min(t, 30) / 30)) / 2 for t in range(40)]
    for n_decayed in (0, 30, 50):
        expected, mean = stages_by_hand(start, gradients, n_decayed, rates, 0.2, 0.01, 0.03, 1.5, 0.9)
        got, average = run(backend, optimizer, start, gradients, n_decayed, opt_state=True)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(average, mean, rtol=0, atol=1e-12)
    sizes = np.linalg.norm(gradients, axis=1)
    assert sizes.min() < 1.5 < sizes.max()


def test_clipping_by_value(backend):
    start, gradient = np.zeros(4), np.array([[-3.0, -0.1, 0.2, 9.0]])
    got = run(backend, SGD(1.0, clip_value=0.5), start, gradient)
    np.testing.assert_allclose(got, [0.5, 0.1, -0.2, -0.5], rtol=1e-15)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_the_norm_neither_overflows_nor_vanishes(backend, size):
    """In float32, where squares of 1e30 are infinite: clipped to 1, not to nothing."""
    adapter = get_backend(backend)
    with adapter.scope():
        gradient = adapter.asarray(np.full(16, size), "float32")
        (scale,) = ClipNorm(1.0).global_stats(adapter.xp, gradient)
        zero = ClipNorm(1.0).global_stats(adapter.xp, gradient * 0.0)[0]
    assert float(adapter.to_numpy(scale)) == pytest.approx(min(1.0, 1 / (4 * size)), rel=1e-6, abs=0)
    assert float(adapter.to_numpy(zero)) == 1.0


def test_lion_against_optax():
    optax = pytest.importorskip("optax")
    import jax

    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(20), rng.standard_normal((200, 20))
    with jax.enable_x64(True):
        theirs = optax.lion(0.01, b1=0.9, b2=0.99, weight_decay=0.1)
        p = jax.numpy.asarray(start)
        state = theirs.init(p)
        for gradient in gradients:
            updates, state = theirs.update(jax.numpy.asarray(gradient), state, p)
            p = optax.apply_updates(p, updates)
        expected = np.asarray(p)
    np.testing.assert_allclose(run("numpy", registered.OPTIMIZERS["lion"][0], start, gradients), expected, atol=1e-12)


def test_lion_by_the_paper():
    """Chen et al. 2023, algorithm 2, as it stands there."""
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(20), rng.standard_normal((200, 20))
    p, m = start, np.zeros(20)
    for g in gradients:
        c = 0.9 * m + (1 - 0.9) * g
        p = p - 0.01 * (np.sign(c) + 0.1 * p)
        m = 0.99 * m + (1 - 0.99) * g
    np.testing.assert_allclose(run("numpy", registered.OPTIMIZERS["lion"][0], start, gradients), p, atol=1e-12)


def test_a_schedule_in_a_network_counts_steps_and_goes_on(backend, tmp_path):
    """The rate of each step, after loading too; another rate may be set meanwhile, and compiles nothing anew."""
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 3)), rng.random((8, 1))
    schedule = schedules.StepDecay(0.5, 2, 0.1)
    net = NeuralNetwork(3, 1, optimizer=SGD(schedule), seed=0, backend=backend)
    for step in range(5):
        assert net.learning_rate == pytest.approx(0.5 * 0.1 ** (step // 2))
        before = {name: np.array(host_array(value)) for name, value in net.parameters.items()}
        _, gradients = net.gradients(x, y)
        net.step(x, y)
        for name, value in net.parameters.items():
            moved = (before[name] - host_array(value)) / host_array(gradients[name])
            np.testing.assert_allclose(moved, 0.5 * 0.1 ** (step // 2), rtol=2e-3)
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m", backend=backend)
    assert other.learning_rate == net.learning_rate == pytest.approx(0.005)
    assert other.optimizer == net.optimizer
    steps = other._runtime._steps
    other.learning_rate = 0.25
    assert other.learning_rate == 0.25
    assert other._runtime._steps is steps


def test_biases_scales_and_embeddings_do_not_decay():
    net = NeuralNetwork(3, Embedding(5, 4), Flatten(), LayerNorm(), 4, 2, optimizer=SGD(0.1, weight_decay=0.5), seed=0)
    net.set_parameters({name: np.ones_like(value) for name, value in net.parameters.items()})
    x, y = np.zeros((2, 3), int), np.zeros((2, 2))
    still = NeuralNetwork(3, Embedding(5, 4), Flatten(), LayerNorm(), 4, 2, optimizer=SGD(0.1), seed=0)
    still.set_parameters(net.parameters)
    net.step(x, y), still.step(x, y)
    for name, value in net.parameters.items():
        shrunk = 0.05 if name.startswith("W") else 0.0
        np.testing.assert_allclose(still.parameters[name] - value, shrunk, rtol=0, atol=1e-5)


def test_the_averaged_network(backend):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3)), rng.random((20, 1))
    net = NeuralNetwork(3, 4, 1, optimizer=Adam(0.1, average=0.5), seed=0, backend=backend)
    with pytest.raises(ArgumentError, match="averaged: expected at least one training step"):
        net.averaged()
    seen = []
    for _ in range(4):
        net.step(x, y)
        seen.append({name: np.array(host_array(value)) for name, value in net.parameters.items()})
    averaged = net.averaged()
    weights = 0.5 ** np.arange(3, -1, -1)
    for name, value in averaged.parameters.items():
        expected = sum(w * each[name] for w, each in zip(weights, seen, strict=True)) / weights.sum()
        np.testing.assert_allclose(host_array(value), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(host_array(net.parameters["W1"]), seen[-1]["W1"])
    assert averaged.evaluate(x, y) != net.evaluate(x, y)
    with pytest.raises(ArgumentError, match="average"):
        NeuralNetwork(3, 1, seed=0).averaged()


def by_the_paper(start, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Kingma and Ba 2015, algorithm 1, as it stands there."""
    parameters, m, v = start, np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        parameters = parameters - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
    return parameters


def test_adam_by_the_paper(backend):
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(20), rng.standard_normal((30, 20))
    expected = by_the_paper(start, gradients, 0.01)
    np.testing.assert_allclose(run(backend, Adam(0.01), start, gradients), expected, rtol=0, atol=1e-13)
    first = run(backend, Adam(0.01), start, gradients[:1])  # corrected, the first step is the gradient's sign
    np.testing.assert_allclose(first, start - 0.01 * np.sign(gradients[0]), rtol=0, atol=1e-7)


@pytest.mark.parametrize("case", ["momentum", "adamw", "lion"])
def test_backends_and_blocks(backend, case):
    optimizer, _ = registered.OPTIMIZERS[case]
    rng = np.random.default_rng(0)
    size = 40_001  # NumPy's blocks: two whole and one begun
    start, gradients = rng.standard_normal(size), rng.standard_normal((5, size))
    whole = run(backend, optimizer, start, gradients)
    parts = [run("numpy", optimizer, start[i::7], gradients[:, i::7]) for i in range(7)]
    for i, part in enumerate(parts):
        np.testing.assert_allclose(whole[i::7], part, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: SGD(-1),
        lambda: SGD(0.1, momentum=1),
        lambda: Adam(beta2=2),
        lambda: Adam("x"),
        lambda: SGD(0.1, nesterov=True),
        lambda: Adam(clip_norm=0.0),
        lambda: Adam(clip_norm=1.0, clip_value=1.0),
        lambda: Adam(average=1.0),
        lambda: Adam(weight_decay=-0.1),
        lambda: schedules.Cosine(0.1, 0),
        lambda: schedules.OneCycle(0.1, 10, pct_start=1.0),
    ],
)
def test_bad_settings(bad):
    with pytest.raises(ArgumentError, match=r": expected "):
        bad()


def test_members_by_their_old_names():
    """A rule of before trains as it did; its names, and those of ours, are read as the new ones."""

    def dials(self, step):
        return self.learning_rate, 0.5

    def kernel(self, xp, parameters, gradients, slots, dials):
        v = slots[0] * dials[1] + gradients
        return parameters - v * dials[0], (v,)

    members = {"slots": ("v",), "dials": dials, "kernel": kernel}
    with pytest.warns(DeprecationWarning, match=r"Before\.(slots is now called state_names|dials is now called hyper)"):
        before = dataclass(frozen=True)(type("Before", (Optimizer,), members))
    x, y = np.random.default_rng(0).random((2, 12, 3))
    one, other = (
        NeuralNetwork(3, 3, loss="mse", seed=0, optimizer=optimizer, dtype="float64")
        for optimizer in (before(0.1), SGD(0.1, momentum=0.5))
    )
    assert one.fit(x, y, epochs=3).loss == other.fit(x, y, epochs=3).loss
    with pytest.warns(DeprecationWarning, match="slots is now called state_names"):
        assert SGD(0.1, momentum=0.9).slots == ("velocity",)
