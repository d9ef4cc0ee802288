"""Loss functions as objects with options: ``NeuralNetwork(..., loss=losses.Huber(delta=2.0))``."""

from portnn.nn.loss import Loss
from portnn.nn.losses import (
    MAE,
    MSE,
    SSE,
    BinaryCrossEntropy,
    CrossEntropy,
    HalfSSE,
    Huber,
    Poisson,
)

__all__ = ["MAE", "MSE", "SSE", "BinaryCrossEntropy", "CrossEntropy", "HalfSSE", "Huber", "Loss", "Poisson"]
