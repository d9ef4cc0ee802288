"""The losses, and their table. portnn/nn/loss.py has the base class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portnn import registry
from portnn.errors import ArgumentError
from portnn.nn.activations import find as find_activation
from portnn.nn.activations import sigmoid
from portnn.nn.loss import Loss
from portnn.options import check_range, lookup
from portnn.types import Array, Namespace


class SSE(Loss):
    r"""Sum of squared errors: L = sum (a - y)²; dL/da = 2 (a - y).

    Notes
    -----
    .. math:: L = \sum_{n,k} (a_{nk} - y_{nk})^2, \qquad dL/da_{nk} = 2 (a_{nk} - y_{nk})

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import SSE
    >>> net = NeuralNetwork(2, 1, loss=SSE(), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    mean = False

    def __call__(self, xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        e = a - y
        d = e * weight
        return xp.sum(e * d), 2.0 * d


class HalfSSE(Loss):
    r"""Half the sum of squared errors: L = 1/2 sum (a - y)²; dL/da = a - y.

    Notes
    -----
    .. math:: L = \frac{1}{2} \sum_{n,k} (a_{nk} - y_{nk})^2, \qquad dL/da_{nk} = a_{nk} - y_{nk}

    Bishop 2006, eq. 5.11.

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import HalfSSE
    >>> net = NeuralNetwork(2, 1, loss=HalfSSE(), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    mean = False

    def __call__(self, xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        e = a - y
        d = e * weight
        return 0.5 * xp.sum(e * d), d


class MSE(Loss):
    r"""Mean squared error over rows and outputs: L = mean (a - y)²; dL/da = 2 (a - y) / (batch outputs).

    Notes
    -----
    .. math:: L = \frac{1}{N K} \sum_{n,k} (a_{nk} - y_{nk})^2, \qquad dL/da_{nk} = \frac{2 (a_{nk} - y_{nk})}{N K}

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import MSE
    >>> net = NeuralNetwork(2, 1, loss=MSE(), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    def __call__(self, xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        return SSE()(xp, a, y, weight * (1.0 / a.shape[1]))


class BinaryCrossEntropy(Loss):
    r"""Mean over rows and outputs of -y log s - (1 - y) log(1 - s), with s = sigmoid(z); dL/dz = s - y.

    Computed from the logits as max(z, 0) - z y + log(1 + exp(-|z|)).

    Notes
    -----
    .. math::

       L = -\frac{1}{N K} \sum_{n,k} y_{nk} \log s_{nk} + (1 - y_{nk}) \log (1 - s_{nk}), \qquad
       s = \frac{1}{1 + e^{-z}}, \qquad dL/dz_{nk} = \frac{s_{nk} - y_{nk}}{N K}

    Bishop 2006, eq. 4.90, as a mean.

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import BinaryCrossEntropy
    >>> net = NeuralNetwork(2, 1, output="sigmoid", loss=BinaryCrossEntropy(), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    pair = "sigmoid"

    def __call__(self, xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        weight = weight * (1.0 / z.shape[1])
        s, _ = sigmoid(xp, z)
        positive = z * xp.astype(z > 0, z.dtype)
        row_losses = positive - z * y + xp.log1p(xp.exp(xp.negative(xp.abs(z))))
        return xp.sum(row_losses * weight), (s - y) * weight


class MAE(Loss):
    r"""Mean absolute error over rows and outputs: L = mean |a - y|; dL/da = sign(a - y) / (batch outputs).

    Notes
    -----
    .. math::

       L = \frac{1}{N K} \sum_{n,k} \lvert a_{nk} - y_{nk} \rvert, \qquad
       dL/da_{nk} = \frac{\operatorname{sign}(a_{nk} - y_{nk})}{N K}

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import MAE
    >>> net = NeuralNetwork(2, 1, loss=MAE(), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    def __call__(self, xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        weight = weight * (1.0 / a.shape[1])
        e = a - y
        return xp.sum(xp.abs(e) * weight), xp.sign(e) * weight


@dataclass(frozen=True)
class Huber(Loss):
    r"""Mean over rows and outputs of e²/2 where |e| <= delta, else delta (|e| - delta/2), with e = a - y (Huber 1964).

    Computed as e c - c²/2 with c = e clipped to [-delta, delta]; dL/da = c.

    Notes
    -----
    .. math::

       L = \frac{1}{N K} \sum_{n,k} \begin{cases} e_{nk}^2 / 2 & \lvert e_{nk} \rvert \le \delta \\
           \delta (\lvert e_{nk} \rvert - \delta / 2) & \lvert e_{nk} \rvert > \delta \end{cases}, \qquad e = a - y

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import Huber
    >>> net = NeuralNetwork(2, 1, loss=Huber(delta=2.0), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_range("delta", self.delta)

    def __call__(self, xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        weight = weight * (1.0 / a.shape[1])
        e = a - y
        c = xp.minimum(xp.maximum(e, -self.delta), self.delta)
        return xp.sum(c * (e - 0.5 * c) * weight), c * weight


class Poisson(Loss):
    r"""Mean over rows and outputs of exp(a) - y a, for counts y of mean exp(a); dL/da = exp(a) - y.

    The outputs are logarithms of what they predict: metrics, and ``portnn predict``, take exp(a).

    Notes
    -----
    .. math::

       L = \frac{1}{N K} \sum_{n,k} e^{a_{nk}} - y_{nk} a_{nk}, \qquad
       dL/da_{nk} = \frac{e^{a_{nk}} - y_{nk}}{N K}

    The negative log-likelihood of a Poisson regression with logarithmic link, without the term of y alone (McCullagh
    and Nelder 1989, chapter 6).

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import Poisson
    >>> net = NeuralNetwork(2, 1, loss=Poisson(), seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [[1.0]])["loss"] > 0.0
    True
    """

    @staticmethod
    def inverse_link(xp: Namespace, outputs: Array) -> Array:
        return xp.exp(outputs)

    def __call__(self, xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        weight = weight * (1.0 / a.shape[1])
        e = xp.exp(a)
        return xp.sum((e - y * a) * weight), (e - y) * weight


@dataclass(frozen=True)
class CrossEntropy(Loss):
    r"""Mean over rows of -sum_k y_k log p_k, with p = softmax(z); dL/dz = p - y.

    ``y``: int32 labels, (batch,), or one distribution per row, (batch, classes). Computed from the logits as
    log sum exp(z) - sum y z, with the row's maximum subtracted first. A difference of logits beyond a quarter of the
    dtype's range counts as that quarter: the loss of finite logits is finite, and so is its mean.

    ``smoothing``: the share of each target that is spread evenly over the classes (Szegedy et al. 2016, section 7).
    ``class_weight``: one number w_k per class: -sum_k w_k y_k log p_k. The loss is the sum over the rows divided by
    their number, whatever the weights.

    Parameters
    ----------
    smoothing : float
        In [0, 1).
    class_weight : sequence of float, optional

    Notes
    -----
    .. math::

       L = -\frac{1}{N} \sum_n \sum_k w_k \, y_{nk} \log p_{nk}, \qquad p_{nk} = \frac{e^{z_{nk}}}{\sum_j e^{z_{nj}}}

    With all :math:`w_k = 1` the gradient is :math:`(p - y) / N` (Bishop 2006, eq. 4.108, as a mean).

    Examples
    --------
    >>> from portnn import NeuralNetwork
    >>> from portnn.losses import CrossEntropy
    >>> loss = CrossEntropy(smoothing=0.1, class_weight=(1.0, 2.0))
    >>> net = NeuralNetwork(2, 2, output="softmax", loss=loss, seed=0, backend="numpy")
    >>> net.evaluate([[0.0, 1.0]], [1])["loss"] > 0.0
    True
    """

    pair = "softmax"
    labels = True
    smoothing: float = 0.0
    class_weight: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_range("smoothing", self.smoothing, 0.0, 1.0)
        if self.class_weight is not None:
            for weight in self.class_weight:
                check_range("class_weight", weight)
            object.__setattr__(self, "class_weight", tuple(self.class_weight))

    def __call__(self, xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        classes = z.shape[1]
        if y.ndim == 1:
            y = xp.astype(xp.expand_dims(y, axis=1) == xp.arange(classes, dtype=y.dtype), z.dtype)
        if self.smoothing:
            y = y * (1.0 - self.smoothing) + self.smoothing / classes
        shifted = xp.maximum(z - xp.max(z, axis=-1, keepdims=True), -0.25 * float(xp.finfo(z.dtype).max))
        e = xp.exp(shifted)
        total = xp.sum(e, axis=-1, keepdims=True)
        row_losses, share = xp.log(total), 1.0 / total
        if self.class_weight is not None:
            y = y * xp.asarray(self.class_weight, dtype=z.dtype)
            mass = xp.sum(y, axis=-1, keepdims=True)
            row_losses, share = row_losses * mass, share * mass
        row_losses = row_losses - xp.sum(y * shifted, axis=-1, keepdims=True)
        return xp.sum(row_losses * weight), (e * share - y) * weight


@dataclass(frozen=True)
class _OfLogits(Loss):
    """A loss of the output as a loss of the input of the output activation."""

    loss: Loss
    activation: str

    def __post_init__(self) -> None:
        for name in ("mean", "labels", "inverse_link"):
            object.__setattr__(self, name, getattr(self.loss, name))

    def __call__(self, xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
        a, backward = find_activation("output", self.activation)(xp, z)
        value, da = self.loss(xp, a, y, weight)
        return value, backward(da)


LOSSES: dict[str, type[Loss]] = {
    "mae": MAE,
    "huber": Huber,
    "poisson": Poisson,
    "sse": SSE,
    "half_sse": HalfSSE,
    "mse": MSE,
    "binary_cross_entropy": BinaryCrossEntropy,
    "cross_entropy": CrossEntropy,
}
registry.register_kind("loss", Loss, LOSSES)


def find(loss: "str | Loss | None") -> Loss:
    """Return the loss of that name (None: mse), a registered loss, or the object itself."""
    if isinstance(loss, str) and ":" in loss:
        registered = registry.from_serialized_name("loss", loss, LOSSES)
        return registered() if isinstance(registered, type) else registered
    return loss if isinstance(loss, Loss) else lookup("loss", "mse" if loss is None else loss, LOSSES)()


def name_of(loss: str | Loss | None) -> str | None:
    """Return the name of a loss, without its options; "module:name" for a user's own."""
    return registry.name_of("loss", loss) if isinstance(loss, Loss) else loss


def get_config(loss: str | Loss | None) -> str | dict[str, Any] | None:
    """Return a loss as plain values, for a file: its name, with the options that are not defaults.

    Raises SerializationError for a loss that is not registered.
    """
    if loss is None:
        return None
    component = find(loss)
    differing = registry.options_of(component)
    config = {key: value for key, value in registry.get_config(component).items() if key == "loss" or key in differing}
    return config if len(config) > 1 else str(config["loss"])


def from_config(config: "str | Mapping[str, Any] | None") -> "str | Loss | None":
    """Return the loss that ``get_config`` wrote."""
    return registry.from_config("loss", config) if isinstance(config, Mapping) else config


def for_output(requested: str | Loss | None, output: str) -> Loss:
    """Return a loss as a loss of the input of the output activation.

    Raises ArgumentError for a loss of another output activation than ``output``.
    """
    loss, name = find(requested), requested if isinstance(requested, str) else "loss"
    if loss.pair == output:
        return loss
    if loss.pair is not None:
        raise ArgumentError(f'loss: {name!r} needs output="{loss.pair}"; got output="{output}"')
    return _OfLogits(loss, output)
