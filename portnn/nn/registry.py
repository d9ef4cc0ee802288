"""Names in files: ours by their own, a user's by module and name once it is registered.

A file names what its network is made of. It is read by looking these names up, never by importing what it names: a file
cannot choose what code runs.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from portnn.errors import ArgumentError, SerializationError

T = TypeVar("T")

_USERS: dict[str, Any] = {}


def full_name(thing: Any) -> str:
    """Return "module:name" of a class, or of the function that an object such as a Loss holds."""
    named = thing if hasattr(thing, "__qualname__") else thing.function
    return f"{named.__module__}:{named.__qualname__}"


def register(thing: T) -> T:
    """Make a layer, an optimizer or a loss of your own known to ``load``; return it: a decorator.

    ::

        @portnn.register
        @dataclass(frozen=True)
        class Scale(portnn.Layer): ...

        huber = portnn.register(portnn.Loss(huber_function))

    A class must be a dataclass whose options are plain JSON values; a file names it by its module and name, and whoever
    loads the file imports that module first. Raises ArgumentError for what a file could not name.
    """
    is_class = isinstance(thing, type)
    if not (is_class and is_dataclass(thing)) and not callable(getattr(thing, "function", None)):
        raise ArgumentError(f"register: expected a layer or optimizer that is a dataclass, or a Loss; got {thing!r}")
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
    mend = f": import {module}, which registers it, first" if colon else f"; known are {', '.join(ours)}"
    raise SerializationError(f"{argument}: the file needs {name!r}, which is not known here{mend}")


def describe(argument: str, thing: Any, ours: Mapping[str, type]) -> dict[str, Any]:
    """Return a layer or optimizer as plain values. Raises SerializationError for what ``load`` could not rebuild."""
    kind = type(thing)
    name = name_in_files(argument, kind, ours)
    options = {field.name: getattr(thing, field.name) for field in fields(thing) if field.init}
    description = {argument: name, **options}
    try:
        again = rebuilt(argument, json.loads(json.dumps(description, allow_nan=False)), ours)
    except (TypeError, ValueError) as error:
        raise SerializationError(f"{argument} {name}: expected options that are plain JSON values; {error}") from error
    if again != thing:
        raise SerializationError(f"{argument} {name}: its options do not make it again: {again!r} for {thing!r}")
    return description


def rebuilt(argument: str, description: Mapping[str, Any], ours: Mapping[str, Callable[..., T]]) -> T:
    """Return the layer or optimizer that ``describe`` described."""
    options = {key: _tupled(value) for key, value in description.items()}
    return found(argument, str(options.pop(argument)), ours)(**options)


def _tupled(value: Any) -> Any:
    """Return JSON's lists as tuples: options are immutable."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
