"""The default training of ``portnn train``, for use in Python.

benchmarks/tables.py shows how good these defaults are on real tables.
"""

from math import isqrt
from typing import Any

from portnn.errors import ArgumentError
from portnn.nn.convolution import Conv2D
from portnn.nn.layer import Layer
from portnn.nn.layers import Flatten, Reshape
from portnn.nn.pooling import MaxPool2D
from portnn.optim.optimizers import AdamW
from portnn.options import check_positive_int
from portnn.train.callbacks import EarlyStopping

VALIDATION, MIN_VALIDATION_ROWS, PATIENCE = 0.1, 100, 10
MIN_EPOCHS, MIN_STEPS, MAX_EPOCHS_WITH_VALIDATION = 30, 1000, 60
"""Least number of steps: a few epochs of a small table are too few."""
WEIGHT_DECAY, DECAY_ROWS = 1.0, 500
"""Rows that the prior of the weights counts as; beyond them its influence decays with the number of rows."""


def fit_options(
    rows: int,
    *,
    batch_size: int | None = 32,
    epochs: int | None = None,
    validation: float | None = None,
    patience: int = PATIENCE,
) -> dict[str, Any]:
    """Return arguments for ``NeuralNetwork.fit`` that suit a table of this many training rows.

    ``validation=None``: a tenth of the rows if that is at least 100 rows, else none. With a validation, the training
    ends after ``patience`` epochs without a smaller loss and keeps the best epoch's parameters. ``epochs=None``: at
    least 30 epochs and 1,000 steps, with a validation at least 60 epochs. ``net.fit(x, y, **fit_options(len(x)))``.

    Parameters
    ----------
    rows : int
    batch_size, epochs, validation : optional
        As for ``fit``.
    patience : int
        Of ``EarlyStopping``.

    Returns
    -------
    dict

    Examples
    --------
    >>> from portnn import fit_options
    >>> fit_options(150)["epochs"], sorted(fit_options(5000))
    (200, ['batch_size', 'callbacks', 'epochs', 'validation'])
    """
    if validation is None:
        validation = VALIDATION if VALIDATION * rows >= MIN_VALIDATION_ROWS else 0.0
    steps = -(-round(rows * (1 - validation)) // (batch_size or rows))
    least = MAX_EPOCHS_WITH_VALIDATION if validation else MIN_EPOCHS
    options: dict[str, Any] = {"epochs": epochs or max(least, -(-MIN_STEPS // steps)), "batch_size": batch_size or None}
    if validation:
        options |= {"validation": validation, "callbacks": [EarlyStopping(patience=patience)]}
    return options


def default_optimizer(rows: int) -> AdamW:
    """Return the optimizer that suits a table of this many training rows: AdamW, with more decay for fewer rows.

    On a few hundred rows a network of 100 hidden units overfits; ``weight_decay`` is 1 up to 500 rows, and 500 / rows
    beyond.

    Parameters
    ----------
    rows : int

    Returns
    -------
    AdamW

    Examples
    --------
    >>> from portnn import default_optimizer
    >>> default_optimizer(5000).weight_decay
    0.1
    """
    return AdamW(weight_decay=WEIGHT_DECAY * min(1.0, DECAY_ROWS / check_positive_int("rows", rows)))


def lenet(features: int, activation: str = "relu") -> list[int | str | Layer]:
    """Return LeNet's hidden layers (LeCun et al. 1998, section II) for square images, channels first, row by row.

    ``NeuralNetwork(784, Rescale(), *lenet(784), 10, output="softmax", loss="cross_entropy")`` has 61,706 parameters.
    The pools take the largest pixel, and the last layer is a plain one. Raises ArgumentError for rows that are no
    square images of one or three channels, or of less than 12 x 12 pixels.

    Parameters
    ----------
    features : int
        Numbers of a row: 784 for 28 x 28 pixels.
    activation : str

    Returns
    -------
    list of layers, ints and str

    Examples
    --------
    >>> from portnn import NeuralNetwork, Rescale, lenet
    >>> net = NeuralNetwork(784, Rescale(), *lenet(784), 10, output="softmax", loss="cross_entropy", seed=0)
    >>> sum(array.size for array in net.parameters.values())
    61706
    """
    for channels in (1, 3):
        side = isqrt(features // channels)
        if channels * side * side == features and side >= 12:
            pools = MaxPool2D(2), Conv2D(16, 5), activation, MaxPool2D(2), Flatten()
            return [Reshape((channels, side, side)), Conv2D(6, 5, padding="same"), activation, *pools, 120, 84]
    raise ArgumentError(f"lenet: expected rows of square images, at least 12 x 12 pixels; got {features} numbers")
