"""Convolution and windows: PyTorch and the formula as oracles, tiles, memory, errors."""

import logging

import numpy as np
import pytest

from portnn import Conv1D, Conv2D, Flatten, MaxPool2D, NeuralNetwork
from portnn.errors import ArgumentError, ShapeError
from portnn.nn import windows
from portnn.nn.windows import axis_of
from portnn.types import ForwardContext

TRAINING = ForwardContext(training=True)


def run(layer, x, dy_seed=0):
    """Return (output, {name: gradient}) with random weights and a random gradient of the output."""
    rng = np.random.default_rng(dy_seed)
    weights = {name: rng.standard_normal(spec[0]) for name, spec in layer.shapes(x.shape[1:]).parameters.items()}
    output, backward = layer.forward(np, weights, x, TRAINING)
    assert output.shape[1:] == layer.shapes(x.shape[1:]).output
    dy = rng.standard_normal(output.shape)
    dx, gradients = backward(dy)
    return output, {"x": dx, **gradients}, weights, dy


def drawn(seed):
    """Return a layer and images: strides, padding, dilation, groups, odd sizes, one row, one channel."""
    rng = np.random.default_rng(seed)
    groups, channels, filters = (int(rng.integers(1, 4)) for _ in range(3))
    kernel, stride, dilation = (tuple(map(int, rng.integers(1, most, 2))) for most in (5, 4, 3))
    padding = int(rng.integers(0, 3))
    least = [max(d * (k - 1) + 1 - 2 * padding, 1) for k, d in zip(kernel, dilation, strict=True)]
    shape = int(rng.integers(1, 5)), channels * groups, *(int(rng.integers(n, n + 9)) for n in least)
    return Conv2D(filters * groups, kernel, stride, padding, dilation, groups), rng.standard_normal(shape)


@pytest.mark.parametrize("seed", range(50))
def test_values_and_gradients_are_pytorchs(seed, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(windows, "TILE", (1, 300, 1 << 19)[seed % 3])
    layer, x = drawn(seed)
    output, gradients, weights, dy = run(layer, x)
    given = {name: torch.tensor(value, requires_grad=True) for name, value in {"x": x, **weights}.items()}
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    expected = torch.nn.functional.conv2d(given["x"], given["W"], given["b"], *options)
    expected.backward(torch.tensor(dy))
    assert np.abs(output - expected.detach().numpy()).max() < 1e-12
    for name, value in gradients.items():
        assert np.abs(value - given[name].grad.numpy()).max() < 1e-12


def by_formula(x, w, b, stride, pad, dilation, groups):
    """Return the sum of the docstring, pixel by pixel; pad: ((above, below), (left, right))."""
    x = np.pad(x, ((0, 0), (0, 0), *pad))
    n, (filters, channels, kh, kw) = len(x), w.shape
    high, wide = ((x.shape[2 + i] - dilation[i] * (w.shape[2 + i] - 1) - 1) // stride[i] + 1 for i in range(2))
    y = np.zeros((n, filters, high, wide))
    for f, i, j in np.ndindex(filters, high, wide):
        first = f // (filters // groups) * channels
        rows, columns = (
            slice(at * s, at * s + d * (k - 1) + 1, d)
            for at, s, d, k in zip((i, j), stride, dilation, (kh, kw), strict=True)
        )
        seen = x[:, first : first + channels, rows, columns]
        y[:, f, i, j] = (seen * w[f]).sum(axis=(1, 2, 3)) + b[f]
    return y


@pytest.mark.parametrize("seed", range(0, 50, 5))
def test_values_are_those_of_the_formula(seed):
    layer, x = drawn(seed)
    output, _, weights, _ = run(layer, x)
    pad = ((layer.padding, layer.padding),) * 2
    expected = by_formula(x, weights["W"], weights["b"], layer.stride, pad, layer.dilation, layer.groups)
    assert np.abs(output - expected).max() < 1e-12


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (5, 4, 1), (5, 1, 3), (6, 5, 4)])
def test_same_padding_gives_a_place_for_each_stride(size, kernel, stride):
    x = np.random.default_rng(0).standard_normal((2, 1, size, size))
    layer = Conv2D(2, kernel, stride, "same")
    output, _, weights, _ = run(layer, x)
    assert output.shape[2:] == (-(-size // stride),) * 2
    axis = axis_of("", size, kernel, stride, "same")
    after = max((axis.places - 1) * stride + kernel - size - axis.before, 0)
    assert axis.before in (after, after - 1)  # one more zero goes to the end
    pad = ((axis.before, after),) * 2
    expected = by_formula(x, weights["W"], weights["b"], (stride,) * 2, pad, (1, 1), 1)
    assert np.abs(output - expected).max() < 1e-12


def test_a_convolution_of_sequences_is_pytorchs():
    torch = pytest.importorskip("torch")
    layer, x = Conv1D(6, 3, 2, 2, 3, 2), np.random.default_rng(1).standard_normal((3, 4, 17))
    output, gradients, weights, dy = run(layer, x)
    given = {name: torch.tensor(value, requires_grad=True) for name, value in {"x": x, **weights}.items()}
    expected = torch.nn.functional.conv1d(given["x"], given["W"], given["b"], 2, 2, 3, 2)
    expected.backward(torch.tensor(dy))
    assert np.abs(output - expected.detach().numpy()).max() < 1e-12
    assert all(np.abs(value - given[name].grad.numpy()).max() < 1e-12 for name, value in gradients.items())


def test_fans_are_those_of_a_window():
    spec = Conv2D(8, (3, 2), groups=2).shapes((4, 9, 9)).parameters["W"]
    assert spec.shape == (8, 2, 3, 2)
    assert spec.fans == (2 * 6, 4 * 6)
    weights = NeuralNetwork((16, 9, 9), Conv2D(64, 3), "relu", Flatten(), 2, seed=0, backend="numpy").parameters["W1"]
    assert np.std(weights) == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.02)  # he, of the window


def small(**options):
    options = {"seed": 0, "output": "softmax", "loss": "cross_entropy", **options}
    return NeuralNetwork(
        (1, 12, 12), Conv2D(4, 5, padding="same"), "relu", MaxPool2D(2), Conv2D(6, 3), Flatten(), 3, **options
    )


X = np.random.default_rng(2).standard_normal((24, 1, 12, 12))
Y = np.arange(24) % 3


def test_tiles_change_no_bit_of_reproducible_arithmetic(monkeypatch):
    prints = []
    for tile in (1, 5_000, 1 << 19):
        monkeypatch.setattr(windows, "TILE", tile)
        net = small(arithmetic="reproducible", backend="numpy")
        net.fit(X, Y, epochs=2, batch_size=12)
        prints.append(net.fingerprint())
    assert len(set(prints)) == 1


def test_a_step_is_recorded_and_keeps_no_windows(monkeypatch, caplog):
    """Of 24 images one at a time: windows of both passes share the memory of one."""
    sizes = {}
    for tile in (1, 1 << 19):
        monkeypatch.setattr(windows, "TILE", tile)
        net = small(backend="numpy", dtype="float32")
        with caplog.at_level(logging.DEBUG, "portnn"):
            net.fit(X, Y, epochs=3, batch_size=24)
        (program,) = [program for steps in net._runtime._steps for program in steps._programs.values() if program]
        sizes[tile] = program.size
    assert not caplog.text
    unfolded = 4 * 24 * (25 * 12 * 12 + 4 * 9 * 4 * 4)
    activations = 4 * 24 * (3 * 4 * 12 * 12 + 4 * 6 * 6 + 6 * 4 * 4)
    assert sizes[1] < 2 * activations
    assert sizes[1 << 19] > unfolded


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Conv2D(0, 3), "filters: expected"),
        (lambda: Conv2D(4, (3, 3, 3)), "kernel: expected a number, or one for the height and one for the width"),
        (lambda: Conv2D(4, 3, stride=0), "stride: expected"),
        (lambda: Conv2D(4, 3, padding="full"), 'padding: expected "same", "valid" or a number of zeros'),
        (lambda: Conv2D(4, 3, padding=-1), 'padding: expected "same", "valid" or a number of zeros'),
        (lambda: Conv2D(4, 3, groups=3), "groups: expected a divisor of 4 filters; got 3"),
        (lambda: Conv1D(4, (3,)), "kernel: expected"),
    ],
)
def test_options_that_cannot_be(made, says):
    with pytest.raises(ArgumentError, match=says):
        made()


@pytest.mark.parametrize(
    ("layer", "features", "says"),
    [
        (Conv2D(4, 3), (9,), r"Conv2D: expected images, \(batch, channels, height, width\)"),
        (Conv2D(4, 3, groups=2), (3, 9, 9), "Conv2D: expected channels in 2 groups; got 3"),
        (Conv2D(4, 5), (1, 9, 4), "Conv2D, width: expected at least 5 pixels for the kernel; got 4"),
        (Conv1D(4, 3), (2, 9, 9), r"Conv1D: expected sequences, \(batch, channels, length\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(layer, features, says):
    with pytest.raises(ShapeError, match=says):
        layer.shapes(features)


def test_sizes_may_be_lists_and_come_back_from_a_file(tmp_path):
    layers = Conv2D(2, [3, 2], stride=[1, 2], padding=[1, 0]), MaxPool2D([2, 1]), Flatten()
    net = NeuralNetwork((1, 6, 6), *layers, 2, seed=0, backend="numpy")
    net.save(tmp_path / "net.safetensors")
    again = NeuralNetwork.load(tmp_path / "net.safetensors")
    assert again.architecture.layers == net.architecture.layers == (*layers, *net.architecture.layers[3:])
    assert hash(layers[0]) == hash(Conv2D(2, (3, 2), (1, 2), (1, 0)))


def test_channels_that_seem_to_come_last_are_warned_of_once(caplog):
    for _ in range(2):
        NeuralNetwork((9, 9, 3), Conv2D(2, 3), Flatten(), 2, seed=0, backend="numpy")
    assert caplog.messages == [
        "Conv2D: takes (9, 9, 3) as 9 channels of 9 x 3 pixels; if the channels come last, transpose the images: "
        "x.transpose(0, 3, 1, 2)"
    ]
    NeuralNetwork((3, 9, 9), Conv2D(2, 3), Flatten(), 2, seed=0, backend="numpy")
    assert len(caplog.messages) == 1


def test_a_large_batch_has_no_more_than_most_tiles(monkeypatch):
    """Each is recorded, or compiled, by itself."""
    monkeypatch.setattr(windows, "TILE", 1)
    taken = []
    windows.by_tiles(np, ForwardContext(), 1000, 5, lambda tile: taken.append(tile) or np.zeros((1, 1)))
    assert len(taken) == windows.MOST_TILES
    assert (taken[0].start, taken[-1].stop) == (0, 1000)
