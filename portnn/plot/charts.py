"""Charts of plain numbers: curves, confusion matrices, histograms."""

from collections.abc import Mapping, Sequence

import numpy as np

from portnn.backend import host_array
from portnn.errors import ShapeError
from portnn.plot.canvas import Axes, Place, canvas


def curves(
    series: Mapping[str, Sequence[float]],
    path: Place = None,
    *,
    ax: Axes = None,
    ylabel: str = "loss",
    xlabel: str = "epoch",
    log: bool = False,
    best: int | None = None,
) -> Axes:
    """Draw one curve per series over epochs from 1.

    Parameters
    ----------
    series : mapping of str to sequence of float
    ylabel, xlabel : str
    log : bool
        Whether the y axis is logarithmic.
    best : int, optional
        Epoch that a dotted line marks.
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
    >>> ax = plot.curves({"training": [1.0, 0.5, 0.4], "validation": [1.1, 0.7, 0.6]})
    >>> len(ax.lines)
    2
    >>> plot.pyplot().close(ax.figure)
    """
    with canvas(path, ax) as ax:
        _draw_curves(ax, series, ylabel, xlabel, log, best)
    return ax


def panels(
    series: Mapping[str, Mapping[str, Sequence[float]]],
    path: Place = None,
    *,
    log: bool = False,
    best: int | None = None,
) -> Axes:
    """Draw several charts of ``curves`` over the same epochs side by side, in a figure of their own.

    Parameters
    ----------
    series : mapping of str to mapping of str to sequence of float
        Curves of each chart, by the name of its y axis.
    log : bool
        Whether the y axis of the first chart is logarithmic.
    best : int, optional
        Epoch that a dotted line marks.
    path : str or os.PathLike, optional
        Where the picture is saved; its figure is then closed.

    Returns
    -------
    matplotlib.axes.Axes
        The first; all of them are ``ax.figure.axes``.

    Examples
    --------
    >>> from portnn import plot
    >>> ax = plot.panels({"loss": {"training": [1.0, 0.5]}, "accuracy": {"training": [0.6, 0.9]}}, best=2)
    >>> [one.get_ylabel() for one in ax.figure.axes]
    ['loss', 'accuracy']
    >>> plot.pyplot().close(ax.figure)
    """
    across = min(len(series), 3)
    down = -(-len(series) // across)
    with canvas(
        path, None, (5.0 * across + 2.0 * (across == 1), 4.0 * down + 0.5 * (down == 1)), (down, across)
    ) as axes:
        for ax, (name, each) in zip(axes, series.items(), strict=False):
            _draw_curves(ax, each, name, "epoch", log and ax is axes[0], best)
        for ax in axes[len(series) :]:
            ax.remove()
    return axes[0]


def _draw_curves(
    ax: Axes, series: Mapping[str, Sequence[float]], ylabel: str, xlabel: str, log: bool, best: int | None
) -> None:
    for label, values in series.items():
        marker = "o" if len(values) < 30 else None
        ax.plot(range(1, len(values) + 1), values, label=label, marker=marker, markersize=3)
    if best is not None:
        ax.axvline(best, color="grey", linestyle=":", label=f"best: {xlabel} {best}")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if log:
        ax.set_yscale("log")
    ax.grid(alpha=0.3)
    if len(series) > 1 or best is not None:
        ax.legend()


def drift(series: Mapping[tuple[str, str], Sequence[float]], path: Place = None, *, ax: Axes = None) -> Axes:
    """Draw distances after each step from 1, by (backend, arithmetic), on a logarithmic axis; zeros have their own row.

    Each backend has a colour, each arithmetic a line style.

    Parameters
    ----------
    series : mapping of (str, str) to sequence of float
        Distances by (backend, arithmetic).
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
    >>> ax = plot.drift({("torch", "fast"): [1e-8, 1e-7], ("torch", "reproducible"): [0.0, 0.0]})
    >>> len(ax.lines) >= 2
    True
    >>> plot.pyplot().close(ax.figure)
    """
    backends, arithmetics = (list(dict.fromkeys(pair[i] for pair in series)) for i in range(2))
    magnitudes = np.log10([v for values in series.values() for v in values if 0.0 < v < np.inf] or [1e-16])
    low, high = int(np.floor(magnitudes.min())), int(np.floor(magnitudes.max())) + 1
    foot = low - max(1.0, (high - low) / 8)
    with canvas(path, ax) as ax:
        equal = [pair for pair, values in series.items() if 0.0 in values]  # drawn side by side
        for (backend, arithmetic), values in series.items():
            at = np.asarray(values, np.float64)
            aside = equal.index((backend, arithmetic)) - (len(equal) - 1) / 2 if (backend, arithmetic) in equal else 0.0
            zero = foot + aside * 0.02 * (high - foot)
            # Values that are not finite leave a gap.
            shown = np.where(at == 0, zero, np.log10(np.where(at == 0, 1.0, at)))
            line_style = ("-", "--", ":")[arithmetics.index(arithmetic) % 3]
            style = {"color": f"C{backends.index(backend)}", "linestyle": line_style}
            label = f"{backend}, {arithmetic}"
            marker = "o" if len(at) < 30 else None
            ax.plot(range(1, len(at) + 1), shown, label=label, marker=marker, markersize=3, **style)
        decades = range(low, high + 1, 1 + (high - low) // 12)
        ax.set_yticks([foot, *decades], ["0", *(f"$10^{{{decade}}}$" for decade in decades)])
        ax.set_ylim(foot - (decades[0] - foot) / 2, high)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="step", ylabel="distance from NumPy's / norm of the parameters")
        ax.grid(alpha=0.3)
        if series:
            ax.legend()
    return ax


def confusion_matrix(
    matrix: object, path: Place = None, *, classes: Sequence[object] | None = None, ax: Axes = None
) -> Axes:
    """Draw a confusion matrix, (classes, classes), of counts or weights, coloured by share of the row.

    Rows are true classes, columns are predicted classes (``portnn.metrics.confusion_matrix``).

    Parameters
    ----------
    matrix : array
        (classes, classes).
    classes : sequence, optional
        Names of the classes.
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
    >>> ax = plot.confusion_matrix([[9, 1], [0, 5]], classes=["no", "yes"])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['no', 'yes']
    >>> plot.pyplot().close(ax.figure)
    """
    counts = host_array(matrix, argument="matrix").astype(np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(f"matrix: expected shape (classes, classes); got {counts.shape}")
    names = [str(name) for name in (range(len(counts)) if classes is None else classes)]
    if len(names) != len(counts):
        raise ShapeError(f"classes: expected {len(counts)} names; got {len(names)}")
    share = np.divide(counts, counts.sum(axis=1, keepdims=True), out=np.zeros_like(counts), where=counts > 0)
    side = min(max(4.0, 0.55 * len(names) + 1.5), 14.0)
    with canvas(path, ax, (side, side)) as ax:
        ax.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        if len(names) <= 30:
            for row, column in np.ndindex(counts.shape):
                colour = "white" if share[row, column] > 0.5 else "black"
                text = f"{counts[row, column]:.6g}"
                ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        turned = 90 if max(map(len, names)) > 4 else 0
        ax.set_xticks(range(len(names)), names, rotation=turned)
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="taken for", ylabel="class")
    return ax


def distributions(
    histograms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: Place = None,
    *,
    ax: Axes = None,
    xlabel: str = "",
    notes: Sequence[str] = (),
) -> Axes:
    """Draw histograms, (counts, edges) by name, one below the other over one axis, each scaled to its maximum.

    ``notes``: a text beside each.

    Parameters
    ----------
    histograms : mapping of str to (counts, edges)
    xlabel : str
    notes : sequence of str
        Text beside each histogram.
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
    >>> import numpy as np
    >>> ax = plot.distributions({"relu": np.histogram([0.0, 0.1, 0.5], bins=4)})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['relu']
    >>> plot.pyplot().close(ax.figure)
    """
    with canvas(path, ax, (7, 1.2 + 0.6 * len(histograms))) as ax:
        for row, (counts, edges) in enumerate(histograms.values()):
            heights = -row + 0.85 * counts / max(counts.max(), 1)
            ax.stairs(heights, edges, baseline=-row, fill=True, alpha=0.7, color=f"C{row % 10}")
            if row < len(notes):
                ax.annotate(notes[row], (1.01, -row), xycoords=("axes fraction", "data"), fontsize=8)
        ax.set_yticks([-row for row in range(len(histograms))], list(histograms))
        ax.set_xlabel(xlabel)
        ax.grid(axis="x", alpha=0.3)
    return ax
