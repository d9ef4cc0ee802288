"""The decision regions of a network of two features."""

from typing import Any, TypeAlias

import numpy as np

from portnn.backend import host_array
from portnn.errors import ShapeError
from portnn.plot.canvas import Axes, Place, canvas

Network: TypeAlias = Any
"""A NeuralNetwork: it stands above this module."""

GRID = 200
"""Points along each side of the plane at which the network is evaluated."""


def decision_boundary(net: Network, x: object, y: object = None, path: Place = None, *, ax: Axes = None) -> Axes:
    """Draw the outputs of a network of two inputs over the plane, and rows, (rows, 2), coloured by their targets.

    Class regions are paler where the network is less sure; regression outputs are contours. Raises ShapeError for
    networks of more inputs, or of several outputs that are not classes.

    Parameters
    ----------
    net : NeuralNetwork
        Of two inputs.
    x : array
        (rows, 2).
    y : array, optional
        Targets, for the colours of the rows.
    path : str or os.PathLike, optional
        Where the picture is saved; its figure is then closed.
    ax : matplotlib.axes.Axes, optional
        Where it is drawn; None: a figure of its own.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from portnn import NeuralNetwork, plot
    >>> net = NeuralNetwork(2, 4, 1, output="sigmoid", loss="binary_cross_entropy", seed=0, backend="numpy")
    >>> ax = plot.decision_boundary(net, [[0.0, 0.0], [1.0, 1.0]], [0, 1])
    >>> plot.pyplot().close(ax.figure)
    """
    points = host_array(x, argument="x").astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"x: expected rows of two features to draw on a plane; got shape {points.shape}")
    margin = 0.08 * np.where(np.ptp(points, axis=0) > 0, np.ptp(points, axis=0), 1.0)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    across, up = (np.linspace(low[i], high[i], GRID) for i in range(2))
    plane = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    outputs = np.asarray(net.predict(plane), np.float64)
    of_classes = net.architecture.output in ("softmax", "sigmoid")
    if outputs.shape[1] > 1 and not of_classes:
        raise ShapeError(f"net: expected one output, or classes; got {outputs.shape[1]} outputs")
    with canvas(path, ax, (6, 5)) as ax:
        if of_classes:
            _regions(ax, outputs, across, up)
        else:
            heights = ax.contourf(across, up, outputs.reshape(GRID, GRID), levels=20, cmap="viridis")
            ax.figure.colorbar(heights, ax=ax, label="output")
        if y is not None:
            _rows(ax, net, points, np.asarray(y if isinstance(y, list | tuple) else host_array(y, argument="y")))
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="feature 1", ylabel="feature 2")
    return ax


def _regions(ax: Axes, outputs: np.ndarray, across: np.ndarray, up: np.ndarray) -> None:
    """Colour each point by its class, paler where that is unsure, and draw the boundaries."""
    from matplotlib.colors import to_rgb

    probabilities = outputs if outputs.shape[1] > 1 else np.concatenate([1 - outputs, outputs], axis=1)
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    sure = (probabilities.max(axis=1) * classes - 1) / (classes - 1)
    colours = np.array([to_rgb(f"C{i % 10}") for i in range(classes)])[predicted]
    image = 1 - (1 - colours) * (0.1 + 0.5 * np.clip(sure, 0, 1))[:, None]
    ends = (across[0], across[-1], up[0], up[-1])
    ax.imshow(image.reshape(GRID, GRID, 3), extent=ends, origin="lower", aspect="auto", interpolation="bilinear")
    for i in np.unique(predicted) if len(np.unique(predicted)) > 1 else ():
        lead = probabilities[:, i] - np.delete(probabilities, i, axis=1).max(axis=1)
        ax.contour(across, up, lead.reshape(GRID, GRID), levels=[0.0], colors="black", linewidths=0.8)


def _rows(ax: Axes, net: Network, points: np.ndarray, y: np.ndarray) -> None:
    if y.ndim == 2 and y.shape[1] > 1:
        y = y.argmax(axis=1)
    y = y.reshape(-1)
    if y.shape != (len(points),):
        raise ShapeError(f"y: expected a target for each of {len(points)} rows; got {len(y)}")
    if net.architecture.output not in ("softmax", "sigmoid"):
        ax.scatter(*points.T, c=y, cmap="viridis", edgecolors="white", linewidths=0.5, s=22)
        return
    names = net.classes or np.unique(y).tolist()
    for i, name in enumerate(names):
        colour = f"C{(i if net.classes else int(name)) % 10}"
        ax.scatter(*points[y == name].T, color=colour, edgecolors="white", linewidths=0.5, s=22, label=str(name))
    ax.legend()
