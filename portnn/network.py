"""NeuralNetwork: what users hold. It checks what comes in, and hands it to the runtime that holds the state."""

import copy
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from portnn import registry
from portnn.backend import Backend, backend_of, get_backend, requested_backend, with_dtype
from portnn.core.architecture import Architecture
from portnn.core.runtime import PREDICT_ROWS, Runtime
from portnn.core.step import Core
from portnn.data.arrays import described
from portnn.data.dataset import Dataset
from portnn.data.labels import with_targets
from portnn.data.mapped import mapping_of
from portnn.data.schema import Schema
from portnn.data.stream import Batches
from portnn.errors import ArgumentError, DivergenceError, NotFittedError
from portnn.interrupts import interrupt_held
from portnn.io import files
from portnn.io.categories import Label
from portnn.io.tables import Names
from portnn.metrics.selection import Chosen, chosen
from portnn.nn import losses, random
from portnn.nn.initializers import Initializer
from portnn.nn.layer import Layer
from portnn.nn.layers import Dense
from portnn.nn.losses import Loss
from portnn.optim import optimizers
from portnn.optim.optimizers import Optimizer
from portnn.optim.schedules import Schedule
from portnn.options import plain, positive, readable, whole
from portnn.reproducible.arithmetic import ARITHMETICS, dtype_in
from portnn.train import loop as training
from portnn.train.callbacks import Callbacks, Told
from portnn.train.checkpoint import PLACE, Checkpoint
from portnn.train.history import History
from portnn.types import Array, Batch

_log = logging.getLogger("portnn")


class NeuralNetwork:
    """A feed-forward network on any array library.

    Parameters
    ----------
    *layers : int, str, Layer or tuple of int
        Ints are widths: the first argument, if an int, is the input's, if a tuple the shape of one row, such as
        (channels, height, width); each later one a ``Dense``, followed by ``activation`` unless another is named next
        or it is the output's. Layer objects are taken as they are; strings are activations, a trailing one the
        output's. Without any, widths are inferred at the first fit, with one hidden layer of 100.
    activation, output : str
        Names of activations: identity, sigmoid, tanh, relu, softmax.
    loss : str or Loss, optional
        sse, half_sse, mse, binary_cross_entropy (output sigmoid), cross_entropy (output softmax), an object such as
        ``losses.Huber(delta=2.0)``, or a ``Loss`` of your own. None: mse, for floating targets only.
    optimizer : str or Optimizer
        "sgd", "adam", or an object such as ``SGD(0.1, momentum=0.9)``.
    learning_rate : float or Schedule, optional
        None: the optimizer's own.
    initializer : str or Initializer
        zeros, uniform, normal, glorot, he, an object such as ``initializers.Normal(std=0.02)``, or "auto": he before
        relu, else glorot.
    classes : sequence of labels, optional
        Texts, numbers or bools that targets are, in the order of the outputs: for a loss of classes, where the data to
        train on do not say which there are (batches of texts). None: learnt from the targets of the first fit.
    bias : bool
        Whether the layers made from ints have biases; before BatchNorm, which takes them away, they have none.
    backend, device : str, optional
        "numpy", "cupy", "cupy:1", "torch:cuda:0", "jax", "array_api_strict", "auto". None: the variable
        PORTNN_BACKEND, else that of the first data to train on.
    dtype : {"float32", "float64"}, optional
        Of parameters and computation. None: float32; float64 in reproducible arithmetic, which has no other.
    arithmetic : {"fast", "reproducible"}
        "fast" computes with the library's own functions; "reproducible" trains to the same bits on every array
        library, device, BLAS and number of threads, at several times the cost.
    seed : int, optional
        Of initial weights, shuffles and splits. None: one is drawn and kept.

    Raises
    ------
    ArgumentError, BackendUnavailableError, DTypeError
    """

    def __init__(
        self,
        *layers: int | str | Layer | tuple[int, ...],
        activation: str = "relu",
        output: str = "identity",
        loss: str | Loss | None = None,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | Schedule | None = None,
        initializer: str | Initializer = "auto",
        classes: Sequence[Label] | None = None,
        bias: bool = True,
        backend: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        arithmetic: str = "fast",
        seed: int | None = None,
    ) -> None:
        dtype = dtype_in(arithmetic, dtype)
        seed = random.draw_seed() if seed is None else whole("seed", seed, 0)
        self._parse = partial(
            Architecture.parse, activation=activation, output=output, bias=bias, initializer=initializer
        )
        self._architecture = self._parse(layers) if layers else replace(self._parse((1, 100, 1)), features=None)
        self._widths_given, self._loss, self._seed, self._arithmetic = bool(layers), loss, seed, arithmetic
        self._schema = Schema(
            losses.for_output(loss, self._architecture.output),
            loss is not None,
            dtype,
            embeds=self._architecture.features is None and self._architecture.embeds,
        )
        sized = self._architecture.features is not None
        self._schema = self._schema.naming(classes, self._architecture.outputs if sized else None)
        self._optimizer = optimizers.make(optimizer, learning_rate)
        self.metadata: dict[str, Any] = {}
        """Plain JSON values of the user's own, saved with the model."""
        self.history = History()
        """Of the last fit, up to where it came."""
        wanted = requested_backend(backend, device)
        self._decided = wanted is not None
        self._backend = self._able(wanted or get_backend("numpy"))
        self._runtime: Runtime | None = None
        self._known: Any = None
        self._accepted: Any = None
        """Schema and kinds of inputs, and of a batch, that were checked: others like them are not checked again."""
        if self._architecture.features is not None:
            self._schema, self._runtime = self._sized(self._schema, self._architecture, self._backend)

    # ---- where it computes, and of what widths

    def _able(self, backend: Backend) -> Backend:
        """Return the backend, if it has the network's dtype and arithmetic."""
        return with_dtype(ARITHMETICS[self._arithmetic](backend).backend, self.dtype)

    def _sized(self, schema: Schema, architecture: Architecture, home: Backend) -> tuple[Schema, Runtime]:
        """Draw the initial state of an architecture whose widths are known."""
        core = Core(architecture, schema.loss, *architecture.layouts())
        runtime = Runtime.initial(home, core, self._optimizer, schema.dtype, self._seed, self._arithmetic)
        return replace(schema, features=architecture.features, outputs=architecture.outputs), runtime

    def _settled(self, x: object, y: object, share: object = None, whole: bool = False) -> tuple[Schema, Runtime]:
        """Return what is expected of these data to train on, and the state where they are and as wide as they are.

        ``whole``: they are all that there are, and tell how many classes there are where no width does.

        Nothing is changed: what the network becomes is assigned once, by ``_commit``, when the data turned out usable.
        """
        home = self._backend if self._decided else self._able(backend_of(x))
        infers = whole and self._runtime is None and not self._widths_given
        schema = self._schema.learning(x, y, share, self._seed, self.step_count > 0, infers)
        if self._runtime is not None:
            return schema, self._runtime.on(home)
        architecture = self._architecture if self._widths_given else self._parse((1, 100, schema.width(home, y)))
        architecture = architecture.told(schema.encoding.entries if schema.encoding else ())
        return self._sized(schema, replace(architecture, features=tuple(schema.inputs(home, x).shape[1:])), home)

    def _commit(self, schema: Schema, runtime: Runtime) -> None:
        self._schema, self._runtime, self._backend, self._decided = schema, runtime, runtime.backend, True

    def _built(self) -> Runtime:
        if self._runtime is None:
            raise NotFittedError("network: its widths are inferred at the first fit; give them, or call fit first")
        return self._runtime

    # ---- training

    def fit(
        self,
        x: object,
        y: object = None,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validation: float | tuple[object, object] | None = None,
        metrics: Sequence[Chosen] = (),
        callbacks: Sequence[Told] = (),
        sample_weight: object = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        progress: bool | str | None = None,
    ) -> History:
        """Train for ``epochs`` passes over the data.

        ``x`` is (rows, features), ``y`` (rows, outputs), (rows,) for one output, or integer labels, (rows,), for
        cross_entropy. Texts, and what a column of categories or objects holds, are class labels for cross_entropy and
        binary_cross_entropy (``classes``); for other losses each must be a number. Rows for which a data frame's column
        of targets has no value are left out, and counted in the log. Without ``y``, ``x`` is batches, (x, y) or (x, y,
        weight): a list, a loader, or a function that makes an iterator; they are taken as they come
        (portnn/data/stream.py).

        ``batch_size=None`` is the full batch. ``validation`` is a share of the rows, held out at random (of each class
        alike), (x, y), or batches. ``metrics``: names, Metrics (portnn/metrics) or functions ``(outputs, y)`` of
        arrays on the host, measured after each epoch: of y as it came, and of what the outputs predict (for the loss
        poisson exp of them). ``sample_weight``: (rows,), or for class labels {label: weight} or "balanced", with which
        all classes count alike; the rows trained on and those held out are each weighted among themselves, in metrics
        too; the weights of batches count as they are. ``callbacks``: functions ``(network, event)`` that are told of
        each epoch, or Callbacks (portnn/callbacks.py); one that returns True ends the training. ``checkpoint``: a file
        that is written after each epoch (or as ``Checkpoint(path, steps=n)`` says), from which the same call goes on
        where it is there: it ends as if it had never been broken off (portnn/train/checkpoint.py).
        ``progress=None`` shows a bar on work of over a second, on a terminal or in a notebook; "log" prints a line an
        epoch. The columns of a data frame are remembered by name: later ones are taken in their order.

        Ctrl-C is held back to the end of the step: the network stays usable, and KeyboardInterrupt is raised.
        Raises ShapeError, DTypeError, DataError for data that cannot be used, before anything is changed;
        DivergenceError where loss or parameters stop being finite, with the network as at the start of the epoch.
        """
        epochs, size = positive("epochs", epochs), None if batch_size is None else positive("batch_size", batch_size)
        if progress not in (None, True, False, "log"):
            raise ArgumentError(f'progress: expected None, True, False or "log"; got {progress!r}')
        hooks = Callbacks(self, Checkpoint.last_of(checkpoint, callbacks))
        x, y, sample_weight = with_targets(x, y, sample_weight)
        if isinstance(validation, tuple) and len(validation) == 2:
            validation = with_targets(*validation, name="validation y")[:2]
        x, y, first = _given(x, y)
        schema, runtime = self._settled(*first, plain(validation), whole=first[0] is x)
        if first[0] is not x:
            self._schema.refuse_learnt_from_one_batch(schema)
        with runtime.backend.scope():
            whole, rest = schema.sets(runtime.backend, x, y, sample_weight, validation, self._seed)
            runtime = runtime.adapted_to(whole)
            data, held = runtime.dataset(whole), None if rest is None else runtime.dataset(rest)
            measured = chosen(metrics, runtime.compared(data.of_labels))
            if not all(runtime.backend.read([runtime.finite()])):
                raise DivergenceError("network: expected finite parameters to start from; got NaN or infinity")
            run, before = training.Run(runtime, data, held, epochs, size, shuffle, measured), dict(vars(self))
            self._commit(schema, runtime)
            _say_that_nothing_moves(runtime)
            try:
                hooks.begin(run)
            except BaseException:
                vars(self).update(before)
                raise
            self.history = run.history
            training.train(run, hooks, progress)
            hooks.end()
            return run.history

    def prepared(self, x: object, y: object) -> tuple[Runtime, Dataset]:
        """Return the state and the checked data, in memory, that a fit would start from; nothing is changed."""
        schema, runtime = self._settled(x, y)
        with runtime.backend.scope():
            checked = schema.checked(runtime.backend, x, y)
            runtime = runtime.adapted_to(checked)
            dataset = runtime.dataset(checked)
            assert isinstance(dataset, Dataset)
            return runtime, dataset

    def step(self, x: object, y: object) -> Array:
        """Take one training step on a batch; return the loss before it, an unread 0-d array.

        Checks shapes and dtypes, not values: that would wait for the device (``fit`` does, once). What ``Standardize``
        and its like know of the data they learn from the first batch, if no ``fit`` came before it. Ctrl-C comes
        before or after the step as a whole.
        """
        kinds = self._schema, described(self._backend, x), described(self._backend, y)
        if self._runtime is not None and kinds == self._accepted:
            runtime, targets = self._runtime, self._schema.taken(self._backend, y)
            return self._step(self._schema, runtime, runtime.batch(x, targets))
        schema, runtime = self._settled(x, y)
        with runtime.backend.scope():
            data = schema.checked(runtime.backend, x, y, check=False)
            runtime = runtime.adapted_to(data)
            batch = runtime.batch(data.x, data.y)
        loss = self._step(schema, runtime, batch)
        kinds = schema, described(self._backend, x), described(self._backend, y)
        self._accepted = None if None in kinds or schema.classes is not None or schema.scales_bytes else kinds
        return loss

    def _step(self, schema: Schema, runtime: Runtime, batch: Batch) -> Array:
        if not runtime.consumes:
            return self._stepped(schema, runtime, batch)
        with interrupt_held() as release:
            loss = self._stepped(schema, runtime, batch)
        release()
        return loss

    def _stepped(self, schema: Schema, runtime: Runtime, batch: Batch) -> Array:
        loss = runtime.step(batch, keep=True)
        self._commit(schema, runtime)
        return loss

    def gradients(self, x: object, y: object) -> tuple[Array, dict[str, Array]]:
        """Return (loss, {parameter name: gradient}) of a batch, as the next step takes them; no state is changed."""
        schema, runtime = self._settled(x, y)
        with runtime.backend.scope():
            data = schema.checked(runtime.backend, x, y, check=False)
            adapted = runtime.adapted_to(data)
            loss, gradients = adapted.gradients(adapted.batch(data.x, data.y))
            self._commit(schema, runtime)
            return loss, gradients

    @property
    def step_count(self) -> int:
        """Training steps taken."""
        return self._runtime.counters.step if self._runtime else 0

    @property
    def epoch_count(self) -> int:
        """Epochs finished."""
        return self._runtime.counters.epoch if self._runtime else 0

    # ---- inference

    def _inputs(self, x: object, check: bool = False) -> Array:
        runtime, schema = self._built(), self._schema
        kinds = schema, described(self._backend, x)
        if kinds[1] is not None and kinds == self._known and not check:
            return runtime.inputs(x)
        with self._backend.scope():
            inputs = runtime.inputs(schema.inputs(runtime.backend, x), check, columns=schema.columns)
        self._known = None if schema.scales_bytes else kinds
        return inputs

    def forward(self, x: object) -> Array:
        """Return the outputs, (rows, outputs), on the network's backend, unbatched."""
        return self._built().forward(self._inputs(x))

    def predict(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return the outputs, (rows, outputs), in the caller's kind of array; NaN in a row gives NaN in its output.

        For the loss poisson they are logarithms of the counts that they predict.
        """
        return self._home(x, self._outputs(x, batch_size, check=False))

    def predict_classes(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return int32 labels, (rows,), in the caller's kind of array; where ``classes`` has others, these.

        Labels that are texts come in a NumPy array.

        The largest output; for one sigmoid output, whether it exceeds 1/2. Raises ArgumentError for a single
        output of another kind, DataError for NaN or infinity.
        """
        output = self._built().core.architecture.output
        if self._schema.outputs == 1 and output != "sigmoid":
            raise ArgumentError(f'predict_classes: one output needs output="sigmoid" to mean classes; got "{output}"')
        outputs = self._outputs(x, batch_size, check=True)
        with self._backend.scope():
            labels = self._built().classes(outputs)
        if self.classes is not None:
            named = np.array(self.classes)[self._backend.to_numpy(labels)]
            return named if named.dtype.kind in "UO" else backend_of(x).asarray(named)
        return self._home(x, labels)

    def _outputs(self, x: object, batch_size: int | None, check: bool) -> Array:
        runtime = self._built()
        rows = PREDICT_ROWS if batch_size is None else positive("batch_size", batch_size)
        if mapping_of(x) is None:
            return runtime.forward(self._inputs(x, check), rows)
        mapped = self._schema.inputs(self._backend, x, stream=True)
        with runtime.lock:
            parts = [
                runtime.forward(self._inputs(mapped[start : min(start + rows, mapped.rows)], check))
                for start in range(0, mapped.rows, rows)
            ]
        with self._backend.scope():
            return self._backend.xp.concat(parts)

    def _home(self, x: object, result: Array) -> Any:
        if self._backend.owns(x) and self._backend.device_of(x) == self._backend.device:
            return result
        home = backend_of(x)
        return result if home is self._backend else home.asarray(result)

    def evaluate(
        self, x: object, y: object = None, *, metrics: Sequence[Chosen] = (), sample_weight: object = None
    ) -> dict[str, float]:
        """Return {"loss": ..., metric: ...} over the data, in inference mode; arguments as for ``fit``."""
        runtime = self._built()
        x, y, sample_weight = with_targets(x, y, sample_weight)
        x, y, _ = _given(x, y)
        with self._backend.scope():
            dataset = runtime.dataset(self._schema.given(self._backend, x, y, sample_weight))
            return runtime.evaluate(dataset, chosen(metrics, runtime.compared(dataset.of_labels)))

    # ---- what it holds

    @property
    def architecture(self) -> Architecture:
        """The layers, the output activation, and the width of the input where it is known."""
        return self._runtime.core.architecture if self._runtime else self._architecture

    @property
    def backend(self) -> str:
        """Where the network computes: "numpy:cpu", "cupy:0", "torch:cuda:0"."""
        return repr(self._backend)

    @property
    def dtype(self) -> str:
        """Of parameters and computation; ``to(dtype=...)`` gives a copy of another."""
        return self._schema.dtype

    @property
    def arithmetic(self) -> str:
        """ "fast" or "reproducible"; ``to(arithmetic=...)`` gives a copy in the other."""
        return self._arithmetic

    @property
    def loss(self) -> str | None:
        """Name of the loss, "module:name" of one of your own; None: mse."""
        return losses.name_of(self._loss)

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """Labels of the classes in the order of the outputs, as ``fit`` was given them; None: numbers from 0."""
        return self._schema.classes

    @property
    def columns(self) -> Names:
        """Names of x's columns, in the order in which they are taken, where it was trained on a table; else None."""
        return self._schema.columns

    @property
    def target_columns(self) -> Names:
        """Names of y's columns, where they have names; else None."""
        return self._schema.target_columns

    @property
    def seed(self) -> int:
        """Of initial weights, shuffles, splits and masks."""
        return self._seed

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer. Another one (or its name) takes over from the next step on.

        Of the same kind it goes on with the vectors (momentum, moments) that there are; of another it starts anew.
        """
        return self._runtime.optimizer if self._runtime else self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: str | Optimizer) -> None:
        chosen = optimizers.make(optimizer, None)
        if self._runtime is not None:
            self._runtime.optimize_by(chosen)
        self._optimizer = chosen

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step to come; a number or a schedule may be set."""
        return self.optimizer.rate(self._runtime.counters.update if self._runtime else 0)

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | Schedule) -> None:
        self.optimizer = optimizers.make(self.optimizer, learning_rate)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Copies of the parameters by name, in depth order: W1, b1, W2 ...; a weight is (in, out)."""
        with self._backend.scope():
            return MappingProxyType(self._built().parameters())

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Copies of the values that are not trained, by name: mean1, rest1, inverse_std1."""
        with self._backend.scope():
            return MappingProxyType(self._built().buffers())

    def set_parameters(self, parameters: Mapping[str, object]) -> None:
        """Set the named parameters from arrays of any library; those not named stay.

        Raises ArgumentError for an unknown name, ShapeError, DTypeError, DataError; then nothing is changed.
        """
        with self._backend.scope():
            self._built().set_parameters(parameters)

    def to(
        self,
        backend: str | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        arithmetic: str | None = None,
    ) -> "NeuralNetwork":
        """Return a copy, optimizer state included: on another backend or device, of another dtype, in an arithmetic.

        Without a backend it stays on its library. To reproducible arithmetic it goes in float64, and comes back so.
        """
        moved = backend is not None or device is not None
        home = get_backend(backend or self._backend.name, device) if moved else self._backend
        kept = self.dtype if dtype is None and arithmetic in (None, "fast") else dtype
        other = object.__new__(type(self))
        vars(other).update(vars(self), _decided=self._decided or moved)
        other.metadata, other.history = copy.deepcopy((self.metadata, self.history))
        other._arithmetic = arithmetic or self._arithmetic
        other._schema = replace(self._schema, dtype=dtype_in(other._arithmetic, kept))
        other._backend = other._able(home)
        if self._runtime is not None:
            other._runtime = self._runtime.to(other._backend, other.dtype, other._arithmetic)
        return other

    def __copy__(self, memo: object = None) -> "NeuralNetwork":
        return self.to()

    __deepcopy__ = __copy__

    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers."""
        return self._built().fingerprint()

    def summary(self) -> str:
        """Return a table of the layers with their output shapes and numbers of parameters, and the memory they take.

        Of a network that was trained on a table also its columns, as it reads them (kinds, what gaps become), and what
        it predicts (classes).
        """
        rows = [("layer", "output", "parameters"), *self.architecture.table()]
        wide, middle, _ = (max(map(len, column)) + 2 for column in zip(*rows, strict=True))
        lines = [f"{layer:<{wide}}{output:<{middle}}{parameters:>12}" for layer, output, parameters in rows]
        if self.architecture.features is not None:
            lines.append(self._memory())
        lines.append(
            f"loss {self.loss or 'mse'}, {self.optimizer}, backend {self.backend}, {self.dtype}, "
            f"{self.arithmetic} arithmetic, seed {self.seed}"
        )
        return "\n".join(lines + self._schema.reading())

    def _memory(self) -> str:
        sizes, width = self.architecture.sizes(), 8 if self.dtype == "float64" else 4
        parameters = sum(size.parameters for size in sizes)
        trained = self.architecture.layouts()[0].size
        parts = {
            "parameters": parameters,
            "buffers": sum(size.buffers for size in sizes),
            "optimizer": trained * len(self.optimizer.chain().slots),
            "layers' outputs a row": sum(size.output for size in sizes),
        }
        return "memory: " + ", ".join(f"{name} {readable(width * n)}" for name, n in parts.items() if n)

    def __repr__(self) -> str:
        features = self.architecture.features or ("?",)
        units = [layer.units for layer in self.architecture.layers if isinstance(layer, Dense)]
        shape = "-".join(map(str, (*features, *units)))
        return f"NeuralNetwork({shape}, backend={self.backend!r}, dtype={self.dtype!r}, seed={self.seed})"

    def averaged(self) -> "NeuralNetwork":
        """Return a copy whose parameters are the moving average that the optimizer's option ``average`` keeps.

        Raises ArgumentError where none is kept, or no step was taken since.
        """
        if self.optimizer.average is None:
            raise ArgumentError("averaged: expected an optimizer with average=, such as Adam(average=0.999)")
        other = self.to()
        with other._backend.scope():
            other._built().take_average()
        return other

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, optimizer state and counters included, as safetensors; atomically."""
        files.write_model(path, *self.contents())

    def contents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what ``save`` writes: the state's arrays by name, and all else as plain JSON values."""
        runtime, schema = self._built(), self._schema
        with runtime.lock:  # arrays and counters of one step
            description = {
                "architecture": self.architecture.describe(),
                "loss": losses.describe(self._loss),
                "names": schema.names(),
                "metadata": self.metadata,
                **runtime.describe(),
            }
            return runtime.arrays(), description

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, backend: str | None = None, device: str | None = None
    ) -> "NeuralNetwork":
        """Read a network that ``save`` wrote. Raises SerializationError for any other file."""
        arrays, description = files.read_model(path)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(PLACE)}  # a checkpoint's
        home = requested_backend(backend, device) or get_backend("numpy")  # a mistyped one is not the file's fault
        with_dtype(home, "float64" if description.get("dtype") == "float64" else "float32")
        if description.get("arithmetic") == "reproducible":
            ARITHMETICS["reproducible"](home)
        with files.contradictions(path):
            architecture = Architecture.from_description(description["architecture"])
            network = cls(
                *architecture.layers,
                output=architecture.output,
                loss=losses.from_description(description["loss"]),
                optimizer=registry.rebuilt("optimizer", description["optimizer"]),
                dtype=description["dtype"],
                arithmetic=description.get("arithmetic", "fast"),
                seed=description["seed"],
                backend=backend,
                device=device,
            )
            names, network.metadata = files.kept_in(description)
            schema = network._schema.named_as(names)
            network._schema, network._runtime = network._sized(schema, architecture, network._backend)
            with network._backend.scope():
                network._runtime.set_all(arrays, description)
        return network


def _say_that_nothing_moves(runtime: Runtime) -> None:
    """Log that a schedule is at its end, where its rate is 0 from here on."""
    update = runtime.counters.update
    if isinstance(runtime.optimizer.learning_rate, Schedule) and not any(
        map(runtime.optimizer.rate, (update, update + 1))
    ):
        _log.warning(
            "learning_rate: %s has come to its end, with a rate of 0: the fit changes nothing; set net.learning_rate",
            runtime.optimizer.learning_rate,
        )


def _given(x: object, y: object) -> tuple[object, object, tuple[object, object]]:
    """Return (x, y, (x, y) to tell what they are from): batches, where there is no y, are told by the first."""
    if y is not None:
        return x, y, (x, y)
    batches = Batches.of(x)
    return batches, None, batches.first
