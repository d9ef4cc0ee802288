"""The specification of a network's data: shapes, dtypes, names of columns. Data are checked before anything changes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portnn.backend import Backend, get_backend, host_array
from portnn.data.arrays import as_real_array, check_finite, dtype_kind, to_host
from portnn.data.encoding import Encoding, is_plain
from portnn.data.frames import frame_table, is_column, is_frame, names_of
from portnn.data.labels import as_numbers, classes_of, codes_of, labels_of
from portnn.data.memmap import MemmapRows, mapping_of
from portnn.errors import ArgumentError, DataError, DTypeError, ShapeError
from portnn.io.categories import Label, as_text
from portnn.io.tables import Names
from portnn.nn import random
from portnn.nn.loss import Loss
from portnn.options import as_python
from portnn.types import Array

_log = logging.getLogger("portnn")


@dataclass(frozen=True)
class DataSpec:
    """A network's expectations of x and y."""

    loss: Loss
    has_named_loss: bool
    """Whether the user named the loss; without one the loss is mse, for floating targets alone."""
    dtype: str
    features: tuple[int, ...] | None = None
    """Shape of one row of x; None before the first data."""
    outputs: int | None = None
    """Number of outputs; None before the first data."""
    columns: Names = None
    """Names of x's columns in the first training data, which give the order of the features."""
    target_columns: Names = None
    """Names of y's columns."""
    encoding: Encoding | None = None
    """The encoding of x's columns; None if all of them are numbers."""
    classes: tuple[Label, ...] | None = None
    """Labels of the classes; None if the labels are 0, 1, ..."""
    scales_bytes: bool = False
    """Whether uint8 is divided by 255, for models of an early release whose layers do not do it."""
    needs_vocabulary: bool = False
    """Whether the first layer is a ``Tabular`` whose categories come from the first data frame."""

    def fit(
        self, x: object, y: Any, share: Any = None, seed: int = 0, trained: bool = False, infers: bool = False
    ) -> "DataSpec":
        """Return the specification with the properties of the first training data that are not known yet.

        These are names of columns, labels that are texts, and an encoding of a frame's columns (unless ``features`` is
        given), fitted to the rows that remain when a ``share`` is held out. ``infers``: the classes are the values that
        occur.
        """
        columns, target_columns = self.columns or names_of(x), self.target_columns or names_of(y)
        classes = self.classes
        if classes is None and not self._takes_numbers and (labels := labels_of(y)) is not None:
            if not trained:
                classes = classes_of(labels, "y")
            elif any(isinstance(label, str) for label in labels):
                raise ArgumentError("y: expected whole numbers, as the labels that it was trained on; got texts")
        elif classes is None and infers and self.loss.labels:
            classes = _whole_classes(y)
        schema = self
        if (columns, target_columns, classes) != (self.columns, self.target_columns, self.classes):
            schema = replace(self, columns=columns, target_columns=target_columns, classes=classes)
        if self.features is not None or not is_frame(x):
            return schema
        table = frame_table("x", x, columns)
        if is_plain(table, list(table.columns)):
            return schema
        # The same split as ``DataPipeline.split`` makes.
        targets = host_array(as_real_array(get_backend("numpy"), "y", schema._codes(y), target_columns))
        labels = targets.reshape(-1) if self.loss.labels and schema._are_labels(targets.shape) else None
        split = isinstance(share, float) and 0.0 < share < 1.0 and table.rows > 1
        train_rows = random.split(table.rows, share, seed, labels)[0] if split else np.arange(table.rows)
        encoding, dropped = Encoding.fit(table, list(table.columns), train_rows, self.needs_vocabulary)
        _log.info("features: %s", ", ".join(map(str, encoding.columns)))
        if dropped:
            _log.warning("x: left out, texts that differ in most rows: %s", ", ".join(dropped))
        return replace(schema, encoding=encoding)

    def with_classes(self, classes: Sequence[Label] | None, outputs: int | None) -> "DataSpec":
        """Return the specification with classes that the user names. Raises ArgumentError for other values."""
        if classes is None:
            return self
        labels = tuple(as_python(label) for label in classes) if isinstance(classes, Sequence | np.ndarray) else ()
        if isinstance(classes, str) or len(set(labels)) != len(labels) or len(labels) < 2:
            raise ArgumentError(f"classes: expected at least two different labels; got {classes!r}")
        if not all(isinstance(label, str | bool | int | float) for label in labels):
            raise ArgumentError(f"classes: expected texts, numbers or bools; got {classes!r}")
        if not self.loss.labels and self.loss.pair is None:
            raise ArgumentError('classes: expected loss="cross_entropy" or "binary_cross_entropy" beside them')
        if not self.loss.labels and len(labels) != 2:
            raise ArgumentError(f"classes: expected two for a loss of one probability; got {len(labels)}")
        if self.loss.labels and outputs not in (None, len(labels)):
            raise ArgumentError(f"classes: expected one for each of {outputs} outputs; got {len(labels)}")
        return replace(self, classes=labels)

    def refuse_learnt_from_one_batch(self, fitted: "DataSpec") -> None:
        """Refuse text columns and unnamed classes in batches: the first batch may lack some of their values."""
        if fitted.classes != self.classes:
            raise ArgumentError(
                "y: expected the classes of batches to be named beforehand, as the first may lack one: "
                'NeuralNetwork(..., classes=("a", "b"))'
            )
        if fitted.encoding != self.encoding:
            raise ArgumentError("x: expected numbers in batches; texts are learnt where all of them are given at once")

    def names(self) -> dict[str, Any]:
        """Return names of columns, classes and encoding as plain JSON values."""
        config = {"columns": self.columns, "target_columns": self.target_columns, "classes": self.classes}
        bytes_too = {"scales_bytes": True} if self.scales_bytes else {}
        return {**config, **bytes_too, "encoding": self.encoding and self.encoding.get_config()}

    def from_config(self, names: Mapping[str, Any]) -> "DataSpec":
        """Return the specification with what ``names`` returned."""
        encoding: Any = names.get("encoding")
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in names.items() if key != "encoding"
        }
        return replace(self, encoding=encoding and Encoding.from_config(encoding), **fields)

    def reading(self) -> list[str]:
        """Return in lines how the network reads a table and what it predicts; no lines without names."""
        columns = [f"{name} (number)" for name in self.columns or ()]
        if self.encoding is not None:
            columns = list(map(str, self.encoding.columns))
        lines = [f"reads {_listed(columns)}"] if columns else []
        lines += ["bytes are divided by 255"] if self.scales_bytes else []
        target = _listed(self.target_columns or ["classes"] * (self.classes is not None))
        classes = f" ({_listed([as_text(label) for label in self.classes])})" if self.classes else ""
        return lines + ([f"predicts {target}{classes}"] if target else [])

    def width(self, backend: Backend, y: object) -> int:
        """Return the number of outputs that the targets ask for, if the network has no output width yet."""
        if not self.loss.labels or self.classes is None:
            array = as_real_array(backend, "y", self._codes(y))
            if array.ndim == 2 and (array.shape[1] > 1 or not self.loss.labels):
                return int(array.shape[1])
            if not self.loss.labels:
                return 1
        count = self._labels(backend, "y", array, None) if self.classes is None else len(self.classes)
        if count < 2:
            raise DataError("y: expected labels of at least two classes; got the same in every row")
        return count

    # ---- one array at a time

    def inputs(self, backend: Backend, x: object, name: str = "x", stream: bool = False) -> Array:
        """Return x, (rows, \\*features), of any dtype, on the backend or host; with ``stream`` a map as MemmapRows."""
        if self.encoding is not None and is_frame(x):
            needed = [column.name for column in self.encoding.columns]
            x = self.encoding.encoded(frame_table(name, x, self.columns, needed))
        array: Any = (_mapped(x) if stream else None) or as_real_array(backend, name, x, self.columns)
        if self.scales_bytes and "uint8" in str(array.dtype):
            array = array.divided(255) if isinstance(array, MemmapRows) else to_host(backend, array) / np.float32(255)
        shape = tuple(array.shape)
        if len(shape) < 2:
            raise ShapeError(
                f"{name}: expected (rows, features); got shape {shape}. "
                f"For one row pass [row], for one feature reshape to (rows, 1)"
            )
        if self.features is not None and shape[1:] != self.features:
            raise ShapeError(f"{name}: expected (rows, {', '.join(map(str, self.features))}); got shape {shape}")
        if 0 in shape:
            raise DataError(f"{name}: expected at least one row and one feature; got shape {shape}")
        return array

    def targets(
        self, backend: Backend, y: object, rows: int, check: bool = True, name: str = "y"
    ) -> tuple[Array, Array | None]:
        """Return (y, exact y): (rows, outputs) in the dtype, or (rows,) int32 labels if the loss takes labels.

        Exact y is the original array if its dtype has more bits than the network's, else None. ``check`` refuses NaN,
        infinity and labels out of range; labels on the host are always checked.
        """
        assert self.outputs is not None
        array = as_real_array(backend, name, self._codes(y, name), self.target_columns)
        shape, width = tuple(array.shape), self.outputs
        if shape[:1] != (rows,):
            raise ShapeError(f"{name}: expected {rows} rows, as many as x; got shape {shape}")
        if not self.has_named_loss and dtype_kind(array) != "float":
            raise DTypeError(
                f'{name}: integer targets need a named loss: loss="cross_entropy" with output="softmax" for class '
                f'labels, loss="mse" for numbers; got dtype {array.dtype} and no loss'
            )
        if self.classes is not None and len(self.classes) != (width if self.loss.labels else 2):
            raise DataError(
                f"{name}: expected a label for each of {width if self.loss.labels else 2} classes; got "
                f"{len(self.classes)} different ones: {', '.join(map(as_text, self.classes[:12]))}"
            )
        if not self._are_labels(shape) and shape not in ((rows, width), (rows,) if width == 1 else ()):
            raise ShapeError(f"{name}: expected shape ({rows}, {width}); got {shape}")
        home = backend if backend.owns(array) else get_backend("numpy")  # checks on the host wait for no device
        result = self.convert_targets(home, array, check, name)
        if check and result.ndim == 2:
            check_finite(home, name, result, self.dtype, self.target_columns)
            if self.loss.pair is not None:
                _check_probabilities(home, name, result, self.loss.labels)
        narrow = result.ndim == 1 or self.dtype == "float64" or str(array.dtype).endswith(("float32", "float16"))
        return backend.asarray(result), None if narrow else array

    def _codes(self, y: Any, name: str = "y") -> Any:
        """Return labels as int32 indices of their classes, or as numbers without classes; other targets unchanged."""
        labels = labels_of(y, name)
        if labels is None and (self.classes is not None or (self.loss.labels and is_column(y))):
            array = as_real_array(get_backend("numpy"), name, y, self.target_columns)
            if array.ndim == 1 or (array.shape[1:] == (1,) and (is_column(y) or self._are_labels(array.shape))):
                labels = array.reshape(-1)
        if labels is None:
            return y
        if self.classes is not None:
            return codes_of(labels, self.classes, name)
        if self._takes_numbers:
            return as_numbers(labels, name)
        are_integers = all(type(label) in (bool, int) or label == np.round(label) for label in set(labels.tolist()))
        return labels.astype(np.int64) if are_integers else y

    def of_labels(self, backend: Backend, y: object, name: str = "y") -> bool:
        """Return whether the loss takes the targets as class labels, (rows,)."""
        return self._are_labels(tuple(as_real_array(backend, name, self._codes(y)).shape))

    @property
    def _takes_numbers(self) -> bool:
        """Whether the targets are numbers, or texts of numbers: the user named a regression loss."""
        return self.has_named_loss and not self.loss.labels and self.loss.pair is None

    def _are_labels(self, shape: tuple[int, ...]) -> bool:
        return self.loss.labels and (len(shape) == 1 or (shape[1:] == (1,) and self.outputs != 1))

    def convert_targets(self, backend: Backend, array: Array, check: bool = False, name: str = "y") -> Array:
        """Return targets of a checked shape and dtype on the backend, in the model's shape and dtype."""
        rows, width = int(array.shape[0]), self.outputs
        labels = self._are_labels(tuple(array.shape))
        if labels:
            self._labels(backend, name, array, width, check or isinstance(array, np.ndarray))
        shape = (rows,) if labels else (rows, width)
        result = backend.asarray(array, "int32" if labels else self.dtype)
        return result if result.shape == shape else backend.xp.reshape(result, shape)

    def _labels(self, backend: Backend, name: str, array: Array, width: int | None, check: bool = True) -> int:
        """Return the number of classes; refuse labels outside 0 ... width - 1."""
        if dtype_kind(array) == "float":
            raise DTypeError(f"{name}: expected integer class labels or one column per class; got dtype {array.dtype}")
        if not check or 0 in array.shape:
            return width or 1
        labels = to_host(backend, array)
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or (width is not None and high >= width):
            expected = "labels of at least 0" if width is None else f"labels in 0..{width - 1}"
            raise DataError(f"{name}: expected {expected}; got {low if low < 0 else high}")
        return high + 1


def _whole_classes(y: Any) -> tuple[int, ...] | None:
    """Return the distinct integer labels; None for other targets, and for labels 0, 1, ... without a gap."""
    array = as_real_array(get_backend("numpy"), "y", y)
    if dtype_kind(array) == "float" or array.ndim > 2 or array.shape[1:] not in ((), (1,)):
        return None
    distinct = [int(label) for label in np.unique(host_array(array))]
    return None if distinct == list(range(len(distinct))) else tuple(distinct)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40]) + (f", ... {len(names)} in all" if len(names) > 40 else "")


def _mapped(x: Any) -> MemmapRows | None:
    """Return a memory-mapped array of numbers as MemmapRows; None for other arrays."""
    return MemmapRows(x) if mapping_of(x) is not None and dtype_kind(x) in ("bool", "int", "float") else None


def _check_probabilities(backend: Backend, name: str, y: Array, distributions: bool) -> None:
    xp = backend.xp
    if not bool(xp.all((y >= 0) & (y <= 1))):
        raise DataError(f"{name}: expected targets in [0, 1]; got values outside")
    if distributions:
        # A row of k numbers rounded to the dtype sums to 1 within k units of rounding.
        bound = y.shape[1] * float(xp.finfo(y.dtype).eps)
        if not bool(xp.all(xp.abs(xp.sum(y, axis=1) - 1.0) <= bound)):
            raise DataError(f"{name}: expected one distribution per row; got rows that do not sum to 1")
