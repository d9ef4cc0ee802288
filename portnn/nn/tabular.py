"""The first layer for tables: numbers brought to one scale, and a trainable vector for each text."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from portnn.errors import ArgumentError, ShapeError
from portnn.nn.layer import Features, Shapes, Spec
from portnn.nn.normalization import Standardize
from portnn.options import positive
from portnn.types import Array, Forward, Mode, Namespace, Statistics, Weights


@dataclass(frozen=True)
class Tabular(Standardize):
    """Standardize for tables: of text columns of many values, each value has a trainable vector (an embedding).

    The last columns are codes, one for each member of ``entries``: whole numbers up to it, of which 0 (never seen, or
    once) has the zero vector; others are refused as ``Embedding``'s are. The columns before them are standardised, but
    for those of 0 and 1 alone (a text's values, whether there was a gap), which pass as they are: of a value in 1 of
    160 rows standardising makes 12.6, which a network follows to fit that row.
    (batch, numbers + codes) to (batch, numbers + sum of ``units``); a vector has by default 1.6 entries^0.56 units, at
    most 50 (Howard and Gugger 2020), and starts at 0, near which those of rare values stay. Without ``entries`` it
    learns from the first data frame which columns there are.
    dE = one_hot(code)^T dy.
    """

    entries: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    initializer: str = "zeros"
    trainable: bool = True

    def __post_init__(self) -> None:
        entries = tuple(positive("entries", n) for n in self.entries)
        given = tuple(positive("units", n) for n in self.units)
        units = given or tuple(min(50, round(1.6 * n**0.56)) for n in entries)
        if len(units) != len(entries):
            raise ArgumentError(f"units: expected one for each of {len(entries)} entries; got {len(units)}")
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "units", units)

    def shapes(self, features: Features) -> Shapes:
        if len(features) != 1 or features[0] < len(self.entries):
            raise ShapeError(f"Tabular: expected (batch, numbers + {len(self.entries)} codes); got (batch, {features})")
        numbers = features[0] - len(self.entries)
        parameters = {
            f"{i}.E": Spec((entries, units), self.initializer)
            for i, (entries, units) in enumerate(zip(self.entries, self.units, strict=True))
        }
        return Shapes((numbers + sum(self.units),), parameters, super().shapes((numbers,)).buffers)

    def code_limits(self, columns: int) -> tuple[int, ...]:
        return tuple(entries + 1 for entries in self.entries)

    def enter(self, xp: Namespace, weights: Weights, x: Array) -> Array:
        numbers = x.shape[1] - len(self.entries)
        standardised = super().enter(xp, weights, x[:, :numbers])
        return xp.concat([standardised, x[:, numbers:]], axis=1) if self.entries else standardised

    def forward(self, xp: Namespace, weights: Weights, x: Array, mode: Mode) -> Forward:
        if not self.entries:
            return x, lambda dy: (dy, {})
        numbers = x.shape[1] - len(self.entries)
        hot = [
            xp.astype(x[:, numbers + i : numbers + i + 1] == xp.arange(1, entries + 1, dtype=x.dtype), x.dtype)
            for i, entries in enumerate(self.entries)
        ]
        starts = list(accumulate(self.units, initial=numbers))
        y = xp.concat([x[:, :numbers], *(xp.matmul(one, weights[f"{i}.E"]) for i, one in enumerate(hot))], axis=1)

        def backward(dy: Array) -> tuple[None, dict[str, Array]]:
            pieces = [dy[:, start : start + units] for start, units in zip(starts, self.units, strict=False)]
            pairs = enumerate(zip(hot, pieces, strict=True))
            return None, {f"{i}.E": xp.matmul(xp.matrix_transpose(one), piece) for i, (one, piece) in pairs}

        return y, backward

    def drawn(self, rng: Any, shape: Features) -> Array:
        x = rng.standard_normal(shape)
        for i, entries in enumerate(self.entries, start=shape[1] - len(self.entries)):
            x[:, i] = rng.integers(0, entries + 1, shape[0])
        return x

    def fitted(self, statistics: Statistics) -> dict[str, Array]:
        numbers = statistics.mean.shape[0] - len(self.entries)
        mean, rest, std, binary = (each[:numbers] for each in statistics)
        return super().fitted(Statistics(mean * ~binary, rest * ~binary, std * ~binary + binary, binary))
