"""The error tree: each error names the argument, what was expected and what came.

PortnnError
├── ArgumentError             (ValueError)       an option has no such value, or two options contradict
├── BackendUnavailableError   (ImportError)      a requested backend cannot run here; has an install hint
├── ShapeError                (ValueError)
├── DTypeError                (TypeError)
├── DataError                 (ValueError)       nan, infinity, empty, ragged, labels out of range
├── NotFittedError            (RuntimeError)     widths are not known before the first fit
├── SerializationError        (ValueError)       a file is truncated, foreign or unsafe
└── DivergenceError           (ArithmeticError)  the loss stopped being finite
"""


class PortnnError(Exception):
    """Root of every error that portnn raises on purpose."""


class ArgumentError(PortnnError, ValueError):
    """An option has no such value, or two options contradict each other."""


class BackendUnavailableError(PortnnError, ImportError):
    """A backend was asked for by name and cannot run on this machine."""


class ShapeError(PortnnError, ValueError):
    """An array has the wrong number of dimensions or the wrong width."""


class DTypeError(PortnnError, TypeError):
    """An array has a data type that cannot be used."""


class DataError(PortnnError, ValueError):
    """The values of the data cannot be used."""


class NotFittedError(PortnnError, RuntimeError):
    """The network has no parameters yet: its widths are inferred at the first fit."""


class SerializationError(PortnnError, ValueError):
    """A file cannot be read as what it should be."""


class DivergenceError(PortnnError, ArithmeticError):
    """The loss stopped being finite; the network is as it was at the start of the epoch."""
