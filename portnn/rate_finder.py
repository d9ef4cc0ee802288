"""The learning-rate range test: which rates make the loss fall (Smith 2017, "Cyclical Learning Rates", section 3.3)."""

import math
import os
from collections.abc import Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from portnn.errors import ArgumentError, DivergenceError
from portnn.network import NeuralNetwork
from portnn.options import as_python, check_int, check_range
from portnn.plot.canvas import canvas
from portnn.train.callbacks import Callback
from portnn.train.history import Event

SMOOTHING = 0.9
"""Decay of the moving average of the batch losses, corrected for its start."""
DIVERGENCE_RATIO = 4.0
"""Ratio of the averaged loss to its minimum at which the test ends."""


MIN_T_STATISTIC = 4.0
"""Multiple of its standard error that a slope must have to count."""


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, find_learning_rate
    >>> x = np.random.default_rng(0).standard_normal((300, 4))
    >>> found = find_learning_rate(NeuralNetwork(4, 16, 1, seed=0, backend="numpy"), x, 3 * x[:, :1])
    >>> bool(found.rates[0] < found.suggestion < found.rates[-1])
    True
    """

    rates: np.ndarray
    """Learning rates of the steps, growing by the same factor, (steps,)."""
    losses: np.ndarray
    """Loss of the batch after each step, (steps,)."""

    @property
    def smoothed(self) -> np.ndarray:
        """Moving average of the losses, (steps,)."""
        weights = SMOOTHING ** np.arange(len(self.losses))
        return np.array([np.average(self.losses[: i + 1], weights=weights[i::-1]) for i in range(len(self.losses))])

    @property
    def suggestion(self) -> float:
        """The rate around which the loss falls fastest per decade, before its average is least.

        The steepest least-squares line through a fifth of the losses decides. Raises ArgumentError if no slope exceeds
        the scatter of the losses.
        """
        logs, losses = np.log10(self.rates), self.losses[: int(self.smoothed.argmin()) + 1]
        width = max(len(self.rates) // 5, 4)
        lines = [_line(logs[i : i + width], losses[i : i + width]) for i in range(len(losses) - width + 1)]
        start, (slope, error) = min(enumerate(lines), key=lambda line: line[1][0], default=(0, (0.0, 1.0)))
        if slope >= -MIN_T_STATISTIC * error:
            raise ArgumentError(
                f"low, high: the loss falls nowhere from {self.rates[0]:g} to {self.rates[-1]:g} by more than it "
                "scatters; expected a range that begins lower, or ends higher"
            )
        return float(10 ** logs[start : start + width].mean())

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: Any = None) -> Any:
        """Draw the loss over the rates and the suggestion; return the Axes."""
        smoothed = self.smoothed
        with canvas(path, ax) as ax:
            ax.plot(self.rates, self.losses, color="C0", alpha=0.3, label="loss of a batch")
            ax.plot(self.rates, smoothed, color="C0", label="moving average")
            with suppress(ArgumentError):
                ax.axvline(self.suggestion, color="C3", linestyle="--", label=f"suggestion {self.suggestion:.2g}")
            low, high = self.losses.min(), smoothed[0]
            ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.1 * high, 1.5 * high))
            ax.grid(alpha=0.3)
            ax.legend()
        return ax


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope of the least-squares line, and its standard error."""
    dx = x - x.mean()
    slope = dx @ y / (dx @ dx)
    residuals = y - y.mean() - slope * dx
    return float(slope), float(np.sqrt(residuals @ residuals / (len(x) - 2) / (dx @ dx)))


class _Sweep(Callback):
    """Sets the rate of each step, and ends the training when the loss diverges."""

    def __init__(self, rates: np.ndarray) -> None:
        self._rates, self._least, self._sum, self._weight = rates, math.inf, 0.0, 0.0
        self.losses: list[float] = []
        """Loss of each step's batch, before the step."""

    def on_train_batch_end(self, network: NeuralNetwork, event: Event) -> bool:
        (loss,) = self.run.runtime.backend.read([event.loss])
        if not math.isfinite(loss):
            return True
        self.losses.append(loss)
        done = len(self.losses)
        self._sum, self._weight = self._sum * SMOOTHING + loss, self._weight * SMOOTHING + 1.0
        self._least = min(self._least, self._sum / self._weight)
        if done > len(self._rates) or self._sum / self._weight > DIVERGENCE_RATIO * self._least:
            return True
        if done < len(self._rates):
            network.learning_rate = float(self._rates[done])
        return False


def find_learning_rate(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 32,
    progress: bool | None = None,
) -> RangeTest:
    """Train a copy of the network for ``steps`` steps at rates from ``low`` to ``high``; return the losses.

    ``x``, ``y`` and ``batch_size`` are as for ``fit``, and so are batches and masks; the network is unchanged. The test
    ends early when the loss reaches DIVERGENCE_RATIO times its minimum. Raises what ``fit`` raises for invalid data.

    Parameters
    ----------
    net : NeuralNetwork
    x, y : array
    low, high : float
        First and last learning rate.
    steps : int
        At least 10.
    batch_size : int or None
    progress : bool, optional

    Returns
    -------
    RangeTest

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, find_learning_rate
    >>> x = np.random.default_rng(0).random((200, 4))
    >>> net = NeuralNetwork(4, 16, 1, loss="mse", seed=0, backend="numpy")
    >>> found = find_learning_rate(net, x, x.sum(axis=1), steps=60)
    >>> 1e-6 < found.suggestion < 10.0
    True
    """
    low, high, steps = as_python(low), as_python(high), check_int("steps", steps, 10)
    check_range("low", low)
    if not low > 0:
        raise ArgumentError(f"low: expected a number above 0; got {low}")
    check_range("high", high, low)
    rates = np.geomspace(low, high, steps)
    copy = net.to()
    copy.learning_rate = float(rates[0])
    sweep = _Sweep(rates)
    rows = len(x) if isinstance(x, Sized) else 1
    an_epoch = -(-rows // (batch_size or rows)) if rows else 1
    try:
        copy.fit(x, y, epochs=-(-(steps + 1) // an_epoch), batch_size=batch_size, callbacks=[sweep], progress=progress)
    except DivergenceError:
        if len(sweep.losses) < 2:
            raise
    count = len(sweep.losses) - 1
    return RangeTest(rates[:count], np.array(sweep.losses[1:]))
