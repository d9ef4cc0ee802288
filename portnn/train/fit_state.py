"""One fit: on what and how it trains, and how far it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portnn.data.dataset import WHOLE, DataSource, Share
from portnn.distributed import Communicator
from portnn.metrics import Metric
from portnn.model.runtime import Runtime
from portnn.train.history import History


@dataclass
class FitState:
    """One fit: on what and how it trains, and how far it is."""

    runtime: Runtime
    data: DataSource
    validation: DataSource | None
    epochs: int
    batch_size: int | None
    shuffle: bool
    metrics: Mapping[str, Metric]
    history: History = field(default_factory=History)
    done: int = 0
    """Epochs finished."""
    losses: list[Any] = field(default_factory=list)
    """Losses of the current epoch's steps: numbers, then arrays that are not yet read."""
    sizes: list[int] = field(default_factory=list)
    """Numbers of rows of their batches."""
    ended: bool = False
    """Whether a callback ended it."""
    comm: Communicator | None = None
    """The other processes that train the same network; None: there are none."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.comm is None or self.comm.rank == 0

    @property
    def share(self) -> Share:
        """The part of each batch that this process takes."""
        return WHOLE if self.comm is None else Share(self.comm.rank, self.comm.size)

    def any_ended(self) -> bool:
        """Return whether a callback ended the fit, on any of the processes."""
        return self.ended if self.comm is None else any(self.comm.all_gather(self.ended))

    def should_continue(self) -> bool:
        """Return whether there are epochs left."""
        return self.done < self.epochs and not self.ended

    def nonfinite_reason(self) -> str:
        """Read the losses of the current epoch; return the first nonfinite quantity and step, or "".

        A loss precedes its step: the effect of the last step shows in the state alone.
        """
        step, unread = self.runtime.counters.step, [loss for loss in self.losses if type(loss) is not float]
        *values, finite = self.runtime.backend.read([*unread, self.runtime.finite()])
        self.losses[len(self.losses) - len(unread) :] = values
        for i, value in enumerate(self.losses):
            if not math.isfinite(value):
                return f"loss: expected finite values; got {value} at step {step - len(self.losses) + i + 1}"
        return "" if finite else f"parameters: expected finite values; got NaN or infinity by step {step}"
