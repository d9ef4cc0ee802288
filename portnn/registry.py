"""The registry of components: names in files, and configurations.

A file names its components: the library's by short names, a user's by module and name once it is registered. Names are
looked up, never imported: a file cannot choose what code runs.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from portnn.deprecated import renamed_in_files
from portnn.errors import ArgumentError, SerializationError
from portnn.options import lookup

T = TypeVar("T")


class _Kind(NamedTuple):
    """A kind of component."""

    base: type
    builtin: Mapping[str, Any]
    renamed: Mapping[str, str]


_REGISTERED: dict[str, Any] = {}
_KINDS: dict[str, _Kind] = {}
_ORDER = "layer", "optimizer", "schedule", "loss", "metric", "initializer"
"""Order in which a configuration's kind is determined: a layer may have an option called initializer."""


def _qualified_name(component: Any) -> str:
    """Return "module:name" of a class or function, or of the function that an object such as a Loss holds."""
    definition = component if hasattr(component, "__qualname__") else component.function
    return f"{definition.__module__}:{definition.__qualname__}"


def name_of(kind: str, component: Any) -> str:
    """Return the name of a component of that kind, without its options; "module:name" where it is a user's own."""
    factory = _factory(component)
    names = (name for name, builtin in _KINDS[kind].builtin.items() if builtin is factory)
    return next(names, _qualified_name(factory))


def options_of(component: Any) -> dict[str, Any]:
    """Return the options of a dataclass that are not its defaults, by name."""
    options = {field.name: (getattr(component, field.name), field.default) for field in fields(component) if field.init}
    return {name: value for name, (value, default) in options.items() if repr(value) != repr(default)}


def _factory(component: Any) -> Any:
    """Return what a file names: the class of an object with options, or the object that holds a function."""
    return component if callable(getattr(component, "function", None)) else type(component)


def register(component: T) -> T:
    """Register a layer, loss, optimizer, activation or the like of your own for ``load``; return it: a decorator.

    ::

        @portnn.register
        @dataclass(frozen=True)
        class Scale(portnn.Layer): ...

        @portnn.register
        def mish(xp, z): ...  # an activation: NeuralNetwork(4, 8, mish, 3)

        huber = portnn.register(portnn.Loss(huber_function))

    A class must be a dataclass whose options are plain JSON values; files name it by module and name, and that module
    must be imported before a file is loaded. Raises ArgumentError for objects that a file could not name.

    Parameters
    ----------
    component : type, Loss or function

    Returns
    -------
    type, Loss or function
        ``component``.

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
    is_class = isinstance(component, type)
    functions = callable(getattr(component, "function", None)), isinstance(component, FunctionType)
    if not (is_class and is_dataclass(component)) and not any(functions):
        raise ArgumentError(
            f"register: expected a dataclass (a layer, optimizer, loss ...), a Loss of a function or a function; "
            f"got {component!r}"
        )
    name = _qualified_name(component)
    if "<" in name:  # <locals>, <lambda>: nobody could import it
        raise ArgumentError(f"register: expected something that a module holds by its name; got {name}")
    _REGISTERED[name] = component
    return component


def serialized_name(argument: str, component: Any, builtin: Mapping[str, Any]) -> str:
    """Return the component's name in files. Raises SerializationError where ``load`` would not find it."""
    for name, value in builtin.items():
        if value is component:
            return name
    name = _qualified_name(component)
    if _REGISTERED.get(name) is not component:
        raise SerializationError(f"{argument}: a file cannot name {name} yet: register it with portnn.register")
    return name


def from_serialized_name(argument: str, name: str, builtin: Mapping[str, T]) -> T:
    """Return the component that a file names. Raises SerializationError where the name is unknown."""
    if name in builtin:
        return builtin[name]
    if name in _REGISTERED:
        return _REGISTERED[name]  # type: ignore[no-any-return]
    module, colon, _ = name.partition(":")
    hint = f": import {module}, which registers it, first" if colon else f"; known are {', '.join(builtin)}"
    raise SerializationError(f"{argument}: the file needs {name!r}, which is not known here{hint}")


def register_kind(name: str, base: type, builtin: Mapping[str, Any], renamed: Mapping[str, str] | None = None) -> None:
    """Add a kind of component ("layer"): its base class, the library's own by name, and new names by old ones."""
    _KINDS[name] = _Kind(base, builtin, renamed or {})


def get_config(component: Any) -> dict[str, Any]:
    """Return a layer, optimizer, loss or the like as plain values: its kind with its name, and its options.

    Raises SerializationError for what ``load`` could not make again.
    """
    kind = _kind_of(component)
    factory = _factory(component)
    name = serialized_name(kind, factory, _KINDS[kind].builtin)
    options = {} if factory is component else {f.name: getattr(component, f.name) for f in fields(component) if f.init}
    config = {kind: name, **{key: _to_plain(value) for key, value in options.items()}}
    try:
        copy = from_config(kind, json.loads(json.dumps(config, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise SerializationError(f"{kind} {name}: expected options that are plain JSON values; {error}") from error
    if copy != component:
        raise SerializationError(
            f"{kind} {name}: expected options that make an equal copy; got {copy!r} for {component!r}"
        )
    return config


def from_config(kind: str, config: Mapping[str, Any]) -> Any:
    """Return the component of that kind that ``get_config`` wrote, also by names of an earlier release."""
    options = with_current_names(config)
    factory = from_serialized_name(kind, str(options.pop(kind)), _KINDS[kind].builtin)
    if not isinstance(factory, type):
        return factory
    return factory(**{key: _from_plain(value) for key, value in options.items()})


def with_current_names(config: Any) -> Any:
    """Return components' configurations, and lists and dicts of them, with the names that this release writes."""
    if isinstance(config, list):
        return [with_current_names(value) for value in config]
    if not isinstance(config, Mapping):
        return config
    config = {key: with_current_names(value) for key, value in config.items()}
    kind = next((kind for kind in _ORDER if isinstance(config.get(kind), str)), None)
    if kind is None:
        return config
    name = _KINDS[kind].renamed.get(config[kind], config[kind])
    factory = _KINDS[kind].builtin.get(name, _REGISTERED.get(name))
    return {kind: name} | renamed_in_files(factory, {key: value for key, value in config.items() if key != kind})


def with_options(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    """Return the component of that kind and name with options. Raises ArgumentError for options it does not have."""
    factory = lookup(kind, name, _KINDS[kind].builtin)
    accepted = [field.name for field in fields(factory)]
    for key in options:
        if key not in accepted:
            raise ArgumentError(f"{kind}: {name} has the options {', '.join(accepted) or 'none'}; got {key!r}")
    return factory(**options)


def _kind_of(component: Any) -> str:
    return next((name for name, kind in _KINDS.items() if isinstance(component, kind.base)), "")


def _to_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return get_config(value) if _kind_of(value) else value


def _from_plain(value: Any) -> Any:
    """Return JSON's lists as tuples, for options are immutable, and configurations as their components."""
    if isinstance(value, list):
        return tuple(map(_from_plain, value))
    if isinstance(value, dict):
        return from_config(next(kind for kind in _ORDER if kind in value), value)
    return value
