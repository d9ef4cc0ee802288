"""Assertions for other people's test suites: backends that agree, and gradients that are right.

The pytest plugin (portnn/pytest_plugin.py), which pytest finds by itself where portnn is installed, brings the fixture
``portnn_backend`` and the option ``--portnn-require``.
"""

from collections.abc import Sequence

import numpy as np

from portnn.backend import get_backend
from portnn.deprecated import renamed_arguments
from portnn.equivalence.bits import BitsReport, compare_bits
from portnn.equivalence.compare import compare
from portnn.equivalence.conformance import violations
from portnn.equivalence.derivatives import wrong_gradients
from portnn.equivalence.functions import Function, differences
from portnn.equivalence.lockstep import batches
from portnn.equivalence.report import Report
from portnn.network import NeuralNetwork
from portnn.options import check_positive_int

__all__ = [
    "assert_backends_agree",
    "assert_same_bits",
    "assert_same_on_backends",
    "check_backend",
    "check_gradients",
]


def assert_backends_agree(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 1,
    batch_size: int = 32,
) -> Report:
    """Assert that every tensor of the training steps is within its bound of its true value, on NumPy and each backend.

    ``backends=None`` takes all available ones: name those that your users rely on, so that a missing one is an error.
    Without a backend beside NumPy, BackendUnavailableError is raised. See ``portnn.compare``; the report is returned.

    Parameters
    ----------
    net : NeuralNetwork
    x, y : array
        As for ``fit``.
    backends : sequence of str, optional
        None: all that are available here.
    steps : int
        Training steps.
    batch_size : int

    Returns
    -------
    Report

    Raises
    ------
    AssertionError
        With the step, the layer and the backend of the first broken bound.
    BackendUnavailableError
        For a named backend that cannot run here, and where there is none beside NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork
    >>> from portnn.testing import assert_backends_agree
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> net = NeuralNetwork(3, 4, 1, loss="mse", seed=0, backend="numpy")
    >>> assert_backends_agree(net, x, x[:, :1], backends=["array_api_strict"]).holds
    True
    """
    __tracebackhide__ = True
    report = compare(net, x, y, backends=backends, steps=steps, batch_size=batch_size)
    assert report.holds, report.verdict()
    return report


def assert_same_bits(
    net: NeuralNetwork,
    x: object,
    y: object,
    *,
    backends: Sequence[str] | None = None,
    steps: int = 20,
    batch_size: int = 32,
) -> BitsReport:
    """Assert that the training steps end in NumPy's bits on each backend: for networks in reproducible arithmetic.

    The message of the AssertionError names the first step and the first operation that differ. See
    ``portnn.compare_bits``; the report is returned.

    Parameters
    ----------
    net : NeuralNetwork
    x, y : array
        As for ``fit``.
    backends : sequence of str, optional
        None: all that are available here.
    steps : int
        Training steps.
    batch_size : int

    Returns
    -------
    BitsReport

    Raises
    ------
    AssertionError
        With the first step and operation whose bits differ.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork
    >>> from portnn.testing import assert_same_bits
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> net = NeuralNetwork(3, 4, 1, loss="mse", arithmetic="reproducible", seed=0, backend="numpy")
    >>> assert_same_bits(net, x, x[:, :1], backends=["array_api_strict"], steps=2).holds
    True
    """
    __tracebackhide__ = True
    report = compare_bits(net, x, y, backends=backends, steps=steps, batch_size=batch_size)
    assert report.holds, report.verdict()
    return report


def assert_same_on_backends(
    function: Function, *arrays: object, backends: Sequence[str] | None = None, ulps: float = 16.0
) -> None:
    """Assert that ``function(*arrays)`` has the same results on each backend, NumPy included, within rounding errors.

    The function is written against the array API standard, for arrays of any library; it returns an array or a tuple of
    arrays. If portnn has bounds for its operations (portnn/numerics/bounds.py), each result must be within its bound of
    the true value, else within ``ulps`` units in the last place of NumPy's; integers and bools must be equal.
    ``backends`` is as in ``assert_backends_agree``.

    Parameters
    ----------
    function : callable
        Written against the array API standard; returns an array or a tuple of arrays.
    *arrays : array
    backends : sequence of str, optional
    ulps : float
        For functions without a bound.

    Raises
    ------
    AssertionError
        With a line for each backend and result that differ.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn.testing import assert_same_on_backends
    >>> def norm(x):
    ...     xp = x.__array_namespace__()
    ...     return xp.sqrt(xp.sum(x * x))
    >>> assert_same_on_backends(norm, np.arange(5.0), backends=["array_api_strict"])
    """
    __tracebackhide__ = True
    found = list(differences(function, arrays, backends, ulps))
    assert not found, "\n".join(found)


def check_backend(name: str) -> None:
    """Assert that an adapter, by its name as for ``NeuralNetwork(backend=...)``, conforms to the backend protocol.

    The check covers devices, round trips, copies, dtypes, int32 overflow, every function within its bound, random bits,
    scalars and training steps. The AssertionError has a line for each violation, with a hint. Raises
    BackendUnavailableError if the backend cannot run here.

    Parameters
    ----------
    name : str
        As for ``NeuralNetwork(backend=...)``.

    Raises
    ------
    AssertionError
        With a line for each violation of the protocol, and a hint.
    BackendUnavailableError

    Examples
    --------
    >>> from portnn.testing import check_backend
    >>> check_backend("numpy")
    """
    __tracebackhide__ = True
    backend = get_backend(name)
    found = list(violations(backend))
    assert not found, "\n".join([f"{backend!r}: {len(found)} faults", *found])


@renamed_arguments(entries="elements")
def check_gradients(net: NeuralNetwork, x: object, y: object, *, elements: int = 20, seed: int = 0) -> None:
    """Assert that the gradients are those of the loss, by central differences in float64 on NumPy.

    The check draws ``elements`` elements of each parameter and moves each by +-h, in training mode with the dropout
    masks of the next step. An element passes if a difference quotient agrees within its rounding and truncation errors,
    which follow from the sizes of the loss and of the layers' outputs: a factor of 1.01 fails at any scale of the data.
    At a kink any value between the slopes of both sides passes.

    Parameters
    ----------
    net : NeuralNetwork
    x, y : array
    elements : int
        Number of elements of each parameter that are checked.
    seed : int
        Seed of the draw.

    Raises
    ------
    AssertionError
        With the parameter and the element whose gradient is wrong.
    ArgumentError
        If the targets are so much larger than the outputs that the rounding of the loss hides the differences.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork
    >>> from portnn.testing import check_gradients
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> check_gradients(NeuralNetwork(3, 4, "tanh", 1, loss="mse", seed=0), x, x[:, :1])
    """
    __tracebackhide__ = True
    elements = check_positive_int("elements", elements)
    runtime, dataset = net.to("numpy", dtype="float64", arithmetic="fast").prepare(x, y)
    batch = next(batches(runtime, dataset, 1, dataset.rows))
    wrong = next(wrong_gradients(runtime, batch, elements, np.random.default_rng(seed)), None)
    assert wrong is None, wrong
