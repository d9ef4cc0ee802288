"""Networks from and to other libraries."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from portnn.errors import ArgumentError, needs_extra
from portnn.network.base import NetworkBase
from portnn.nn.loss import Loss
from portnn.options import check_positive_int

_LOSSES = {"sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}


class Conversion(NetworkBase):
    """Networks of PyTorch and scikit-learn as portnn's, and portnn's as PyTorch's."""

    @classmethod
    def from_torch(
        cls,
        module: Any,
        *,
        optimizer: Any = None,
        output: str | None = None,
        loss: str | Loss | None = None,
        input_shape: int | Sequence[int] | None = None,
        backend: str | None = None,
        device: str | None = None,
        seed: int | None = None,
    ) -> Self:
        """Return a network that computes what a PyTorch module computes.

        The names of the tensors in ``module.state_dict()`` are in ``metadata["torch"]``; ``to_torch`` gives them back.

        Parameters
        ----------
        module : torch.nn.Sequential
            Also nested, of Linear, Conv1d, Conv2d, MaxPool2d, AvgPool2d, ZeroPad2d, Flatten, Unflatten, Dropout,
            Dropout2d, BatchNorm1d, BatchNorm2d, LayerNorm, Embedding and activations, in float32 or float64.
            Parameters without ``requires_grad`` make a frozen layer.
        optimizer : torch.optim.SGD, Adam or AdamW, or any of portnn's, optional
            The state and options of PyTorch's move too: training goes on as there. ``weight_decay`` must be 0 for all
            parameters but the weights of Linear.
        output : str, optional
            The activation after the last layer, where PyTorch's loss contains it: "softmax" for CrossEntropyLoss, and
            in the place of a last LogSoftmax; "sigmoid" for BCEWithLogitsLoss. Predictions then are probabilities.
        loss : str or Loss, optional
            None: the one that belongs to the output; mse for others.
        input_shape : int or tuple of int, optional
            Shape of one row, where the modules do not tell it: before a Flatten (None: flat rows), a Conv2d.
        backend, device : str, optional
        seed : int, optional

        Returns
        -------
        NeuralNetwork

        Raises
        ------
        ArgumentError
            For a module that computes something which portnn has not, by name.

        Examples
        --------
        >>> import numpy as np
        >>> from portnn import NeuralNetwork
        >>> from torch.nn import Linear, ReLU, Sequential  # doctest: +SKIP
        >>> module = Sequential(Linear(4, 8), ReLU(), Linear(8, 3))  # doctest: +SKIP
        >>> net = NeuralNetwork.from_torch(module, output="softmax", backend="numpy")  # doctest: +SKIP
        >>> net.predict(np.zeros((1, 4))).shape  # doctest: +SKIP
        (1, 3)
        """
        with needs_extra("from_torch", "torch"):
            from portnn.conversion import torch_modules, torch_optimizers
        parts = torch_modules.parts_of(module)
        dtype = torch_modules.dtype_of(parts)
        if input_shape is None:
            features = torch_modules.input_shape(parts)
        else:
            sizes = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
            features = tuple(check_positive_int("input_shape", size) for size in sizes)
        layers = torch_modules.layers_of(parts, features, dtype)
        if output == "softmax" and layers[-1] == "log_softmax":
            layers[-1] = "softmax"
        moved = type(optimizer).__module__.startswith("torch.")
        last = output or (layers[-1] if isinstance(layers[-1], str) else "identity")
        network = cls(
            *(features if len(features) == 1 else (features,)),
            *layers,
            output=output or "identity",
            loss=loss or _LOSSES.get(last),
            optimizer=torch_optimizers.optimizer_of(optimizer, parts) if moved else optimizer or "adam",
            dtype=dtype,
            backend=backend,
            device=device,
            seed=seed,
        )
        runtime = network._require_runtime()
        arrays, steps = torch_modules.arrays_of(parts, runtime), 0
        if moved:
            state, steps = torch_optimizers.state_of(optimizer, parts, runtime)
            arrays |= state
        else:
            arrays = runtime.arrays() | arrays
        counters = {"step": steps, "epoch": 0, "update": steps}
        with network._backend.scope():
            runtime.load_state(arrays, {"counters": counters, "adapted": runtime.adapted})
        network.metadata["torch"] = torch_modules.names_in_state_dict(parts, runtime)
        return network

    def to_torch(self) -> Any:
        """Return a PyTorch module that computes the network's outputs.

        It has copies of the parameters, in the network's dtype, on the network's device if that is PyTorch's, else on
        the CPU. It is in eval mode; ``module.train()`` makes dropout and batch normalisation train. Names in
        ``state_dict`` are those of the module that ``from_torch`` took, else numbers. An output activation is a module
        of its own, the last one.

        Returns
        -------
        torch.nn.Sequential

        Raises
        ------
        ArgumentError
            For a layer that PyTorch has not, by name; ``export_onnx`` writes these too.
        BackendUnavailableError
            Without PyTorch.
        NotFittedError
            If the widths are not known yet.

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(4, 8, 3, seed=0, backend="numpy")
        >>> list(net.to_torch().state_dict())  # doctest: +SKIP
        ['0.weight', '0.bias', '2.weight', '2.bias']
        """
        runtime = self._require_runtime()
        if self._schema.encoding is not None:
            raise ArgumentError("to_torch: expected a network of numbers; got one of a table, whose columns it encodes")
        with needs_extra("to_torch", "torch"):
            from portnn.conversion import torch_modules
        names = self.metadata.get("torch")
        paths = names.get("modules") if isinstance(names, dict) else None
        with runtime.lock, self._backend.scope():
            return torch_modules.sequential_of(runtime, paths)

    @classmethod
    def from_sklearn(
        cls, model: Any, *, backend: str | None = None, device: str | None = None, seed: int | None = None
    ) -> Self:
        """Return a network that predicts what a fitted perceptron of scikit-learn predicts.

        Weights, classes, names of columns and the optimizer's options move. The optimizer's state and the penalty
        ``alpha`` do not; for lbfgs the optimizer is adam. Of ``loss="poisson"`` the outputs are logarithms of
        scikit-learn's.

        Parameters
        ----------
        model : sklearn.neural_network.MLPClassifier or MLPRegressor
        backend, device : str, optional
        seed : int, optional

        Returns
        -------
        NeuralNetwork

        Raises
        ------
        ArgumentError, NotFittedError

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> from sklearn.neural_network import MLPRegressor  # doctest: +SKIP
        >>> model = MLPRegressor((8,), max_iter=10, solver="lbfgs").fit([[0.0], [1.0]], [0.0, 1.0])  # doctest: +SKIP
        >>> NeuralNetwork.from_sklearn(model, backend="numpy").predict([[0.5]]).shape  # doctest: +SKIP
        (1, 1)
        """
        with needs_extra("from_sklearn", "sklearn"):
            from portnn.conversion import sklearn_models
        sklearn_models.check(model)
        layers, options = sklearn_models.arguments_of(model)
        network = cls(*layers, **options, backend=backend, device=device, seed=seed)
        network.set_parameters(sklearn_models.parameters_of(model))
        if (columns := sklearn_models.columns_of(model)) is not None:
            network._schema = replace(network._schema, columns=columns)
        return network
