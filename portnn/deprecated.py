"""Names of before: for one release they work, with a DeprecationWarning that names the new ones."""

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


class RenamedMembers:
    """Base of classes whose members have new names: ``_renamed`` has the new ones by the old ones.

    A subclass that defines an old name defines the new one by it; reading an old name reads the new one.
    """

    _renamed: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for old in vars(cls).keys() & cls._renamed.keys():
            if callable(getattr(cls, cls._renamed[old], None)) and not callable(vars(cls)[old]):
                continue  # an option that bears the old name of a method
            # The frame of ABCMeta lies between this one and the class statement.
            warn_renamed(f"{cls.__name__}.{old}", cls._renamed[old], frames=1 + (type(cls) is not type))
            setattr(cls, cls._renamed[old], vars(cls)[old])
        if "_renamed" in vars(cls):
            for old, new in cls._renamed.items():
                setattr(cls, old, _Alias(old, new))


class _Alias:
    """An old name that reads a new one."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new

    def __get__(self, instance: object, cls: Any) -> Any:
        definers = [base for base in cls.__mro__ if vars(base).get(self._old, self) is not self]
        if definers:  # super() of a class that defines the old name, and so the new one
            return getattr(super(definers[-1], instance), self._new)
        warn_renamed(f"{cls.__name__}.{self._old}", self._new)
        return getattr(cls if instance is None else instance, self._new)


def with_new_names(cls: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call of a class by the new names that its ``_renamed_options`` has."""
    renamed = getattr(cls, "_renamed_options", {})
    for old in options.keys() & renamed.keys():
        if renamed[old] in options:
            raise TypeError(f"{cls.__name__}() got two values for {renamed[old]}: one by its old name {old}")
        warn_renamed(f"{cls.__name__}({old}=...)", renamed[old], frames=2)
    return {renamed.get(name, name): value for name, value in options.items()} if renamed else dict(options)


def renamed_in_files(factory: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a part that a file describes, by their new names."""
    renamed = getattr(factory, "_renamed_options", {})
    return {renamed.get(name, name): value for name, value in options.items()}


def renamed_arguments(**renamed: str) -> Callable[[F], F]:
    """Return a decorator of a function that takes keyword arguments by their old names too."""

    def decorate(function: F) -> F:
        @wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            __tracebackhide__ = True
            for old in options.keys() & renamed.keys():
                warn_renamed(f"{function.__name__}({old}=...)", renamed[old])
                options[renamed[old]] = options.pop(old)
            return function(*arguments, **options)

        return cast(F, run)

    return decorate


def renamed_globals(module: str, renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that reads new names by old ones."""

    def read(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", renamed[name])
        return getattr(sys.modules[module], renamed[name])

    return read


def warn_renamed(old: str, new: str, frames: int = 1) -> None:
    """Warn of an old name where it is used: so many frames above the caller."""
    warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2 + frames)
