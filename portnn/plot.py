"""Pictures, drawn with matplotlib where it is installed (the extra ``plot``)."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from portnn.errors import BackendUnavailableError


def pyplot() -> Any:
    """Return matplotlib.pyplot. Raises BackendUnavailableError with the mend where it is missing."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise BackendUnavailableError("plot: matplotlib is not installed; pip install 'portnn[plot]'") from error
    return pyplot


def curves(
    series: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str] | None = None,
    *,
    ylabel: str = "loss",
    xlabel: str = "epoch",
    log: bool = False,
) -> Any:
    """Draw one curve per series over epochs from 1; return the figure, saved as ``path`` if one is given."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for label, values in series.items():
        marker = "o" if len(values) < 30 else None
        axes.plot(range(1, len(values) + 1), values, label=label, marker=marker, markersize=3)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if len(series) > 1:
        axes.legend()
    if path is not None:
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return figure
