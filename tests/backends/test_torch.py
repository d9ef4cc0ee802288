"""What a user has set in PyTorch for other work reaches no network, and is as it was afterwards."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from portnn import Layer, NeuralNetwork, Shapes, get_backend

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((40, 300)).astype(np.float32), RNG.integers(0, 3, 40)
KINDS = {"output": "softmax", "loss": "cross_entropy", "seed": 0, "backend": "torch:cpu"}


def classifier(*hidden):
    return NeuralNetwork(300, *hidden, 3, **KINDS)


def everything(net):
    """What training and using a network gives, call by call first and recorded then."""
    seen = []
    for _ in range(4):
        seen += [np.asarray(each) for each in (net.step(X[:7], LABELS[:7]), net.predict(X[:7]))]
        seen += [np.asarray(each) for each in net.gradients(X[:7], LABELS[:7])[1].values()]
    net.fit(X, LABELS, epochs=2, batch_size=20)
    return [each.tobytes() for each in seen], net.fingerprint()


@pytest.mark.parametrize("width", [8, 600])
@pytest.mark.parametrize("inside", list(itertools.product((True, False), repeat=3)))
def test_inference_mode_leaves_nothing_that_cannot_be_written(inside, width):
    """Made, used, used again inside of it or outside; of 600 units a step consumes the state."""
    modes = [torch.inference_mode(each) for each in inside]
    with modes[0]:
        net = classifier(width)
    other = classifier(width)
    for mode in modes[1:]:
        with mode:
            found = everything(net)
        assert found == everything(other)
    net.set_parameters(net.parameters)
    assert net.fingerprint() == other.fingerprint()


def test_autocast_casts_nothing():
    expected = everything(classifier(8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = everything(classifier(8))
        assert torch.is_autocast_enabled("cpu")
    assert found == expected


def test_new_tensors_land_on_the_networks_own_device():
    """ "meta" has no values: whatever lands there shows."""
    expected = everything(classifier(8))
    with torch.device("meta"):
        assert everything(classifier(8)) == expected


@dataclass(frozen=True)
class Asks(Layer):
    """Notes with which precision products are computed."""

    notes: ClassVar[list] = []

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, mode):
        self.notes.append(torch.backends.mkldnn.matmul.fp32_precision)
        return x, lambda dy: (dy, {})


@pytest.fixture
def precision():
    """As in a process of its own; the old way sets each library's own."""
    yield
    torch.set_float32_matmul_precision("highest")
    for each in (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul, torch.backends):
        each.fp32_precision = "none"


@pytest.mark.usefixtures("precision")
@pytest.mark.parametrize("way", ["of old", "of its own", "of all"])
def test_products_are_in_full_precision(way):
    expected, Asks.notes[:] = everything(classifier(8)), []
    products = torch.backends.mkldnn.matmul
    match way:
        case "of old":
            torch.set_float32_matmul_precision("medium")
        case "of its own":
            products.fp32_precision = "bf16"
        case "of all":
            torch.backends.fp32_precision = "bf16"
    assert everything(classifier(8)) == expected
    classifier(Asks(), 8).step(X[:7], LABELS[:7])
    assert {*Asks.notes} == {"ieee"}
    assert products.fp32_precision == "bf16"
    if way == "of old":
        assert torch.get_float32_matmul_precision() == "medium"
    torch.backends.fp32_precision = "tf32"  # what was inherited follows, what was its own stays
    assert products.fp32_precision == ("tf32" if way == "of all" else "bf16")


@pytest.mark.usefixtures("precision")
def test_products_are_in_full_precision_whoever_leaves_first():
    """The setting is the process's: a thread that leaves must not give it back while another computes."""
    products, backend = torch.backends.mkldnn.matmul, get_backend("torch:cpu")
    products.fp32_precision = "bf16"
    for order in (0, 1), (1, 0):
        scopes = [backend.scope() for _ in order]
        scopes[0].__enter__()
        scopes[1] = backend.scope()  # which finds it as the first has set it
        scopes[1].__enter__()
        scopes[order[0]].__exit__(None, None, None)
        assert products.fp32_precision == "ieee"
        scopes[order[1]].__exit__(None, None, None)
        assert products.fp32_precision == "bf16"
    # Each thread has a setting of its own for gradients, which this one has left in the wrong order.
    torch.set_grad_enabled(True)


def test_gradients_are_not_followed():
    net = classifier(8)
    x = torch.tensor(X[:7], requires_grad=True)
    for _ in range(4):
        loss = net.step(x, LABELS[:7])
        assert not loss.requires_grad
        assert not net.predict(x).requires_grad
    assert net.backend == repr(get_backend("torch:cpu"))
