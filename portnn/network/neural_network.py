"""NeuralNetwork, the public class. It checks the arguments and hands data to the runtime."""

import logging
import math

from portnn.html import drawings, elements
from portnn.network.conversion import Conversion
from portnn.network.inference import Inference
from portnn.network.saving import Saving
from portnn.network.training import Training
from portnn.nn.layers import Dense
from portnn.options import format_bytes

_log = logging.getLogger("portnn")


class NeuralNetwork(Training, Inference, Saving, Conversion):
    """A feed-forward network on any array library.

    Parameters
    ----------
    *layers : int, str, Layer or tuple of int
        Ints are widths: the first argument, if an int, is the input's, if a tuple the shape of one row, such as
        (channels, height, width); each later one a ``Dense``, followed by ``activation`` unless another is named next
        or it is the output's. Layer objects are taken as they are; strings are activations, a trailing one the
        output's. Without any, widths are inferred at the first fit, with one hidden layer of 100.
    activation, output : str
        Names of activations: identity, sigmoid, tanh, relu, softmax.
    loss : str or Loss, optional
        sse, half_sse, mse, binary_cross_entropy (output sigmoid), cross_entropy (output softmax), an object such as
        ``losses.Huber(delta=2.0)``, or a ``Loss`` of your own. None: mse, for floating targets only.
    optimizer : str or Optimizer
        "sgd", "adam", or an object such as ``SGD(0.1, momentum=0.9)``.
    learning_rate : float or Schedule, optional
        None: the optimizer's own.
    initializer : str or Initializer
        zeros, uniform, normal, glorot, he, an object such as ``initializers.Normal(std=0.02)``, or "auto": he before
        relu, else glorot.
    classes : sequence of labels, optional
        Texts, numbers or bools that targets are, in the order of the outputs: for a loss of classes, where the data to
        train on do not say which there are (batches of texts). None: learnt from the targets of the first fit.
    bias : bool
        Whether the layers made from ints have biases; before BatchNorm, which takes them away, they have none.
    backend, device : str, optional
        "numpy", "cupy", "cupy:1", "torch:cuda:0", "jax", "array_api_strict", "auto". None: the variable
        PORTNN_BACKEND, else that of the first data to train on.
    dtype : {"float32", "float64"}, optional
        Of parameters and computation. None: float32; float64 in reproducible arithmetic, which has no other.
    arithmetic : {"fast", "reproducible"}
        "fast" computes with the library's own functions; "reproducible" trains to the same bits on every array
        library, device, BLAS and number of threads, at several times the cost.
    seed : int, optional
        Of initial weights, shuffles and splits. None: one is drawn and kept.

    Raises
    ------
    ArgumentError, BackendUnavailableError, DTypeError

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import Dropout, NeuralNetwork
    >>> net = NeuralNetwork(2, 16, Dropout(0.2), 2, output="softmax", loss="cross_entropy", seed=0, backend="numpy")
    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> history = net.fit(x, np.array([0, 1, 1, 0]), epochs=10)
    >>> net
    NeuralNetwork(2-16-2, backend='numpy:cpu', dtype='float32', seed=0)
    """

    def summary(self) -> str:
        """Return a table of the layers, with output shapes, numbers of parameters, and memory.

        After training on a table it also shows the columns as the network reads them (kinds, values for gaps), and the
        classes.

        Returns
        -------
        str

        Examples
        --------
        >>> from portnn import NeuralNetwork
        >>> print(NeuralNetwork(2, 4, 1, seed=0, backend="numpy").summary().splitlines()[-2])
        memory: parameters 68 bytes, optimizer 136 bytes, layers' outputs a row 36 bytes
        """
        rows = [("layer", "output", "parameters"), *self.architecture.table()]
        width, middle, _ = (max(map(len, column)) + 2 for column in zip(*rows, strict=True))
        lines = [f"{layer:<{width}}{output:<{middle}}{parameters:>12}" for layer, output, parameters in rows]
        if self.architecture.features is not None:
            lines.append(self._memory())
        lines.append(
            f"loss {self.loss or 'mse'}, {self.optimizer}, backend {self.backend}, {self.dtype}, "
            f"{self.arithmetic} arithmetic, seed {self.seed}"
        )
        return "\n".join(lines + self._schema.reading())

    def _repr_html_(self) -> str:
        """Return layers, parameters and state as HTML, for notebooks."""
        architecture = self.architecture
        parts = []
        if architecture.features is not None:
            dense = [layer.units for layer in architecture.layers if isinstance(layer, Dense)]
            columns = [math.prod(architecture.features), *dense]
            parts.append(drawings.widths(list(zip(columns, architecture.column_labels(columns), strict=True))))
        parts.append(elements.table(("layer", "output", "parameters"), architecture.table()))
        epochs, steps = self.epoch_count, self.step_count
        trained = f"trained for {steps:,} steps, {epochs:,} whole epochs" if steps else "not trained"
        settings = f"loss {self.loss or 'mse'}, {self.optimizer}, {self.arithmetic} arithmetic"
        parts += [elements.text(line) for line in (trained, settings)]
        if reading := self._schema.reading():
            parts.append(elements.details("data", "".join(map(elements.text, reading))))
        return elements.frame(repr(self), *parts)

    def _memory(self) -> str:
        sizes, width = self.architecture.sizes(), 8 if self.dtype == "float64" else 4
        parameters = sum(size.parameters for size in sizes)
        trained = self.architecture.make_layouts()[0].size
        parts = {
            "parameters": parameters,
            "buffers": sum(size.buffers for size in sizes),
            "optimizer": trained * len(self.optimizer.chain().state_names),
            "layers' outputs a row": sum(size.output for size in sizes),
        }
        return "memory: " + ", ".join(f"{name} {format_bytes(width * n)}" for name, n in parts.items() if n)

    def __repr__(self) -> str:
        features = self.architecture.features or ("?",)
        units = [layer.units for layer in self.architecture.layers if isinstance(layer, Dense)]
        shape = "-".join(["x".join(map(str, features)), *map(str, units)])
        return f"NeuralNetwork({shape}, backend={self.backend!r}, dtype={self.dtype!r}, seed={self.seed})"
