"""The network that users hold: what it holds (base), how it trains, predicts and is saved."""

from portnn.network.neural_network import NeuralNetwork

__all__ = ["NeuralNetwork"]
