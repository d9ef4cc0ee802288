"""Loss functions: value and gradient in one pass.

``function(xp, z, y, weight) -> (loss, dz)``: the loss is a 0-d array, ``dz`` has the shape of ``z``,
(batch, outputs). ``weight`` multiplies each row and carries the reduction: 1 / batch for a mean, 1 for a sum,
or one number per row, (batch, 1), for weighted rows. It always comes from the global batch, so parts of a
batch add up to the whole.

A loss with a ``pair`` works from the pre-activation (the logits) of that output activation, so that no finite
logit gives infinity or NaN; any other works from the network's output.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from portnn.errors import ArgumentError
from portnn.nn import registry
from portnn.nn.activations import Activation, sigmoid
from portnn.nn.activations import find as find_activation
from portnn.options import between, choose, plain
from portnn.types import Array, LossFunction, Namespace


@dataclass(frozen=True)
class Loss:
    """A loss and what it needs to know of its surroundings."""

    function: LossFunction
    mean: bool = True
    """Whether the loss is a mean over the rows; otherwise a sum."""
    pair: str | None = None
    """The output activation that ``function`` contains; None: it takes the activated output."""
    labels: bool = False
    """Whether integer class labels, (batch,), are accepted beside one value per output."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What ``function`` was given by ``named``."""
    inverse_link: Callable[[Namespace, Array], Array] | None = None
    """``inverse_link(xp, outputs)`` gives what the outputs predict, which metrics compare; None: the outputs."""

    @classmethod
    def named(cls, name: str, **options: Any) -> "Loss":
        """Return a loss by its name with options: ``Loss.named("cross_entropy", smoothing=0.1)``.

        huber has ``delta``; cross_entropy ``smoothing`` and ``class_weight``. Raises ArgumentError for others.
        """
        loss = find(name)
        options = {key: plain(value) for key, value in options.items()}
        known = inspect.signature(loss.function).parameters.values()
        names = [parameter.name for parameter in known if parameter.kind is parameter.KEYWORD_ONLY]
        for key, value in options.items():
            if key not in names:
                raise ArgumentError(f"loss: {name} has the options {', '.join(names) or 'none'}; got {key!r}")
            for number in value if isinstance(value, list | tuple) else (value,):
                between(key, number, 0.0, 1.0 if key == "smoothing" else math.inf)
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        return replace(loss, function=partial(loss.function, **options), options=options) if options else loss


def sse(xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
    """Sum of squared errors: L = sum (a - y)²; dL/da = 2 (a - y)."""
    e = a - y
    d = e * weight
    return xp.sum(e * d), 2.0 * d


def half_sse(xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
    """Half the sum of squared errors: L = 1/2 sum (a - y)²; dL/da = a - y."""
    e = a - y
    d = e * weight
    return 0.5 * xp.sum(e * d), d


def mse(xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
    """Mean squared error over rows and outputs: L = mean (a - y)²; dL/da = 2 (a - y) / (batch outputs)."""
    return sse(xp, a, y, weight * (1.0 / a.shape[1]))


def binary_cross_entropy(xp: Namespace, z: Array, y: Array, weight: Any) -> tuple[Array, Array]:
    """Mean over rows and outputs of -y log s - (1 - y) log(1 - s), with s = sigmoid(z); dL/dz = s - y.

    Computed from the logits as max(z, 0) - z y + log(1 + exp(-|z|)).
    """
    weight = weight * (1.0 / z.shape[1])
    s, _ = sigmoid(xp, z)
    positive = z * xp.astype(z > 0, z.dtype)
    each = positive - z * y + xp.log1p(xp.exp(xp.negative(xp.abs(z))))
    return xp.sum(each * weight), (s - y) * weight


def mae(xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
    """Mean absolute error over rows and outputs: L = mean |a - y|; dL/da = sign(a - y) / (batch outputs)."""
    weight = weight * (1.0 / a.shape[1])
    e = a - y
    return xp.sum(xp.abs(e) * weight), xp.sign(e) * weight


def huber(xp: Namespace, a: Array, y: Array, weight: Any, *, delta: float = 1.0) -> tuple[Array, Array]:
    """Mean over rows and outputs of e²/2 where |e| <= delta, else delta (|e| - delta/2), with e = a - y (Huber 1964).

    Computed as e c - c²/2 with c = e held within [-delta, delta]; dL/da = c.
    """
    weight = weight * (1.0 / a.shape[1])
    e = a - y
    c = xp.minimum(xp.maximum(e, -delta), delta)
    return xp.sum(c * (e - 0.5 * c) * weight), c * weight


def _exp(xp: Namespace, a: Array) -> Array:
    return xp.exp(a)


def poisson(xp: Namespace, a: Array, y: Array, weight: Any) -> tuple[Array, Array]:
    """Mean over rows and outputs of exp(a) - y a, for counts y of mean exp(a); dL/da = exp(a) - y.

    The outputs are logarithms of what they predict: metrics, and ``portnn predict``, take exp(a).
    """
    weight = weight * (1.0 / a.shape[1])
    e = xp.exp(a)
    return xp.sum((e - y * a) * weight), (e - y) * weight


def cross_entropy(
    xp: Namespace,
    z: Array,
    y: Array,
    weight: Any,
    *,
    smoothing: float = 0.0,
    class_weight: Sequence[float] | None = None,
) -> tuple[Array, Array]:
    """Mean over rows of -sum_k y_k log p_k, with p = softmax(z); dL/dz = p - y.

    ``y``: int32 labels, (batch,), or one distribution per row, (batch, classes). Computed from the logits as
    log sum exp(z) - sum y z, with the row's maximum subtracted first. A difference of logits beyond a quarter of the
    dtype's range counts as that quarter: the loss of finite logits is finite, and so is its mean.

    ``smoothing``: the share of each target that is spread evenly over the classes (Szegedy et al. 2016, section 7).
    ``class_weight``: one number w_k per class: -sum_k w_k y_k log p_k. The loss is the sum over the rows divided by
    their number, whatever the weights.
    """
    classes = z.shape[1]
    if y.ndim == 1:
        y = xp.astype(xp.expand_dims(y, axis=1) == xp.arange(classes, dtype=y.dtype), z.dtype)
    if smoothing:
        y = y * (1.0 - smoothing) + smoothing / classes
    shifted = xp.maximum(z - xp.max(z, axis=-1, keepdims=True), -0.25 * float(xp.finfo(z.dtype).max))
    e = xp.exp(shifted)
    total = xp.sum(e, axis=-1, keepdims=True)
    each, share = xp.log(total), 1.0 / total
    if class_weight is not None:
        y = y * xp.asarray(class_weight, dtype=z.dtype)
        mass = xp.sum(y, axis=-1, keepdims=True)
        each, share = each * mass, share * mass
    each = each - xp.sum(y * shifted, axis=-1, keepdims=True)
    return xp.sum(each * weight), (e * share - y) * weight


LOSSES: dict[str, Loss] = {
    "mae": Loss(mae),
    "huber": Loss(huber),
    "poisson": Loss(poisson, inverse_link=_exp),
    "sse": Loss(sse, mean=False),
    "half_sse": Loss(half_sse, mean=False),
    "mse": Loss(mse),
    "binary_cross_entropy": Loss(binary_cross_entropy, pair="sigmoid"),
    "cross_entropy": Loss(cross_entropy, pair="softmax", labels=True),
}


def find(loss: "str | Loss | Mapping[str, Any] | None") -> Loss:
    """Return the loss of that name (None: mse) or description in a file, one that is registered, or the object."""
    if isinstance(loss, Mapping):
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in loss.items()}
        return Loss.named(str(options.pop("loss")), **options)
    if isinstance(loss, str) and ":" in loss:
        return registry.found("loss", loss, LOSSES)
    return loss if isinstance(loss, Loss) else choose("loss", "mse" if loss is None else loss, LOSSES)


def name_in_files(loss: str | Loss | None) -> str | dict[str, Any] | None:
    """Return what a file may call the loss. Raises SerializationError for one that is not registered."""
    if loss is None:
        return None
    found = find(loss)
    if not found.options:
        return registry.name_in_files("loss", found, LOSSES)
    function = found.function.func  # type: ignore[attr-defined]
    bare = next((known for known in LOSSES.values() if known.function is function), replace(found, function=function))
    return {"loss": registry.name_in_files("loss", bare, LOSSES), **found.options}


def for_output(named: str | Loss | None, output: str) -> Loss:
    """Return a loss with its function taking what enters the output activation.

    Raises ArgumentError for a loss that needs another output activation than ``output``.
    """
    loss, name = find(named), named if isinstance(named, str) else "loss"
    if loss.pair == output:
        return loss
    if loss.pair is not None:
        raise ArgumentError(f'loss: {name!r} needs output="{loss.pair}"; got output="{output}"')
    return replace(loss, function=partial(_composed, find_activation("output", output), loss.function))


def _composed(
    activation: Activation, function: LossFunction, xp: Namespace, z: Array, y: Array, weight: Any
) -> tuple[Array, Array]:
    """Run an activation and a loss of its output as one loss of its input: a ``partial`` of this can be pickled."""
    a, backward = activation(xp, z)
    value, da = function(xp, a, y, weight)
    return value, backward(da)
