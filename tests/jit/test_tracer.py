"""Programs say what a function does: the same functions as the core may use, shapes and dtypes as NumPy has them."""

import array_api_compat.numpy as xp
import numpy as np
import pytest

from portnn import NeuralNetwork
from portnn.jit.graph import Graph, SymbolicScalar, UntraceableError
from portnn.jit.tracer import Tape, TracingNamespace, broadcast
from portnn.ops import CORE
from portnn.types import ForwardContext

DECK = """\
%0 = input()  # float64 (16,)
%1 = input()  # float64 (4, 3)
%2 = slice(%0, ((0, 12),))  # float64 (12,)
%3 = reshape(%2, (3, 4))  # float64 (3, 4)
%4 = slice(%0, ((12, 16),))  # float64 (4,)
%5 = reshape(%4, (4, 1))  # float64 (4, 1)
%6 = matmul(%1, %3)  # float64 (4, 4)
%7 = negative(%6)  # float64 (4, 4)
%8 = exp(%7)  # float64 (4, 4)
%9 = add(1.0, %8)  # float64 (4, 4)
%10 = divide(1.0, %9)  # float64 (4, 4)
%11 = matmul(%10, %5)  # float64 (4, 1)
%12 = negative(%11)  # float64 (4, 1)
%13 = exp(%12)  # float64 (4, 1)
%14 = add(1.0, %13)  # float64 (4, 1)
%15 = divide(1.0, %14)  # float64 (4, 1)
return %15"""


def test_the_decks_network_is_a_short_program():
    net = NeuralNetwork(3, 4, 1, activation="sigmoid", output="sigmoid", bias=False, dtype="float64", seed=0)
    model, tape = net._runtime.model, Tape(xp)
    state = net._runtime.state._replace(parameters=tape.input((16,), np.dtype("float64")))
    outputs = model.forward(TracingNamespace(tape), state, tape.input((4, 3), np.dtype("float64")))
    assert str(Graph(tape, [outputs])) == DECK


ARRAYS = {
    "x": np.linspace(0.1, 0.9, 6).reshape(2, 3),
    "v": np.linspace(0.1, 0.9, 5),
    "i": np.array([1, 0, 1], np.int32),
}
CALLS = {
    "arange": lambda xp, a: xp.arange(3, dtype=xp.int32) + a["i"],
    "asarray": lambda xp, a: xp.asarray([1.0, 2.0, 3.0], dtype=xp.float64) * a["x"],
    "astype": lambda xp, a: xp.astype(a["x"] > 0.5, xp.float32),
    "concat": lambda xp, a: xp.concat([a["v"], xp.reshape(a["x"], (-1,))]),
    "expand_dims": lambda xp, a: xp.expand_dims(a["v"], axis=1),
    "finfo": lambda xp, a: a["x"] * float(xp.finfo(a["x"].dtype).eps),
    "matmul": lambda xp, a: xp.matmul(a["x"], xp.matrix_transpose(a["x"])),
    "matrix_transpose": lambda xp, a: xp.matrix_transpose(a["x"]),
    "max": lambda xp, a: xp.max(a["x"], axis=-1, keepdims=True),
    "maximum": lambda xp, a: xp.maximum(a["x"], 0.4),
    "minimum": lambda xp, a: xp.minimum(a["x"], 0.4),
    "reshape": lambda xp, a: xp.reshape(a["x"], (3, -1)),
    "sum": lambda xp, a: xp.sum(a["x"], axis=(0, 1)),
    "take": lambda xp, a: xp.take(a["x"], a["i"], axis=0),
}
"""One call of each function; those that are missing take x alone."""


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_functions_of_the_core_have_numpys_shapes_and_dtypes(name):
    call = CALLS.get(name, lambda xp, a: getattr(xp, name)(a["x"]))
    tape = Tape(xp)
    got = call(TracingNamespace(tape), {key: tape.input(a.shape, a.dtype) for key, a in ARRAYS.items()})
    expected = call(xp, ARRAYS)
    assert (got.shape, np.dtype(got.dtype)) == (expected.shape, expected.dtype)


def test_no_other_function_is_known():
    for name in ("nonzero", "sin", "einsum", "greater"):
        with pytest.raises(AttributeError, match="not a function that the tracer knows"):
            getattr(TracingNamespace(Tape(xp)), name)


def test_an_operation_is_recorded_once():
    tape = Tape(xp)
    x = tape.input((2, 3), np.dtype("float32"))
    assert x * 2.0 is x * 2.0
    assert x * 2.0 is not x * -2.0
    assert x * 0.0 is not x * -0.0  # equal as numbers, not in what they do
    assert x - (x * 2.0) is not (x * 2.0) - x
    assert x * 1.0 is x
    assert 1.0 * x is x
    assert x[:, :2] is x[:, 0:2]
    assert x[:2] is x


def test_numbers_of_a_call_are_named():
    tape = Tape(xp)
    x, rate = tape.input((2,), np.dtype("float32")), SymbolicScalar(tape, "a[0]")
    assert str(x * (rate * 0.5)).startswith("%")
    assert repr(tape.lines[-1].operands[1]) == "(a[0] * 0.5)"
    assert repr(2.0 - rate) == "(2.0 - a[0])"
    assert (np.arange(2, dtype=np.float32) * rate).shape == (2,)


X = ("float32", (2, 3))


@pytest.mark.parametrize(
    "use",
    [
        lambda x, n: bool(x),
        lambda x, n: float(n),
        lambda x, n: [*x],
        lambda x, n: np.asarray(x),
        lambda x, n: np.sin(x),
        lambda x, n: 1 if n > 0 else 2,
        lambda x, n: x[0],
        lambda x, n: x[::2],
        lambda x, n: x * np.ones((2, 3)),
        lambda x, n: x + np.ones((2, 2), np.float32),
        lambda x, n: x * "2",
        lambda x, n: Tape(xp).input((2, 3), np.dtype("float32")) * x,
    ],
)
def test_what_no_program_can_hold_is_refused(use):
    tape = Tape(xp)
    with pytest.raises((UntraceableError, TypeError)):
        use(tape.input((2, 3), np.dtype("float32")), SymbolicScalar(tape, "a"))


def test_a_kernel_reads_tables_of_the_program_alone():
    """Places in a vector would be those of a block."""
    table = np.array([1.0, 2.0, 4.0])

    def kernel(xp, vectors, numbers):
        place = xp.astype(vectors[0], xp.int64)
        return (xp.take(vectors[0] if numbers else table, place, axis=0),)

    tape = Tape(xp)
    x = tape.input((3,), np.dtype("float64"))
    assert [result.shape for result in tape.kernel([(3, kernel)], [x], ())] == [(3,)]
    with pytest.raises(UntraceableError, match="not element by element"):
        tape.kernel([(3, kernel)], [x], (1.0,))


@pytest.mark.parametrize("shapes", [((2, 3), (3,)), ((4, 1), (1, 5)), ((), (2,)), ((2, 1, 3), (7, 1)), ((1,), (1,))])
def test_broadcasting_is_numpys(shapes):
    assert broadcast(*shapes) == np.broadcast_shapes(*shapes)


def test_a_mode_is_no_array():
    tape = Tape(xp)
    with pytest.raises(UntraceableError, match="an operand of type ForwardContext"):
        tape.input((2,), np.dtype("float32")) * ForwardContext()


def test_lines_that_no_result_needs_are_left_out():
    tape = Tape(xp)
    x, y = (tape.input((2, 3), np.dtype("float32")) for _ in range(2))
    doubled = x * 2.0
    assert (doubled * y).shape == (2, 3)
    program = Graph(tape, [doubled + 1.0])
    assert [line.operation for line in program.lines] == ["input", "input", "multiply", "add"]
    assert str(program).endswith("return %3")


def test_an_ellipsis_stands_for_the_axes_that_are_not_named():
    x = Tape(xp).input((2, 3, 4, 5), np.dtype("float64"))
    assert x[..., 1:3].shape == (2, 3, 4, 2)
    assert x[1:2, ..., 1:3].shape == (1, 3, 4, 2)
    assert x[:, 1:2, ...].shape == (2, 1, 4, 5)
    assert x[0:1, ...].layout == "C"
    assert x[:, 0:1, ...].layout == "rows"


def test_a_view_with_gaps_is_copied_before_it_is_reshaped():
    tape = Tape(xp)
    x = tape.input((2, 3, 4), np.dtype("float64"))
    reshaped = TracingNamespace(tape).reshape(x[:, 1:3, ...], (2, 8))
    assert reshaped.operands[0].operation == "concat"
