"""What is to be learnt from a table: which column is the target, classes or numbers, and the network that suits."""

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
    """What is to be learnt, and the network for it."""

    kind: str
    """classification or regression."""
    why: str
    """What of the target says so, in words."""
    classes: int
    """How many; 0 for a regression."""
    features: int | None
    """How many, where the columns are numbers already; None: an encoding is learnt in the fit."""
    images: bool
    """Whether the features are bytes, to be scaled to [0, 1]."""

    @classmethod
    def inferred(cls, x: Table, labels: np.ndarray, kind: str | None = None) -> "Task":
        """Infer the task from a table's features and its target, unless its ``kind`` is given."""
        like_classes, why = look_like_classes(labels)
        chosen = kind or ("classification" if like_classes else "regression")
        classes = len(classes_of(labels, x.source)) if chosen == "classification" else 0
        why = "as asked" if kind else f"the target has {why}"
        images = next(iter(x.columns.values())).dtype == np.uint8
        return cls(chosen, why, classes, len(x.columns) if is_plain(x, list(x.columns)) else None, images)

    def network(
        self, hidden: Sequence[int], loss: str | None = None, standardize: bool | None = None
    ) -> tuple[list[int | str | Layer], str, str]:
        """Return the layers, the loss and the output activation of a network for the task.

        ``standardize=None``: features and a regression's target, but for images. Raises ArgumentError for a loss that
        does not suit, DataError for a single class.
        """
        if self.classes == 1:
            raise DataError("target: expected at least two classes; got one")
        loss = loss or ("cross_entropy" if self.classes else "mse")
        output = LOSSES[loss].pair or "identity"
        if bool(self.classes) != LOSSES[loss].labels and not (self.classes == 2 and output == "sigmoid"):
            wanted = (
                "cross_entropy (two classes: also binary_cross_entropy)"
                if self.classes
                else "mse, mae, huber, sse, half_sse or poisson"
            )
            raise ArgumentError(f"loss: expected {wanted} for this task; got {loss!r}")
        outputs = 1 if output == "sigmoid" else max(self.classes, 1)
        entering: list[int | str | Layer] = [] if standardize is False else [Tabular()]
        if self.images and not standardize:
            entering = [Rescale()]
        # Where the features are learnt in the fit, so is the width of the first layer.
        first = [self.features, *entering] if self.features is not None else entering or ["identity"]
        # A regression's target has a unit and a size of its own, whatever the features are; logarithms have none.
        free = standardize is not False and LOSSES[loss].inverse_link is None
        last = [Unstandardize()] if free and not self.classes else []
        return [*first, *hidden, outputs, *last], loss, output


class Data(NamedTuple):
    """Rows to train on, and others to test on; targets as a column of a table, or an array from a file of their own."""

    x: Table
    y: Table | np.ndarray
    x_test: Table
    y_test: Table | np.ndarray


def features(table: Table, columns: Names, target: str | None = None) -> Table:
    """Return of a table the columns that a model takes; where it has no names for them, all but the target."""
    known = [name for name in columns or () if name in table.columns]
    if columns is None or not known or (not table.header and len(known) < len(columns)):
        known = [name for name in table.columns if name != target]
    return table.select(known)


def with_target(table: Table, target: str) -> tuple[Table, Table, str | None]:
    """Return a table and its target, as a table of one column, for the rows in which the target has a value.

    Also the target's column in the table; None: it is a file of its own, with a value for each row.
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
    """Return a target as ``fit`` takes it: labels of ``classes`` or numbers; ``name``: of its column.

    ``labels``: where they were read already.
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
    """Read a data file, tell what is to be learnt, and hold rows out to test on, unless ``test`` is a file of them.

    ``columns``: those to learn from, default all but the target; ``drop``: without these. Of a ``known`` model they may
    be names that the file does not have.
    """
    table, target_cells, name = with_target(readers.read_table(data, header, encoding), target)
    left = {name, *map(table.column, drop)}
    if known:
        x = features(table, columns, name)
    else:
        x = table.select([each for each in map(table.column, columns or table.columns) if each not in left])
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
    kept, held = random.split(x.rows, holdout, seed, codes)
    return task, Data(x.take(kept), take(y, kept), x.take(held), take(y, held))


def output_names(classes: Sequence[Label] | None, target: str | None, outputs: int) -> list[str]:
    """Return a name for each output: the classes', for a single probability the second's, or the target's."""
    if classes:
        return list(map(as_text, classes if len(classes) == outputs else classes[-1:]))
    if target:
        return [target] if outputs == 1 else [f"{target}{i}" for i in range(outputs)]
    return [f"output{i}" for i in range(outputs)]
