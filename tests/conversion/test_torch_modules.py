"""Networks from PyTorch and scikit-learn and back: outputs, further training, names, and what is refused."""

import json
from collections import OrderedDict

import numpy as np
import pytest

import portnn.conversion
from portnn import (
    Adam,
    ArgumentError,
    BackendUnavailableError,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePool2D,
    LayerNorm,
    MaxPool2D,
    NeuralNetwork,
    NotFittedError,
    Residual,
    Standardize,
)
from portnn.equivalence.networks import sample
from portnn.model.step import State
from portnn.numerics.bounds import BoundedArray, BoundingNamespace

pytest.importorskip("torch")
import torch
from torch import nn

ACTIVATIONS = [
    nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.SiLU(), nn.GELU(),
    nn.Softplus(threshold=40), nn.Hardsigmoid(), nn.Softmax(dim=1), nn.LogSoftmax(dim=-1), nn.Identity(),
]  # fmt: skip


def drawn(seed):
    """Return a random stack of PyTorch, nested, with running averages that are not 0 and 1."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    dtype = [torch.float32, torch.float64][seed % 2]
    width = int(rng.integers(1, 20))
    modules = []
    if seed % 5 == 4:
        dim = int(rng.integers(1, 6))
        modules += [nn.Embedding(9, dim), nn.Flatten()]
        width *= dim
    for _ in range(rng.integers(1, 5)):
        units = int(rng.integers(2, 20))
        block = [nn.Linear(width, units, bias=bool(rng.integers(2)))]
        block += [[], [nn.BatchNorm1d(units, eps=1e-3, momentum=0.3)], [nn.LayerNorm(units)]][rng.integers(3)]
        block += [ACTIVATIONS[rng.integers(len(ACTIVATIONS))]]
        block += [[], [nn.Dropout(0.3)]][rng.integers(2)]
        modules += block if rng.integers(2) else [nn.Sequential(*block)]
        width = units
    modules += [nn.Linear(width, int(rng.integers(1, 5)))] if rng.integers(2) else []
    module = nn.Sequential(*modules).to(dtype)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                values = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
                tensor.copy_(values + 0.5 if "var" in name else values - 0.5)
    return module


def agree(net, module, seed=0):
    """Compare the outputs of a network and of a module, each within the bound of the true ones."""
    runtime = net._require_runtime()
    x, _ = sample(net, 40, seed)
    inputs = np.asarray(runtime.inputs(x))
    with torch.no_grad():
        theirs = module.eval()(torch.from_numpy(np.array(inputs))).numpy()
    convert = BoundedArray.from_input
    state = State(convert(runtime.state.parameters), convert(runtime.state.buffers), ())
    with np.errstate(all="ignore"):
        bound = runtime.model.forward(BoundingNamespace(), state, convert(inputs)).error
    assert theirs.dtype == net.dtype
    assert np.isfinite(bound).all()
    assert (np.abs(net.predict(x).astype(float) - theirs) <= 2.0 * bound).all()


@pytest.mark.parametrize("seed", range(30))
def test_random_stacks_both_ways(seed):
    module = drawn(seed)
    net = NeuralNetwork.from_torch(module, backend="numpy", seed=0)
    agree(net, module, seed)
    again = net.to_torch()
    agree(net, again, seed)
    state, back = module.state_dict(), again.state_dict()
    assert list(back) == list(state)
    assert all(torch.equal(state[name], back[name]) for name in state if "num_batches" not in name)
    module.load_state_dict(back)  # names and shapes are the same
    twice = NeuralNetwork.from_torch(again, backend="numpy", seed=0)
    assert twice.fingerprint() == net.fingerprint()


def pair(**options):
    """Return a classifier of PyTorch with normalisation, and data."""
    torch.manual_seed(0)
    module = nn.Sequential(
        OrderedDict(
            body=nn.Sequential(
                nn.Linear(5, 16, bias=False), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 12), nn.LayerNorm(12)
            ),
            act=nn.GELU(),
            head=nn.Linear(12, 3),
        )
    ).double()
    rng = np.random.default_rng(1)
    return module, rng.standard_normal((10, 24, 5)), rng.integers(0, 3, (10, 24))


def torch_steps(module, optimizer, x, y):
    losses = []
    module.train()
    for rows, labels in zip(x, y, strict=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(torch.from_numpy(rows)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def groups(module, decay):
    weights = [m.weight for m in module.modules() if isinstance(m, nn.Linear)]
    ids = set(map(id, weights))
    others = [p for p in module.parameters() if id(p) not in ids]
    return [{"params": others, "weight_decay": 0.0}, {"params": weights, "weight_decay": decay}]


OPTIMIZERS = {
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=0.01, betas=(0.8, 0.99), eps=1e-7),
    "adam with l2": lambda m: torch.optim.Adam(groups(m, 0.1), lr=0.01),
    "adamw": lambda m: torch.optim.AdamW(groups(m, 0.1), lr=0.01),
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
    "momentum": lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
    "nesterov with l2": lambda m: torch.optim.SGD(groups(m, 0.1), lr=0.1, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("before", [0, 7])
def test_training_goes_on_as_in_pytorch(name, backend, before):
    module, x, y = pair()
    optimizer = OPTIMIZERS[name](module)
    torch_steps(module, optimizer, x[:before], y[:before])
    net = NeuralNetwork.from_torch(module, optimizer=optimizer, output="softmax", backend=backend, seed=0)
    assert net.loss == "cross_entropy"
    expected = torch_steps(module, optimizer, x, y)
    losses = [float(net.step(rows, labels)) for rows, labels in zip(x, y, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-10)
    theirs = NeuralNetwork.from_torch(module, output="softmax", backend="numpy")
    for tensors, others in ((net.parameters, theirs.parameters), (net.buffers, theirs.buffers)):
        for key, value in others.items():
            np.testing.assert_allclose(np.asarray(tensors[key]), value, rtol=0, atol=1e-10, err_msg=key)


def test_names_of_tensors_stay(tmp_path):
    module, x, _ = pair()
    net = NeuralNetwork.from_torch(module, output="softmax", backend="numpy")
    kept = net.metadata["torch"]
    assert kept["modules"] == ["body.0", "body.1", "body.2", "body.3", "body.4", "act", "head"]
    assert kept["state_dict"]["W1"] == "body.0.weight"
    assert kept["state_dict"]["running_var1"] == "body.1.running_var"
    assert json.loads(json.dumps(kept)) == kept
    net.save(tmp_path / "net.safetensors")
    again = NeuralNetwork.load(tmp_path / "net.safetensors").to_torch()
    assert [name for name, _ in again.named_children()] == ["body", "act", "head", "output"]
    module.load_state_dict(again.state_dict())
    rows = torch.from_numpy(x[0])
    probabilities = again(rows).detach()
    assert torch.allclose(probabilities, module.eval()(rows).softmax(-1), rtol=0, atol=1e-14)
    net.metadata["torch"] = {"modules": ["0", "0.1"]}  # edited by somebody
    assert next(iter(net.to_torch().state_dict())) == "0.weight"


def test_the_last_log_softmax_makes_room_for_probabilities():
    module = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(dim=1))
    net = NeuralNetwork.from_torch(module, output="softmax", backend="numpy")
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_allclose(net.predict(x), module(torch.from_numpy(x)).exp().detach(), rtol=1e-5)
    assert (net.loss, NeuralNetwork.from_torch(module, backend="numpy").loss) == ("cross_entropy", None)


def test_images_and_frozen_layers():
    frozen = nn.Linear(12, 5).requires_grad_(False)
    module = nn.Sequential(nn.Flatten(), frozen, nn.ReLU(), nn.Linear(5, 2), nn.LayerNorm(2, elementwise_affine=False))
    net = NeuralNetwork.from_torch(module, input_shape=(3, 2, 2), backend="numpy")
    agree(net, module)
    assert NeuralNetwork.from_torch(module, backend="numpy").architecture.features == (12,)
    net.fit(np.random.default_rng(0).standard_normal((20, 3, 2, 2)), np.zeros((20, 2)), epochs=1)
    weights = net.to_torch()[1]
    assert torch.equal(weights.weight, frozen.weight)
    assert not weights.weight.requires_grad
    assert net.to_torch()[3].weight.requires_grad
    assert not torch.equal(net.to_torch()[3].weight, module[3].weight)


def test_a_module_that_stands_twice_without_parameters():
    act = nn.ReLU()
    module = nn.Sequential(nn.Linear(2, 3), act, nn.Linear(3, 3), act, nn.Linear(3, 1))
    assert len(NeuralNetwork.from_torch(module, backend="numpy").architecture.layers) == 5


def test_copies_are_copies():
    module = nn.Sequential(nn.Linear(2, 2))
    net = NeuralNetwork.from_torch(module, backend="torch")
    before = net.fingerprint()
    made = net.to_torch()
    with torch.no_grad():
        module[0].weight.add_(1.0)
        made[0].weight.add_(1.0)
    assert net.fingerprint() == before


class Own(nn.Module):
    def forward(self, x):
        return x


class Backwards(nn.Sequential):
    def forward(self, x):
        return super().forward(-x)


def hooked(hook):
    layer = nn.Linear(3, 2)
    getattr(layer, hook)(lambda *arguments: None)
    return layer


TIED = nn.Linear(3, 3)
REFUSED = {
    "module: expected Sequential, .*; got .*Own": lambda: Own(),
    "module '1': expected Sequential": lambda: nn.Sequential(nn.Linear(3, 2), nn.Conv3d(1, 1, 1)),
    "module: expected Sequential, .*; got .*Backwards": lambda: Backwards(nn.Linear(3, 2)),
    "module 'a.0', LeakyReLU: expected negative_slope=0.01; got 0.2": lambda: nn.Sequential(
        OrderedDict(l=nn.Linear(3, 2), a=nn.Sequential(nn.LeakyReLU(0.2)))
    ),
    "ELU: expected alpha=1.0; got 2.0": lambda: nn.Sequential(nn.Linear(3, 2), nn.ELU(2.0)),
    "GELU: expected approximate='none'; got 'tanh'": lambda: nn.Sequential(nn.Linear(3, 2), nn.GELU("tanh")),
    "expected threshold=40 in float64": lambda: nn.Sequential(nn.Linear(3, 2), nn.Softplus()).double(),
    "expected beta=1.0; got 2.0": lambda: nn.Sequential(nn.Linear(3, 2), nn.Softplus(beta=2.0)),
    "Softmax: expected dim=-1, the last axis; got 0": lambda: nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=0)),
    "expected a number as momentum": lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=None)),
    "expected affine=True": lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, affine=False)),
    "expected track_running_stats=True": lambda: nn.Sequential(
        nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)
    ),
    "expected a frozen BatchNorm1d in eval mode": lambda: nn.Sequential(
        nn.Linear(3, 2), nn.BatchNorm1d(2).requires_grad_(False)
    ),
    "expected a bias beside the weight": lambda: nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2, bias=False)),
    "expected a normalisation over the last axis": lambda: nn.Sequential(
        nn.LayerNorm((3, 2)), nn.Flatten(), nn.Linear(6, 2)
    ),
    "expected start_dim=1; got 0": lambda: nn.Sequential(nn.Flatten(0), nn.Linear(3, 2)),
    "expected padding_idx=None; got 0": lambda: nn.Sequential(
        nn.Embedding(3, 2, padding_idx=0), nn.Flatten(), nn.Linear(4, 2)
    ),
    "expected rows of \\(4,\\); got \\(2,\\)": lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(4, 2)),
    "expected parameters of its own": lambda: nn.Sequential(TIED, nn.ReLU(), TIED),
    "expected no hooks": lambda: nn.Sequential(hooked("register_forward_pre_hook")),
    "expected no hooks, which": lambda: nn.Sequential(hooked("register_full_backward_hook")),
    "got .*ParametrizedLinear": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))),
    "expected parameters of float32 or of float64; got .*float16": lambda: nn.Sequential(nn.Linear(3, 2)).half(),
    "expected parameters of float32 or of float64; got .*float32.*float64": lambda: nn.Sequential(
        nn.Linear(3, 2), nn.Linear(2, 2).double()
    ),
    "input_shape: expected the shape": lambda: nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2), nn.Linear(2, 2)),
    "expected at least one layer": lambda: nn.Sequential(),
    "got .*LazyLinear": lambda: nn.Sequential(nn.LazyLinear(3)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_modules_that_compute_something_else_are_refused(message):
    with pytest.raises(ArgumentError, match=message):
        NeuralNetwork.from_torch(REFUSED[message](), backend="numpy")


def test_half_frozen_layers_are_refused():
    layer = nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    with pytest.raises(ArgumentError, match="all parameters trainable or none"):
        NeuralNetwork.from_torch(layer)


REFUSED_OPTIMIZERS = {
    "expected torch.optim.SGD, Adam or AdamW; got RMSprop": lambda p: torch.optim.RMSprop(p),
    "expected amsgrad=False": lambda p: torch.optim.Adam(p, amsgrad=True),
    "expected maximize=False": lambda p: torch.optim.SGD(p, maximize=True),
    "expected dampening=0": lambda p: torch.optim.SGD(p, momentum=0.9, dampening=0.5),
    "expected one weight_decay for the weights of Linear and 0": lambda p: torch.optim.AdamW(p),
    "expected all trainable parameters; got none of module '1', Linear": lambda p: torch.optim.SGD(p[:2]),
    "expected one lr for all": lambda p: torch.optim.SGD([{"params": p[:2], "lr": 0.5}, {"params": p[2:]}], lr=0.1),
}


@pytest.mark.parametrize("message", REFUSED_OPTIMIZERS)
def test_optimizers_that_update_otherwise_are_refused(message):
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = REFUSED_OPTIMIZERS[message](list(module.parameters()))
    with pytest.raises(ArgumentError, match=message):
        NeuralNetwork.from_torch(module, optimizer=optimizer)


def test_states_of_two_ages_are_refused():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(module.parameters())
    module[0](torch.ones(1, 3)).sum().backward()
    optimizer.step()
    with pytest.raises(ArgumentError, match=r"same number of steps .*; got \[0, 1\]"):
        NeuralNetwork.from_torch(module, optimizer=optimizer)


def test_an_optimizer_of_portnn():
    net = NeuralNetwork.from_torch(nn.Linear(3, 2), optimizer=Adam(0.5), backend="numpy")
    assert net.optimizer == Adam(0.5)
    assert net.predict(np.zeros((1, 3))).shape == (1, 2)


@pytest.mark.parametrize("layer", [Standardize(), GaussianNoise(0.1), Residual((Dense(4),))], ids=repr)
def test_layers_that_pytorch_has_not(layer):
    net = NeuralNetwork(4, layer, 4, 2, seed=0)
    with pytest.raises(ArgumentError, match=f"to_torch: expected .*; got {type(layer).__name__}"):
        net.to_torch()


def test_networks_without_widths():
    with pytest.raises(NotFittedError):
        NeuralNetwork().to_torch()


def test_without_pytorch(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("portnn.conversion.")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(portnn.conversion, name.rpartition(".")[2])
    with pytest.raises(BackendUnavailableError, match=r"to_torch: .*pip install 'portnn\[torch\]'"):
        NeuralNetwork(2, 1).to_torch()


def test_every_layer_of_the_table_goes_to_pytorch():
    net = NeuralNetwork(
        4, Dense(6), LayerNorm(), "relu", Dropout(0.2), 3, output="softmax", loss="cross_entropy", seed=0
    )
    names = [type(m).__name__ for m in net.to_torch()]
    assert names == ["Linear", "LayerNorm", "ReLU", "Dropout", "Linear", "Softmax"]
    agree(net, net.to_torch())
    assert not net.to_torch().training


def of_images():
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), (1, 2), (1, 0), groups=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout2d(0.2), nn.ZeroPad2d((1, 1, 2, 2)), nn.Conv2d(4, 3, 2, padding="same", bias=False, dilation=2),
        nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(84, 24), nn.Unflatten(1, (2, 12)), nn.Conv1d(2, 3, 3, 2, 1),
        nn.Flatten(), nn.Linear(18, 3),
    ).double()  # fmt: skip


def test_networks_of_images_go_both_ways():
    """Outputs, a step of training, and the names of the tensors."""
    torch.manual_seed(0)
    module, x = of_images().eval(), np.random.default_rng(0).standard_normal((5, 2, 8, 12))
    net = NeuralNetwork.from_torch(module, input_shape=(2, 8, 12), loss="mse", optimizer="sgd", seed=0, backend="numpy")
    expected = module(torch.from_numpy(x)).detach().numpy()
    assert np.abs(net.predict(x) - expected).max() < 1e-12
    back = net.to_torch()
    assert np.abs(back(torch.from_numpy(x)).detach().numpy() - expected).max() < 1e-12
    assert list(back.state_dict()) == list(module.state_dict())
    y = np.random.default_rng(1).standard_normal((5, 3))
    for part in module:
        if isinstance(part, nn.BatchNorm2d | nn.Dropout2d):
            part.train(isinstance(part, nn.BatchNorm2d))
    names = net.metadata["torch"]["state_dict"]
    module[4] = nn.Identity()
    dropless = NeuralNetwork.from_torch(module, input_shape=(2, 8, 12), loss="mse", seed=0, backend="numpy")
    _, gradients = dropless.gradients(x, y)
    nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    tensors = dict(module.named_parameters())
    for name, gradient in gradients.items():
        theirs = tensors[names[name]].grad.numpy()
        assert np.abs(gradient - (theirs.T if theirs.ndim == 2 else theirs)).max() < 1e-12


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(3, 4, 3), r"module '0', Conv2d: expected 3 channels; got rows of \(2, 8, 8\)"),
        (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), "expected padding_mode='zeros'; got 'reflect'"),
        (nn.MaxPool2d(2, ceil_mode=True), "expected ceil_mode=False; got True"),
        (nn.AvgPool2d(2, padding=1), "expected padding=0; got 1"),
        (nn.ZeroPad2d((1, 2, 1, 1)), "expected as many zeros on one side as on the other"),
        (nn.BatchNorm2d(3), r"module '0', BatchNorm2d: expected 3 channels"),
    ],
)
def test_modules_of_images_that_compute_something_else_are_refused(module, message):
    rest = nn.Sequential(module, nn.Flatten(), nn.Linear(9, 2))
    with pytest.raises(ArgumentError, match=message):
        NeuralNetwork.from_torch(rest, input_shape=(2, 8, 8))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (MaxPool2D(2, padding="same"), "expected whole windows"),
        (Conv2D(2, 3, 2, "same"), 'expected a stride of 1 with padding="same"'),
        (GlobalAveragePool2D(), "to_torch: expected"),
    ],
)
def test_layers_of_images_that_pytorch_has_not_are_refused(layer, message):
    net = NeuralNetwork((1, 7, 7), layer, Flatten(), 2, seed=0, backend="numpy")
    with pytest.raises(ArgumentError, match=message):
        net.to_torch()
