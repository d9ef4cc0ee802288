"""Networks in files."""

import logging
import os
from typing import Any, Self

from portnn import registry
from portnn.backend import get_backend, requested_backend, require_dtype
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
        See ``save``.
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
