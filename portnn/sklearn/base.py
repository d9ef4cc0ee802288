"""What the two estimators share: parameters, checks of data by scikit-learn, the network and its training."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from portnn.backend import Backend, backend_of, get_backend, host_array, is_backend_array
from portnn.callbacks import EarlyStopping
from portnn.data.frames import is_frame
from portnn.errors import ArgumentError, DataError
from portnn.network import NeuralNetwork
from portnn.nn.embedding import Tabular
from portnn.nn.initializers import Initializer
from portnn.nn.layer import Layer
from portnn.nn.loss import Loss
from portnn.optim import optimizers
from portnn.optim.optimizer import Optimizer
from portnn.optim.schedules import Schedule

_OPTIMIZER = "optimizer__"


@dataclass(eq=False, repr=False)
class NeuralNetworkEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of the two estimators."""

    hidden_layer_sizes: int | Iterable[int | str | Layer] = (100,)
    activation: str = "relu"
    _: KW_ONLY
    loss: str | Loss | None = None
    optimizer: str | Optimizer = "adam"
    learning_rate: float | Schedule | None = None
    initializer: str | Initializer = "auto"
    standardize: bool = True
    batch_size: int | str = "auto"
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float | None = 1e-4
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    callbacks: Sequence[Any] = ()
    warm_start: bool = False
    verbose: bool = False
    backend: str | None = None
    device: str | None = None
    dtype: str | None = None
    arithmetic: str = "fast"

    # ---- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; with ``deep`` also the optimizer's, as ``optimizer__weight_decay``.

        Parameters
        ----------
        deep : bool

        Returns
        -------
        dict
        """
        params: dict[str, Any] = super().get_params(deep)
        if deep:
            with suppress(ArgumentError):  # fit says what is wrong with the optimizer
                optimizer = optimizers.make(self.optimizer, None)
                params |= {f"{_OPTIMIZER}{name}": getattr(optimizer, name) for name in _options(optimizer)}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, also those of the optimizer, ``optimizer__weight_decay=1e-4``.

        Parameters
        ----------
        **params

        Returns
        -------
        estimator

        Raises
        ------
        ValueError
            For a name that is no parameter.
        """
        nested = {name: params.pop(name) for name in list(params) if name.startswith(_OPTIMIZER)}
        super().set_params(**params)
        if nested:
            optimizer = optimizers.make(self.optimizer, None)
            known, options = _options(optimizer), {n.removeprefix(_OPTIMIZER): value for n, value in nested.items()}
            if unknown := sorted(set(options) - set(known)):
                raise ArgumentError(f"{_OPTIMIZER}{unknown[0]}: expected one of {', '.join(known)} after {_OPTIMIZER}")
            self.optimizer = replace(optimizer, **options)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    # ---- data

    def _data(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """Return X and y as the network takes them; y is on the host."""
        if is_frame(X):
            # Texts, dates and gaps are the network's to encode.
            validate_data(self, X, y, reset=reset, skip_check_array=True)
            y = check_array(y, ensure_2d=False, dtype=None, input_name="y", estimator=self)
            check_consistent_length(X, y)
        else:
            least = 2 if reset and self.standardize else 1
            with home_of(X).scope():  # scikit-learn's functions compute on CuPy's current device
                X, y = validate_data(
                    self, X, y, reset=reset, multi_output=True, dtype=_floating(X), ensure_min_samples=least
                )
        return X, host_array(y)

    def _inputs(self, X: Any, method: str) -> Any:
        """Return the data of a prediction as the network takes them."""
        check_is_fitted(self)
        if get_config()["array_api_dispatch"] and not is_frame(X) and repr(backend_of(X)) != self._home:
            raise ValueError(
                f"Inputs passed to {type(self).__name__}.{method}() must use the same namespace and the same device "
                f"as those passed to fit(): expected {self._home}; got {backend_of(X)!r}"
            )
        if is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
            return X
        with home_of(X).scope():
            return validate_data(self, X, reset=False, dtype=_floating(X))

    # ---- training

    def _network(
        self, X: Any, outputs: int, output: str, loss: str | Loss, last: Sequence[Layer] = ()
    ) -> NeuralNetwork:
        sizes = self.hidden_layer_sizes
        hidden = [sizes] if isinstance(sizes, int | np.integer | str | Layer) else list(sizes)
        first: list[Any] = [Tabular()] if self.standardize else []
        if not is_frame(X):
            first = [int(X.shape[1]), *first]
        seed = self.random_state
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
            seed = check_random_state(seed).randint(2**31)
        dtype = self.dtype
        if dtype is None and self.arithmetic == "fast":
            dtype = "float32" if str(getattr(X, "dtype", "")).endswith("float32") else "float64"
        return NeuralNetwork(
            *(first or ["identity"]),
            *hidden,
            outputs,
            *last,
            activation=self.activation,
            output=output,
            loss=loss,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            initializer=self.initializer,
            backend=self.backend,
            device=self.device,
            dtype=dtype,
            arithmetic=self.arithmetic,
            seed=int(seed),
        )

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Restore all attributes after an error: no classes of one fit stand beside the network of another."""
        attributes = dict(self.__dict__)
        try:
            yield
        except Exception:
            self.__dict__.clear()
            self.__dict__.update(attributes)
            raise

    def _begin(self, network: NeuralNetwork) -> None:
        self.network_: NeuralNetwork = network
        self.loss_curve_: list[float] = []

    def _train(self, X: Any, y: np.ndarray, sample_weight: Any, epochs: int, stops: bool) -> None:
        rows = len(y)
        size: Any = min(200, rows) if self.batch_size == "auto" else self.batch_size
        callbacks, validation = list(self.callbacks), None
        if stops and self.early_stopping:
            validation = self.validation_fraction
            callbacks.append(EarlyStopping(patience=self.n_iter_no_change, min_delta=self.tol or 0.0))
        elif stops and self.tol is not None:
            ends = EarlyStopping("loss", patience=self.n_iter_no_change, min_delta=self.tol, restore_best=False)
            callbacks.append(ends)
        if sample_weight is not None:
            sample_weight = host_array(sample_weight, "float64", "sample_weight")
            if sample_weight.ndim == 0:
                sample_weight = np.full(rows, float(sample_weight))
            if not sample_weight.any():
                raise DataError("sample_weight: expected a weight above zero; got zero for all rows")
        self._home = repr(home_of(X))
        self.network_.optimizer = optimizers.make(self.optimizer, self.learning_rate)  # set_params may have changed it
        history = self.network_.fit(
            X,
            y,
            epochs=epochs,
            batch_size=size,
            shuffle=self.shuffle,
            validation=validation,
            callbacks=callbacks,
            sample_weight=sample_weight,
            progress=bool(self.verbose),
        )
        self.loss_curve_ = self.loss_curve_ + history.loss
        self.n_iter_ = len(self.loss_curve_)
        self.history_ = history


def _options(optimizer: Optimizer) -> list[str]:
    """Return the names of an optimizer's arguments."""
    return [field.name for field in fields(optimizer) if field.init]


def _dispatches(X: Any) -> bool:
    """Return whether X stays an array of its library."""
    return get_config()["array_api_dispatch"] and is_backend_array(X)


def _floating(X: Any) -> list[Any]:
    """Return the dtypes that X may have; others become the first of them."""
    xp = backend_of(X).xp if _dispatches(X) else np
    return [xp.float64, xp.float32]


def home_of(X: Any) -> Backend:
    """Return the backend of X: NumPy for frames, and for all that scikit-learn makes arrays of NumPy."""
    return get_backend("numpy") if is_frame(X) or not _dispatches(X) else backend_of(X)
