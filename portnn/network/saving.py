"""Networks in files."""

import json
import logging
import os
from typing import Any, Self

from portnn import registry
from portnn.backend import get_backend, requested_backend, require_dtype
from portnn.errors import needs_extra
from portnn.io import files
from portnn.model.architecture import Architecture
from portnn.network.base import NetworkBase
from portnn.nn import losses
from portnn.reproducible.arithmetic import ARITHMETICS
from portnn.train.checkpoint import FIT_PREFIX

_log = logging.getLogger("portnn")


class Saving(NetworkBase):
    """Saving and loading of networks."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network, with optimizer state and counters, as safetensors.

        The file is written atomically: an older file of that name stays until the new one is complete.

        Parameters
        ----------
        path : str or os.PathLike

        Raises
        ------
        SerializationError
            For a part of your own that is not registered (``portnn.register``).
        NotFittedError
            If the widths are not known yet.

        Examples
        --------
        >>> import os, tempfile
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(os.path.join(folder, "net.safetensors"))
        ...     again = NeuralNetwork.load(os.path.join(folder, "net.safetensors"))
        >>> again.fingerprint() == net.fingerprint()
        True
        """
        files.write_model(path, *self.serialize())

    def serialize(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return (arrays, config) as ``save`` writes them: the state by name; all else as plain JSON values."""
        runtime, schema = self._require_runtime(), self._schema
        with runtime.lock:  # arrays and counters of one step
            description = {
                "architecture": self.architecture.get_config(),
                "loss": losses.get_config(self._loss),
                "names": schema.names(),
                "metadata": self.metadata,
                **runtime.get_config(),
            }
            return runtime.arrays(), description

    def export_onnx(self, path: str | os.PathLike[str], *, input_dtype: str | None = None) -> None:
        """Write the network's predictions as an ONNX file, for onnxruntime and other programs.

        The file takes any number of rows. A network of numbers has the input ``x``; one of a raw table has an input,
        (rows, 1), for each column: texts, or float64 with NaN for gaps and days since 1970 for dates. The outputs are
        those of ``predict``: ``probabilities``, with the most probable ``label`` where the network knows the labels of
        its classes, or ``outputs`` (and ``predictions``, for the loss poisson). Names of columns and classes, the
        fingerprint and ``metadata`` are in the file. It is kept once onnx's checker has passed it and onnxruntime has
        computed the network's outputs from it, within their rounding bound, for 1, 7 and 333 random rows. Reproducible
        arithmetic is not in the file: a network in it is written as its copy in fast arithmetic.

        Parameters
        ----------
        path : str or os.PathLike
        input_dtype : {"float32", "float64", "int32", "int64", "uint8"}, optional
            Dtype of ``x``. None: the network's; float64 where the first layer preprocesses (``Standardize``), since
            float32 may not hold what varies; int64 for an ``Embedding``.

        Raises
        ------
        SerializationError
            For what ONNX cannot say, such as a layer that depends on the number of rows; nothing is written.
        BackendUnavailableError
            Without ``onnx`` and ``onnxruntime``.
        NotFittedError
            If the widths are not known yet.

        Examples
        --------
        >>> import os, tempfile
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.export_onnx(os.path.join(folder, "net.onnx"))  # doctest: +SKIP
        """
        runtime = self._require_runtime()
        with needs_extra("onnx", "onnx"):
            from portnn.onnx.export import export
        with runtime.lock:
            fast = self.to("numpy", arithmetic="fast")
            names = {"classes": self._schema.classes, "target": self._schema.target_columns}
            properties = {name: json.dumps(value) for name, value in names.items() if value is not None}
            properties |= {"fingerprint": runtime.fingerprint(), "metadata": json.dumps(self.metadata)}
            export(path, fast._require_runtime(), self._schema, properties, input_dtype)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, backend: str | None = None, device: str | None = None) -> Self:
        """Read a network that ``save`` wrote.

        Parameters
        ----------
        path : str or os.PathLike
        backend, device : str, optional
            Where the network is to compute, as for the constructor.

        Returns
        -------
        NeuralNetwork

        Raises
        ------
        SerializationError
            For any other file, and for parts that are not registered here.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 3, 1, seed=0, backend="numpy")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(Path(folder) / "net.safetensors")
        ...     NeuralNetwork.load(Path(folder) / "net.safetensors").fingerprint() == net.fingerprint()
        True
        """
        arrays, description = files.read_model(path)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(FIT_PREFIX)}  # of a checkpoint
        home = requested_backend(backend, device) or get_backend("numpy")  # a mistyped name is not the file's fault
        require_dtype(home, "float64" if description.get("dtype") == "float64" else "float32")
        if description.get("arithmetic") == "reproducible":
            ARITHMETICS["reproducible"](home)
        with files.contradictions(path):
            architecture = Architecture.from_config(description["architecture"])
            network = cls(
                *architecture.layers,
                output=architecture.output,
                loss=losses.from_config(description["loss"]),
                optimizer=registry.from_config("optimizer", description["optimizer"]),
                dtype=description["dtype"],
                arithmetic=description.get("arithmetic", "fast"),
                seed=description["seed"],
                backend=backend,
                device=device,
            )
            names, network.metadata = files.kept_in(description)
            schema = network._schema.from_config(names)
            network._schema, network._runtime = network._initialize(schema, architecture, network._backend)
            with network._backend.scope():
                network._runtime.load_state(arrays, description)
        return network
