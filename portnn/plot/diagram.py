"""The diagram of a network: units as circles, weights as coloured lines."""

from typing import Any, TypeAlias

import numpy as np

from portnn.backend import host_array
from portnn.nn.layers import Dense
from portnn.options import check_positive_int
from portnn.plot.canvas import Axes, Place, canvas

Network: TypeAlias = Any
"""A NeuralNetwork: it stands above this module."""
Shown = list[int | None]
"""Units of a column from the top; None stands for omitted units."""


def network(net: Network, path: Place = None, *, most: int = 12, ax: Axes = None) -> Axes:
    """Draw a network's units and weights: red is positive, blue negative, stronger for larger weights.

    Colours are relative to the largest weight of each layer, rims of units to its largest bias. Columns of more than
    ``most`` units show that many, from both ends. Layers other than ``Dense`` are named below the column that they
    follow.

    Parameters
    ----------
    net : NeuralNetwork
    most : int
        Units of a column that are drawn.
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
    >>> ax = plot.network(NeuralNetwork(3, 4, 1, seed=0, backend="numpy"))
    >>> plot.pyplot().close(ax.figure)
    """
    check_positive_int("most", most)
    weights, biases = _values(net)
    widths = [len(weights[0]), *(w.shape[1] for w in weights)]
    columns = [_shown(width, most) for width in widths]
    tallest = max(map(len, columns))
    with canvas(path, ax, (2.0 * len(columns) + 0.6, 0.36 * tallest + 1.0)) as ax:
        for at, (w, b) in enumerate(zip(weights, biases, strict=True)):
            _lines(ax, at, columns[at], columns[at + 1], w)
            _units(ax, at + 1, columns[at + 1], b)
        _units(ax, 0, columns[0], None)
        foot = -0.5 * tallest - 0.3
        for at, label in enumerate(net.architecture.column_labels(widths)):
            ax.text(at, foot, label, ha="center", va="top", fontsize=9)
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(foot, 0.5 * tallest))
        ax.axis("off")
    return ax


def _values(net: Network) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Return the weights, (in, units), and biases of the Dense layers of the chain."""
    values = net.parameters
    tensors = [entry for layout in net.architecture.make_layouts() for entry in layout.tensors]
    arrays = {(e.layer, e.key): host_array(values[e.name], argument=e.name) for e in tensors if e.parameter}
    dense = [i for i, layer in enumerate(net.architecture.layers) if isinstance(layer, Dense)]
    return [arrays[i, "W"] for i in dense], [arrays.get((i, "b")) for i in dense]


def _shown(width: int, most: int) -> Shown:
    if width <= most:
        return list(range(width))
    n_from_top = (most + 1) // 2
    return [*range(n_from_top), None, *range(width - most + n_from_top, width)]


def _positions(at: int, units: Shown) -> list[tuple[int, float]]:
    return [(at, 0.5 * (len(units) - 1) - i) for i in range(len(units))]


def _colours(values: np.ndarray) -> Any:
    """Return (colours, shares of the largest value). What is small is transparent: a page may be light or dark."""
    from matplotlib import colormaps

    strengths = np.abs(values) / (np.abs(values).max() or 1.0)
    colours = colormaps["RdBu_r"](np.where(values > 0, 0.92, 0.08))
    colours[..., 3] = strengths
    return colours, strengths


def _lines(ax: Axes, at: int, sources: Shown, targets: Shown, weights: np.ndarray) -> None:
    from matplotlib.collections import LineCollection

    ends = [
        (start, stop, source, unit)
        for start, source in zip(_positions(at, sources), sources, strict=True)
        for stop, unit in zip(_positions(at + 1, targets), targets, strict=True)
        if source is not None and unit is not None
    ]
    colours, strengths = _colours(weights)
    chosen = tuple(np.array([(source, unit) for *_, source, unit in ends]).T)
    lines = [(start, stop) for start, stop, *_ in ends]
    ax.add_collection(LineCollection(lines, colors=colours[chosen], linewidths=0.4 + 2.2 * strengths[chosen], zorder=1))


def _units(ax: Axes, at: int, units: Shown, biases: np.ndarray | None) -> None:
    positions = _positions(at, units)
    for (x, y), unit in zip(positions, units, strict=True):
        if unit is None:
            ax.text(x, y, "⋮", ha="center", va="center", fontsize=14)
    shown = [(position, unit) for position, unit in zip(positions, units, strict=True) if unit is not None]
    rims = "dimgrey" if biases is None else _colours(biases)[0][[unit for _, unit in shown]]
    across, up = zip(*(position for position, _ in shown), strict=True)
    ax.scatter(across, up, s=170, facecolors="white", edgecolors=rims, linewidths=2.5, zorder=2)
    if biases is not None:  # a bias near zero is nearly white
        ax.scatter(across, up, s=230, facecolors="none", edgecolors="dimgrey", linewidths=0.6, zorder=2)
