"""Inference: outputs, labels and scores."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from portnn.backend import backend_of
from portnn.data.arrays import array_signature
from portnn.data.batches import as_batches
from portnn.data.labels import with_targets
from portnn.data.memmap import mapping_of
from portnn.errors import ArgumentError
from portnn.metrics.selection import MetricLike, resolve_metrics
from portnn.model.pipeline import DataPipeline
from portnn.model.runtime import PREDICT_ROWS
from portnn.network.base import NetworkBase
from portnn.options import check_positive_int
from portnn.types import Array

_log = logging.getLogger("portnn")


class Inference(NetworkBase):
    """Predictions and scores of a network."""

    def _inputs(self, x: object, check: bool = False) -> Array:
        runtime, schema = self._require_runtime(), self._schema
        signature = schema, array_signature(self._backend, x)
        if signature[1] is not None and signature == self._checked_signature and not check:
            return runtime.inputs(x)
        with self._backend.scope():
            inputs = DataPipeline(schema, runtime).inputs(x, check)
        self._checked_signature = None if schema.scales_bytes else signature
        return inputs

    def forward(self, x: object) -> Array:
        """Return the outputs on the network's backend, unbatched.

        Parameters
        ----------
        x : array
            (rows, features).

        Returns
        -------
        array
            (rows, outputs), on the network's backend.

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 3, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
        >>> net.forward([[0.0, 1.0]]).shape
        (1, 3)
        """
        return self._require_runtime().forward(self._inputs(x))

    def predict(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return the outputs in the kind of array that x is; NaN in a row gives NaN in its outputs.

        Parameters
        ----------
        x : array, data frame or memory map
            (rows, features).
        batch_size : int, optional
            Rows that are computed together; None: 8,192.

        Returns
        -------
        array
            (rows, outputs), of the library and on the device of ``x``. For the loss poisson: logarithms of the counts.

        Raises
        ------
        ShapeError, DTypeError, NotFittedError

        Examples
        --------
        >>> import numpy as np
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, seed=0, backend="numpy")
        >>> net.predict(np.zeros((5, 2))).shape
        (5, 1)
        """
        return self._to_caller(x, self._outputs(x, batch_size, check=False))

    def predict_classes(self, x: object, *, batch_size: int | None = None) -> Any:
        """Return the class of each row: the largest of several outputs; for one sigmoid output, whether it exceeds 1/2.

        Parameters
        ----------
        x, batch_size
            As for ``predict``.

        Returns
        -------
        array
            (rows,): int32 in the caller's kind of array; where ``classes`` has other labels, these (texts in a NumPy
            array).

        Raises
        ------
        ArgumentError
            For a single output that is no sigmoid.
        DataError
            For NaN or infinity in ``x``.

        Examples
        --------
        >>> import numpy as np
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(1, 2, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
        >>> _ = net.fit(np.array([[-1.0], [1.0]] * 8), np.array(["no", "yes"] * 8), epochs=200)
        >>> net.predict_classes(np.array([[2.0], [-2.0]])).tolist()
        ['yes', 'no']
        """
        output = self._require_runtime().model.architecture.output
        if self._schema.outputs == 1 and output != "sigmoid":
            raise ArgumentError(f'predict_classes: one output needs output="sigmoid" to mean classes; got "{output}"')
        outputs = self._outputs(x, batch_size, check=True)
        with self._backend.scope():
            labels = self._require_runtime().classes(outputs)
        if self.classes is not None:
            class_labels = np.array(self.classes)[self._backend.to_numpy(labels)]
            return class_labels if class_labels.dtype.kind in "UO" else backend_of(x).asarray(class_labels)
        return self._to_caller(x, labels)

    def _outputs(self, x: object, batch_size: int | None, check: bool) -> Array:
        runtime = self._require_runtime()
        rows = PREDICT_ROWS if batch_size is None else check_positive_int("batch_size", batch_size)
        in_blocks = isinstance(x, np.ndarray) and x.shape[:1] > (rows,)
        if not in_blocks and mapping_of(x) is None:
            return runtime.forward(self._inputs(x, check), rows)
        with runtime.lock, self._backend.scope():
            # A block is read and sent to a device while the device computes the one before.
            parts = map(runtime.forward, DataPipeline(self._schema, runtime).blocks(x, rows, check))
            return self._backend.xp.concat(list(parts))

    def _to_caller(self, x: object, result: Array) -> Any:
        if self._backend.owns(x) and self._backend.device_of(x) == self._backend.device:
            return result
        home = backend_of(x)
        return result if home is self._backend else home.asarray(result)

    def evaluate(
        self, x: object, y: object = None, *, metrics: Sequence[MetricLike] = (), sample_weight: object = None
    ) -> dict[str, float]:
        """Return the loss and the metrics over the data, in inference mode.

        Parameters
        ----------
        x, y, metrics, sample_weight
            As for ``fit``.

        Returns
        -------
        dict of str to float
            {"loss": ..., metric: ...}.

        Raises
        ------
        ShapeError, DTypeError, DataError, ArgumentError, NotFittedError

        Examples
        --------
        >>> import numpy as np
        >>> from portnn import NeuralNetwork
        >>> net = NeuralNetwork(2, 4, 1, loss="mse", seed=0, backend="numpy")
        >>> sorted(net.evaluate(np.zeros((5, 2)), np.zeros((5, 1)), metrics=["mae"]))
        ['loss', 'mae']
        """
        runtime = self._require_runtime()
        x, y, sample_weight = with_targets(x, y, sample_weight)
        x, y, _ = as_batches(x, y)
        pipeline = DataPipeline(self._schema, runtime)
        with self._backend.scope():
            source = pipeline.source(pipeline.check_data(x, y, sample_weight))
            return runtime.evaluate(source, resolve_metrics(metrics, runtime.compared(source.of_labels)))
