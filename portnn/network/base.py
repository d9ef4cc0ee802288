"""Attributes of a network: layers, data specification, runtime; copies on other backends."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Self

from portnn.backend import Backend, backend_of, get_backend, requested_backend, require_dtype
from portnn.data.spec import DataSpec
from portnn.errors import ArgumentError, NotFittedError
from portnn.io.categories import Label
from portnn.io.tables import Names
from portnn.model.architecture import Architecture
from portnn.model.pipeline import DataPipeline
from portnn.model.runtime import Runtime
from portnn.model.step import FunctionalModel
from portnn.nn import losses, random
from portnn.nn.initializers import Initializer
from portnn.nn.layer import Layer
from portnn.nn.loss import Loss
from portnn.optim import optimizers
from portnn.optim.optimizer import Optimizer
from portnn.optim.schedules import Schedule
from portnn.options import check_int
from portnn.reproducible.arithmetic import ARITHMETICS, dtype_in
from portnn.train.history import History
from portnn.types import Array

_log = logging.getLogger("portnn")


class NetworkBase:
    """Base of NeuralNetwork: its attributes."""

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
        seed = random.draw_seed() if seed is None else check_int("seed", seed, 0)
        self._parse = partial(
            Architecture.parse, activation=activation, output=output, bias=bias, initializer=initializer
        )
        self._architecture = self._parse(layers) if layers else replace(self._parse((1, 100, 1)), features=None)
        self._has_widths, self._loss, self._seed, self._arithmetic = bool(layers), loss, seed, arithmetic
        self._schema = DataSpec(
            losses.for_output(loss, self._architecture.output),
            loss is not None,
            dtype,
            needs_vocabulary=self._architecture.features is None and self._architecture.needs_vocabulary,
        )
        sized = self._architecture.features is not None
        self._schema = self._schema.with_classes(classes, self._architecture.outputs if sized else None)
        self._optimizer = optimizers.make(optimizer, learning_rate)
        self.metadata: dict[str, Any] = {}
        """Plain JSON values of the user's own, saved with the model."""
        self.history = History()
        """History of the last fit, also of one that was interrupted."""
        requested = requested_backend(backend, device)
        self._backend_is_fixed = requested is not None
        self._backend = self._require_supported(requested or get_backend("numpy"))
        self._runtime: Runtime | None = None
        self._checked_signature: Any = None
        self._checked_batch_signature: Any = None
        """Data specification and signatures of the inputs and batches that passed the checks: equal ones are not
        checked again.
        """
        if self._architecture.features is not None:
            self._schema, self._runtime = self._initialize(self._schema, self._architecture, self._backend)

    def _require_supported(self, backend: Backend) -> Backend:
        """Return the backend if it supports the network's dtype and arithmetic."""
        return require_dtype(ARITHMETICS[self._arithmetic](backend).backend, self.dtype)

    def _initialize(self, schema: DataSpec, architecture: Architecture, home: Backend) -> tuple[DataSpec, Runtime]:
        """Return a runtime with initial parameters for an architecture of known widths."""
        model = FunctionalModel(architecture, schema.loss, *architecture.make_layouts())
        runtime = Runtime.initialize(home, model, self._optimizer, schema.dtype, self._seed, self._arithmetic)
        return replace(schema, features=architecture.features, outputs=architecture.outputs), runtime

    def _pipeline(self, x: object, y: object, share: object = None, complete: bool = False) -> DataPipeline:
        """Return the pipeline for training data; unknown names, classes and widths come from the data.

        ``complete``: the data are the whole training set, and tell the number of classes if no width does. ``share`` of
        the rows will be held out. The network is unchanged: ``_commit`` assigns the new attributes once the data are
        valid.
        """
        home = self._backend if self._backend_is_fixed else self._require_supported(backend_of(x))
        infers = complete and self._runtime is None and not self._has_widths
        schema = self._schema.fit(x, y, share, self._seed, self.step_count > 0, infers)
        if self._runtime is not None:
            return DataPipeline(schema, self._runtime.on(home))
        architecture = self._architecture if self._has_widths else self._parse((1, 100, schema.width(home, y)))
        architecture = architecture.with_vocabulary(schema.encoding.vocabulary_sizes if schema.encoding else ())
        features = tuple(schema.inputs(home, x).shape[1:])
        return DataPipeline(*self._initialize(schema, replace(architecture, features=features), home))

    def _commit(self, pipeline: DataPipeline) -> None:
        self._schema, self._runtime = pipeline.schema, pipeline.runtime
        self._backend, self._backend_is_fixed = pipeline.runtime.backend, True

    def _require_runtime(self) -> Runtime:
        if self._runtime is None:
            raise NotFittedError("network: its widths are inferred at the first fit; give them, or call fit first")
        return self._runtime

    @property
    def architecture(self) -> Architecture:
        """The layers, the output activation, and the width of the input if it is known."""
        return self._runtime.model.architecture if self._runtime else self._architecture

    @property
    def backend(self) -> str:
        """The network's device: "numpy:cpu", "cupy:0", "torch:cuda:0"."""
        return repr(self._backend)

    @property
    def dtype(self) -> str:
        """The dtype of parameters and computation; ``to(dtype=...)`` returns a copy in another one."""
        return self._schema.dtype

    @property
    def arithmetic(self) -> str:
        """The arithmetic, "fast" or "reproducible"; ``to(arithmetic=...)`` returns a copy in the other."""
        return self._arithmetic

    @property
    def loss(self) -> str | None:
        """Name of the loss; "module:name" for a loss of your own; None: mse."""
        return losses.name_of(self._loss)

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """Labels of the classes in the order of the outputs; None: 0, 1, ..."""
        return self._schema.classes

    @property
    def columns(self) -> Names:
        """Names of x's columns in the order of the features, after training on a table; else None."""
        return self._schema.columns

    @property
    def target_columns(self) -> Names:
        """Names of y's columns, if they have names; else None."""
        return self._schema.target_columns

    @property
    def seed(self) -> int:
        """Seed of initial weights, shuffles, splits and masks."""
        return self._seed

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer. Another one (or its name) may be assigned; it is used from the next step on.

        An optimizer of the same kind keeps the state vectors (momentum, moments); another kind starts with new ones.
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
        """The learning rate of the next step; a number or a schedule may be assigned."""
        return self.optimizer.rate(self._runtime.counters.update if self._runtime else 0)

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | Schedule) -> None:
        self.optimizer = optimizers.make(self.optimizer, learning_rate)

    @property
    def step_count(self) -> int:
        """Number of training steps."""
        return self._runtime.counters.step if self._runtime else 0

    @property
    def epoch_count(self) -> int:
        """Number of finished epochs."""
        return self._runtime.counters.epoch if self._runtime else 0

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Copies of the parameters by name, in depth order: W1, b1, W2 ...; a weight is (in, out)."""
        with self._backend.scope():
            return MappingProxyType(self._require_runtime().parameters())

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Copies of the buffers by name: mean1, rest1, inverse_std1."""
        with self._backend.scope():
            return MappingProxyType(self._require_runtime().buffers())

    def set_parameters(self, parameters: Mapping[str, object]) -> None:
        """Set the named parameters; those not named stay.

        Parameters
        ----------
        parameters : mapping of str to array
            Arrays of any library, in the shapes of ``parameters``.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError, DataError
            For an unknown name, or values that cannot be used; then nothing is changed.

        Examples
        --------
        >>> import numpy as np
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 1, seed=0, backend="numpy")
        >>> net.set_parameters({"W1": np.ones((2, 1))})
        >>> net.predict([[1.0, 2.0]]).tolist()
        [[3.0]]
        """
        with self._backend.scope():
            self._require_runtime().set_parameters(parameters)

    def to(
        self,
        backend: str | None = None,
        *,
        device: str | None = None,
        dtype: str | None = None,
        arithmetic: str | None = None,
    ) -> Self:
        """Return a copy on another backend or device, in another dtype or arithmetic.

        The copy has the optimizer's state too.

        Parameters
        ----------
        backend, device : str, optional
            Without a backend the copy stays on its library.
        dtype : {"float32", "float64"}, optional
        arithmetic : {"fast", "reproducible"}, optional
            To reproducible arithmetic the copy goes in float64, and comes back so.

        Returns
        -------
        NeuralNetwork

        Raises
        ------
        ArgumentError, BackendUnavailableError, DTypeError

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
        >>> net.to(dtype="float64").dtype
        'float64'
        """
        moved = backend is not None or device is not None
        home = get_backend(backend or self._backend.name, device) if moved else self._backend
        kept_dtype = self.dtype if dtype is None and arithmetic in (None, "fast") else dtype
        other = object.__new__(type(self))
        vars(other).update(vars(self), _backend_is_fixed=self._backend_is_fixed or moved)
        other.metadata, other.history = copy.deepcopy((self.metadata, self.history))
        other._arithmetic = arithmetic or self._arithmetic
        other._schema = replace(self._schema, dtype=dtype_in(other._arithmetic, kept_dtype))
        other._backend = other._require_supported(home)
        if self._runtime is not None:
            other._runtime = self._runtime.to(other._backend, other.dtype, other._arithmetic)
        return other

    def __copy__(self, memo: object = None) -> Self:
        return self.to()

    __deepcopy__ = __copy__

    def averaged(self) -> Self:
        """Return a copy with the moving average of the parameters (the optimizer's option ``average``) as parameters.

        Returns
        -------
        NeuralNetwork

        Raises
        ------
        ArgumentError
            Where no average is kept, or no step was taken since.

        Examples
        --------
        >>> from portnn import SGD, NeuralNetwork
        >>> net = NeuralNetwork(2, 1, optimizer=SGD(0.1, average=0.9), seed=0, backend="numpy")
        >>> _ = net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3)
        >>> net.averaged().fingerprint() != net.fingerprint()
        True
        """
        if self.optimizer.average is None:
            raise ArgumentError("averaged: expected an optimizer with average=, such as Adam(average=0.999)")
        other = self.to()
        with other._backend.scope():
            other._require_runtime().use_average()
        return other

    def fingerprint(self) -> str:
        """Return SHA-256, in hex, over names, shapes, dtype and little-endian bytes of parameters and buffers.

        Returns
        -------
        str
            64 digits; two networks with the same fingerprint have the same weights, bit for bit.

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> a, b = (NeuralNetwork(2, 4, 1, seed=0, backend="numpy") for _ in range(2))
        >>> a.fingerprint() == b.fingerprint()
        True
        """
        return self._require_runtime().fingerprint()
