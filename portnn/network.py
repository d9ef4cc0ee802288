"""NeuralNetwork: the shell that holds the state around the pure core."""

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from portnn import data, optimizers, random, serialization, training
from portnn.architecture import Architecture, Layout
from portnn.backend import Backend, backend_of, get_backend, host_array, requested_backend
from portnn.errors import ArgumentError, DataError, DTypeError, NotFittedError, SerializationError, ShapeError, choose
from portnn.layers import Dense, Layer, Standardize
from portnn.losses import LOSSES, from_preactivation
from portnn.metrics import METRICS, classes
from portnn.optimizers import OPTIMIZERS, Optimizer
from portnn.step import Core, State
from portnn.training import History
from portnn.types import Array

PREDICT_ROWS = 8192
"""Rows of one batch at prediction: bounds the memory of the hidden layers."""


class NeuralNetwork:
    """A feed-forward network on any array library.

    Parameters
    ----------
    *layers : int, str or Layer
        Ints are widths: the first argument, if an int, is the input's; each later one a ``Dense`` followed by
        ``activation``, the last by ``output``. Layer objects are taken as they are; strings are activations, a
        trailing one the output's. Without any, widths are inferred at the first fit, with one hidden layer of 100.
    activation, output : str
        Names of activations: identity, sigmoid, tanh, relu, softmax.
    loss : str, optional
        sse, half_sse, mse, binary_cross_entropy (output sigmoid) or cross_entropy (output softmax). None: mse,
        for floating targets only.
    optimizer : str or Optimizer
        "sgd", "adam", or an object such as ``SGD(0.1, momentum=0.9)``.
    learning_rate : float, optional
        None: the optimizer's own.
    initializer : str
        zeros, uniform, normal, glorot, he, or "auto": he before relu, else glorot.
    bias : bool
        Whether the layers made from ints have biases.
    backend, device : str, optional
        "numpy", "cupy", "cupy:1", "torch:cuda:0", "jax", "array_api_strict", "auto". None: the variable
        PORTNN_BACKEND, else that of the first data to train on.
    dtype : {"float32", "float64"}
        Of parameters and computation.
    seed : int, optional
        Of initial weights, shuffles and splits. None: one is drawn and kept.

    Raises
    ------
    ArgumentError, BackendUnavailableError, DTypeError
    """

    def __init__(
        self, *layers: int | str | Layer, activation: str = "relu", output: str = "identity", loss: str | None = None,
        optimizer: str | Optimizer = "adam", learning_rate: float | None = None, initializer: str = "auto",
        bias: bool = True, backend: str | None = None, device: str | None = None, dtype: str = "float32",
        seed: int | None = None,
    ) -> None:  # fmt: skip
        if dtype not in ("float32", "float64"):
            raise DTypeError(f"dtype: expected 'float32' or 'float64'; got {dtype!r}")
        if seed is not None and (not isinstance(seed, int | np.integer) or seed < 0):
            raise ArgumentError(f"seed: expected an int of at least 0; got {seed!r}")
        self._parse = partial(
            Architecture.parse, activation=activation, output=output, bias=bias, initializer=initializer
        )
        self._widths_given = bool(layers)
        self.architecture = self._parse(layers) if layers else replace(self._parse((1, 100, 1)), features=None)
        self.loss = loss
        from_preactivation(loss or "mse", self.architecture.output)
        self.optimizer = optimizers.make(optimizer, learning_rate)
        self.dtype = dtype
        self.seed = random.draw_seed() if seed is None else int(seed)
        self.step_count = 0
        """Training steps taken."""
        self.epoch_count = 0
        """Epochs finished."""
        self.metadata: dict[str, Any] = {}
        """Plain JSON values of the user's own, saved with the model."""
        self._core: Core | None = None
        self._state: State | None = None
        wanted = requested_backend(backend, device)
        self._follows_data = wanted is None
        self._backend = wanted or get_backend("numpy")
        self._check_dtype(self._backend)
        if self.architecture.features is not None:
            self._build()

    # ---- state: building, placing, copying

    def _check_dtype(self, backend: Backend) -> None:
        if self.dtype not in backend.dtypes():
            raise DTypeError(f'dtype: {backend!r} has no {self.dtype}; use dtype="float32" or another device')

    def _build(self) -> None:
        """Draw the initial state, once the width of the input is known."""
        parameters, buffers = self.architecture.layouts()
        loss = from_preactivation(self.loss or "mse", self.architecture.output)
        self._core = Core(self.architecture, loss, parameters, buffers)
        initial = self.architecture.initial(parameters, self.seed)
        slots = tuple(np.zeros(parameters.size) for _ in range(self.optimizer.slots))
        kept = self.architecture.initial(buffers, self.seed)
        self._place(self._backend, State(initial, kept, slots))

    def _place(self, backend: Backend, state: State) -> None:
        """Take owned copies of the state's arrays to a backend, and bind the core to it."""

        def owned(array: object) -> Array:
            with backend.scope():
                return backend.xp.asarray(backend.asarray(array, self.dtype), copy=True)

        assert self._core is not None
        self._backend = backend
        self._state = State(owned(state.parameters), owned(state.buffers), tuple(map(owned, state.slots)))
        core, xp = self._core, backend.xp
        update = backend.elementwise(self.optimizer.kernel, donate=(0, *range(2, 2 + self.optimizer.slots)))
        self._step = backend.compile(lambda state, *rest: core.step(xp, update, state, *rest), donate=(0,))
        self._forward = backend.compile(lambda state, x: core.forward(xp, state, x))

    def _ready(self) -> tuple[Core, State]:
        if self._core is None or self._state is None:
            raise NotFittedError("network: its widths are inferred at the first fit; give them, or call fit first")
        return self._core, self._state

    def _prepare(self, x: object, y: object) -> None:
        """Before training: follow the data to its backend, and infer the widths that were not given."""
        if self._follows_data:
            self._follows_data = False
            home = backend_of(x)
            if home is not self._backend:
                self._check_dtype(home)
                self._backend = home
                if self._state is not None:
                    self._place(home, self._state)
        if self._core is None:
            loss = LOSSES[self.loss or "mse"]
            with self._backend.scope():
                shape = tuple(data.features(self._backend, x, None, self.dtype, check=False).shape[1:])
                if self._widths_given:
                    self.architecture = replace(self.architecture, features=shape)
                else:
                    width = data.target_width(self._backend, y, loss)
                    self.architecture = self._parse((*shape, 100, width))
            self._build()

    def _snapshot(self) -> tuple[State, int, int]:
        _, state = self._ready()
        copied = [self._copy(a) for a in (state.parameters, state.buffers, *state.slots)]
        return State(copied[0], copied[1], tuple(copied[2:])), self.step_count, self.epoch_count

    def _restore(self, snapshot: tuple[State, int, int]) -> None:
        self._state, self.step_count, self.epoch_count = snapshot

    def _copy(self, array: Array) -> Array:
        return self._backend.xp.asarray(array, copy=True)

    # ---- data in and out

    def _features(self, x: object, check: bool, name: str = "x") -> Array:
        self._ready()
        return data.features(self._backend, x, self.architecture.features, self.dtype, check, name)

    def _targets(self, y: object, rows: int, check: bool, name: str = "y") -> Array:
        width = self.architecture.shapes()[-1][1].output[0]
        loss, named = LOSSES[self.loss or "mse"], self.loss is not None
        return data.targets(self._backend, y, rows, width, loss, named, self.dtype, check, name)

    def _dataset(self, x: object, y: object, sample_weight: object = None, name: str = "") -> data.Dataset:
        xs = self._features(x, check=True, name=f"{name}x")
        ys = self._targets(y, xs.shape[0], check=True, name=f"{name}y")
        weight = None
        if sample_weight is not None:
            weight = data.row_weights(self._backend, sample_weight, xs.shape[0], self.dtype, self._mean)
        return data.Dataset(xs, ys, weight)

    @property
    def _mean(self) -> bool:
        return LOSSES[self.loss or "mse"].mean

    def _batch(self, x: object, y: object) -> tuple[Array, Array, float]:
        self._prepare(x, y)
        with self._backend.scope():
            xs = self._features(x, check=False)
            ys = self._targets(y, xs.shape[0], check=False)
        return xs, ys, 1.0 / xs.shape[0] if self._mean else 1.0

    # ---- training

    def fit(
        self, x: object, y: object, *, epochs: int = 1, batch_size: int | None = 32, shuffle: bool = True,
        validation: float | tuple[object, object] | None = None, metrics: Sequence[str] = (),
        sample_weight: object = None, progress: bool | None = None,
    ) -> History:  # fmt: skip
        """Train for ``epochs`` passes over the data.

        ``x`` is (rows, features), ``y`` (rows, outputs), (rows,) for one output, or integer labels, (rows,), for
        cross_entropy. ``batch_size=None`` is the full batch. ``validation`` is a share of the rows, held out at
        random, or (x, y). ``metrics``: names, measured after each epoch. ``sample_weight``: (rows,).
        ``progress=None`` shows a bar on work of over a second, on a terminal.

        Ctrl-C is held back to the end of the step: the network stays usable, and KeyboardInterrupt is raised.
        Raises ShapeError, DTypeError, DataError for data that cannot be used, before anything is changed;
        DivergenceError where the loss stops being finite, with the network as at the start of the epoch.
        """
        for name, value in {"epochs": epochs, "batch_size": 1 if batch_size is None else batch_size}.items():
            if not isinstance(value, int | np.integer) or value < 1:
                raise ArgumentError(f"{name}: expected a positive int; got {value!r}")
        for metric in metrics:
            choose("metrics", metric, METRICS)
        self._prepare(x, y)
        with self._backend.scope():
            whole, held = self._dataset(x, y, sample_weight), None
            if isinstance(validation, tuple):
                held = self._dataset(*validation, name="validation ")
            elif validation is not None:
                whole, held = self._split(whole, validation)
            if self.step_count == 0 and isinstance(self.architecture.layers[0], Standardize):
                self._standardize(whole.x)
            return training.fit(
                self, whole, held, epochs=epochs, batch_size=batch_size, shuffle=shuffle, mean=self._mean,
                metrics=metrics, progress=progress,
            )  # fmt: skip

    def _split(self, whole: data.Dataset, share: float) -> tuple[data.Dataset, data.Dataset]:
        if not isinstance(share, float) or not 0.0 < share < 1.0 or whole.rows < 2:
            raise ArgumentError(f"validation: expected a share between 0 and 1 of at least 2 rows; got {share!r}")
        xp = self._backend.xp
        parts = [self._backend.asarray(index) for index in random.split(whole.rows, share, self.seed)]
        first, second = (
            data.Dataset(*(None if a is None else xp.take(a, i, axis=0) for a in (whole.x, whole.y, whole.weight)))
            for i in parts
        )
        return first, second

    def _standardize(self, x: Array) -> None:
        core, state = self._ready()
        statistics = data.column_statistics(self._backend.to_numpy(x))
        # A mean within rounding of the data's: the layer subtracts it in the network's dtype.
        vector = np.concatenate([np.ravel(s) for s in statistics])
        assert core.buffers.size == vector.size
        self._state = state._replace(buffers=self._copy(self._backend.asarray(vector, self.dtype)))

    def _train(self, x: Array, y: Array, weight: Any) -> Array:
        """Take one step on checked arrays; return the loss, unread."""
        dials = self.optimizer.dials(self.step_count + 1)
        self._state, loss = self._step(self._state, x, y, weight, *dials)
        self.step_count += 1
        return loss

    def step(self, x: object, y: object) -> Array:
        """Take one training step on a batch; return the loss before it, an unread 0-d array.

        Checks shapes and dtypes, not values: that would wait for the device (``fit`` does, once).
        """
        batch = self._batch(x, y)
        with self._backend.scope():
            return self._train(*batch)

    def gradients(self, x: object, y: object) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter name: gradient}) of a batch; nothing is changed."""
        batch = self._batch(x, y)
        core, state = self._ready()
        with self._backend.scope():
            loss, vector = core.gradients(self._backend.xp, state, *batch)
            return loss, core.parameters.named(self._backend.xp, vector)

    # ---- inference

    def forward(self, x: object) -> Array:
        """Return the outputs, (rows, outputs), on the network's backend, unbatched."""
        _, state = self._ready()
        with self._backend.scope():
            return self._forward(state, self._features(x, check=False))

    def predict(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return the outputs, (rows, outputs), in the caller's kind of array; NaN in a row gives NaN in its output."""
        return self._home(x, self._outputs(x, batch_size, check=False))

    def predict_classes(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return int32 labels, (rows,), in the caller's kind of array.

        The largest output; for one sigmoid output, whether it exceeds 1/2. Raises ArgumentError for a single
        output of another kind, DataError for NaN or infinity.
        """
        width = self._ready()[0].architecture.shapes()[-1][1].output[0]
        if width == 1 and self.architecture.output != "sigmoid":
            raise ArgumentError(
                f'predict_classes: one output needs output="sigmoid" to mean classes; got "{self.architecture.output}"'
            )
        outputs = self._outputs(x, batch_size, check=True)
        with self._backend.scope():
            return self._home(x, classes(self._backend.xp, outputs))

    def _outputs(self, x: object, batch_size: int | None, check: bool) -> Array:
        _, state = self._ready()
        size = batch_size or PREDICT_ROWS
        with self._backend.scope():
            xs = self._features(x, check)
            rows = xs.shape[0]
            parts = [self._forward(state, xs[i : min(i + size, rows), ...]) for i in range(0, rows, size)]
            return parts[0] if len(parts) == 1 else self._backend.xp.concat(parts)

    def _home(self, x: object, result: Array) -> Any:
        home = backend_of(x)
        return result if home is self._backend else home.asarray(result)

    def evaluate(self, x: object, y: object, *, metrics: Sequence[str] = ()) -> dict[str, float]:
        """Return {"loss": ..., metric: ...} over the data, in inference mode."""
        for metric in metrics:
            choose("metrics", metric, METRICS)
        with self._backend.scope():
            return self._evaluate(self._dataset(x, y), metrics)

    def _evaluate(self, dataset: data.Dataset, metrics: Sequence[str]) -> dict[str, float]:
        core, state = self._ready()
        backend, xp = self._backend, self._backend.xp
        losses, outputs = [], []
        for x, y, weight in dataset.batches(xp, PREDICT_ROWS, None, mean=False):
            loss, output = core.evaluate(xp, state, x, y, weight)
            losses.append(float(backend.to_numpy(loss)))
            outputs.append(output)
        report = {"loss": sum(losses) / (dataset.rows if self._mean else 1)}
        whole = xp.concat(outputs)
        return report | {m: float(backend.to_numpy(METRICS[m](xp, whole, dataset.y))) for m in metrics}

    # ---- what it holds

    @property
    def backend(self) -> str:
        """Where the network computes: "numpy:cpu", "cupy:0", "torch:cuda:0"."""
        return repr(self._backend)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Copies of the parameters by name, in depth order: W1, b1, W2 ...; a weight is (in, out)."""
        core, state = self._ready()
        return self._named(core.parameters, state.parameters)

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Copies of the values that are not trained, by name: mean1, inverse_std1."""
        core, state = self._ready()
        return self._named(core.buffers, state.buffers)

    def _named(self, layout: Layout, vector: Array) -> Mapping[str, Array]:
        with self._backend.scope():
            return MappingProxyType(layout.named(self._backend.xp, self._copy(vector)))

    def set_parameters(self, parameters: Mapping[str, object]) -> None:
        """Set the named parameters from arrays of any library; those not named stay.

        Raises ArgumentError for an unknown name, ShapeError, DTypeError, DataError; then nothing is changed.
        """
        core, state = self._ready()
        self._state = state._replace(parameters=self._filled(core.parameters, state.parameters, parameters))

    def _filled(self, layout: Layout, vector: Array, values: Mapping[str, object]) -> Array:
        entries = {e.name: e for e in layout.entries}
        flat = np.array(self._backend.to_numpy(vector))
        for name, value in values.items():
            entry = choose("parameters", name, entries)
            array = host_array(value)
            if array.dtype.kind not in "biuf":
                raise DTypeError(f"parameters[{name!r}]: expected real numbers; got dtype {array.dtype}")
            if array.shape != entry.shape:
                raise ShapeError(f"parameters[{name!r}]: expected shape {entry.shape}; got {array.shape}")
            flat[entry.start : entry.stop] = array.ravel()
        if not np.all(np.isfinite(flat)):
            raise DataError(f"parameters: expected finite numbers within {self.dtype}'s range; got NaN or infinity")
        with self._backend.scope():
            return self._copy(self._backend.asarray(flat, self.dtype))

    def to(self, backend: str | None = None, *, device: str | None = None, dtype: str | None = None) -> "NeuralNetwork":
        """Return a copy, optimizer state included, on another backend or device or of another dtype."""
        other = copy.copy(self)
        other.metadata = copy.deepcopy(self.metadata)
        other.dtype = dtype or self.dtype
        if other.dtype not in ("float32", "float64"):
            raise DTypeError(f"dtype: expected 'float32' or 'float64'; got {dtype!r}")
        target = get_backend(backend, device) if backend or device else self._backend
        other._follows_data = self._follows_data and target is self._backend
        other._check_dtype(target)
        other._backend = target
        if self._state is not None:
            other._place(target, self._state)
        return other

    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        core, state = self._ready()
        digest = hashlib.sha256(self.dtype.encode())
        for layout, vector in ((core.parameters, state.parameters), (core.buffers, state.buffers)):
            digest.update(repr([(e.name, e.shape) for e in layout.entries]).encode())
            host = self._backend.to_numpy(vector)
            digest.update(host.astype(host.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return a table of the layers with their output shapes and numbers of parameters."""
        lines = [f"{'layer':<24}{'output':<16}{'parameters':>12}"]
        if self._core is None:
            lines += [f"{_title(layer):<24}{'?':<16}{'?':>12}" for layer in self.architecture.layers]
        else:
            for layer, shapes in self.architecture.shapes():
                count = sum(int(np.prod(shape)) for shape, _ in shapes.parameters.values())
                lines.append(f"{_title(layer):<24}{f'(batch, {shapes.output[0]})':<16}{count:>12,}")
            lines.append(f"{self.architecture.output + ' (output)':<24}{'':<16}{0:>12,}")
            lines.append(f"{'total':<24}{'':<16}{self._core.parameters.size:>12,}")
        settings = (
            f"loss {self.loss or 'mse'}, {self.optimizer}, backend {self.backend}, {self.dtype}, seed {self.seed}"
        )
        return "\n".join([*lines, settings])

    def __repr__(self) -> str:
        known = self.architecture.features is not None
        widths = [*self.architecture.features, *self._units()] if known else ["?"]  # type: ignore[misc]
        shape = "-".join(map(str, widths))
        return f"NeuralNetwork({shape}, backend={self.backend!r}, dtype={self.dtype!r}, seed={self.seed})"

    def _units(self) -> list[int]:
        return [layer.units for layer in self.architecture.layers if isinstance(layer, Dense)]

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, optimizer state and counters included, as safetensors; atomically."""
        core, state = self._ready()
        host = self._backend.to_numpy
        arrays = dict(core.parameters.named(np, host(state.parameters)))
        arrays |= core.buffers.named(np, host(state.buffers))
        arrays |= {f"optimizer.{i}": host(slot) for i, slot in enumerate(state.slots)}
        serialization.write_model(path, arrays, {
            "architecture": self.architecture.describe(),
            "loss": self.loss,
            "optimizer": {"optimizer": _name_of(self.optimizer), **asdict(self.optimizer)},
            "dtype": self.dtype, "seed": self.seed, "step_count": self.step_count, "epoch_count": self.epoch_count,
            "metadata": self.metadata,
        })  # fmt: skip

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, backend: str | None = None, device: str | None = None
    ) -> "NeuralNetwork":
        """Read a network that ``save`` wrote. Raises SerializationError for any other file."""
        arrays, description = serialization.read_model(path)
        try:
            architecture = Architecture.from_description(description["architecture"])
            options = dict(description["optimizer"])
            optimizer = choose("optimizer", options.pop("optimizer"), OPTIMIZERS)(**options)
            network = cls(
                *architecture.layers, output=architecture.output, loss=description["loss"], optimizer=optimizer,
                dtype=description["dtype"], seed=description["seed"], backend=backend, device=device,
            )  # fmt: skip
            network.architecture = replace(network.architecture, features=architecture.features)
            network._build()
            network.step_count, network.epoch_count = (
                int(description["step_count"]),
                int(description["epoch_count"]),
            )
            network.metadata = dict(description["metadata"])
            network._adopt(arrays)
        except (KeyError, TypeError, ValueError, AssertionError, AttributeError) as error:
            raise SerializationError(f"{path}: the file contradicts itself ({error!r})") from error
        return network

    def _adopt(self, arrays: dict[str, np.ndarray]) -> None:
        """Take a file's arrays for the whole state; all must be there, and nothing else."""
        core, state = self._ready()
        expected = {e.name for e in (*core.parameters.entries, *core.buffers.entries)}
        expected |= {f"optimizer.{i}" for i in range(len(state.slots))}
        if set(arrays) != expected:
            raise ShapeError(f"arrays: expected {sorted(expected)}; got {sorted(arrays)}")
        slots = []
        for i in range(len(state.slots)):
            slot = arrays[f"optimizer.{i}"]
            if slot.shape != (core.parameters.size,):
                raise ShapeError(f"optimizer.{i}: expected shape ({core.parameters.size},); got {slot.shape}")
            slots.append(slot)
        self._place(self._backend, State(
            self._filled(core.parameters, state.parameters, {e.name: arrays[e.name] for e in core.parameters.entries}),
            self._filled(core.buffers, state.buffers, {e.name: arrays[e.name] for e in core.buffers.entries}),
            tuple(slots),
        ))  # fmt: skip


def _title(layer: Layer) -> str:
    options = ", ".join(str(v) for k, v in vars(layer).items() if k in ("units", "name"))
    return f"{type(layer).__name__}({options})"


def _name_of(optimizer: Optimizer) -> str:
    return next(name for name, kind in OPTIMIZERS.items() if type(optimizer) is kind)
