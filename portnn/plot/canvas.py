"""Where pictures are drawn: matplotlib, if it is installed, and the Axes that a picture gets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from portnn.errors import BackendUnavailableError

Axes: TypeAlias = Any
"""matplotlib's."""
Place: TypeAlias = str | os.PathLike[str] | None


def pyplot() -> Any:
    """Return matplotlib.pyplot. Raises BackendUnavailableError, with an install hint, where it is missing.

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
    """Yield Axes to draw into, ``ax`` or those of a figure of its own; save it as ``path`` if one is given."""
    plt, own = pyplot(), ax is None
    if own:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    kept = not own
    try:
        yield ax
        if path is not None:
            ax.figure.savefig(path, dpi=120)
        kept = kept or path is None
    finally:
        if not kept:  # saved, or broken off: nobody is to be shown it
            plt.close(ax.figure)
