"""Neural networks on the arrays you already have, with the same numbers on every array library."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In a checkout the adapters lie beside the package, not inside, and whoever starts Python there finds this one first.
if not (Path(__file__).parent / "backends").is_dir():
    __path__.append(str(Path(__file__).parents[1]))

from portnn import callbacks, initializers, losses, metrics, schedules
from portnn.backend import BackendInfo, available_backends, get_backend
from portnn.defaults import default_optimizer, fit_options, lenet
from portnn.errors import (
    ArgumentError,
    BackendUnavailableError,
    DataError,
    DistributedError,
    DivergenceError,
    DTypeError,
    NotFittedError,
    PortnnError,
    SerializationError,
    ShapeError,
)
from portnn.io.files import read_pickled_weights
from portnn.network import NeuralNetwork
from portnn.nn.convolution import Conv1D, Conv2D
from portnn.nn.embedding import Embedding, Tabular
from portnn.nn.layer import Layer, PreprocessingLayer, Shapes, Spec
from portnn.nn.layers import Activation, Dense, Flatten, Reshape, Residual
from portnn.nn.loss import Loss
from portnn.nn.noise import Dropout, GaussianNoise, RandomShift
from portnn.nn.normalization import BatchNorm, LayerNorm
from portnn.nn.pooling import AveragePool2D, GlobalAveragePool2D, MaxPool2D, ZeroPad2D
from portnn.nn.preprocessing import Rescale, Standardize, Unstandardize
from portnn.ops import register_op
from portnn.optim.optimizer import Optimizer
from portnn.optim.optimizers import SGD, Adagrad, Adam, AdamW, Lion, RMSprop
from portnn.optim.schedules import Schedule
from portnn.registry import register
from portnn.train.checkpoint import Checkpoint
from portnn.train.history import History
from portnn.types import Forward

if TYPE_CHECKING:
    from portnn import plot
    from portnn.diagnosis import Diagnosis, diagnose
    from portnn.equivalence.bits import BitsReport, compare_bits
    from portnn.equivalence.compare import compare
    from portnn.equivalence.report import Report
    from portnn.rate_finder import RangeTest, find_learning_rate

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArgumentError",
    "AveragePool2D",
    "BackendInfo",
    "BackendUnavailableError",
    "BatchNorm",
    "BitsReport",
    "Checkpoint",
    "Conv1D",
    "Conv2D",
    "DTypeError",
    "DataError",
    "Dense",
    "Diagnosis",
    "DistributedError",
    "DivergenceError",
    "Dropout",
    "Embedding",
    "Flatten",
    "Forward",
    "GaussianNoise",
    "GlobalAveragePool2D",
    "History",
    "Layer",
    "LayerNorm",
    "Lion",
    "Loss",
    "MaxPool2D",
    "NeuralNetwork",
    "NotFittedError",
    "Optimizer",
    "PortnnError",
    "PreprocessingLayer",
    "RMSprop",
    "RandomShift",
    "RangeTest",
    "Report",
    "Rescale",
    "Reshape",
    "Residual",
    "Schedule",
    "SerializationError",
    "ShapeError",
    "Shapes",
    "Spec",
    "Standardize",
    "Tabular",
    "Unstandardize",
    "ZeroPad2D",
    "available_backends",
    "callbacks",
    "compare",
    "compare_bits",
    "default_optimizer",
    "diagnose",
    "find_learning_rate",
    "fit_options",
    "get_backend",
    "initializers",
    "lenet",
    "losses",
    "metrics",
    "plot",
    "read_pickled_weights",
    "register",
    "register_op",
    "schedules",
]

# Imported when they are asked for: most programs that train and predict never do.
_LAZY = {
    "BitsReport": "equivalence.bits",
    "Diagnosis": "diagnosis",
    "RangeTest": "rate_finder",
    "Report": "equivalence.report",
    "compare": "equivalence.compare",
    "compare_bits": "equivalence.bits",
    "diagnose": "diagnosis",
    "find_learning_rate": "rate_finder",
}


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("portnn.plot")
    if name not in _LAZY:
        raise AttributeError(f"module 'portnn' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"portnn.{_LAZY[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
