"""Data in batches: rows of a memory map, or a user's iterable of (x, y) or (x, y, weight)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from threading import Semaphore, Thread
from typing import Any

import numpy as np

from portnn.backend import Backend
from portnn.data.arrays import owned_copy
from portnn.data.dataset import WHOLE, Block, IndexedSource, Share, ValidatedData
from portnn.data.frames import is_frame
from portnn.data.memmap import MemmapRows
from portnn.errors import ArgumentError, DataError
from portnn.types import Array, Batch

PREFETCH = 2
"""Number of batches that are read ahead."""


class Batches:
    """A user's batches: a list, a loader, or a function that returns an iterator."""

    def __init__(self, given: Any) -> None:
        self.given: Any = given
        self._previous: Any = None
        self._begun: Iterator[tuple[Any, Any, Any]] | None = None
        """The iteration that ``first`` started."""

    @staticmethod
    def is_batch_iterable(x: Any) -> bool:
        """Return whether x may be batches: an iterable or a function, but no array, frame, text or mapping."""
        array = hasattr(x, "shape") or hasattr(x, "__array__") or is_frame(x)
        return not (array or isinstance(x, str | bytes | Mapping)) and (callable(x) or isinstance(x, Iterable))

    @classmethod
    def of(cls, x: Any, argument: str = "x") -> "Batches":
        """Return x as batches. Raises ArgumentError for other objects, and for an iterator: one pass exhausts it."""
        if not cls.is_batch_iterable(x):
            raise ArgumentError(f"y: expected targets, or batches of (x, y) for x; got {type(x).__name__} alone")
        if isinstance(x, Iterator):
            raise _exhausted(argument, x)
        return cls(x)

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (x, y, weight); weight is None in batches of (x, y). Raises ArgumentError for other items.

        The batch that ``first`` read is yielded again: a function may return the same iterator at each call.
        """
        begun, self._begun = self._begun, None
        return self._through() if begun is None else begun

    def _through(self) -> Iterator[tuple[Any, Any, Any]]:
        lengths, batches = {2, 3}, self.given() if callable(self.given) else self.given
        if not isinstance(batches, Iterable):
            raise ArgumentError(f"batches: expected a function that returns an iterator; got {type(batches).__name__}")
        if isinstance(batches, Iterator) and batches is self._previous:
            raise _exhausted("x", batches)
        self._previous = batches
        for i, item in enumerate(batches):
            if not isinstance(item, tuple | list) or len(item) not in lengths:
                got = f"{len(item)} items" if isinstance(item, tuple | list) else type(item).__name__
                expected = "(x, y) or (x, y, weight)" if i == 0 else f"{max(lengths)} items, as before"
                raise ArgumentError(f"batch {i}: expected {expected}; got {got}")
            lengths = {len(item)}
            # Batches of a list keep their memory. A generator may reuse one buffer for all, and is read ahead: copy.
            x, y, *weight = item if isinstance(self.given, list | tuple) else map(owned_copy, item)
            yield x, y, weight[0] if weight else None
        if len(lengths) == 2:
            raise DataError(
                "x: expected at least one batch in each pass; got none: a function must return "
                "a new iterator at each call"
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
        """Number of batches; None: unknown."""
        return len(self.given) if isinstance(self.given, Sized) else None


def as_batches(x: object, y: object) -> tuple[object, object, tuple[object, object]]:
    """Return (x, y, sample), the sample being (x, y) itself or, without y, the first of the batches in x."""
    if y is not None:
        return x, y, (x, y)
    batches = Batches.of(x)
    return batches, None, batches.first


def _exhausted(argument: str, batches: object) -> ArgumentError:
    return ArgumentError(
        f"{argument}: expected batches that can be iterated again; got {type(batches).__name__}, which one pass "
        "exhausts: give a function that returns a new one"
    )


def prefetch(items: Iterable[Any]) -> Iterator[Any]:
    """Yield items that a thread reads at most PREFETCH ahead. An error of the thread is raised here."""
    from queue import SimpleQueue

    queue: SimpleQueue[tuple[Any, ...] | BaseException | None] = SimpleQueue()
    room, ended = Semaphore(PREFETCH), False

    def go_through() -> None:
        try:
            for item in items:
                queue.put((item,))
                room.acquire()
                if ended:
                    return
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    thread = Thread(target=go_through, daemon=True)
    thread.start()
    try:
        while (entry := queue.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            room.release()
            yield entry[0]
    finally:
        # Two threads must not iterate over one iterable: the next one starts when this one has ended.
        ended = True
        room.release()
        thread.join()


@dataclass(frozen=True)
class ValidatedBatches:
    """Batches that are validated one by one, as they are read; beside ``ValidatedData``."""

    given: Batches
    check: Callable[..., ValidatedData]
    """``check(x, y, weight, name)`` returns a validated batch; errors bear the name."""
    of_labels: bool
    name: str
    """Prefix of argument names in messages: "" or "validation "."""

    def __iter__(self) -> Iterator[ValidatedData]:
        """Yield each batch."""
        for i, (x, y, weight) in enumerate(prefetch(self.given)):
            yield self.check(x, y, weight, f"{self.name}batch {i}, ")

    def blocks(self, backend: Backend, argument: str) -> Iterator[Block]:
        """Yield x or y (``argument``) in blocks of rows on the host, with the weights as the user gave them."""
        first = 0
        for checked in self:
            largest = 1.0 if checked.weight is None else checked.weight.max()
            for rows, weight, start in checked.blocks(backend, argument):
                yield Block(rows, weight * largest, first + start)
            first += checked.rows


@dataclass(frozen=True)
class MemmapSource(IndexedSource):
    """Rows of a memory map: each batch is read, converted and checked when the training needs it."""

    x: MemmapRows
    y: Array
    weight: Array | None
    convert: Callable[[np.ndarray], Array]
    """Converts rows on the host to the network's input; refuses NaN and infinity."""
    to_numpy: Callable[[Array], np.ndarray]
    exact_y: Array | None = None

    def batches(
        self, backend: Backend, size: int, order: Array | None, mean: bool, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Yield (x, y, weight) in rows of ``size``, in the order of the indices or as they stand."""
        positions = np.arange(self.rows) if order is None else self.to_numpy(order)
        for span, _, y, weight in self.parts(backend, size, order, mean, share):
            x = self._convert(positions[span])
            self.x.readahead(positions[span.stop : span.stop + size])
            yield x, y, weight

    def _convert(self, rows: np.ndarray) -> Array:
        x = self.x[rows]
        try:
            return self.convert(x)
        except DataError:
            for i, row in enumerate(rows.tolist()):
                try:
                    self.convert(x[i : i + 1])
                except DataError as error:
                    raise DataError(str(error).replace("row 0", f"row {self.x.position(row)}", 1)) from None
            raise


@dataclass(frozen=True)
class IterableSource:
    """A user's batches, in their own sizes and order."""

    batches_of: ValidatedBatches
    convert: Callable[[ValidatedData], IndexedSource]
    """Converts a validated batch to the network's arrays."""

    @property
    def of_labels(self) -> bool:
        return self.batches_of.of_labels

    @property
    def rows(self) -> None:
        return None

    def steps(self, size: int) -> int | None:
        return self.batches_of.given.count

    def batches(
        self, backend: Backend, size: int, order: Array | None, mean: bool, share: Share = WHOLE
    ) -> Iterator[Batch]:
        """Yield (x, y, weight) of each batch; ``size`` and ``order`` have no effect."""
        for source in self.sources():
            yield from source.batches(backend, source.rows, None, mean, share)

    def sources(self) -> Iterator[IndexedSource]:
        """Yield each batch."""
        yield from map(self.convert, self.batches_of)
