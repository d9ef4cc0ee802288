"""Neural networks on the arrays you already have, with the same numbers on every array library."""

from pathlib import Path

# In a checkout the adapters lie beside the package, not inside, and whoever starts Python there finds this one first.
if not (Path(__file__).parent / "backends").is_dir():
    __path__.append(str(Path(__file__).parents[1]))

from portnn.backend import BackendInfo, available_backends, get_backend
from portnn.data.files import read_pickled_weights
from portnn.equivalence.compare import compare
from portnn.equivalence.report import Report
from portnn.errors import (
    ArgumentError,
    BackendUnavailableError,
    DataError,
    DivergenceError,
    DTypeError,
    NotFittedError,
    PortnnError,
    SerializationError,
    ShapeError,
)
from portnn.network import NeuralNetwork
from portnn.nn.layers import Activation, Dense, Dropout, Layer, Shapes, Standardize, Unstandardize
from portnn.nn.losses import Loss
from portnn.nn.optimizers import SGD, Adam, Optimizer
from portnn.nn.registry import register
from portnn.training import History

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "ArgumentError",
    "BackendInfo",
    "BackendUnavailableError",
    "DTypeError",
    "DataError",
    "Dense",
    "DivergenceError",
    "Dropout",
    "History",
    "Layer",
    "Loss",
    "NeuralNetwork",
    "NotFittedError",
    "Optimizer",
    "PortnnError",
    "Report",
    "SerializationError",
    "ShapeError",
    "Shapes",
    "Standardize",
    "Unstandardize",
    "available_backends",
    "compare",
    "get_backend",
    "read_pickled_weights",
    "register",
]
