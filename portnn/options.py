"""Options: conversion to plain Python values, and checks of their values."""

import inspect
import math
from abc import ABCMeta
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from portnn.deprecated import with_new_names
from portnn.errors import ArgumentError

T = TypeVar("T")


def as_python(value: Any) -> Any:
    """Return a NumPy scalar or a 0-d array of any library as a Python number; other values unchanged.

    ``np.float64(0.1)`` times a float32 array is float64 on NumPy and float32 elsewhere; Python's 0.1 takes the array's
    dtype everywhere.
    """
    if type(value) in (tuple, list):
        return type(value)(map(as_python, value))
    if isinstance(value, np.generic) or getattr(value, "shape", None) == ():
        name = str(value.dtype)
        for kind, number in (("bool", bool), ("int", int), ("float", float)):
            if kind in name:
                return number(value)
    return value


class CoerceScalarsMeta(ABCMeta):
    """Metaclass of classes with options: arguments and attributes of their objects become plain Python values.

    It runs before ``__init__``, so that checks there see plain values and no subclass can forget it.
    """

    @property
    def __signature__(cls) -> inspect.Signature:
        """The options of ``__init__``, for help and editors: ``__call__`` takes any."""
        signature = inspect.signature(cls.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=signature.empty)

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        options = with_new_names(cls, options)
        instance = super().__call__(
            *map(as_python, arguments), **{name: as_python(value) for name, value in options.items()}
        )
        for name, value in vars(instance).items():  # defaults, and values that __init__ computed
            if (changed := as_python(value)) is not value and type(value) not in (tuple, list):
                object.__setattr__(instance, name, changed)
        return instance


def lookup(argument: str, value: object, options: Mapping[str, T], *others: str) -> T:
    """Return ``options[value]`` or raise an ArgumentError that lists the options, and ``others`` before them."""
    if isinstance(value, str) and value in options:
        return options[value]
    raise ArgumentError(f"{argument}: expected one of {', '.join((*others, *options))}; got {value!r}")


def check_int(argument: str, value: Any, least: int) -> int:
    """Return a whole number, ``least`` or more. Raises ArgumentError."""
    value = as_python(value)
    if type(value) is not int or value < least:
        expected = "a positive int" if least == 1 else f"an int of at least {least}"
        raise ArgumentError(f"{argument}: expected {expected}; got {value!r}")
    return value


def check_positive_int(argument: str, value: Any) -> int:
    """Return a whole number above zero. Raises ArgumentError."""
    return check_int(argument, value, 1)


def format_bytes(size: float) -> str:
    """Return a number of bytes as text: 9.64 kB."""
    power = min(int(math.log10(max(size, 1)) // 3), 3)
    return f"{size / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB')[power]}"


def check_range(argument: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Raise ArgumentError unless the option is a number in [low, high)."""
    if type(value) not in (int, float) or not low <= value < high:
        raise ArgumentError(f"{argument}: expected a number in [{low}, {high}); got {value!r}")
