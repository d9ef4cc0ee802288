"""Estimators with scikit-learn's interface: for pipelines, searches and ensembles. Importing this imports scikit-learn.

``network_`` is the ``NeuralNetwork`` that a fit has trained. Arrays of other libraries stay where they are with
``sklearn.set_config(array_api_dispatch=True)``; without, scikit-learn makes them arrays of NumPy.
"""

from portnn.sklearn.classifier import NeuralNetworkClassifier
from portnn.sklearn.regressor import NeuralNetworkRegressor

__all__ = ["NeuralNetworkClassifier", "NeuralNetworkRegressor"]
