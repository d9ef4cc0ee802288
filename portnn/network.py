"""NeuralNetwork: what users hold. It checks what comes in, and hands it to the runtime that holds the state."""

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from portnn import training
from portnn.backend import Backend, backend_of, get_backend, requested_backend
from portnn.core.architecture import Architecture
from portnn.core.runtime import PREDICT_ROWS, Runtime
from portnn.core.step import Core
from portnn.data import arrays, files
from portnn.data.arrays import Batch, Dataset
from portnn.errors import ArgumentError, DTypeError, NotFittedError, SerializationError, choose
from portnn.nn import losses, optimizers, random
from portnn.nn.layers import Dense, Layer
from portnn.nn.metrics import METRICS, OF_VALUES, classes
from portnn.nn.optimizers import OPTIMIZERS, Optimizer
from portnn.training import History
from portnn.types import Array


class NeuralNetwork:
    """A feed-forward network on any array library.

    Parameters
    ----------
    *layers : int, str or Layer
        Ints are widths: the first argument, if an int, is the input's; each later one a ``Dense``, followed by
        ``activation`` unless another is named next or it is the output's. Layer objects are taken as they are;
        strings are activations, a trailing one the output's. Without any, widths are inferred at the first fit,
        with one hidden layer of 100.
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
        self,
        *layers: int | str | Layer,
        activation: str = "relu",
        output: str = "identity",
        loss: str | None = None,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | None = None,
        initializer: str = "auto",
        bias: bool = True,
        backend: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        if seed is not None and (not isinstance(seed, int | np.integer) or seed < 0):
            raise ArgumentError(f"seed: expected an int of at least 0; got {seed!r}")
        self._parse = partial(
            Architecture.parse, activation=activation, output=output, bias=bias, initializer=initializer
        )
        self._widths_given = bool(layers)
        self.architecture = self._parse(layers) if layers else replace(self._parse((1, 100, 1)), features=None)
        self.loss = loss
        self._loss = losses.for_output(loss or "mse", self.architecture.output)
        self.optimizer = optimizers.make(optimizer, learning_rate)
        self.dtype = dtype
        self.seed = random.draw_seed() if seed is None else int(seed)
        self.metadata: dict[str, Any] = {}
        """Plain JSON values of the user's own, saved with the model."""
        wanted = requested_backend(backend, device)
        self._follows_data = wanted is None
        self._backend = _with_dtype(wanted or get_backend("numpy"), dtype)
        self._runtime: Runtime | None = None
        if self.architecture.features is not None:
            self._build()

    # ---- where it computes, and of what widths

    def _build(self) -> Runtime:
        """Draw the initial state, once the width of the input is known."""
        core = Core(self.architecture, self._loss, *self.architecture.layouts())
        self._runtime = Runtime.initial(self._backend, core, self.optimizer, self.dtype, self.seed)
        return self._runtime

    def _built(self) -> Runtime:
        if self._runtime is None:
            raise NotFittedError("network: its widths are inferred at the first fit; give them, or call fit first")
        return self._runtime

    @contextmanager
    def _following(self, x: object, y: object) -> Iterator[Runtime]:
        """Go where the data to train on are, and infer the widths that were not given, for a block that checks them.

        If they turn out not to be usable, the network is put back as it was.
        """
        before = self._backend, self._follows_data, self.architecture, self._runtime
        try:
            if self._follows_data:
                self._backend, self._follows_data = _with_dtype(backend_of(x), self.dtype), False
            with self._backend.scope():
                yield self._placed() if self._runtime is not None else self._sized(x, y)
        except BaseException:
            self._backend, self._follows_data, self.architecture, self._runtime = before
            raise

    def _placed(self) -> Runtime:
        runtime = self._built()
        if runtime.backend is not self._backend:
            self._runtime = runtime = runtime.to(self._backend, self.dtype)
        return runtime

    def _sized(self, x: object, y: object) -> Runtime:
        shape = tuple(arrays.features(self._backend, x, None, self.dtype, check=False).shape[1:])
        if self._widths_given:
            self.architecture = replace(self.architecture, features=shape)
        else:
            self.architecture = self._parse((*shape, 100, arrays.target_width(self._backend, y, self._loss)))
        return self._build()

    # ---- data in

    def _features(self, x: object, check: bool, name: str = "x") -> Array:
        return arrays.features(self._backend, x, self.architecture.features, self.dtype, check, name)

    def _targets(self, y: object, rows: int, check: bool, name: str = "y") -> Array:
        named = self.loss is not None
        return arrays.targets(
            self._backend, y, rows, self.architecture.outputs, self._loss, named, self.dtype, check, name
        )

    def _dataset(self, x: object, y: object, sample_weight: object = None, name: str = "") -> Dataset:
        xs = self._features(x, check=True, name=f"{name}x")
        ys = self._targets(y, xs.shape[0], check=True, name=f"{name}y")
        weight = None
        if sample_weight is not None:
            weight = arrays.row_weights(self._backend, sample_weight, xs.shape[0], self.dtype, self._loss.mean)
        return Dataset(xs, ys, weight)

    def _batch(self, x: object, y: object) -> Batch:
        xs = self._features(x, check=False)
        ys = self._targets(y, xs.shape[0], check=False)
        return xs, ys, 1.0 / xs.shape[0] if self._loss.mean else 1.0

    # ---- training

    def fit(
        self,
        x: object,
        y: object,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validation: float | tuple[object, object] | None = None,
        metrics: Sequence[str] = (),
        sample_weight: object = None,
        progress: bool | None = None,
    ) -> History:
        """Train for ``epochs`` passes over the data.

        ``x`` is (rows, features), ``y`` (rows, outputs), (rows,) for one output, or integer labels, (rows,), for
        cross_entropy. ``batch_size=None`` is the full batch. ``validation`` is a share of the rows, held out at
        random, or (x, y). ``metrics``: names, measured after each epoch. ``sample_weight``: (rows,).
        ``progress=None`` shows a bar on work of over a second, on a terminal.

        Ctrl-C is held back to the end of the step: the network stays usable, and KeyboardInterrupt is raised.
        Raises ShapeError, DTypeError, DataError for data that cannot be used, before anything is changed;
        DivergenceError where the loss stops being finite, with the network as at the start of the epoch.
        """
        _check_positive("epochs", epochs)
        _check_positive("batch_size", batch_size, optional=True)
        with self._following(x, y) as runtime:
            whole, held = self._dataset(x, y, sample_weight), None
            _check_metrics(metrics, whole)
            if isinstance(validation, tuple):
                held = self._dataset(*validation, name="validation ")
            elif validation is not None:
                whole, held = self._split(whole, validation)
        with self._backend.scope():
            if runtime.step_count == 0:
                self._fit_buffers(runtime, whole)
            return training.fit(
                runtime,
                whole,
                held,
                epochs=epochs,
                batch_size=batch_size,
                shuffle=shuffle,
                metrics=metrics,
                progress=progress,
            )

    def prepared(self, x: object, y: object) -> tuple[Runtime, Dataset]:
        """Return the state and the checked data that a fit would start from."""
        with self._following(x, y) as runtime:
            dataset = self._dataset(x, y)
            if runtime.step_count == 0:
                self._fit_buffers(runtime, dataset)
        return runtime, dataset

    def _split(self, whole: Dataset, share: float) -> tuple[Dataset, Dataset]:
        if not isinstance(share, float) or not 0.0 < share < 1.0 or whole.rows < 2:
            raise ArgumentError(f"validation: expected a share between 0 and 1 of at least 2 rows; got {share!r}")
        kept, held = (self._backend.asarray(index) for index in random.split(whole.rows, share, self.seed))
        return whole.take(self._backend.xp, kept), whole.take(self._backend.xp, held)

    def _fit_buffers(self, runtime: Runtime, whole: Dataset) -> None:
        """Fit what layers such as Standardize know of the training data."""
        buffers: dict[str, np.ndarray] = {}
        for i, layer in enumerate(self.architecture.layers):
            if layer.fitted_to:
                columns = self._backend.to_numpy(getattr(whole, layer.fitted_to))
                fitted = layer.fitted(*arrays.column_statistics(columns))
                buffers |= {e.name: fitted[e.key] for e in runtime.core.buffers.entries if e.layer == i}
        if buffers:
            runtime.assign({}, buffers)

    def step(self, x: object, y: object) -> Array:
        """Take one training step on a batch; return the loss before it, an unread 0-d array.

        Checks shapes and dtypes, not values: that would wait for the device (``fit`` does, once).
        """
        with self._following(x, y) as runtime:
            batch = self._batch(x, y)
        with self._backend.scope():
            return runtime.step(batch)

    def gradients(self, x: object, y: object) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter name: gradient}) of a batch; nothing is changed."""
        with self._following(x, y) as runtime:
            return runtime.gradients(self._batch(x, y))

    @property
    def step_count(self) -> int:
        """Training steps taken."""
        return self._runtime.step_count if self._runtime else 0

    @property
    def epoch_count(self) -> int:
        """Epochs finished."""
        return self._runtime.epoch_count if self._runtime else 0

    # ---- inference

    def forward(self, x: object) -> Array:
        """Return the outputs, (rows, outputs), on the network's backend, unbatched."""
        runtime = self._built()
        with self._backend.scope():
            return runtime.forward(self._features(x, check=False))

    def predict(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return the outputs, (rows, outputs), in the caller's kind of array; NaN in a row gives NaN in its output."""
        return self._home(x, self._outputs(x, batch_size, check=False))

    def predict_classes(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return int32 labels, (rows,), in the caller's kind of array.

        The largest output; for one sigmoid output, whether it exceeds 1/2. Raises ArgumentError for a single
        output of another kind, DataError for NaN or infinity.
        """
        self._built()
        output = self.architecture.output
        if self.architecture.outputs == 1 and output != "sigmoid":
            raise ArgumentError(f'predict_classes: one output needs output="sigmoid" to mean classes; got "{output}"')
        outputs = self._outputs(x, batch_size, check=True)
        with self._backend.scope():
            labels = classes(self._backend.xp, outputs)
        return self._home(x, labels)

    def _outputs(self, x: object, batch_size: int | None, check: bool) -> Array:
        runtime = self._built()
        _check_positive("batch_size", batch_size, optional=True)
        with self._backend.scope():
            return runtime.forward(self._features(x, check), batch_size or PREDICT_ROWS)

    def _home(self, x: object, result: Array) -> Any:
        home = backend_of(x)
        return result if home is self._backend else home.asarray(result)

    def evaluate(self, x: object, y: object, *, metrics: Sequence[str] = ()) -> dict[str, float]:
        """Return {"loss": ..., metric: ...} over the data, in inference mode."""
        runtime = self._built()
        with self._backend.scope():
            dataset = self._dataset(x, y)
            _check_metrics(metrics, dataset)
            return runtime.evaluate(dataset, metrics)

    # ---- what it holds

    @property
    def backend(self) -> str:
        """Where the network computes: "numpy:cpu", "cupy:0", "torch:cuda:0"."""
        return repr(self._backend)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Copies of the parameters by name, in depth order: W1, b1, W2 ...; a weight is (in, out)."""
        with self._backend.scope():
            return MappingProxyType(self._built().parameters())

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Copies of the values that are not trained, by name: mean1, inverse_std1."""
        with self._backend.scope():
            return MappingProxyType(self._built().buffers())

    def set_parameters(self, parameters: Mapping[str, object]) -> None:
        """Set the named parameters from arrays of any library; those not named stay.

        Raises ArgumentError for an unknown name, ShapeError, DTypeError, DataError; then nothing is changed.
        """
        with self._backend.scope():
            self._built().assign(parameters)

    def to(self, backend: str | None = None, *, device: str | None = None, dtype: str | None = None) -> "NeuralNetwork":
        """Return a copy, optimizer state included, on another backend or device or of another dtype."""
        other = copy.copy(self)
        other.metadata = copy.deepcopy(self.metadata)
        other.dtype = dtype or self.dtype
        if backend or device:
            other._backend, other._follows_data = get_backend(backend, device), False
        other._backend = _with_dtype(other._backend, other.dtype)
        if self._runtime is not None:
            other._runtime = self._runtime.to(other._backend, other.dtype)
        return other

    def __deepcopy__(self, memo: object) -> "NeuralNetwork":
        return self.to()

    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        return self._built().fingerprint()

    def summary(self) -> str:
        """Return a table of the layers with their output shapes and numbers of parameters."""
        rows = [("layer", "output", "parameters"), *self.architecture.table()]
        wide, middle, _ = (max(map(len, column)) + 2 for column in zip(*rows, strict=True))
        lines = [f"{layer:<{wide}}{output:<{middle}}{parameters:>12}" for layer, output, parameters in rows]
        named = self.loss or "mse"
        lines.append(f"loss {named}, {self.optimizer}, backend {self.backend}, {self.dtype}, seed {self.seed}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        features = self.architecture.features or ("?",)
        units = [layer.units for layer in self.architecture.layers if isinstance(layer, Dense)]
        shape = "-".join(map(str, (*features, *units)))
        return f"NeuralNetwork({shape}, backend={self.backend!r}, dtype={self.dtype!r}, seed={self.seed})"

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, optimizer state and counters included, as safetensors; atomically."""
        files.write_model(
            path,
            self._built().arrays(),
            {
                "architecture": self.architecture.describe(),
                "loss": self.loss,
                "optimizer": {"optimizer": optimizers.name_of(self.optimizer), **asdict(self.optimizer)},
                "dtype": self.dtype,
                "seed": self.seed,
                "step_count": self.step_count,
                "epoch_count": self.epoch_count,
                "metadata": self.metadata,
            },
        )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, backend: str | None = None, device: str | None = None
    ) -> "NeuralNetwork":
        """Read a network that ``save`` wrote. Raises SerializationError for any other file."""
        stored, description = files.read_model(path)
        try:
            architecture = Architecture.from_description(description["architecture"])
            options = dict(description["optimizer"])
            optimizer = choose("optimizer", options.pop("optimizer"), OPTIMIZERS)(**options)
            network = cls(
                *architecture.layers,
                output=architecture.output,
                loss=description["loss"],
                optimizer=optimizer,
                dtype=description["dtype"],
                seed=description["seed"],
                backend=backend,
                device=device,
            )
            network.metadata = dict(description["metadata"])
            network.architecture = architecture
            runtime = network._build()
            runtime.step_count, runtime.epoch_count = int(description["step_count"]), int(description["epoch_count"])
            with network._backend.scope():
                runtime.set_arrays(stored)
        except (KeyError, TypeError, ValueError, AssertionError, AttributeError) as error:
            raise SerializationError(f"{path}: the file contradicts itself ({error!r})") from error
        return network


def _check_metrics(metrics: Sequence[str], dataset: Dataset) -> None:
    if isinstance(metrics, str):
        raise ArgumentError(f"metrics: expected a list of names; got {metrics!r}")
    for name in metrics:
        choose("metrics", name, METRICS)
        if name in OF_VALUES and dataset.y.ndim == 1:
            raise ArgumentError(f"metrics: {name!r} is for targets that are values; got class labels")


def _check_positive(argument: str, value: object, optional: bool = False) -> None:
    if not (optional and value is None) and (not isinstance(value, int | np.integer) or value < 1):
        raise ArgumentError(f"{argument}: expected a positive int; got {value!r}")


def _with_dtype(backend: Backend, dtype: str) -> Backend:
    """Return the backend, if its device computes in that dtype."""
    if dtype not in ("float32", "float64"):
        raise DTypeError(f"dtype: expected 'float32' or 'float64'; got {dtype!r}")
    if dtype not in backend.dtypes():
        raise DTypeError(f'dtype: {backend!r} has no {dtype}; use dtype="float32" or another device')
    return backend
