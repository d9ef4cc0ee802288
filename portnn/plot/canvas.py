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
def canvas(path: Place, ax: Axes, size: tuple[float, float] = (7, 4.5)) -> Iterator[Axes]:
    """Yield ``ax`` or the Axes of a new figure; save the figure as ``path`` if that is given."""
    plt, is_new = pyplot(), ax is None
    if is_new:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    keep_open = not is_new
    try:
        yield ax
        if path is not None:
            ax.figure.savefig(path, dpi=120)
        keep_open = keep_open or path is None
    finally:
        if not keep_open:  # saved or interrupted: the figure is not shown
            plt.close(ax.figure)
