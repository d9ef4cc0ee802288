"""Loss functions as objects with options: ``NeuralNetwork(..., loss=losses.Huber(delta=2.0))``."""

from portnn.nn.losses import (
    MAE,
    MSE,
    SSE,
    BinaryCrossEntropy,
    CrossEntropy,
    HalfSSE,
    Huber,
    Loss,
    Poisson,
)

__all__ = ["MAE", "MSE", "SSE", "BinaryCrossEntropy", "CrossEntropy", "HalfSSE", "Huber", "Loss", "Poisson"]
