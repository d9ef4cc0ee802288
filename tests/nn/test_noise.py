"""Layers with random bits: images that are shifted, channels that are dropped."""

import numpy as np
import pytest

from portnn import Dropout, RandomShift, Reshape
from portnn.errors import ArgumentError, ShapeError
from portnn.types import ForwardContext

TRAINING = ForwardContext(training=True, key=(3, 4), layer=0)


def shifted(x, down, right):
    """Return an image whose pixels moved, with zeros where they came from."""
    n = 9
    padded = np.pad(x, ((0, 0), (n, n), (n, n)))
    return padded[:, n - down : n - down + x.shape[1], n - right : n - right + x.shape[2]]


def test_images_are_shifted_by_so_many_pixels_at_most():
    x = np.random.default_rng(0).standard_normal((400, 2, 5, 6))
    output, backward = RandomShift(2).forward(np, {}, x, TRAINING)
    dy = np.random.default_rng(1).standard_normal(x.shape)
    dx, _ = backward(dy)
    places = {(down, right): 0 for down in range(-2, 3) for right in range(-2, 3)}
    for i in range(len(x)):
        (found,) = (place for place in places if np.array_equal(output[i], shifted(x[i], *place)))
        places[found] += 1
        assert np.array_equal(dx[i], shifted(dy[i], -found[0], -found[1]))
    assert min(places.values()) > 4  # of 16 on average
    assert max(places.values()) < 35


def test_parts_of_a_batch_are_shifted_as_the_whole():
    x = np.random.default_rng(0).standard_normal((10, 1, 4, 4))
    whole = RandomShift(1).forward(np, {}, x, TRAINING).output
    part = RandomShift(1).forward(np, {}, x[6:], TRAINING._replace(row=6)).output
    assert np.array_equal(whole[6:], part)


def test_nothing_is_shifted_or_dropped_at_prediction():
    x = np.ones((3, 2, 4, 4))
    for layer in (RandomShift(1), Dropout(0.5, whole_channels=True)):
        assert layer.forward(np, {}, x, ForwardContext()).output is x


def test_whole_channels_are_dropped():
    x = np.ones((300, 4, 3, 3))
    output = Dropout(0.25, whole_channels=True).forward(np, {}, x, TRAINING).output
    assert np.all((output == output[:, :, :1, :1]) & np.isin(output, [0.0, 1 / 0.75]))
    assert (output[:, :, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.06)  # 5 deviations of 1,200 draws


def test_what_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match="pixels: expected"):
        RandomShift(0)
    with pytest.raises(ShapeError, match=r"RandomShift: expected images, \(batch, channels, height, width\)"):
        RandomShift(1).shapes((5,))
    with pytest.raises(ArgumentError, match=r"shape: expected that of a row, such as \(1, 28, 28\); got 784"):
        Reshape(784)
    with pytest.raises(ShapeError, match=r"Reshape: expected 784 numbers a row for \(1, 28, 28\); got \(785,\)"):
        Reshape((1, 28, 28)).shapes((785,))
