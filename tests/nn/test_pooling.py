"""Pools: PyTorch as the oracle, with ties and partial windows."""

import numpy as np
import pytest

from portnn import AveragePool2D, GlobalAveragePool2D, MaxPool2D, ZeroPad2D
from portnn.errors import ArgumentError, ShapeError
from portnn.types import ForwardContext

TRAINING = ForwardContext(training=True)
CASES = [((2, 2), None, "valid"), ((2, 2), None, "same"), ((3, 2), (2, 1), "valid"), ((3, 3), (2, 2), "valid")]
CASES += [((2, 3), (3, 3), "valid"), ((1, 2), (2, 2), "same"), ((3, 3), (1, 1), "valid")]


def run(layer, x):
    output, backward = layer.forward(np, {}, x, TRAINING)
    assert output.shape[1:] == layer.shapes(x.shape[1:]).output
    dy = np.random.default_rng(1).standard_normal(output.shape)
    return output, backward(dy)[0], dy


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("size", "stride", "padding"), CASES)
def test_the_largest_pixel_is_pytorchs(size, stride, padding, ties):
    """The first of equal ones takes the gradient; a partial window is one of ceil_mode."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.integers(-1, 2, (2, 3, 7, 8)) * 1.0 if ties else rng.standard_normal((2, 3, 7, 8))
    output, dx, dy = run(MaxPool2D(size, stride, padding), x)
    given = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.max_pool2d(given, size, stride or size, ceil_mode=padding == "same")
    expected.backward(torch.tensor(dy))
    assert np.array_equal(output, expected.detach().numpy())
    assert np.abs(dx - given.grad.numpy()).max() < 1e-12


@pytest.mark.parametrize(("size", "stride", "padding"), CASES)
def test_the_mean_pixel_is_pytorchs(size, stride, padding):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8))
    output, dx, dy = run(AveragePool2D(size, stride, padding), x)
    given = torch.tensor(x, requires_grad=True)
    options = {"ceil_mode": padding == "same", "count_include_pad": False}
    expected = torch.nn.functional.avg_pool2d(given, size, stride or size, **options)
    expected.backward(torch.tensor(dy))
    assert np.abs(output - expected.detach().numpy()).max() < 1e-12
    assert np.abs(dx - given.grad.numpy()).max() < 1e-12


def test_the_first_of_equal_pixels_takes_the_gradient():
    _, dx, dy = run(MaxPool2D((2, 2)), np.ones((1, 1, 4, 4)))
    assert np.array_equal(dx[0, 0, ::2, ::2], dy[0, 0])
    assert np.count_nonzero(dx) == 4


def test_pixels_of_no_number_stay_ones():
    x = np.array([[[[np.nan, 1.0], [2.0, 3.0]], [[-np.inf, -np.inf], [-np.inf, -np.inf]]]])
    output, _, _ = run(MaxPool2D(2), x)
    assert np.isnan(output[0, 0, 0, 0])
    assert output[0, 1, 0, 0] == -np.inf


def test_the_mean_of_a_channel():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    output, dx, dy = run(GlobalAveragePool2D(), x)
    assert np.allclose(output, x.mean(axis=(2, 3)), rtol=0, atol=1e-15)
    assert np.allclose(dx, np.broadcast_to(dy[..., None, None] / 20, x.shape), rtol=0, atol=1e-15)


def test_zeros_around_images():
    x = np.random.default_rng(0).standard_normal((2, 1, 2, 3))
    x[0, 0, 0, 0] = np.inf  # a zero that was computed from it would be NaN
    output, dx, dy = run(ZeroPad2D((1, 5)), x)
    assert np.array_equal(output, np.pad(x, ((0, 0), (0, 0), (1, 1), (5, 5))))
    assert np.array_equal(dx, dy[:, :, 1:3, 5:8])


def test_what_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match='padding: expected "same", "valid"; got 1'):
        MaxPool2D(2, padding=1)
    with pytest.raises(ArgumentError, match="stride: expected"):
        AveragePool2D(2, stride=(1, 0))
    with pytest.raises(ShapeError, match="MaxPool2D, height: expected at least 3 pixels for the kernel; got 2"):
        MaxPool2D(3).shapes((1, 2, 9))
    for layer in (MaxPool2D(), AveragePool2D(), GlobalAveragePool2D(), ZeroPad2D(1)):
        with pytest.raises(ShapeError, match=r"expected images, \(batch, channels, height, width\)"):
            layer.shapes((4,))


def test_a_partial_window_is_the_mean_of_its_pixels():
    output, dx, dy = run(AveragePool2D(2, padding="same"), np.array([[[[1.0, 2.0, 5.0], [4.0, 5.0, 0.0]]]]))
    assert output.tolist() == [[[[3.0, 2.5]]]]
    assert np.allclose(dx[0, 0], [[dy[0, 0, 0, 0] / 4] * 2 + [dy[0, 0, 0, 1] / 2]] * 2)
