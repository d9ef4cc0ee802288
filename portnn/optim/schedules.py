"""Schedules: the learning rate as a plain function of the step, counted from 0.

They are computed with Python's ``+ - * /`` alone, which IEEE 754 defines to the bit: a power or a cosine of the
machine's library may differ in its last bit elsewhere. To add one, write a frozen dataclass and enter it in SCHEDULES.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from portnn import registry
from portnn.deprecated import RenamedMembers
from portnn.options import CoerceScalarsMeta, check_positive_int, check_range

Rate: TypeAlias = Callable[[int], float]


def power(base: float, exponent: int) -> float:
    """Return base^exponent for a whole exponent of at least 0, by squaring."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def cosine(turn: float) -> float:
    """Return cos(pi turn) for turn in [0, 1], within 2^-49: its Taylor series, on the quarter where that is short."""
    if turn > 0.5:
        return -cosine(1.0 - turn)
    if turn > 0.25:  # cos a = 1 - 2 sin²(a / 2), with sin(a / 2) by its own series
        sine = _series(math.pi * turn * 0.5, 1)
        return 1.0 - 2.0 * sine * sine
    return _series(math.pi * turn, 0)


def _series(x: float, first: int) -> float:
    """Return the sum of (-1)^k x^n / n! over n = first + 2k: cosine (0) or sine (1)."""
    term = total = x if first else 1.0
    for n in range(first + 2, 24, 2):
        term *= -x * x / (n * (n - 1))
        total += term
    return total


@dataclass(frozen=True)
class Schedule(RenamedMembers, metaclass=CoerceScalarsMeta):
    """Base of all schedules: ``schedule(step)``, step counted from 0, is the learning rate of that step.

    Parameters
    ----------
    learning_rate : float
        The rate that the schedule starts from, or rises to.

    Examples
    --------
    >>> from portnn.schedules import Cosine, WarmUp
    >>> schedule = WarmUp(0.1, steps=10, after=Cosine(0.1, steps=90))
    >>> schedule(0), schedule(10), schedule(200)
    (0.01, 0.1, 0.0)
    """

    learning_rate: float
    """The rate that the schedule starts from, or rises to."""
    _renamed: ClassVar[Mapping[str, str]] = {"rate": "learning_rate"}
    _renamed_options: ClassVar[Mapping[str, str]] = _renamed

    def __post_init__(self) -> None:
        check_range("learning_rate", self.learning_rate)

    def __call__(self, step: int) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at each step.

    Examples
    --------
    >>> from portnn.schedules import Constant
    >>> Constant(0.1)(7)
    0.1
    """

    def __call__(self, step: int) -> float:
        return self.learning_rate


@dataclass(frozen=True)
class StepDecay(Schedule):
    r"""learning_rate factor^(step // every): multiplied by ``factor`` after each ``every`` steps.

    Notes
    -----
    .. math:: \eta_t = \eta \, \gamma^{\lfloor t / k \rfloor}

    :math:`\gamma` is ``factor``, k is ``every``.

    Examples
    --------
    >>> from portnn.schedules import StepDecay
    >>> StepDecay(0.5, every=10, factor=0.5)(25)
    0.125
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_int("every", self.every)
        check_range("factor", self.factor)

    def __call__(self, step: int) -> float:
        return self.learning_rate * power(self.factor, step // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""learning_rate decay^step.

    Notes
    -----
    .. math:: \eta_t = \eta \, \gamma^t

    :math:`\gamma` is ``decay``.

    Examples
    --------
    >>> from portnn.schedules import Exponential
    >>> Exponential(0.5, decay=0.5)(2)
    0.125
    """

    decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("decay", self.decay)

    def __call__(self, step: int) -> float:
        return self.learning_rate * power(self.decay, step)


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""Half a cosine from learning_rate to final over ``steps`` steps, then final (Loshchilov and Hutter 2017, eq. 5).

    Notes
    -----
    .. math::

       \eta_t = \eta_{final} + \frac{\eta - \eta_{final}}{2} \left( 1 + \cos \frac{\pi t}{T} \right), \qquad t \le T

    Examples
    --------
    >>> from portnn.schedules import Cosine
    >>> Cosine(0.5, steps=10)(10)
    0.0
    """

    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_int("steps", self.steps)
        check_range("final", self.final)

    def __call__(self, step: int) -> float:
        part = min(step, self.steps) / self.steps
        return self.final + (self.learning_rate - self.final) * 0.5 * (1.0 + cosine(part))


@dataclass(frozen=True)
class WarmUp(Schedule):
    r"""From learning_rate / steps linearly up to learning_rate in ``steps`` steps; then ``after``, from its step 0.

    Without ``after`` the rate stays.

    Notes
    -----
    .. math:: \eta_t = \eta \frac{t + 1}{T}, \qquad t < T

    Examples
    --------
    >>> from portnn.schedules import WarmUp
    >>> WarmUp(0.5, steps=10)(4)
    0.25
    """

    steps: int
    after: Schedule | None = None
    _renamed: ClassVar[Mapping[str, str]] = {"then": "after"}
    _renamed_options: ClassVar[Mapping[str, str]] = {**Schedule._renamed, **_renamed}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_int("steps", self.steps)

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return self.learning_rate * (step + 1) / self.steps
        return self.learning_rate if self.after is None else self.after(step - self.steps)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine from learning_rate / 25 up to it, then one down to 1 / 250,000 of it (Smith and Topin 2018).

    The rates are those of PyTorch's OneCycleLR.

    Examples
    --------
    >>> from portnn.schedules import OneCycle
    >>> OneCycle(0.5, steps=10, pct_start=0.3)(2)
    0.5
    """

    steps: int
    pct_start: float = 0.3
    """Share of the steps in which the rate rises."""
    _renamed: ClassVar[Mapping[str, str]] = {"warm": "pct_start"}
    _renamed_options: ClassVar[Mapping[str, str]] = {**Schedule._renamed, **_renamed}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_int("steps", self.steps)
        check_range("pct_start", self.pct_start, 0.0, 1.0)

    def __call__(self, step: int) -> float:
        high, low, lowest = self.learning_rate, self.learning_rate / 25.0, self.learning_rate / 25.0 / 1e4
        peak = self.pct_start * self.steps - 1.0
        step = min(step, self.steps - 1)
        if step < peak:
            return low + (high - low) * 0.5 * (1.0 - cosine(step / peak))
        return lowest + (high - lowest) * 0.5 * (1.0 + cosine((step - peak) / (self.steps - 1 - peak)))


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step_decay": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "warm_up": WarmUp,
    "one_cycle": OneCycle,
}
registry.register_kind("schedule", Schedule, SCHEDULES, renamed={"steps": "step_decay"})
