"""Optimizers: one pure kernel over flat vectors, element by element.

``kernel(xp, parameters, gradients, opt_state, hyperparams)`` returns (parameters, opt_state). ``opt_state`` holds the
optimizer's vectors (``state_names``), as long as the parameters and zero at the start. ``hyperparams(step)`` returns
host numbers that change at every step, counted from 1. Options of every optimizer, such as clipping, decay and
averaging, are transformations of the gradient: portnn/optim/transforms.py.
"""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

from portnn import registry
from portnn.errors import ArgumentError
from portnn.optim.chain import Hyperparams, OptState
from portnn.optim.optimizer import Optimizer, Updated
from portnn.optim.schedules import Schedule, power
from portnn.options import check_range, lookup
from portnn.types import Array, Namespace


@dataclass(frozen=True)
class SGD(Optimizer):
    r"""Gradient descent: v = momentum v + g; p = p - learning_rate v (Polyak 1964; PyTorch's form).

    With ``nesterov``: p = p - learning_rate (g + momentum v) (Sutskever et al. 2013).

    Parameters
    ----------
    learning_rate : float or Schedule
    momentum : float
        In [0, 1).
    nesterov : bool
    **options
        Those of every ``Optimizer``.

    Notes
    -----
    .. math:: v_t = \mu v_{t-1} + g_t, \qquad p_t = p_{t-1} - \eta \, v_t

    With ``nesterov``: :math:`p_t = p_{t-1} - \eta (g_t + \mu v_t)`. :math:`\eta` is the learning rate,
    :math:`\mu` the momentum.

    Examples
    --------
    >>> from portnn import SGD, NeuralNetwork
    >>> net = NeuralNetwork(2, 4, 1, optimizer=SGD(0.1, momentum=0.9, nesterov=True), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("momentum", self.momentum, 0.0, 1.0)
        if self.nesterov and not self.momentum:
            raise ArgumentError("nesterov: expected a momentum above 0 with it; got 0")

    @property
    def state_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("velocity",) if self.momentum else ()

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> Updated:
        (rate,) = hyperparams
        if not opt_state:
            return parameters - gradients * rate, ()
        v = opt_state[0] * self.momentum + gradients
        return parameters - (gradients + v * self.momentum if self.nesterov else v) * rate, (v,)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    r"""s = s + g²; p = p - learning_rate g / (sqrt(s) + epsilon) (Duchi et al. 2011).

    Parameters
    ----------
    learning_rate : float or Schedule
    epsilon : float
    **options
        Those of every ``Optimizer``.

    Notes
    -----
    .. math:: s_t = s_{t-1} + g_t^2, \qquad p_t = p_{t-1} - \eta \frac{g_t}{\sqrt{s_t} + \epsilon}

    Examples
    --------
    >>> from portnn import Adagrad, NeuralNetwork
    >>> net = NeuralNetwork(2, 4, 1, optimizer=Adagrad(0.1), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    learning_rate: float | Schedule = 0.01
    epsilon: float = 1e-10

    state_names: ClassVar[tuple[str, ...]] = ("squares",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("epsilon", self.epsilon)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> Updated:
        s = opt_state[0] + gradients * gradients
        return parameters - hyperparams[0] * (gradients / (xp.sqrt(s) + self.epsilon)), (s,)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    r"""s = decay s + (1 - decay) g²; p = p - learning_rate g / (sqrt(s) + epsilon) (Tieleman and Hinton 2012).

    Parameters
    ----------
    learning_rate : float or Schedule
    decay : float
        In [0, 1).
    epsilon : float
    **options
        Those of every ``Optimizer``.

    Notes
    -----
    .. math:: s_t = \rho s_{t-1} + (1 - \rho) g_t^2, \qquad p_t = p_{t-1} - \eta \frac{g_t}{\sqrt{s_t} + \epsilon}

    :math:`\rho` is ``decay``.

    Examples
    --------
    >>> from portnn import RMSprop, NeuralNetwork
    >>> net = NeuralNetwork(2, 4, 1, optimizer=RMSprop(0.01), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    learning_rate: float | Schedule = 0.01
    decay: float = 0.99
    epsilon: float = 1e-8

    state_names: ClassVar[tuple[str, ...]] = ("squares",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("decay", self.decay, 0.0, 1.0)
        check_range("epsilon", self.epsilon)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> Updated:
        s = opt_state[0] * self.decay + (gradients * gradients) * (1.0 - self.decay)
        return parameters - hyperparams[0] * (gradients / (xp.sqrt(s) + self.epsilon)), (s,)


@dataclass(frozen=True)
class Adam(Optimizer):
    r"""Adam (Kingma and Ba 2015, algorithm 1): epsilon is added to the root of the corrected second moment.

    Parameters
    ----------
    learning_rate : float or Schedule
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
    **options
        Those of every ``Optimizer``.

    Notes
    -----
    .. math::

       m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
       p_t &= p_{t-1} - \eta \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    Examples
    --------
    >>> from portnn import Adam, NeuralNetwork
    >>> net = NeuralNetwork(2, 4, 1, optimizer=Adam(0.01, average=0.99), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    learning_rate: float | Schedule = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    state_names: ClassVar[tuple[str, ...]] = ("m", "v")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("beta1", self.beta1, 0.0, 1.0)
        check_range("beta2", self.beta2, 0.0, 1.0)
        check_range("epsilon", self.epsilon)

    def hyperparams(self, step: int) -> tuple[float, ...]:
        correction1 = 1.0 - power(self.beta1, step)
        correction2 = 1.0 - power(self.beta2, step)
        return self.rate(step - 1) / correction1, 1.0 / math.sqrt(correction2)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> Updated:
        (m, v), (rate, root) = opt_state, hyperparams
        m = m * self.beta1 + gradients * (1.0 - self.beta1)
        v = v * self.beta2 + (gradients * gradients) * (1.0 - self.beta2)
        return parameters - rate * (m / (xp.sqrt(v) * root + self.epsilon)), (m, v)


@dataclass(frozen=True)
class AdamW(Adam):
    r"""Adam with decoupled weight decay (Loshchilov and Hutter 2019): 0.01 unless another is given.

    Parameters
    ----------
    learning_rate : float or Schedule
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
    **options
        Those of every ``Optimizer``.

    Notes
    -----
    .. math::

       p_t = p_{t-1} - \eta \left( \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}
           + \lambda p_{t-1} \right)

    with m and v of ``Adam``. :math:`\lambda` is ``weight_decay``; it applies to weights alone, not to biases.

    Examples
    --------
    >>> from portnn import AdamW, NeuralNetwork
    >>> net = NeuralNetwork(2, 4, 1, optimizer=AdamW(0.01, weight_decay=0.1, clip_norm=1.0), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    weight_decay: float = field(default=0.01, kw_only=True)


@dataclass(frozen=True)
class Lion(Optimizer):
    r"""p = p - learning_rate sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g (Chen et al. 2023, alg. 2).

    Parameters
    ----------
    learning_rate : float or Schedule
    beta1, beta2 : float
        In [0, 1).
    **options
        Those of every ``Optimizer``.

    Notes
    -----
    .. math::

       p_t = p_{t-1} - \eta \operatorname{sign}(\beta_1 m_{t-1} + (1 - \beta_1) g_t), \qquad
       m_t = \beta_2 m_{t-1} + (1 - \beta_2) g_t

    Examples
    --------
    >>> from portnn import Lion, NeuralNetwork
    >>> net = NeuralNetwork(2, 4, 1, optimizer=Lion(0.001), seed=0, backend="numpy")
    >>> len(net.fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], epochs=3).loss)
    3
    """

    learning_rate: float | Schedule = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99

    state_names: ClassVar[tuple[str, ...]] = ("m",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("beta1", self.beta1, 0.0, 1.0)
        check_range("beta2", self.beta2, 0.0, 1.0)

    def kernel(
        self, xp: Namespace, parameters: Array, gradients: Array, opt_state: OptState, hyperparams: Hyperparams
    ) -> Updated:
        (m,) = opt_state
        direction = xp.sign(m * self.beta1 + gradients * (1.0 - self.beta1))
        return parameters - direction * hyperparams[0], (m * self.beta2 + gradients * (1.0 - self.beta2),)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
}
registry.register_kind("optimizer", Optimizer, OPTIMIZERS)


def make(optimizer: str | Optimizer, learning_rate: float | Schedule | None) -> Optimizer:
    """Return the optimizer of that name, or the object itself, with the learning rate if one is given."""
    chosen = optimizer if isinstance(optimizer, Optimizer) else lookup("optimizer", optimizer, OPTIMIZERS)()
    return chosen if learning_rate is None else replace(chosen, learning_rate=learning_rate)
