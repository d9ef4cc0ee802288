"""The way of data, in one direction: from what users hand in to batches that the core takes.

    x, y, sample_weight, validation
      -> DataSpec         columns and classes by name, shapes, kinds, labels as numbers: refused or known
      -> ValidatedData    whole data (ValidatedBatches: each when it comes), x of any dtype, wherever it was
      -> split            rows to train on, rows to validate on
      -> fitted_buffers   what Standardize and the like learn, of the rows to train on alone
      -> Preprocessor     the first layer's part in float64, the cast to the network's dtype, the network's backend
      -> DataSource       batches of (x, y, weight), in the order that the fit asks for

Who owns which argument: ``DataSpec`` x, y, classes and names of columns; ``sample_weights`` (portnn/data)
sample_weight; ``DataPipeline`` validation; ``Batches`` (portnn/data/batches.py) data that come batch by batch; the fit
(portnn/train) epochs, batch_size and shuffle.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from portnn.data.arrays import to_host
from portnn.data.batches import Batches, IterableSource, MemmapSource, ValidatedBatches
from portnn.data.dataset import Dataset, DataSource, IndexedSource, ValidatedData
from portnn.data.frames import check_aligned
from portnn.data.memmap import MemmapRows
from portnn.data.sample_weights import sample_weights
from portnn.data.spec import DataSpec
from portnn.errors import ArgumentError
from portnn.model.preprocess import fitted_buffers
from portnn.model.runtime import Runtime
from portnn.nn import random
from portnn.options import as_python
from portnn.types import Array, Batch

Data = ValidatedData | ValidatedBatches


class DataPipeline(NamedTuple):
    """The specification of a network's data, with its runtime. Call the methods inside ``runtime.backend.scope()``."""

    schema: DataSpec
    runtime: Runtime

    # ---- validation

    def check(
        self,
        x: Any,
        y: Any,
        sample_weight: object = None,
        name: str = "",
        values: bool = True,
        stream: bool = False,
    ) -> ValidatedData:
        """Return data with valid shapes, dtypes and (with ``values``) targets; ``name``: prefix of argument names."""
        check_aligned(f"{name}y", y, x)
        check_aligned(f"{name}sample_weight", sample_weight, x)
        schema, backend = self.schema, self.runtime.backend
        inputs = schema.inputs(backend, x, f"{name}x", stream)
        rows = int(inputs.shape[0])
        targets, exact = schema.targets(backend, y, rows, values, f"{name}y")
        weights = sample_weights(sample_weight, rows, backend, targets, schema.classes)
        return ValidatedData(inputs, targets, weights, schema.columns, name, exact)

    def check_data(self, x: object, y: object, sample_weight: object = None, name: str = "") -> Data:
        """Return validated arrays (memory maps unread), or batches, which are validated as they are read."""
        if not isinstance(x, Batches):
            return self.check(x, y, sample_weight, name, stream=True)
        if sample_weight is not None:
            raise ArgumentError("sample_weight: expected batches of (x, y, weight); got weights beside batches")
        of_labels = self.schema.of_labels(self.runtime.backend, x.first[1], f"{name}y")
        return ValidatedBatches(x, self.check, of_labels, name)

    def split(
        self, x: object, y: object, sample_weight: object, validation: Any, seed: int
    ) -> tuple[Data, Data | None]:
        """Return (training data, validation data); ``validation``: (x, y), batches, or a share of rows to hold out."""
        data, validation = self.check_data(x, y, sample_weight), as_python(validation)
        if validation is None:
            return data, None
        pair = isinstance(validation, list) and not (validation and isinstance(validation[0], tuple))
        if pair or isinstance(validation, tuple):
            if len(validation) != 2:
                raise ArgumentError(f"validation: expected (x, y) or a share; got {len(validation)} items")
            return data, self.check_data(validation[0], validation[1], name="validation ")
        if Batches.is_batch_iterable(validation):
            return data, self.check_data(Batches.of(validation, "validation"), None, name="validation ")
        if isinstance(data, ValidatedBatches):
            raise ArgumentError(f"validation: expected (x, y) or batches beside batches; got {validation!r}")
        if type(validation) is not float or not 0.0 < validation < 1.0 or data.rows < 2:
            got = repr(validation) if isinstance(validation, int | float | str) else type(validation).__name__
            raise ArgumentError(
                f"validation: expected a share between 0 and 1 of at least 2 rows, or (x, y); "
                f"got {got} of {data.rows} rows"
            )
        backend = self.runtime.backend
        labels = to_host(backend, data.y) if data.y.ndim == 1 else None
        train_rows, validation_rows = random.split(data.rows, validation, seed, labels)
        return data.take(backend, train_rows, ""), data.take(backend, validation_rows, "validation ")

    # ---- conversion

    def inputs(self, x: object, check: bool = False) -> Array:
        """Return x preprocessed, on the backend; ``check`` refuses NaN and infinity."""
        schema, runtime = self.schema, self.runtime
        return runtime.inputs(schema.inputs(runtime.backend, x), check, columns=schema.columns)

    def blocks(self, x: object, rows: int, check: bool = False) -> Iterator[Array]:
        """Yield the rows of an array on the host or of a memory map as ``inputs`` returns them, ``rows`` at a time."""
        schema, runtime = self.schema, self.runtime
        source = schema.inputs(runtime.backend, x, stream=True)
        for start in range(0, source.shape[0], rows):
            block = source[start : min(start + rows, source.shape[0])]
            yield runtime.inputs(block, check, columns=schema.columns, first=start)

    def adapt(self, data: Data) -> "DataPipeline":
        """Return a pipeline whose preprocessing layers are adapted to the data; itself if they already are.

        This pipeline's runtime is unchanged.
        """
        if self.runtime.adapted:
            return self
        runtime = self.runtime.copy(adapted=True)
        runtime.assign(fitted_buffers(runtime.model, runtime.backend, data), "buffers")
        return self._replace(runtime=runtime)

    def source(self, data: Data) -> DataSource:
        """Return a source of batches of validated data. Raises DataError for NaN and infinity."""
        if isinstance(data, ValidatedBatches):
            return IterableSource(data, self.arrays)
        return self.arrays(data, self.runtime.model.loss.mean)

    def arrays(self, data: ValidatedData, mean: bool = False) -> IndexedSource:
        """Return a source of arrays; ``mean``: weights are scaled to a mean of 1."""
        runtime, backend = self.runtime, self.runtime.backend
        enter = partial(runtime.inputs, check=True, name=f"{data.name}x", columns=data.columns)
        weight = data.row_weights(mean)
        y = runtime.flush_denormals(data.y)
        weights = None if weight is None else backend.asarray(weight, runtime.dtype)
        if isinstance(data.x, MemmapRows):
            return MemmapSource(data.x, y, weights, enter, backend.to_numpy, data.exact_y)
        return Dataset(enter(data.x), y, weights, data.exact_y)

    def batch(self, x: Array, y: Array) -> Batch:
        """Return x and y as one batch, with shapes and dtypes checked, but not values."""
        runtime = self.runtime
        weight = 1.0 / y.shape[0] if runtime.model.loss.mean else 1.0
        return runtime.inputs(x, waits=False), runtime.flush_denormals(y), weight
