"""An array that has nothing but what the core may use, over NumPy."""

from typing import Any

import numpy as np

from portnn.ops import CORE


class Austere:
    """Allows + - *, comparisons, bit operations, 1.0 / x, same-shape / and slices; refuses all else."""

    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: np.ndarray) -> None:
        self.value = np.array(value)
        self.value.flags.writeable = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def _combine(self, other: Any, operation: Any) -> "Austere":
        if isinstance(other, np.ndarray | np.generic) and not isinstance(other, float):
            raise TypeError("a NumPy array met the core's own")
        result = Austere(operation(self.value, getattr(other, "value", other)))
        if self.dtype.kind == "f" and result.dtype.kind == "f" and result.dtype != self.dtype:
            raise TypeError(f"{self.dtype} was promoted to {result.dtype}")
        return result

    def __add__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: a - b)

    def __mul__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: a * b)

    def __radd__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: b + a)

    def __rsub__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: b - a)

    def __rmul__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: b * a)

    def __truediv__(self, other: Any) -> "Austere":
        if getattr(other, "shape", None) != self.shape:
            raise TypeError("x / y needs one shape; write x * (1.0 / y)")
        return self._combine(other, lambda a, b: a / b)

    def __rtruediv__(self, other: Any) -> "Austere":
        if other != 1.0:
            raise TypeError("only 1.0 / x")
        return self._combine(other, lambda a, b: b / a)

    def __and__(self, other: Any) -> "Austere":
        return self._integers(other, lambda a, b: a & b)

    def __xor__(self, other: Any) -> "Austere":
        return self._integers(other, lambda a, b: a ^ b)

    def __rshift__(self, other: Any) -> "Austere":
        return self._integers(other, lambda a, b: a >> b)

    def _integers(self, other: Any, operation: Any) -> "Austere":
        if self.dtype.kind not in "ib":
            raise TypeError("bit operations are for integers")
        return self._combine(other, operation)

    def __lt__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: a < b)

    def __gt__(self, other: Any) -> "Austere":
        return self._combine(other, lambda a, b: a > b)

    def __eq__(self, other: object) -> "Austere":  # type: ignore[override]
        return self._combine(other, lambda a, b: a == b)

    def __getitem__(self, key: Any) -> "Austere":
        for part in key if isinstance(key, tuple) else (key,):
            if not isinstance(part, slice | int | type(Ellipsis)):
                raise TypeError("only slices")
        return Austere(self.value[key])


class AustereNamespace:
    """The array API functions of portnn/ops.py on Austere arrays, and the dtypes."""

    float32, float64, int32 = np.float32, np.float64, np.int32

    def __getattr__(self, name: str) -> Any:
        if name not in CORE:
            raise AttributeError(f"xp.{name} is not among the functions that the core uses: add it to portnn/ops.py")

        def call(*arguments: Any, **options: Any) -> Austere:
            import array_api_compat.numpy as xp

            unwrap = lambda a: [unwrap(b) for b in a] if isinstance(a, list) else getattr(a, "value", a)  # noqa: E731
            if name == "finfo":
                return xp.finfo(*arguments)
            with np.errstate(all="ignore"):
                return Austere(getattr(xp, name)(*map(unwrap, arguments), **options))

        return call
