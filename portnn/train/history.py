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
"""Data frame libraries, and what makes a frame of columns by name."""


@dataclass
class History:
    """What a fit measured, one value per epoch.

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
    """The metrics asked for, at the end of each epoch; of the validation data as ``validation_loss`` and so on."""
    seconds: float = 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return {"epoch": 1 ... n, "loss": ..., metric: ...}, each (epochs,)."""
        columns = {"loss": self.loss, **self.metrics}
        found: dict[str, np.ndarray] = {"epoch": np.arange(1, len(self.loss) + 1)}
        return found | {name: np.asarray(values, np.float64) for name, values in columns.items()}

    def frame(self) -> Any:
        """Return the arrays as a data frame of pandas, polars or pyarrow: one that is in use, else one that is there.

        Raises BackendUnavailableError where none is installed.
        """
        from importlib.util import find_spec

        there = [name for name in _FRAMES if find_spec(name)]
        if not there:
            raise BackendUnavailableError("frame: expected pandas, polars or pyarrow; none is installed")
        name = next((name for name in there if name in sys.modules), there[0])
        return getattr(import_module(name), _FRAMES[name])(self.arrays())

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        metric: str = "loss",
        ax: Any = None,
        log: bool = False,
    ) -> Any:
        """Draw the loss, or a metric, over epochs: of training and validation together; return the Axes.

        It is drawn into ``ax``, or a figure of its own, and saved as ``path`` if one is given. Raises ArgumentError for
        a metric that was not measured.
        """
        from portnn import plot

        known = {"loss": self.loss, **self.metrics}
        measured = lookup("metric", metric, known)
        pair = {"training": measured, "validation": known.get(f"validation_{metric}", [])}
        return plot.curves({name: v for name, v in pair.items() if v}, path, ax=ax, ylabel=metric, log=log)


class Event(NamedTuple):
    """The progress of a fit, as callbacks receive it."""

    epoch: int
    """Epochs finished since the network was made."""
    step: int
    """Steps taken since then."""
    loss: Any
    """After an epoch its training loss; after a step that of its batch, a 0-d array that nobody has waited for."""
    metrics: Mapping[str, float]
    """What was measured after the epoch; empty after a step."""
    history: History
    """Of this fit, up to here."""
