"""Data that come batch by batch: rows of a map, or anything that gives (x, y) or (x, y, weight), each time anew."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from threading import Semaphore, Thread
from typing import Any

import numpy as np

from portnn.backend import Backend
from portnn.data.arrays import copied
from portnn.data.dataset import Block, IndexedSource, ValidatedData
from portnn.data.frames import is_frame
from portnn.data.memmap import MemmapRows
from portnn.errors import ArgumentError, DataError
from portnn.types import Array, Batch, Namespace

PREFETCH = 2
"""Batches that are made while one is computed with."""


class Batches:
    """What a user handed in: a list, a loader, or a function that makes an iterator."""

    def __init__(self, given: Any) -> None:
        self.given: Any = given
        self._before: Any = None
        self._begun: Iterator[tuple[Any, Any, Any]] | None = None
        """The time through them that ``first`` began."""

    @staticmethod
    def is_batch_iterable(x: Any) -> bool:
        """Return whether x may be batches: no array, frame, text or mapping."""
        array = hasattr(x, "shape") or hasattr(x, "__array__") or is_frame(x)
        return not (array or isinstance(x, str | bytes | Mapping)) and (callable(x) or isinstance(x, Iterable))

    @classmethod
    def of(cls, x: Any, argument: str = "x") -> "Batches":
        """Return x as batches. Raises ArgumentError for what is none, and for what can be gone through once only."""
        if not cls.is_batch_iterable(x):
            raise ArgumentError(f"y: expected targets, or batches of (x, y) for x; got {type(x).__name__} alone")
        if isinstance(x, Iterator):
            raise _used_up(argument, x)
        return cls(x)

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (x, y, weight), the weight None where there is none. Raises ArgumentError for anything else.

        The batch that ``first`` read is yielded again: a function may return an iterator that it made before.
        """
        begun, self._begun = self._begun, None
        return self._through() if begun is None else begun

    def _through(self) -> Iterator[tuple[Any, Any, Any]]:
        lengths, batches = {2, 3}, self.given() if callable(self.given) else self.given
        if not isinstance(batches, Iterable):
            raise ArgumentError(f"batches: expected a function that makes an iterator; got {type(batches).__name__}")
        if isinstance(batches, Iterator) and batches is self._before:
            raise _used_up("x", batches)
        self._before = batches
        for i, item in enumerate(batches):
            if not isinstance(item, tuple | list) or len(item) not in lengths:
                found = f"{len(item)} items" if isinstance(item, tuple | list) else type(item).__name__
                expected = "(x, y) or (x, y, weight)" if i == 0 else f"{max(lengths)} items, as before"
                raise ArgumentError(f"batch {i}: expected {expected}; got {found}")
            lengths = {len(item)}
            # A list's batches stay; what is made one after the other may be made in one memory, and is read ahead.
            x, y, *weight = item if isinstance(self.given, list | tuple) else map(copied, item)
            yield x, y, weight[0] if weight else None
        if len(lengths) == 2:
            raise DataError(
                "x: expected at least one batch each time they are gone through; got none: a function has to make "
                "a new iterator each time"
            )

    @cached_property
    def first(self) -> tuple[Any, Any]:
        """The first batch's x and y."""
        begun = self._through()
        first = next(begun)
        self._begun = chain([first], begun)
        return first[:2]

    @property
    def count(self) -> int | None:
        """How many there are; None: nobody knows."""
        return len(self.given) if isinstance(self.given, Sized) else None


def as_batches(x: object, y: object) -> tuple[object, object, tuple[object, object]]:
    """Return (x, y, sample), the sample being (x, y) itself or, without y, the first of the batches in x."""
    if y is not None:
        return x, y, (x, y)
    batches = Batches.of(x)
    return batches, None, batches.first


def _used_up(argument: str, batches: object) -> ArgumentError:
    return ArgumentError(
        f"{argument}: expected batches that can be gone through again; got {type(batches).__name__}, which is used up "
        "after one time: give a function that makes it anew"
    )


def prefetch(items: Iterable[Any]) -> Iterator[Any]:
    """Yield items that a thread produces meanwhile, at most PREFETCH ahead; an error of the thread is raised here."""
    from queue import SimpleQueue

    made: SimpleQueue[tuple[Any, ...] | BaseException | None] = SimpleQueue()
    room, ended = Semaphore(PREFETCH), False

    def go_through() -> None:
        try:
            for item in items:
                made.put((item,))
                room.acquire()
                if ended:
                    return
            made.put(None)
        except BaseException as error:
            made.put(error)

    thread = Thread(target=go_through, daemon=True)
    thread.start()
    try:
        while (found := made.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            room.release()
            yield found[0]
    finally:
        # Two threads must not go through the same thing: the next one starts when this one is over.
        ended = True
        room.release()
        thread.join()


@dataclass(frozen=True)
class ValidatedBatches:
    """Batches, each to be checked when it comes; beside ``ValidatedData``."""

    given: Batches
    check: Callable[..., ValidatedData]
    """``check(x, y, weight, name)``; raises what is wrong with a batch, under its name."""
    of_labels: bool
    name: str
    """Before the names of arguments in messages: "" or "validation "."""

    def __iter__(self) -> Iterator[ValidatedData]:
        """Yield each batch."""
        for i, (x, y, weight) in enumerate(prefetch(self.given)):
            yield self.check(x, y, weight, f"{self.name}batch {i}, ")

    def blocks(self, backend: Backend, what: str) -> Iterator[Block]:
        """Yield "x" or "y" in blocks of rows on the host, weights as they came."""
        first = 0
        for checked in self:
            largest = 1.0 if checked.weight is None else checked.weight.max()
            for rows, weight, start in checked.blocks(backend, what):
                yield Block(rows, weight * largest, first + start)
            first += checked.rows


@dataclass(frozen=True)
class MemmapSource(IndexedSource):
    """A source of mapped rows: each batch is read, cast and checked when its turn comes."""

    x: MemmapRows
    y: Array
    weight: Array | None
    enter: Callable[[np.ndarray], Array]
    """From rows on the host to those that the core takes; refuses what is not finite."""
    to_numpy: Callable[[Array], np.ndarray]
    exact_y: Array | None = None

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        places = np.arange(self.rows) if order is None else self.to_numpy(order)
        for place, _, y, weight in self.parts(xp, size, order, mean):
            x = self._entered(places[place])
            self.x.readahead(places[place.stop : place.stop + size])
            yield x, y, weight

    def _entered(self, rows: np.ndarray) -> Array:
        x = self.x[rows]
        try:
            return self.enter(x)
        except DataError:
            for i, row in enumerate(rows.tolist()):
                try:
                    self.enter(x[i : i + 1])
                except DataError as error:
                    raise DataError(str(error).replace("row 0", f"row {self.x.place(row)}", 1)) from None
            raise


@dataclass(frozen=True)
class IterableSource:
    """A source of batches of a user's own: their rows and their order are those that they come in."""

    batches_of: ValidatedBatches
    enter: Callable[[ValidatedData], IndexedSource]
    """From a checked batch to one as the core takes it."""

    @property
    def of_labels(self) -> bool:
        return self.batches_of.of_labels

    @property
    def rows(self) -> None:
        return None

    def steps(self, size: int) -> int | None:
        return self.batches_of.given.count

    def batches(self, xp: Namespace, size: int, order: Array | None, mean: bool) -> Iterator[Batch]:
        """Yield (x, y, weight) as they come; ``size`` and ``order`` are not for them."""
        for source in self.sources():
            yield from source.batches(xp, source.rows, None, mean)

    def sources(self) -> Iterator[IndexedSource]:
        """Yield each batch."""
        yield from map(self.enter, self.batches_of)
