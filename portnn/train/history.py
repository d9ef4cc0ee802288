"""The measurements of a fit, and the event that its callbacks receive."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from portnn.errors import BackendUnavailableError
from portnn.html import drawings, elements
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

    @property
    def best_epoch(self) -> int | None:
        """Epoch, from 1, of the least validation loss; without validation of the least training loss.

        None: there was no finite one.
        """
        losses = np.asarray(self.metrics.get("validation_loss") or self.loss, np.float64)
        return int(np.nanargmin(losses)) + 1 if np.isfinite(losses).any() else None

    def _pairs(self) -> dict[str, dict[str, list[float]]]:
        """Return the curves of training and validation by name: the loss first, then the metrics."""
        curves = {"loss": self.loss, **self.metrics}
        names = dict.fromkeys(name.removeprefix("validation_") for name in curves)
        pairs = {n: {"training": curves.get(n, []), "validation": curves.get(f"validation_{n}", [])} for n in names}
        return {name: {kind: values for kind, values in pair.items() if values} for name, pair in pairs.items()}

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        metric: str | None = None,
        ax: Any = None,
        log: bool = False,
    ) -> Any:
        """Draw the loss and all metrics over epochs, side by side, for training and validation; return the first Axes.

        A dotted line marks ``best_epoch``. With ``metric``, a name or "loss", that one is drawn alone, into ``ax`` or a
        new figure; with ``ax`` alone the loss. ``log``: the axis of the loss, or of the metric, is logarithmic. The
        figure is saved as ``path`` if that is given. Raises ArgumentError for a metric that was not measured.
        """
        from portnn import plot

        pairs = self._pairs()
        if metric is None and ax is None:
            return plot.panels(pairs, path, log=log, best=self.best_epoch)
        metric = metric or "loss"
        chosen = pairs.get(metric) or {"": lookup("metric", metric, {"loss": self.loss, **self.metrics})}
        return plot.curves(chosen, path, ax=ax, ylabel=metric, log=log, best=self.best_epoch)

    def _repr_html_(self) -> str:
        """Return the last values and the curves as HTML, for notebooks."""
        best, pairs = self.best_epoch, self._pairs()
        rows = [
            (name if kind == "training" else f"{kind} {name}", f"{values[-1]:.6g}", f"{values[(best or 0) - 1]:.6g}")
            for name, pair in pairs.items()
            for kind, values in pair.items()
        ]
        title = f"History of {len(self.loss)} epoch{'s' * (len(self.loss) != 1)}, {self.seconds:.1f} s"
        if not rows:
            return elements.frame(title)
        charts = (drawings.curves(name, pair, best) for name, pair in pairs.items())
        head = ("", "last", f"epoch {best}" if best else "last")
        return elements.frame(title, elements.table(head, rows, numbers=2), "".join(charts))


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
