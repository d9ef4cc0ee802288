"""The error tree: each error names the argument, what was expected and what came.

PortnnError
├── ArgumentError             (ValueError)       an option has no such value, or two options contradict
├── BackendUnavailableError   (ImportError)      a requested backend cannot run here; has an install hint
├── ShapeError                (ValueError)
├── DTypeError                (TypeError)
├── DataError                 (ValueError)       nan, infinity, empty, ragged, labels out of range
├── NotFittedError            (RuntimeError)     widths are not known before the first fit
├── SerializationError        (ValueError)       a file is truncated, foreign or unsafe
├── DivergenceError           (ArithmeticError)  the loss stopped being finite
└── DistributedError          (RuntimeError)     processes that train together do not agree
"""

from collections.abc import Iterator
from contextlib import contextmanager


class PortnnError(Exception):
    """Root of every error that portnn raises on purpose.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.NeuralNetwork(2, 0)
    ... except portnn.PortnnError as error:
    ...     print(type(error).__name__)
    ArgumentError
    """


class ArgumentError(PortnnError, ValueError):
    """An option has no such value, or two options contradict each other.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.NeuralNetwork(2, 1, activation="rleu")
    ... except portnn.ArgumentError as error:
    ...     print(type(error).__name__)
    ArgumentError
    """


class BackendUnavailableError(PortnnError, ImportError):
    """A backend was asked for by name and cannot run on this machine.

    Examples
    --------
    >>> import portnn
    >>> issubclass(portnn.BackendUnavailableError, ImportError)
    True
    """


class ShapeError(PortnnError, ValueError):
    """An array has the wrong number of dimensions or the wrong width.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.NeuralNetwork(2, 1, backend="numpy").predict([[1.0]])
    ... except portnn.ShapeError as error:
    ...     print(type(error).__name__)
    ShapeError
    """


class DTypeError(PortnnError, TypeError):
    """An array has a data type that cannot be used.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.NeuralNetwork(2, 1, backend="numpy").predict([["a", "b"]])
    ... except portnn.DTypeError as error:
    ...     print(type(error).__name__)
    DTypeError
    """


class DataError(PortnnError, ValueError):
    """The values of the data cannot be used.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.NeuralNetwork(1, 1, backend="numpy").fit([[float("nan")]], [1.0])
    ... except portnn.DataError as error:
    ...     print(type(error).__name__)
    DataError
    """


class NotFittedError(PortnnError, RuntimeError):
    """The network has no parameters yet: its widths are inferred at the first fit.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.NeuralNetwork().predict([[1.0]])
    ... except portnn.NotFittedError as error:
    ...     print(type(error).__name__)
    NotFittedError
    """


class SerializationError(PortnnError, ValueError):
    """A file cannot be read as what it should be.

    Examples
    --------
    >>> import portnn
    >>> issubclass(portnn.SerializationError, ValueError)
    True
    """


class DivergenceError(PortnnError, ArithmeticError):
    """The loss stopped being finite; the network is as it was at the start of the epoch.

    Examples
    --------
    >>> import portnn
    >>> issubclass(portnn.DivergenceError, ArithmeticError)
    True
    """


class DistributedError(PortnnError, RuntimeError):
    """The ranks of a distributed training do not agree: one could not begin, or has other weights.

    Examples
    --------
    >>> import portnn
    >>> issubclass(portnn.DistributedError, RuntimeError)
    True
    """


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turn an ImportError inside into BackendUnavailableError with the command that installs the extra."""
    try:
        yield
    except ImportError as error:
        raise BackendUnavailableError(f"{what}: {error}; pip install 'portnn[{extra}]'") from error
