"""Everything in tests/registered.py: gradients, rules, every backend, files; and against PyTorch."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import registered
from austere import Austere, AustereNamespace
from registered import ONE_HOT, ROWS, TABLES, X

from portnn import (
    AdamW,
    BatchNorm,
    Dense,
    Embedding,
    Flatten,
    LayerNorm,
    NeuralNetwork,
    Residual,
    Shapes,
    Tabular,
    get_backend,
)
from portnn.backend import apply_param_groups, host_array
from portnn.equivalence.networks import built_in
from portnn.model.step import State
from portnn.nn.layer import Layer
from portnn.nn.layers import LAYERS
from portnn.nn.loss import Loss
from portnn.nn.losses import LOSSES
from portnn.optim import schedules
from portnn.testing import check_gradients
from portnn.types import ForwardContext

XP = AustereNamespace()
NETWORKS = {name: (net, x, y) for name, net, x, y in registered.networks(dtype="float64")}


@pytest.mark.parametrize("name", TABLES)
def test_everything_is_in_the_table(name):
    ours, examples = TABLES[name]
    missing = [entry for entry in ours if entry not in examples]
    assert not missing, f"tests/registered.py: add an example of {', '.join(missing)} to {name}"


def test_the_built_in_networks_have_every_layer():
    """What ``portnn check`` runs, and tests/equivalence/test_compare.py on every backend."""

    def kinds(layers):
        for layer in layers:
            yield type(layer)
            if isinstance(layer, Residual):
                yield from kinds(layer.layers)

    used = {kind for _, net in built_in("float32") for kind in kinds(net.architecture.layers)}
    assert used >= set(LAYERS.values()), "portnn/equivalence/networks.py: add the layer to a built-in network"


# ---- gradients


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name):
    """In a network, in training mode, against central differences in float64."""
    net, x, y = NETWORKS[name]
    if not name.startswith("optimizer"):
        check_gradients(net.to(), x, y, elements=8)
        assert all(np.abs(g).max() > 1e-5 for key, g in net.to().gradients(x, y)[1].items() if key[0] in "WE")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_a_layer_of_its_own(name, training):
    """A layer's own closure, dx included: each partial derivative of sum(c y) against a central difference."""
    layer, features = registered.LAYERS[name]
    xp, mode = get_backend("numpy").xp, ForwardContext(training=training, key=(3, 4))
    shapes, rng = layer.shapes(features), np.random.default_rng(3)
    weights = {key: rng.random(spec[0]) + 0.5 for key, spec in {**shapes.parameters, **shapes.buffers}.items()}
    inputs = {"x": registered.inputs(layer, features), **weights}

    def forward(given):
        return layer.forward(xp, {key: value for key, value in given.items() if key != "x"}, given["x"], mode)

    result = forward(inputs)
    y, backward, new = result.output, result.backward, result.buffers
    c = rng.standard_normal(y.shape)
    dx, gradients = backward(c)
    assert set(gradients) == set(shapes.parameters)
    assert y.shape == (ROWS, *shapes.output)
    assert set(new) <= set(shapes.buffers)
    assert all(new[key].shape == weights[key].shape for key in new)
    for key, gradient in (gradients if isinstance(layer, Embedding | Tabular) else {"x": dx, **gradients}).items():
        assert gradient.shape == inputs[key].shape
        for index in np.ndindex(gradient.shape):
            sides = []
            for h in (1e-5, -1e-5):
                moved = {k: np.array(v) for k, v in inputs.items()}
                moved[key][index] += h
                sides.append(np.sum(c * forward(moved).output))
            assert abs((sides[0] - sides[1]) / 2e-5 - gradient[index]) < 1e-7, (key, index)


# ---- rules


def check_rules(net, x, y):
    """Take a step and a prediction on an array that has nothing but what the core may use: NumPy's bits."""
    runtime, _ = net.prepare(x, y)
    net = net.to()
    net._runtime = runtime
    x = np.asarray(host_array(runtime.inputs(x)))
    y = np.asarray(y, net.dtype)
    model, state, chain = runtime.model, runtime.state, runtime.chain
    mine = State(Austere(state.parameters), Austere(state.buffers), tuple(map(Austere, state.opt_state)))
    run = partial(apply_param_groups, chain.param_groups(model.parameters.n_decayed, model.parameters.size))
    update = partial(chain.update, run)
    new, loss = model.step(XP, update, mine, (Austere(x), Austere(y), 1.0 / ROWS), runtime.key, chain.hyperparams(1))
    assert {str(array.dtype) for array in (new.parameters, new.buffers, *new.opt_state, loss)} == {net.dtype}
    with runtime.backend.scope():
        expected = runtime.step((x, y, 1.0 / ROWS))
        outputs = runtime.forward(x)
    np.testing.assert_array_equal(new.parameters.value, runtime.state.parameters)
    np.testing.assert_array_equal(new.buffers.value, runtime.state.buffers)
    for got, slot in zip(new.opt_state, runtime.state.opt_state, strict=True):
        np.testing.assert_array_equal(got.value, slot)
    np.testing.assert_array_equal(loss.value, expected)
    np.testing.assert_array_equal(model.forward(XP, new, Austere(x)).value, outputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rules(name, dtype):
    net, x, y = NETWORKS[name]
    check_rules(net.to(dtype=dtype), x, y)


class Bad(Layer):
    def shapes(self, features):
        return Shapes(features)


@dataclass(frozen=True)
class Where(Bad):
    def forward(self, xp, weights, x, mode):
        return xp.where(x > 0, x, x * 2.0), lambda dy: (dy, {})


@dataclass(frozen=True)
class Power(Bad):
    def forward(self, xp, weights, x, mode):
        return x**2, lambda dy: (dy * 2.0 * x, {})


@dataclass(frozen=True)
class Promoting(Bad):
    def forward(self, xp, weights, x, mode):
        return x * np.float64(2), lambda dy: (dy * 2.0, {})


@pytest.mark.parametrize("bad", [Where, Power, Promoting])
def test_what_the_rules_forbid_is_seen(bad):
    """A layer that passes every other test."""
    with pytest.raises((TypeError, AttributeError)):
        check_rules(registered.with_layer(bad(), (4,), dtype="float32"), X, ONE_HOT)


# ---- files


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_loaded(name, tmp_path):
    """All of it: the loaded network goes on as the saved one does, to the bit."""
    net, x, y = NETWORKS[name]
    net = net.to()
    net.fit(x, y, epochs=2, batch_size=4)
    net.save(tmp_path / "m")
    other = NeuralNetwork.load(tmp_path / "m")
    assert other.fingerprint() == net.fingerprint()
    for each in (net, other):
        each.fit(x, y, epochs=2, batch_size=4)
    assert other.fingerprint() == net.fingerprint()
    assert other._runtime.arrays().keys() == net._runtime.arrays().keys()
    for key, value in net._runtime.arrays().items():
        np.testing.assert_array_equal(other._runtime.arrays()[key], value)


# ---- against PyTorch


@pytest.mark.parametrize("name", registered.ACTIVATIONS)
def test_activations_against_torch(name):
    torch = pytest.importorskip("torch")
    xp = get_backend("numpy").xp
    z = np.concatenate([np.linspace(-30, 30, 121), [1e-8, -1e-8, 2.9999, -3.0001]]).reshape(5, 25)
    a, backward = TABLES["ACTIVATIONS"][0][name](xp, z)
    da = np.random.default_rng(0).standard_normal(z.shape)
    leaf = torch.tensor(z, requires_grad=True)
    theirs = registered.ACTIVATIONS[name](torch, leaf)
    theirs.backward(torch.tensor(da))
    kinks = np.isin(z, {"hard_sigmoid": [-3.0, 3.0], "leaky_relu": [0.0], "elu": [0.0], "selu": [0.0]}.get(name, []))
    np.testing.assert_allclose(a, theirs.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(backward(da)[~kinks], leaf.grad.numpy()[~kinks], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", [*registered.LOSSES, *registered.OPTIONS], ids=str)
def test_losses_against_torch(case):
    torch = pytest.importorskip("torch")
    name, options, oracle = case, {}, registered.LOSSES.get(case)
    if oracle is None:
        name, (options, oracle) = case[0], registered.OPTIONS[case]
    loss = Loss.named(name, **options)
    rng = np.random.default_rng(1)
    z, y = rng.standard_normal((7, 3)) * 2, np.eye(3)[rng.integers(0, 3, 7)] if loss.labels else rng.random((7, 3))
    value, dz = loss(get_backend("numpy").xp, z, y, 1.0 / 7 if loss.mean else 1.0)
    leaf = torch.tensor(z, requires_grad=True)
    truth = torch.tensor(y.argmax(axis=1)) if "class_weight" in options else torch.tensor(y)
    theirs = oracle(torch.nn.functional, leaf, truth)
    if "class_weight" in options:  # PyTorch divides by the sum of the rows' weights, portnn by their number
        theirs = theirs * (np.array(registered.CLASS_WEIGHT)[truth.numpy()].sum() / 7)
    theirs.backward()
    assert float(value) == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(dz, leaf.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_batch_norm_against_torch():
    """Values, gradients and running statistics over three batches, the last one short; then a prediction."""
    torch = pytest.importorskip("torch")
    layer, xp = BatchNorm(momentum=0.3, eps=1e-4), get_backend("numpy").xp
    for shape in ((9, 4), (9, 4, 3, 2)):
        theirs = (torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d)(4, 1e-4, 0.3, dtype=torch.float64)
        rng = np.random.default_rng(2)
        weights = {
            "gamma": rng.random(4),
            "beta": rng.random(4),
            "running_mean": np.zeros(4),
            "running_var": np.ones(4),
        }
        with torch.no_grad():
            theirs.weight.copy_(torch.tensor(weights["gamma"])), theirs.bias.copy_(torch.tensor(weights["beta"]))
        for rows in (9, 9, 2):
            x, dy = rng.standard_normal((2, rows, *shape[1:])) * 3 + 5
            leaf = torch.tensor(x, requires_grad=True)
            theirs.zero_grad()
            expected = theirs(leaf)
            expected.backward(torch.tensor(dy))
            y, backward, new = layer.forward(xp, weights, x, ForwardContext(training=True))
            dx, gradients = backward(dy)
            weights |= new
            for got, wanted in (
                (y, expected),
                (dx, leaf.grad),
                (gradients["gamma"], theirs.weight.grad),
                (gradients["beta"], theirs.bias.grad),
                (new["running_mean"], theirs.running_mean),
                (new["running_var"], theirs.running_var),
            ):
                np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-12, atol=1e-12)
        theirs.eval()
        x = rng.standard_normal(shape)
        y, _ = layer.forward(xp, weights, x, ForwardContext())
        np.testing.assert_allclose(y, theirs(torch.tensor(x)).detach().numpy(), rtol=1e-12, atol=1e-12)


def test_layer_norm_against_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x, dy = rng.standard_normal((2, 7, 5)) * 3 + 5
    weights = {"gamma": rng.random(5), "beta": rng.random(5)}
    leaves = [torch.tensor(value, requires_grad=True) for value in (x, weights["gamma"], weights["beta"])]
    expected = torch.nn.functional.layer_norm(leaves[0], (5,), leaves[1], leaves[2])
    expected.backward(torch.tensor(dy))
    y, backward = LayerNorm().forward(get_backend("numpy").xp, weights, x, ForwardContext(training=True))
    dx, gradients = backward(dy)
    for got, wanted in zip(
        (y, dx, gradients["gamma"], gradients["beta"]), (expected, *(v.grad for v in leaves)), strict=True
    ):
        np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*registered.SCHEDULES])
def test_schedules(name):
    schedule, formula = registered.SCHEDULES[name]
    if formula is None:
        torch = pytest.importorskip("torch")
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=30)
        expected = []
        for _ in range(30):
            expected.append(theirs.get_last_lr()[0])
            optimizer.step(), theirs.step() if len(expected) < 30 else None
    else:
        expected = [formula(step) for step in range(50)]
    got = [schedule(step) for step in range(len(expected))]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("name", registered.SCHEDULES)
def test_schedules_before_at_and_after_their_ends(name):
    """The rate falls to its end, is the end's from there on, and is the highest where the formula says."""
    schedule, _ = registered.SCHEDULES[name]
    end = {"cosine": 20, "one_cycle": 29}.get(name)
    rates = [schedule(step) for step in range(120)]
    assert all(0.0 <= rate <= schedule.learning_rate for rate in rates)
    if end is not None:
        last = schedule.final if name == "cosine" else schedule.learning_rate / 25 / 1e4
        assert rates[end - 2] > rates[end - 1] > rates[end] == pytest.approx(last, rel=1e-9)
        assert set(rates[end:]) == {rates[end]}
    if name == "one_cycle":
        assert max(range(120), key=rates.__getitem__) == 8  # 0.3 of 30 steps, from 0
        assert rates[0] == pytest.approx(schedule.learning_rate / 25)
    if name == "warm_up":
        assert rates[3] == rates[4] == schedule.learning_rate > rates[2] > rates[1] > rates[0]
        assert rates[0] == schedule.learning_rate / 4
        assert rates[5] == schedule.after(1)
    if name == "step_decay":
        assert rates[9] > rates[10] == rates[19] > rates[20]


def test_schedules_have_the_same_bits_everywhere():
    """They use no function of the machine's library: these are their bits, from IEEE arithmetic."""
    assert schedules.cosine(0.3).hex() == "0x1.2cf2304755a5ep-1"
    assert schedules.power(0.999, 12345).hex() == "0x1.22391fb9458b0p-18"
    assert schedules.power(0.999, 12345) == pytest.approx(0.999**12345, rel=12345 * 2.0**-53)
    for turn in np.linspace(0, 1, 301):
        assert abs(schedules.cosine(float(turn)) - np.cos(np.pi * turn)) <= 2.0**-49
    assert [schedules.cosine(t) for t in (0.0, 0.5, 1.0)] == [1.0, pytest.approx(0, abs=2.0**-49), -1.0]


def test_losses_refuse_options_they_have_not():
    from portnn import ArgumentError

    for name, options in (("mse", {"delta": 1}), ("huber", {"delta": -1}), ("cross_entropy", {"smoothing": 1.0})):
        with pytest.raises(ArgumentError, match=r"loss: mse has the options none|delta: expected|smoothing: expected"):
            Loss.named(name, **options)
    assert Loss.named("mse") == LOSSES["mse"]()


def test_a_whole_training_against_torch():
    """200 steps with embedding, normalisation, a block, smoothing, clipping, decay, a schedule: within 1e-10."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 7, (24, 4)), rng.integers(0, 3, 24)
    net = NeuralNetwork(
        4, Embedding(7, 3), Flatten(), Dense(8, bias=False), BatchNorm(), "relu",
        Residual((Dense(8), "tanh")), LayerNorm(), 3,
        output="softmax", loss=Loss.named("cross_entropy", smoothing=0.1), dtype="float64", seed=0,
        optimizer=AdamW(schedules.OneCycle(0.02, 200), weight_decay=0.1, clip_norm=0.3),
    )  # fmt: skip
    p = {name: torch.tensor(np.array(value), requires_grad=True) for name, value in net.parameters.items()}
    assert list(p) == ["E1", "W1", "gamma1", "beta1", "W2", "b1", "gamma2", "beta2", "W3", "b2"]
    groups = [
        {"params": [v for k, v in p.items() if k[0] == "W"], "weight_decay": 0.1},
        {"params": [v for k, v in p.items() if k[0] != "W"], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=200, cycle_momentum=False)
    mean, var = torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)
    F, norms = torch.nn.functional, []
    for _ in range(200):
        optimizer.zero_grad()
        h = F.embedding(torch.tensor(x), p["E1"]).flatten(1) @ p["W1"]
        h = torch.relu(F.batch_norm(h, mean, var, p["gamma1"], p["beta1"], training=True))
        h = h + torch.tanh(h @ p["W2"] + p["b1"])
        z = F.layer_norm(h, (8,), p["gamma2"], p["beta2"]) @ p["W3"] + p["b2"]
        F.cross_entropy(z, torch.tensor(y), label_smoothing=0.1).backward()
        norms.append(float(torch.sqrt(sum((v.grad**2).sum() for v in p.values()))))
        for v in p.values():
            v.grad *= min(1.0, 0.3 / norms[-1])
        optimizer.step(), schedule.step()
        net.step(x, y)
    assert min(norms) < 0.3 < max(norms)
    for name, value in net.parameters.items():
        np.testing.assert_allclose(value, p[name].detach().numpy(), rtol=0, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(net.buffers["running_mean1"], mean.numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(net.buffers["running_var1"], var.numpy(), rtol=0, atol=1e-10)
