"""Neural networks on the arrays you already have, with the same numbers on every array library."""

from portnn.backend import BackendInfo, available_backends, get_backend
from portnn.compare import compare
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
from portnn.layers import Activation, Dense, Dropout, Layer, Standardize, Unstandardize
from portnn.network import NeuralNetwork
from portnn.optimizers import SGD, Adam, Optimizer
from portnn.report import Report
from portnn.serialization import read_pickled_weights
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
    "NeuralNetwork",
    "NotFittedError",
    "Optimizer",
    "PortnnError",
    "Report",
    "SerializationError",
    "ShapeError",
    "Standardize",
    "Unstandardize",
    "available_backends",
    "compare",
    "get_backend",
    "read_pickled_weights",
]
