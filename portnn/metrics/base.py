"""The base of metrics: frozen dataclasses, computed on the host in float64, the same for every backend."""

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from portnn import registry
from portnn.deprecated import RenamedMembers
from portnn.errors import ArgumentError
from portnn.options import CoerceScalarsMeta, as_python

_log = logging.getLogger("portnn")
Weight = np.ndarray | None


@dataclass(frozen=True)
class Metric(RenamedMembers, metaclass=CoerceScalarsMeta):
    """Base of metrics. A metric of your own is a frozen dataclass with ``score``, or ``Metric(function)``.

    Parameters
    ----------
    function : callable
        ``function(outputs, y)``, or ``function(outputs, y, weight)``, returns a number.
    regression_only : bool
    greater_is_better : bool, optional

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.metrics import Metric
    >>> largest = Metric(lambda outputs, y: np.abs(outputs - y).max(), greater_is_better=False)
    >>> largest(np.array([[1.0], [3.0]]), np.array([[0.0], [5.0]]))
    2.0
    """

    # Without annotations, so that a dataclass does not make options of them.
    regression_only = False
    """Whether the metric is for values alone, not for class labels."""
    greater_is_better = True  # type: bool | None
    """Whether a larger value is better; None: unknown, for a function."""
    _renamed: ClassVar[Mapping[str, str]] = {"values": "regression_only", "rises": "greater_is_better"}
    _renamed_options = _renamed

    def __new__(cls, *arguments: Any, **options: Any) -> "Metric":
        return super().__new__(_FunctionMetric if cls is Metric else cls)

    def __call__(self, outputs: np.ndarray, y: np.ndarray, weight: Weight = None, **options: Any) -> float:
        """Return the metric's value; ``options`` replace its own: ``top_k(outputs, y, k=3)``."""
        if options:
            return type(self)(**options)(outputs, y, weight)
        if self.regression_only:
            outputs, y = outputs.astype(np.float64), y.astype(np.float64)
        return self.score(outputs, y, weight)

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        """Return the value for outputs, (rows, outputs), and targets."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Name in a history, with the options that are not defaults: "top_k(k=3)"."""
        options = ", ".join(f"{key}={value}" for key, value in registry.options_of(self).items())
        return registry.name_of("metric", self).rpartition(":")[2] + (f"({options})" if options else "")

    @staticmethod
    def named(name: str, **options: Any) -> "Metric":
        """Return a metric by its name with options: ``Metric.named("top_k", k=3)`` is ``TopK(k=3)``.

        Raises ArgumentError for options that it does not have.
        """
        metric: Metric = registry.with_options("metric", name, options)
        return metric


@dataclass(frozen=True)
class _FunctionMetric(Metric):
    """The class of ``Metric(function)``: the function gets copies, and weights if it takes them."""

    function: Callable[..., float]
    regression_only: bool = False
    greater_is_better: bool | None = True

    @property
    def name(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    @cached_property
    def _weight(self) -> str:
        """Name of the third argument if it is for weights; else "", which is logged once."""
        try:
            names = list(inspect.signature(self.function).parameters)
        except (TypeError, ValueError):  # a compiled function has no signature
            names = []
        if len(names) > 2 and names[2] in ("weight", "sample_weight"):
            return names[2]
        _log.warning("metrics: %r is not weighted: it takes no third argument weight or sample_weight", self.name)
        return ""

    def score(self, outputs: np.ndarray, y: np.ndarray, weight: Weight) -> float:
        weights = {self._weight: weight.copy()} if weight is not None and self._weight else {}
        value = self.function(outputs.copy(), y.copy(), **weights)
        if np.ndim(value) or not isinstance(as_python(value), int | float):
            raise ArgumentError(f"metrics: expected a number of {self.name!r}; got {value!r}")
        return float(value)


def mean(values: np.ndarray, weight: Weight) -> float:
    """Return the weighted mean of one value per row."""
    return float(np.average(values, weights=weight))
