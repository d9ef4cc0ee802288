"""Checkpoints: files from which an interrupted fit resumes with the same bits.

A checkpoint is a model file that also holds the state of the fit: finished epochs, losses of the current epoch,
history, state of the callbacks; and the configuration of the fit, so that only the same fit resumes from it.
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
"""Prefix of the fit's arrays in a model file; without its dot the key of the other values in the description."""
_KEY = FIT_PREFIX[:-1]
_ROWS = 8192


@dataclass
class Checkpoint(Callback):
    """Writes ``path`` after each epoch, or each ``steps`` steps, and on Ctrl-C; resumes from an existing file.

    The same call of ``fit`` resumes from the file, on any backend; a finished fit returns at once. Raises ArgumentError
    for a file of another network, other data or other options, and names the difference; SerializationError for other
    files. The file is written atomically.

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
        """Return the callbacks with checkpoints last, as these save the state of the others, and the checkpoint.

        Raises ArgumentError for objects that are not callbacks.
        """
        if not isinstance(callbacks, list | tuple):
            raise ArgumentError(f"callbacks: expected a list of functions or Callbacks; got {callbacks!r}")
        checkpoints = [callback for callback in callbacks if isinstance(callback, cls)]
        others = [callback for callback in callbacks if not isinstance(callback, cls)]
        if isinstance(checkpoint, cls):
            checkpoints.append(checkpoint)
        elif isinstance(checkpoint, str | os.PathLike):
            checkpoints.append(cls(checkpoint))
        elif checkpoint is not None:
            raise ArgumentError(f"checkpoint: expected the name of a file, or a Checkpoint; got {checkpoint!r}")
        for checkpoint in checkpoints:
            checkpoint._others = others
        return [*others, *checkpoints]

    def on_train_begin(self, network: Network, run: FitState) -> None:
        super().on_train_begin(network, run)
        self._network = network
        self._fit_config = config_of_fit(network, run, self._others)
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
        """Write the network and the state of the fit; after a divergence the previous file stays."""
        run = self.run
        if not run.is_first or run.nonfinite_reason():
            return
        arrays, description = self._network.serialize()
        history = run.history
        fit_arrays = {"losses": run.losses, "sizes": run.sizes, "loss": history.loss, "seconds": history.seconds}
        fit_arrays |= {f"metrics.{name}": values for name, values in history.metrics.items()}
        for i, callback in enumerate(self._others):
            for name, value in getattr(callback, "state", {}).items():
                values = value if isinstance(value, Mapping) else {"": value}
                fit_arrays |= {f"callbacks.{i}.{name}.{key}": array for key, array in values.items()}
        fit_config = {"asked": self._fit_config, "done": run.done, "ended": run.ended, "finished": finished}
        arrays |= {FIT_PREFIX + name: np.asarray(value) for name, value in fit_arrays.items()}
        write_model(self.path, arrays, {**description, _KEY: fit_config})

    def _resume(self) -> None:
        """Load the network and the state of the fit from a file of the same fit; an error changes nothing."""
        arrays, description = read_model(self.path)
        if _KEY not in description:
            raise ArgumentError(f"checkpoint: expected one that a fit wrote; {self.path} is a model: name another file")
        with contradictions(self.path):
            fit_config = description[_KEY]
            state = {name: array for name, array in arrays.items() if not name.startswith(FIT_PREFIX)}
            optimizer = registry.from_config("optimizer", description["optimizer"])
            saved_config, finished = dict(fit_config["asked"]), fit_config["finished"]
            digest = _digest(state, description["counters"])
        self._check(saved_config, finished, digest)
        with contradictions(self.path):
            run, runtime = self.run, self.run.runtime
            runtime.optimize_by(optimizer)
            runtime.load_state(state, description)
            fit_arrays = {name.removeprefix(FIT_PREFIX): array for name, array in arrays.items() if name not in state}
            run.done, run.ended = fit_config["done"], fit_config["ended"]
            run.losses, run.sizes = fit_arrays["losses"].tolist(), fit_arrays["sizes"].astype(int).tolist()
            run.history.loss, run.history.seconds = fit_arrays["loss"].tolist(), fit_arrays["seconds"].item()
            metrics = {n.removeprefix("metrics."): v for n, v in fit_arrays.items() if n.startswith("metrics.")}
            run.history.metrics = {name: metrics[name].tolist() for name in metrics}
            for i, callback in enumerate(self._others):
                _load_callback_state(callback, f"callbacks.{i}.", fit_arrays)

    def _check(self, saved_config: dict[str, Any], finished: bool, digest: str) -> None:
        """Refuse a file of another fit. ``digest``: digest of the state that it holds."""
        config = dict(self._fit_config)
        if config["start"] == digest != saved_config.get("start"):  # the very network that was interrupted
            if finished:
                raise ArgumentError(
                    f"checkpoint: {self.path} holds this training, finished; name another file to train further"
                )
            config |= {name: saved_config.get(name) for name in ("start", "optimizer")}
            self._fit_config = config
        for name in ("architecture", "loss", "optimizer"):
            saved_config[name] = registry.with_current_names(saved_config.get(name))
        for name, value in config.items():
            if saved_config.get(name) != value:
                digests = name in DIGESTS
                values = f"{name} {saved_config.get(name)!r}, here {value!r}"
                difference = f"other {DIGESTS[name]}" if digests else values
                raise ArgumentError(
                    f"checkpoint: expected one of this training; {self.path} is of one with {difference}: remove it, "
                    f"or name another file"
                )


DIGESTS = {"start": "initial weights", "data": "data", "validation": "validation data"}
"""What values of a configuration are called that are digests."""


def config_of_fit(network: Network, run: FitState, callbacks: Sequence[CallbackLike]) -> dict[str, Any]:
    """Return the configuration of a fit, as plain JSON values."""
    arrays, description = network.serialize()
    keys = "architecture", "loss", "dtype", "arithmetic", "seed", "optimizer"
    config = {
        **{name: description[name] for name in keys},
        "epochs": run.epochs,
        "batch_size": run.batch_size,
        "shuffle": run.shuffle,
        "metrics": list(run.metrics),
        "callbacks": [_name(callback) for callback in callbacks],
        "data": _of_data(run, run.data),
        "validation": None if run.validation is None else _of_data(run, run.validation),
        "start": _digest(arrays, description["counters"]),
    }
    plain_config: dict[str, Any] = json.loads(json.dumps(config))  # as read from a file
    return plain_config


def _of_data(run: FitState, source: DataSource) -> str:
    """Return SHA-256 over the rows in their order, as the network gets them."""
    backend, digest = run.runtime.backend, hashing.sha256()
    for batch in source.batches(backend, _ROWS, None, False):
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
    """Return a callback's class and options, without process-dependent parts."""
    cls = type(callback) if isinstance(callback, Callback) else callback
    options = ""
    if is_dataclass(callback) and not isinstance(callback, type):
        options = ", ".join(f"{f.name}={getattr(callback, f.name)!r}" for f in fields(callback) if f.init)
    return f"{getattr(cls, '__qualname__', type(cls).__qualname__)}({options})"


def _load_callback_state(callback: Any, prefix: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore a callback's state, in the types that it has."""
    state = {}
    for name, value in getattr(callback, "state", {}).items():
        values = {n.removeprefix(f"{prefix}{name}."): v for n, v in arrays.items() if n.startswith(f"{prefix}{name}.")}
        state[name] = values if isinstance(value, Mapping) else type(value)(values[""].item())
    if state:
        callback.state = state
