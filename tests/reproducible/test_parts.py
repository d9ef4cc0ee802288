"""The namespace on a part of a batch: what is over its rows comes from all processes, or is refused."""

import numpy as np
import pytest

from portnn import DistributedError, get_backend
from portnn.reproducible.arithmetic import ARITHMETICS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 4, 3)) * 10.0 ** RNG.integers(-9, 9, (7, 4, 3))


@pytest.fixture
def xp():
    """The namespace of a process that has rows 2, 3 and 4 of seven."""
    return ARITHMETICS["reproducible"](get_backend("numpy")).over_parts(2, 7, lambda array, op: array)


@pytest.fixture
def x(xp):
    return xp.split(X[2:5])


def test_rows_are_followed_through_shapes(xp, x):
    for made, rows, per_row in (
        (xp.reshape(x, (3, 12)), -2, 1),
        (xp.reshape(x, (-1,)), -1, 12),
        (xp.reshape(x, (12, 3)), -2, 4),
        (xp.expand_dims(x, axis=1), -4, 1),
        (xp.expand_dims(x, axis=0), -3, 1),
        (xp.expand_dims(x, axis=-1), -4, 1),
        (x[:, 1:3], -3, 1),
        (x[..., :], -3, 1),
        (xp.sum(x, axis=1), -2, 1),
        (xp.sum(x, axis=(1, 2)), -1, 1),
        (xp.sum(x, axis=-1, keepdims=True), -3, 1),
        (xp.max(x, axis=2), -2, 1),
        (xp.matrix_transpose(xp.sum(x, axis=1)), -1, 1),
        (xp.concat([x, x], axis=2), -3, 1),
        (x * 2.0 > xp.whole(X[0]), -3, 1),
        (xp.astype(x > 0.0, xp.float64), -3, 1),
    ):
        assert (made.rows, made.per_row, made.drawn) == (rows, per_row, False)
    assert xp.sum(xp.whole(X), axis=0).rows is None
    assert xp.take(xp.whole(X[0]), xp.split(np.asarray([0, 1, 0])), axis=0).rows == -2
    drawn = xp.expand_dims(xp.arange(3, dtype=xp.int32), axis=1)
    assert drawn.drawn
    assert (xp.reshape(x, (3, 12)) * xp.astype(drawn, xp.float64)).rows == -2


REFUSED = {
    "no index for the rows": lambda xp, x: x[1:],
    "slices as indices": lambda xp, x: x[:, 0],
    "whose first axis has the rows; got .2, 18": lambda xp, x: xp.reshape(x, (2, 18)),
    "no more rows than those of the batch": lambda xp, x: xp.concat([x, x]),
    "the same axis has the rows": lambda xp, x: x + xp.expand_dims(xp.sum(x, axis=1), axis=0),
    "xp.max over the rows": lambda xp, x: xp.max(x),
    "sums of arrays that depend on the data": lambda xp, x: xp.sum(xp.arange(3, dtype=xp.float64)),
    "products of arrays that depend on the data": lambda xp, x: xp.matmul(
        xp.whole(X[0]), xp.reshape(xp.arange(9, dtype=xp.float64), (3, 3))
    ),
    "the rows of the batch on one axis of a product": lambda xp, x: xp.matmul(xp.sum(x, axis=1), xp.sum(x, axis=1)),
    "on the first axis of a sum": lambda xp, x: xp.sum(xp.matrix_transpose(xp.sum(x, axis=1)), axis=1),
    "a table that is the same for all rows": lambda xp, x: xp.take(x, xp.split(np.arange(3)), axis=1),
    "indices that belong to the rows": lambda xp, x: xp.take(x, xp.whole(np.arange(3)), axis=0),
    "xp.argmax has no meaning yet": lambda xp, x: xp.argmax(x, axis=1),
    "a loss of the whole batch": lambda xp, x: xp.result("loss", x),
    "a gradient of the whole batch": lambda xp, x: xp.result("gradient", xp.arange(3, dtype=xp.float64)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_would_be_of_this_part_alone_is_refused(xp, x, message):
    with pytest.raises(DistributedError, match=f"distributed: .*{message}"):
        REFUSED[message](xp, x)


def test_the_number_of_a_parts_rows_counts_and_shapes(xp, x):
    rows = x.shape[0]
    assert (rows, rows + 1, 2 + rows, rows * 4, 4 * rows, rows - 1, 7 - rows) == (3, 4, 5, 12, 12, 2, 4)
    assert rows == x.shape[0] > 2
    assert len({rows, 3}) == 1
    assert [*range(rows)] == [0, 1, 2]
    assert xp.reshape(x, (rows, 12)).shape == (3, 12)
    assert xp.arange(5, 5 + rows, dtype=xp.int32).shape == (3,)
    for computed in (lambda: 1.0 / rows, lambda: rows * 0.5, lambda: rows / 2, lambda: x * rows, lambda: int(rows)):
        with pytest.raises(DistributedError, match=r"expected context.rows, .*; got x.shape\[0\]"):
            computed()


def test_a_layer_that_reads_values_is_refused(x):
    with pytest.raises(DistributedError, match="the value of an array"):
        bool(x > 0.0)
