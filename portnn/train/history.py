"""The measurements of a fit, and the event that its callbacks receive."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from portnn.errors import BackendUnavailableError
from portnn.options import lookup

_FRAMES = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}
"""Data frame libraries, and their function that makes a frame of columns by name."""


@dataclass
class History:
    """The measurements of a fit, one value per epoch.

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> net = NeuralNetwork(2, 1, seed=0, backend="numpy")
    >>> history = net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3, metrics=["mae"])
    >>> {name: values.shape for name, values in history.arrays().items()}
    {'epoch': (3,), 'loss': (3,), 'mae': (3,)}
    """

    loss: list[float] = field(default_factory=list)
    """Training loss: the mean over the epoch's rows (a sum for sse), each batch before its step."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """Metrics at the end of each epoch; those of the validation data begin with ``validation_``."""
    seconds: float = 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return {"epoch": 1 ... n, "loss": ..., metric: ...}, each (epochs,)."""
        columns = {"loss": self.loss, **self.metrics}
        arrays: dict[str, np.ndarray] = {"epoch": np.arange(1, len(self.loss) + 1)}
        return arrays | {name: np.asarray(values, np.float64) for name, values in columns.items()}

    def frame(self) -> Any:
        """Return the history as a data frame of pandas, polars or pyarrow: an imported library, else an installed one.

        Raises BackendUnavailableError if none is installed.
        """
        from importlib.util import find_spec

        installed = [name for name in _FRAMES if find_spec(name)]
        if not installed:
            raise BackendUnavailableError("frame: expected pandas, polars or pyarrow; none is installed")
        name = next((name for name in installed if name in sys.modules), installed[0])
        return getattr(import_module(name), _FRAMES[name])(self.arrays())

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        metric: str = "loss",
        ax: Any = None,
        log: bool = False,
    ) -> Any:
        """Draw the loss, or a metric, over epochs, for training and validation; return the Axes.

        The picture is drawn into ``ax`` or a new figure, and saved as ``path`` if that is given. Raises ArgumentError
        for a metric that was not measured.
        """
        from portnn import plot

        curves = {"loss": self.loss, **self.metrics}
        measured = lookup("metric", metric, curves)
        pair = {"training": measured, "validation": curves.get(f"validation_{metric}", [])}
        return plot.curves({name: v for name, v in pair.items() if v}, path, ax=ax, ylabel=metric, log=log)


class Event(NamedTuple):
    """The progress of a fit, as callbacks receive it."""

    epoch: int
    """Finished epochs since the network was made."""
    step: int
    """Steps since the network was made."""
    loss: Any
    """After an epoch its training loss; after a step the batch's, a 0-d array that is not yet read."""
    metrics: Mapping[str, float]
    """Metrics of the epoch; empty after a step."""
    history: History
    """History of this fit so far."""
