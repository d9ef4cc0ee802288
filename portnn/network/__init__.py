"""NeuralNetwork: its attributes (base), training, inference and saving."""

from portnn.network.neural_network import NeuralNetwork

__all__ = ["NeuralNetwork"]
