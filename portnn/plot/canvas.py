"""Access to matplotlib, and the Axes of a picture."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from portnn.errors import BackendUnavailableError

Axes: TypeAlias = Any
"""matplotlib's."""
Place: TypeAlias = str | os.PathLike[str] | None


def pyplot() -> Any:
    """Return matplotlib.pyplot. Raises BackendUnavailableError, with an install hint, if matplotlib is not installed.

    Returns
    -------
    module

    Examples
    --------
    >>> from portnn import plot
    >>> plot.pyplot().__name__
    'matplotlib.pyplot'
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise BackendUnavailableError("plot: matplotlib is not installed; pip install 'portnn[plot]'") from error
    return pyplot


@contextmanager
def canvas(
    path: Place, ax: Axes, size: tuple[float, float] = (7, 4.5), grid: tuple[int, int] | None = None
) -> Iterator[Axes]:
    """Yield ``ax`` or the Axes of a new figure; save the figure as ``path`` if that is given.

    ``grid``: rows and columns of Axes in a new figure, which are then yielded as a list.
    """
    plt, is_new = pyplot(), ax is None
    if is_new:
        figure, axes = plt.subplots(*(grid or (1, 1)), figsize=size, layout="constrained", squeeze=False)
        ax = list(axes.flat) if grid else axes[0, 0]
    else:
        figure = ax.figure
    keep_open = not is_new
    try:
        yield ax
        if path is not None:
            figure.savefig(path, dpi=120)
        keep_open = keep_open or path is None
    finally:
        if not keep_open:  # saved or interrupted: the figure is not shown
            plt.close(figure)
