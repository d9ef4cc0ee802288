"""The task of a table: its target column, classification or regression, and a default network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from portnn.data.encoding import is_plain
from portnn.data.labels import classes_of, codes_of, look_like_classes, take, with_targets
from portnn.errors import ArgumentError, DataError
from portnn.io import readers
from portnn.io.categories import Label, as_text
from portnn.io.tables import Names, Table
from portnn.nn import random
from portnn.nn.embedding import Tabular
from portnn.nn.layer import Layer
from portnn.nn.losses import LOSSES
from portnn.nn.preprocessing import Rescale, Unstandardize


@dataclass(frozen=True)
class Task:
    """A classification or regression task."""

    kind: str
    """classification or regression."""
    reason: str
    """The property of the target that decided ``kind``, in words."""
    classes: int
    """Number of classes; 0 for a regression."""
    features: int | None
    """Number of features if all columns are numbers; None: ``fit`` makes an encoding."""
    images: bool
    """Whether the features are bytes, which the network scales to [0, 1]."""

    @classmethod
    def inferred(cls, x: Table, labels: np.ndarray, kind: str | None = None) -> "Task":
        """Return the task of a table's features and target; ``kind`` overrides the inferred kind."""
        like_classes, reason = look_like_classes(labels)
        chosen = kind or ("classification" if like_classes else "regression")
        classes = len(classes_of(labels, x.source)) if chosen == "classification" else 0
        reason = "as asked" if kind else f"the target has {reason}"
        images = next(iter(x.columns.values())).dtype == np.uint8
        return cls(chosen, reason, classes, len(x.columns) if is_plain(x, list(x.columns)) else None, images)

    def network(
        self, hidden: Sequence[int | str | Layer], loss: str | None = None, standardize: bool | None = None
    ) -> tuple[list[int | str | Layer], str, str]:
        """Return layers, loss and output activation of a default network for the task.

        ``standardize=None``: standardise the features, except images, and a regression's target. Raises ArgumentError
        for a loss of another task, DataError for a single class.
        """
        if self.classes == 1:
            raise DataError("target: expected at least two classes; got one")
        loss = loss or ("cross_entropy" if self.classes else "mse")
        output = LOSSES[loss].pair or "identity"
        if bool(self.classes) != LOSSES[loss].labels and not (self.classes == 2 and output == "sigmoid"):
            required = (
                "cross_entropy (two classes: also binary_cross_entropy)"
                if self.classes
                else "mse, mae, huber, sse, half_sse or poisson"
            )
            raise ArgumentError(f"loss: expected {required} for this task; got {loss!r}")
        outputs = 1 if output == "sigmoid" else max(self.classes, 1)
        entering: list[int | str | Layer] = [] if standardize is False else [Tabular()]
        if self.images and not standardize:
            entering = [Rescale()]
        # ``fit`` makes the encoding, and with it the width of the first layer.
        first_layers = [self.features, *entering] if self.features is not None else entering or ["identity"]
        # A regression's target has its own unit and size, whatever the features are; the logarithm of a rate has none.
        free = standardize is not False and LOSSES[loss].inverse_link is None
        last_layers = [Unstandardize()] if free and not self.classes else []
        return [*first_layers, *hidden, outputs, *last_layers], loss, output


class Data(NamedTuple):
    """Training and test rows; targets as a column of the table, or as an array from a file."""

    x: Table
    y: Table | np.ndarray
    x_test: Table
    y_test: Table | np.ndarray


def features(table: Table, columns: Names, target: str | None = None) -> Table:
    """Return the columns that a model takes; for a model without names, all columns but the target."""
    known = [name for name in columns or () if name in table.columns]
    if columns is None or not known or (not table.header and len(known) < len(columns)):
        known = [name for name in table.columns if name != target]
    return table.select(known)


def with_target(table: Table, target: str) -> tuple[Table, Table, str | None]:
    """Return (table, target as a table of one column, name of the target), without rows that have no target.

    The name is None if the target is a file with a value for each row.
    """
    if target in table.columns or not Path(target).is_file():
        column = table.column(target)
        y, name = table.select([column]), column
    else:
        values = readers.read_array(target)
        if values.shape != (table.rows,):
            raise DataError(f"{target}: expected one value for each of {table.rows} rows; got shape {values.shape}")
        y, name = Table(target, {target: values}, header=True), None
    x, y, _ = with_targets(table, y, name=f"{table.source}, column {name!r}")
    return x, y, name


def targets(y: Table, name: str | None, classes: bool, labels: np.ndarray | None = None) -> Table | np.ndarray:
    """Return a target as ``fit`` takes it: class labels or numbers. ``name``: the target column.

    ``labels``: the labels, if they were read already.
    """
    (column,) = y.columns
    if labels is None or not classes:
        labels = y.labels(column) if classes else y.numbers([column])[:, 0]
    return labels if name is None else Table(y.source, {name: labels}, header=True)


def read_task(
    data: Path,
    target: str,
    *,
    kind: str | None = None,
    test: Path | None = None,
    test_target: Path | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    holdout: float = 0.2,
    seed: int = 0,
    columns: Names = None,
    drop: Sequence[str] = (),
    known: bool = False,
) -> tuple[Task, Data]:
    """Read a data file and infer its task; hold test rows out, unless ``test`` is a file.

    ``columns``: the features, by default all columns but the target; ``drop``: columns to leave out. A model that is
    ``known`` may name columns that the file does not have.
    """
    table, target_cells, name = with_target(readers.read_table(data, header, encoding), target)
    dropped = {name, *map(table.column, drop)}
    if known:
        x = features(table, columns, name)
    else:
        x = table.select([column for column in map(table.column, columns or table.columns) if column not in dropped])
    if not x.columns:
        raise DataError(f"{table.source}: expected columns beside the target; got {name!r} alone")
    (column,) = target_cells.columns
    labels = target_cells.labels(column)
    task = Task.inferred(x, labels, kind)
    y = targets(target_cells, name, bool(task.classes), labels)
    if test is not None:
        other, cells, name = with_target(readers.read_table(test, header, encoding), str(test_target or target))
        return task, Data(x, y, features(other, tuple(x.columns), name), targets(cells, name, bool(task.classes)))
    if x.rows < 2:
        raise DataError(f"{data}: expected at least two rows, one of them to hold out; got {x.rows}")
    codes = codes_of(labels, classes_of(labels, column), column) if task.classes else None
    train_rows, test_rows = random.split(x.rows, holdout, seed, codes)
    return task, Data(x.take(train_rows), take(y, train_rows), x.take(test_rows), take(y, test_rows))


def output_names(classes: Sequence[Label] | None, target: str | None, outputs: int) -> list[str]:
    """Return a name for each output: the classes, the second class for a single probability, or the target."""
    if classes:
        return list(map(as_text, classes if len(classes) == outputs else classes[-1:]))
    if target:
        return [target] if outputs == 1 else [f"{target}{i}" for i in range(outputs)]
    return [f"output{i}" for i in range(outputs)]
