"""Checkpoints: files from which a fit that was broken off goes on as if nothing had happened.

A checkpoint is a model file with the place in the fit beside the network: the epochs done, the losses of the open one,
the history, what callbacks remember; and what the fit was asked for, so that only the same fit goes on from it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from portnn import hashing, registry
from portnn.data.dataset import DataSource
from portnn.errors import ArgumentError
from portnn.io.files import contradictions, little_endian, read_model, write_model
from portnn.options import check_positive_int
from portnn.train.callbacks import Callback, CallbackLike, Network
from portnn.train.fit_state import FitState
from portnn.train.history import Event

FIT_PREFIX = "fit."
"""Begins the names of the place's arrays in a model file; without its dot the key of the rest in the description."""
_KEY = FIT_PREFIX[:-1]
_ROWS = 8192


@dataclass
class Checkpoint(Callback):
    """Writes ``path`` after each epoch, or each ``steps`` steps, and on Ctrl-C; goes on from it where it is there.

    The same call goes on where the file is, on any backend; a fit that is done returns at once. Raises ArgumentError
    for a file that another network, other data or other options wrote, and names the difference; SerializationError
    for one that is no checkpoint. Written whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
    steps : int, optional
        None: the file is written after each epoch; n: after each n steps.

    Examples
    --------
    >>> import os, tempfile
    >>> from portnn import Checkpoint, NeuralNetwork
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.safetensors")
    ...     nets = [NeuralNetwork(2, 1, seed=0, backend="numpy") for _ in range(2)]
    ...     for net in nets:  # the second resumes where the first ended: nothing is left to do
    ...         _ = net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3, checkpoint=Checkpoint(path))
    >>> nets[0].fingerprint() == nets[1].fingerprint()
    True
    """

    path: str | os.PathLike[str]
    steps: int | None = None

    def __post_init__(self) -> None:
        self._others: Sequence[CallbackLike] = ()
        if self.steps is not None:
            check_positive_int("steps", self.steps)
            self.on_train_batch_end = self._after_step  # a callback with this method is called after steps

    @classmethod
    def last_of(
        cls, checkpoint: "str | os.PathLike[str] | Checkpoint | None", callbacks: Sequence[CallbackLike]
    ) -> list[CallbackLike]:
        """Return the callbacks with their checkpoints last, and that one: these keep what the others remember.

        Raises ArgumentError for what are none.
        """
        if not isinstance(callbacks, list | tuple):
            raise ArgumentError(f"callbacks: expected a list of functions or Callbacks; got {callbacks!r}")
        made = [callback for callback in callbacks if isinstance(callback, cls)]
        others = [callback for callback in callbacks if not isinstance(callback, cls)]
        if isinstance(checkpoint, cls):
            made.append(checkpoint)
        elif isinstance(checkpoint, str | os.PathLike):
            made.append(cls(checkpoint))
        elif checkpoint is not None:
            raise ArgumentError(f"checkpoint: expected the name of a file, or a Checkpoint; got {checkpoint!r}")
        for each in made:
            each._others = others
        return [*others, *made]

    def on_train_begin(self, network: Network, run: FitState) -> None:
        super().on_train_begin(network, run)
        self._network = network
        self._fit_config = _fit_config(network, run, self._others)
        if Path(self.path).exists():
            self._resume()

    def _after_step(self, network: Network, event: Event) -> None:
        if event.step % self.steps == 0:  # type: ignore[operator]
            self.write()

    def on_epoch_end(self, network: Network, event: Event) -> None:
        if self.steps is None:
            self.write()

    def on_train_end(self, network: Network) -> None:
        self.write(finished=True)

    def on_interrupt(self, network: Network) -> None:
        self.write()

    def write(self, finished: bool = False) -> None:
        """Write the network and the place, unless it diverged: then the file before it stays."""
        run = self.run
        if run.nonfinite_reason():
            return
        arrays, description = self._network.serialize()
        kept = {"losses": run.losses, "sizes": run.sizes, "loss": run.history.loss, "seconds": run.history.seconds}
        kept |= {f"metrics.{name}": values for name, values in run.history.metrics.items()}
        for i, callback in enumerate(self._others):
            for name, value in getattr(callback, "state", {}).items():
                values = value if isinstance(value, Mapping) else {"": value}
                kept |= {f"callbacks.{i}.{name}.{key}": array for key, array in values.items()}
        place = {"asked": self._fit_config, "done": run.done, "ended": run.ended, "finished": finished}
        arrays |= {FIT_PREFIX + name: np.asarray(value) for name, value in kept.items()}
        write_model(self.path, arrays, {**description, _KEY: place})

    def _resume(self) -> None:
        """Take the network and the place of the file, which is of the same fit; nothing is changed if it is not."""
        arrays, description = read_model(self.path)
        if _KEY not in description:
            raise ArgumentError(f"checkpoint: expected one that a fit wrote; {self.path} is a model: name another file")
        with contradictions(self.path):
            place = description[_KEY]
            state = {name: array for name, array in arrays.items() if not name.startswith(FIT_PREFIX)}
            optimizer = registry.from_config("optimizer", description["optimizer"])
            wrote, finished, here = dict(place["asked"]), place["finished"], _digest(state, description["counters"])
        self._check(wrote, finished, here)
        with contradictions(self.path):
            run, runtime = self.run, self.run.runtime
            runtime.optimize_by(optimizer)
            runtime.load_state(state, description)
            kept = {name.removeprefix(FIT_PREFIX): array for name, array in arrays.items() if name not in state}
            run.done, run.ended = place["done"], place["ended"]
            run.losses, run.sizes = kept["losses"].tolist(), kept["sizes"].astype(int).tolist()
            run.history.loss, run.history.seconds = kept["loss"].tolist(), kept["seconds"].item()
            metrics = {n.removeprefix("metrics."): v for n, v in kept.items() if n.startswith("metrics.")}
            run.history.metrics = {name: metrics[name].tolist() for name in metrics}
            for i, callback in enumerate(self._others):
                _load_callback_state(callback, f"callbacks.{i}.", kept)

    def _check(self, wrote: dict[str, Any], finished: bool, here: str) -> None:
        """Refuse a file of another fit. ``here``: digest of the state that it holds."""
        asked = dict(self._fit_config)
        if asked["start"] == here != wrote.get("start"):  # the very network that was interrupted
            if finished:
                raise ArgumentError(
                    f"checkpoint: {self.path} holds this training, finished; to train on name another file"
                )
            asked |= {name: wrote.get(name) for name in ("start", "optimizer")}
            self._fit_config = asked
        wrote |= {name: registry.with_current_names(wrote.get(name)) for name in ("architecture", "loss", "optimizer")}
        for name, value in asked.items():
            if wrote.get(name) != value:
                digests = name in _DIGESTS
                difference = f"other {_DIGESTS[name]}" if digests else f"{name} {wrote.get(name)!r}, here {value!r}"
                raise ArgumentError(
                    f"checkpoint: expected one of this training; {self.path} is of one with {difference}: remove it, "
                    f"or name another file"
                )


_DIGESTS = {"start": "initial weights", "data": "data", "validation": "validation data"}


def _fit_config(network: Network, run: FitState, callbacks: Sequence[CallbackLike]) -> dict[str, Any]:
    """Return what a fit was asked for, as plain JSON values."""
    arrays, description = network.serialize()
    named = "architecture", "loss", "dtype", "arithmetic", "seed", "optimizer"
    asked = {
        **{name: description[name] for name in named},
        "epochs": run.epochs,
        "batch_size": run.batch_size,
        "shuffle": run.shuffle,
        "metrics": list(run.metrics),
        "callbacks": [_name(callback) for callback in callbacks],
        "data": _of_data(run, run.data),
        "validation": None if run.validation is None else _of_data(run, run.validation),
        "start": _digest(arrays, description["counters"]),
    }
    plain: dict[str, Any] = json.loads(json.dumps(asked))  # as it comes back from a file
    return plain


def _of_data(run: FitState, source: DataSource) -> str:
    """Return SHA-256 over the rows in their order, as the core takes them."""
    backend, digest = run.runtime.backend, hashing.sha256()
    for batch in source.batches(backend.xp, _ROWS, None, False):
        for array in batch:
            values = np.ascontiguousarray(array if isinstance(array, float) else backend.to_numpy(array))
            digest.update(f"{values.dtype.newbyteorder('<').str} {values.shape}".encode())
            digest.update(little_endian(values))
    return digest.hexdigest()


def _digest(arrays: Mapping[str, np.ndarray], counters: Mapping[str, int]) -> str:
    digest = hashing.sha256(repr(sorted(counters.items())).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(little_endian(arrays[name]))
    return digest.hexdigest()


def _name(callback: Any) -> str:
    """Return what a callback is and its options, without what differs from process to process."""
    kind = type(callback) if isinstance(callback, Callback) else callback
    options = ""
    if is_dataclass(callback) and not isinstance(callback, type):
        options = ", ".join(f"{f.name}={getattr(callback, f.name)!r}" for f in fields(callback) if f.init)
    return f"{getattr(kind, '__qualname__', type(kind).__qualname__)}({options})"


def _load_callback_state(callback: Any, prefix: str, kept: Mapping[str, np.ndarray]) -> None:
    """Give a callback what it remembered, in the types that it has."""
    state = {}
    for name, value in getattr(callback, "state", {}).items():
        found = {n.removeprefix(f"{prefix}{name}."): v for n, v in kept.items() if n.startswith(f"{prefix}{name}.")}
        state[name] = found if isinstance(value, Mapping) else type(value)(found[""].item())
    if state:
        callback.state = state
