"""Names in files: ours by their own, a user's by module and name once it is registered.

A file names what its network is made of. It is read by looking these names up, never by importing what it names: a file
cannot choose what code runs.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any, TypeVar

from portnn.errors import ArgumentError, SerializationError
from portnn.options import lookup

T = TypeVar("T")

_USERS: dict[str, Any] = {}
_KINDS: dict[str, tuple[type, Mapping[str, Any]]] = {}
_ORDER = "layer", "optimizer", "schedule", "loss", "metric", "initializer"
"""A description's kind is the first of these that it names: a layer may have an option called initializer."""


def full_name(thing: Any) -> str:
    """Return "module:name" of a class or function, or of the function that an object such as a Loss holds."""
    named = thing if hasattr(thing, "__qualname__") else thing.function
    return f"{named.__module__}:{named.__qualname__}"


def name_of(kind: str, thing: Any) -> str:
    """Return the name of an object of that kind, without its options; "module:name" where it is a user's own."""
    maker = _maker(thing)
    return next((name for name, known in _KINDS[kind][1].items() if known is maker), full_name(maker))


def options_of(thing: Any) -> dict[str, Any]:
    """Return the options of a dataclass that are not its defaults, by name."""
    options = {field.name: (getattr(thing, field.name), field.default) for field in fields(thing) if field.init}
    return {name: value for name, (value, default) in options.items() if repr(value) != repr(default)}


def _maker(thing: Any) -> Any:
    """Return what a file names: the class of an object with options, or the object that holds a function."""
    return thing if callable(getattr(thing, "function", None)) else type(thing)


def register(thing: T) -> T:
    """Make a layer, loss, optimizer, activation or the like of your own known to ``load``; return it: a decorator.

    ::

        @portnn.register
        @dataclass(frozen=True)
        class Scale(portnn.Layer): ...

        @portnn.register
        def mish(xp, z): ...  # an activation: NeuralNetwork(4, 8, mish, 3)

        huber = portnn.register(portnn.Loss(huber_function))

    A class must be a dataclass whose options are plain JSON values; a file names it by its module and name, and whoever
    loads the file imports that module first. Raises ArgumentError for what a file could not name.

    Parameters
    ----------
    thing : type, Loss or function

    Returns
    -------
    type, Loss or function
        ``thing``.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.register(lambda xp, z: (z, lambda da: da))
    ... except portnn.ArgumentError as error:
    ...     print("a file could not name it")
    a file could not name it
    """
    is_class = isinstance(thing, type)
    functions = callable(getattr(thing, "function", None)), isinstance(thing, FunctionType)
    if not (is_class and is_dataclass(thing)) and not any(functions):
        raise ArgumentError(
            f"register: expected a dataclass (a layer, optimizer, loss ...), a Loss of a function or a function; "
            f"got {thing!r}"
        )
    name = full_name(thing)
    if "<" in name:  # <locals>, <lambda>: nobody could import it
        raise ArgumentError(f"register: expected something that a module holds by its name; got {name}")
    _USERS[name] = thing
    return thing


def name_in_files(argument: str, thing: Any, ours: Mapping[str, Any]) -> str:
    """Return the name that a file may give ``thing``. Raises SerializationError where ``load`` would not find it."""
    for name, known in ours.items():
        if known is thing:
            return name
    name = full_name(thing)
    if _USERS.get(name) is not thing:
        raise SerializationError(f"{argument}: a file cannot name {name} yet: register it with portnn.register")
    return name


def found(argument: str, name: str, ours: Mapping[str, T]) -> T:
    """Return what a file names. Raises SerializationError where it is not known here."""
    if name in ours:
        return ours[name]
    if name in _USERS:
        return _USERS[name]  # type: ignore[no-any-return]
    module, colon, _ = name.partition(":")
    hint = f": import {module}, which registers it, first" if colon else f"; known are {', '.join(ours)}"
    raise SerializationError(f"{argument}: the file needs {name!r}, which is not known here{hint}")


def kind(name: str, base: type, ours: Mapping[str, Any]) -> None:
    """Note a kind of part ("layer"), its base class and the table of ours: parts may hold parts of any kind."""
    _KINDS[name] = base, ours


def describe(thing: Any) -> dict[str, Any]:
    """Return a layer, optimizer, loss or the like as plain values: the name of its kind, and its options.

    Raises SerializationError for what ``load`` could not rebuild.
    """
    argument = _kind_of(thing)
    maker = _maker(thing)
    name = name_in_files(argument, maker, _KINDS[argument][1])
    options = {} if maker is thing else {f.name: _described(getattr(thing, f.name)) for f in fields(thing) if f.init}
    description = {argument: name, **options}
    try:
        again = rebuilt(argument, json.loads(json.dumps(description, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise SerializationError(f"{argument} {name}: expected options that are plain JSON values; {error}") from error
    if again != thing:
        raise SerializationError(f"{argument} {name}: its options do not make it again: {again!r} for {thing!r}")
    return description


def rebuilt(argument: str, description: Mapping[str, Any]) -> Any:
    """Return the part of that kind that ``describe`` described."""
    options = {key: _rebuilt(value) for key, value in description.items()}
    maker = found(argument, str(options.pop(argument)), _KINDS[argument][1])
    return maker(**options) if isinstance(maker, type) else maker


def with_options(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """Return the part of that kind and name with options. Raises ArgumentError for those that it does not have."""
    maker = lookup(kind, name, _KINDS[kind][1])
    known = [field.name for field in fields(maker)]
    for key in options:
        if key not in known:
            raise ArgumentError(f"{kind}: {name} has the options {', '.join(known) or 'none'}; got {key!r}")
    return maker(**options)


def _kind_of(thing: Any) -> str:
    return next((name for name, (base, _) in _KINDS.items() if isinstance(thing, base)), "")


def _described(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_described(each) for each in value]
    return describe(value) if _kind_of(value) else value


def _rebuilt(value: Any) -> Any:
    """Return JSON's lists as tuples, for options are immutable, and descriptions as the parts that they describe."""
    if isinstance(value, list):
        return tuple(map(_rebuilt, value))
    if isinstance(value, dict):
        return rebuilt(next(name for name in _ORDER if name in value), value)
    return value
