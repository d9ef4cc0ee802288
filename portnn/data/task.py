"""What is to be learnt from a table: which columns, classes or numbers, and the network that suits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from portnn.data import readers
from portnn.data.encoding import Encoding, is_plain
from portnn.data.tables import Table, class_codes, class_names, looks_like_classes, number
from portnn.errors import ArgumentError, DataError
from portnn.nn import random
from portnn.nn.layer import Layer
from portnn.nn.losses import LOSSES, find
from portnn.nn.normalization import Standardize, Unstandardize
from portnn.nn.tabular import Tabular


@dataclass(frozen=True)
class Task:
    """A table's features and target, told from its columns."""

    kind: str
    """classification or regression."""
    why: str
    """What of the target says so, in words."""
    classes: list[str]
    """Names of the classes; empty for a regression."""
    columns: list[str]
    """Names of the features."""
    target: str | None
    """Column of the target; None: a file of its own."""
    images: bool
    """Whether the features are bytes, scaled to [0, 1]."""
    encoding: Encoding | None = None
    """How the columns become features; None: they are numbers already."""

    @classmethod
    def told(
        cls,
        table: Table,
        values: np.ndarray,
        target: str | None,
        kind: str | None = None,
        columns: Sequence[str] | None = None,
        drop: Sequence[str] = (),
    ) -> "Task":
        """Tell the task from the target's values, or take its ``kind``. Raises DataError.

        ``columns``: those to learn from, default all; ``drop``: without these.
        """
        left = {target, *map(table.column, drop)}
        columns = [name for name in map(table.column, columns or table.columns) if name not in left]
        if not columns:
            raise DataError(f"{table.source}: expected columns beside the target; got {target!r} alone")
        inferred, why = looks_like_classes(values)
        chosen = kind or ("classification" if inferred else "regression")
        classes = class_names(values) if chosen == "classification" else []
        if chosen == "classification" and len(classes) < 2:
            raise DataError(f"{target or table.source}: expected at least two classes; got {classes}")
        if chosen == "regression" and values.dtype.kind == "U" and any(number(str(value)) is None for value in values):
            raise DataError(f"{table.source}, column {target!r}: expected numbers for a regression; got text")
        why = "as asked" if kind else f"the target has {why}"
        return cls(chosen, why, classes, columns, target, bool(table.columns[columns[0]].dtype == np.uint8))

    @classmethod
    def known(cls, metadata: Mapping[str, Any]) -> "Task":
        """Return the task of a model file that ``portnn train`` wrote. Raises ArgumentError for another."""
        if "task" not in metadata:
            raise ArgumentError("continue: expected a model that portnn train wrote; got one without a task")
        encoding = metadata.get("encoding")
        return cls(
            metadata["task"],
            "as the model's",
            metadata["classes"],
            metadata["columns"],
            metadata["target"],
            images=False,
            encoding=None if encoding is None else Encoding.from_description(encoding),
        )

    @property
    def metric(self) -> str:
        """The metric that it is measured by."""
        return "accuracy" if self.classes else "r2"

    def learning(self, table: Table, rows: np.ndarray, embed: bool = True) -> tuple["Task", list[str]]:
        """Return the task with an encoding learnt from some rows, if one is needed, and the columns left out for it.

        To ``embed``: whether texts of many values become codes, for vectors.
        """
        if is_plain(table, self.columns):
            return self, []
        encoding, left = Encoding.learnt(table, self.columns, rows, embed)
        return replace(self, encoding=encoding), left

    def features(self, table: Table) -> np.ndarray:
        """Return the features of a table's rows, (rows, features)."""
        return features(self.metadata(), table)

    def encoded(self, values: np.ndarray, source: str) -> np.ndarray:
        """Return target values as a network takes them: int32 codes of classes, or float64."""
        return class_codes(values, self.classes, source) if self.classes else np.asarray(values, np.float64)

    def metadata(self) -> dict[str, Any]:
        """Return what a model file keeps of it."""
        kept = {"columns": self.columns, "target": self.target, "classes": self.classes, "task": self.kind}
        return kept if self.encoding is None else {**kept, "encoding": self.encoding.describe()}

    def network(
        self, hidden: Sequence[int], loss: str | None = None, standardize: bool | None = None
    ) -> tuple[list[int | Layer], str, str]:
        """Return the layers, the loss and the output activation of a network for the task.

        ``standardize=None``: features and a regression's target, but for images. Raises ArgumentError for a loss that
        does not suit.
        """
        classes = len(self.classes)
        loss = loss or ("cross_entropy" if classes else "mse")
        output = LOSSES[loss].pair or "identity"
        if bool(classes) != LOSSES[loss].labels and not (classes == 2 and output == "sigmoid"):
            wanted = "cross_entropy (two classes: also binary_cross_entropy)" if classes else "sse, half_sse or mse"
            raise ArgumentError(f"loss: expected {wanted} for this task; got {loss!r}")
        outputs = 1 if output == "sigmoid" else max(classes, 1)
        entries = () if self.encoding is None else self.encoding.entries
        scaled: list[int | Layer] = [Tabular(entries) if entries else Standardize()]
        first = scaled if standardize or (standardize is None and not self.images) else []
        # A regression's target has a unit and a size of its own, whatever the features are.
        last = [] if classes or standardize is False else [Unstandardize()]
        width = len(self.columns) if self.encoding is None else len(self.encoding.features)
        return [width, *first, *hidden, outputs, *last], loss, output


class Rows(NamedTuple):
    """Rows to train on, and others to test on."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def target_values(table: Table, target: str, rows: int) -> tuple[np.ndarray, str | None]:
    """Return the target's values, and the column they come from (None: a file of their own)."""
    if target in table.columns or not Path(target).is_file():
        return table.target(target), table.column(target)
    values = readers.read_array(target)
    if values.shape != (rows,):
        raise DataError(f"{target}: expected one value for each of {rows} rows; got shape {values.shape}")
    return values, None


def read_task(
    data: Path,
    target: str,
    *,
    kind: str | None = None,
    test: Path | None = None,
    test_target: Path | None = None,
    header: bool | None = None,
    holdout: float = 0.2,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    known: Task | None = None,
    embed: bool = True,
) -> tuple[Task, Rows, list[str]]:
    """Read a data file, tell what is to be learnt, and hold rows out to test on, unless ``test`` is a file of them.

    Nothing is learnt from rows to test on; nor from any where the task is ``known``, as a model's is. To ``embed``: as
    in ``Task.learning``. Returns also the names of columns that say nothing and are left out.
    """
    table = readers.read_table(data, header)
    values, column = target_values(table, target, table.rows)
    task = known or Task.told(table, values, column, kind, columns, drop)
    y = task.encoded(values, target)
    if test is not None:
        other = readers.read_table(test, header)
        values, _ = target_values(other, str(test_target or target), other.rows)
        task, left = (task, []) if known else task.learning(table, np.arange(table.rows), embed)
        return task, Rows(task.features(table), y, task.features(other), task.encoded(values, target)), left
    if table.rows < 2:
        raise DataError(f"{data}: expected at least two rows, one of them to hold out; got {table.rows}")
    kept, held = random.split(table.rows, holdout, seed, y if task.classes else None)
    task, left = (task, []) if known else task.learning(table, kept, embed)
    x = task.features(table)
    return task, Rows(x[kept], y[kept], x[held], y[held]), left


def features(metadata: Mapping[str, Any], table: Table) -> np.ndarray:
    """Return the features of a table's rows as the network of a model file takes them."""
    if encoding := metadata.get("encoding"):
        return Encoding.from_description(encoding).encoded(table)
    names = metadata.get("columns")
    if names is None or (not table.header and len(table.columns) == len(names)):
        names = list(table.columns)  # saved from Python: every column is a feature, in order
    return table.features(names)


def truth(metadata: Mapping[str, Any], loss: str | None, values: np.ndarray, source: str) -> np.ndarray:
    """Return target values as the network of a model file takes them."""
    if classes := metadata.get("classes"):
        return class_codes(values, classes, source)
    return np.asarray(values, np.int32 if find(loss).labels else np.float64)


def output_names(metadata: Mapping[str, Any], outputs: int) -> list[str]:
    """Return a name for each output: the classes', for a single probability the second's, or the target's."""
    classes, target = metadata.get("classes") or [], metadata.get("target")
    if classes:
        return classes if len(classes) == outputs else [classes[-1]]
    if target:
        return [target] if outputs == 1 else [f"{target}{i}" for i in range(outputs)]
    return [f"output{i}" for i in range(outputs)]
