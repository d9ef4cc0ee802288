"""A fitted multilayer perceptron of scikit-learn as the arguments and parameters of a network."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from portnn.errors import ArgumentError, NotFittedError
from portnn.optim.optimizer import Optimizer
from portnn.optim.optimizers import SGD, Adam

_ACTIVATIONS = {"logistic": "sigmoid", "exp": "identity"}
"""Names that are others in portnn; with the loss poisson outputs are logarithms of scikit-learn's."""


def check(model: Any) -> None:
    """Raise for anything but a fitted MLPClassifier or MLPRegressor of float32 or float64."""
    if not isinstance(model, MLPClassifier | MLPRegressor):
        raise ArgumentError(f"model: expected an MLPClassifier or MLPRegressor; got {type(model).__name__}")
    if not hasattr(model, "coefs_"):
        raise NotFittedError(f"model: expected a fitted {type(model).__name__}; call fit first")
    if model.coefs_[0].dtype not in (np.float32, np.float64):
        raise ArgumentError(f"model: expected weights of float32 or float64; got {model.coefs_[0].dtype}")


def arguments_of(model: Any) -> tuple[list[int | str], dict[str, Any]]:
    """Return the layers and options of the network."""
    activation, output = (_ACTIVATIONS.get(name, name) for name in (model.activation, model.out_activation_))
    widths = [w.shape[1] for w in model.coefs_]
    layers: list[int | str] = [model.coefs_[0].shape[0]]
    for width in widths[:-1]:
        layers += [width, activation]
    options = {"output": output, "dtype": str(model.coefs_[0].dtype), "optimizer": _optimizer(model)}
    if isinstance(model, MLPRegressor):
        options["loss"] = "poisson" if model.out_activation_ == "exp" else "mse"
        return [*layers, widths[-1]], options
    options["loss"] = "cross_entropy" if output == "softmax" else "binary_cross_entropy"
    if output == "softmax" or widths[-1] == 1:
        options["classes"] = model.classes_.tolist()
    return [*layers, widths[-1]], options


def _optimizer(model: Any) -> Optimizer:
    """Return portnn's optimizer with the options of scikit-learn's; adam for lbfgs, which portnn has not."""
    rate = float(model.learning_rate_init)
    if model.solver == "sgd":
        return SGD(rate, momentum=float(model.momentum), nesterov=bool(model.nesterovs_momentum and model.momentum))
    return Adam(rate, beta1=float(model.beta_1), beta2=float(model.beta_2), epsilon=float(model.epsilon))


def parameters_of(model: Any) -> dict[str, np.ndarray]:
    """Return the parameters by portnn's names."""
    pairs = enumerate(zip(model.coefs_, model.intercepts_, strict=True), start=1)
    return {name: array for i, (w, b) in pairs for name, array in ((f"W{i}", w), (f"b{i}", b))}


def columns_of(model: Any) -> tuple[str, ...] | None:
    """Return the names of the columns, where scikit-learn has them."""
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else tuple(str(name) for name in names)
