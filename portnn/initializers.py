"""Initializers as objects with options: ``Dense(8, initializer=initializers.Normal(std=0.02))``."""

from portnn.nn.initializers import Glorot, He, Initializer, LeCun, Normal, Ones, Orthogonal, Uniform, Zeros

__all__ = ["Glorot", "He", "Initializer", "LeCun", "Normal", "Ones", "Orthogonal", "Uniform", "Zeros"]
