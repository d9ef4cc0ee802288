"""The table of array functions that networks may use; all namespaces are built from it.

The tracer (portnn/jit), the error bounds and the 50-digit reference (portnn/numerics), reproducible arithmetic
(portnn/reproducible), the checks of adapters (portnn/equivalence/conformance.py) and the strict test array take names,
errors and kinds from here. To add a function, add a line; tests/test_ops.py names what else it needs: a bound unless it
is an elementary function, and a case for adapters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from portnn.errors import ArgumentError
from portnn.options import check_range

Kind = Literal[
    "elementwise", "comparison", "reduction", "view", "gather", "selection", "join", "contraction", "creation"
]


@dataclass(frozen=True)
class Op:
    """A function of the array API standard."""

    name: str
    kind: Kind
    operands: int = 1
    """Number of operands."""
    ulps: float | None = None
    """Largest error in units in the last place on any library; None: not an elementary function."""
    exact: bool = False
    """Whether its results have the same bits on every library: it moves numbers, or rounds correctly."""
    reference: str = ""
    """mpmath's name, if its values are computed one by one."""
    core: bool = True
    """Whether layers, losses and optimizers may call it by name; other functions are operators, or reproducible
    arithmetic's.
    """
    slope: float | Callable[[Any, Any], Any] = 0.0
    """For a registered function: the largest |f'|, or a function of values and errors that returns it."""


OPS = (
    Op("add", "elementwise", 2, core=False),
    Op("subtract", "elementwise", 2, core=False),
    Op("multiply", "elementwise", 2, core=False),
    Op("divide", "elementwise", 2, ulps=1.0, core=False),
    Op("bitwise_and", "elementwise", 2, exact=True, core=False),
    Op("bitwise_xor", "elementwise", 2, exact=True, core=False),
    Op("bitwise_right_shift", "elementwise", 2, exact=True, core=False),
    Op("greater", "comparison", 2, exact=True, core=False),
    Op("less", "comparison", 2, exact=True, core=False),
    Op("equal", "comparison", 2, exact=True, core=False),
    Op("where", "selection", 3, exact=True, core=False),
    Op("round", "elementwise", exact=True, core=False),
    Op("floor", "elementwise", exact=True, core=False),
    Op("searchsorted", "gather", 2, exact=True, core=False),
    Op("min", "reduction", core=False),
    Op("argmax", "reduction", exact=True, core=False),
    Op("maximum", "elementwise", 2),
    Op("minimum", "elementwise", 2),
    Op("negative", "elementwise", exact=True),
    Op("abs", "elementwise", exact=True),
    Op("sign", "elementwise", reference="sign"),
    Op("astype", "elementwise", 2, exact=True),
    Op("exp", "elementwise", ulps=4.0, reference="exp"),
    Op("expm1", "elementwise", ulps=4.0, reference="expm1"),
    Op("log", "elementwise", ulps=4.0, reference="log"),
    Op("log1p", "elementwise", ulps=4.0, reference="log1p"),
    Op("tanh", "elementwise", ulps=8.0, reference="tanh"),
    Op("cos", "elementwise", ulps=4.0, reference="cos"),
    Op("sqrt", "elementwise", ulps=1.0, reference="sqrt"),
    Op("sum", "reduction"),
    Op("max", "reduction"),
    Op("matmul", "contraction", 2),
    Op("reshape", "view", exact=True),
    Op("expand_dims", "view", exact=True),
    Op("matrix_transpose", "view"),
    Op("slice", "view", exact=True, core=False),
    Op("take", "gather", 2, exact=True),
    Op("concat", "join", exact=True),
    Op("arange", "creation", 0, exact=True),
    Op("asarray", "creation", 0, exact=True),
    Op("finfo", "creation", 0, exact=True),
)
"""The errors are the largest of NumPy's SIMD loops, SLEEF (PyTorch), XLA's approximations (JAX) and CUDA (Programming
Guide, appendix on mathematical functions: 2 for expf, 1 for logf and log1pf, 2 for expm1f, cosf and tanhf); of cos as
if it were 1, near its zeros too. tests/numerics/test_bounds.py holds every library that is installed to them. The
maximum and the minimum may be 0 or -0; matrix_transpose is noted by reproducible arithmetic."""


def names(*kinds: Kind) -> frozenset[str]:
    """Return the names of the functions of the given kinds."""
    return frozenset(op.name for op in OPS if op.kind in kinds)


CORE = frozenset(op.name for op in OPS if op.core)
"""Names that layers may call on ``xp``."""
ELEMENTWISE = set(names("elementwise", "comparison"))
"""All functions by name, with registered ones."""
REGISTERED: dict[str, Op] = {}
"""Those by name."""


def register_op(
    name: str, *, ulps: float, slope: float | Callable[[Any, Any], Any], reference: str | None = None
) -> None:
    """Register another element-wise function of one array, with an error bound, for layers of your own.

    ::

        portnn.register_op("atan", ulps=4, slope=1)
        portnn.register_op("sinh", ulps=4, slope=lambda x, error: np.cosh(np.abs(x) + error))

    Parameters
    ----------
    name : str
        Of the array API standard, as NumPy and PyTorch have it too.
    ulps : float
        Largest error in units in the last place on any library.
    slope : float or function
        The largest absolute value of the derivative: everywhere, or ``slope(x, error)`` of NumPy's float64 arrays, from
        x - error to x + error.
    reference : str, optional
        mpmath's name for it; None: the same.

    Reproducible arithmetic goes on refusing it: libraries differ in its last place. Raises ArgumentError.

    Examples
    --------
    >>> import portnn
    >>> try:
    ...     portnn.register_op("exp", ulps=4, slope=1)
    ... except portnn.ArgumentError:
    ...     print("exp has a bound already")
    exp has a bound already
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError(f"name: expected that of a function; got {name!r}")
    if name in {op.name for op in OPS}:
        raise ArgumentError(f"name: {name} is among the functions of portnn/ops.py already")
    if not callable(slope):
        check_range("slope", slope)
    check_range("ulps", ulps)
    REGISTERED[name] = Op(name, "elementwise", ulps=ulps, reference=reference or name, slope=slope)
    ELEMENTWISE.add(name)
