"""Each call of a recorded program has the bits of the same call on the library's namespace, into memory or not."""

import operator

import numpy as np
import pytest

from portnn import get_backend
from portnn.jit.executable import Executable
from portnn.jit.graph import COMPARISONS
from portnn.jit.memory import ALLOCATING_OPS
from portnn.jit.targets import CACHE_LINE_BYTES, NumPyTarget, TorchTarget
from portnn.ops import names

SPECIAL = [0.0, -0.0, 1.0, -1.5, 2.5, 0.3, 1e-40, -1e-40, 3e38, 88.9, -104.0, np.inf, -np.inf, np.nan]
RNG = np.random.default_rng(0)
BITS = {"bitwise_and": operator.and_, "bitwise_xor": operator.xor, "bitwise_right_shift": operator.rshift}
SIGNS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "greater": operator.gt,
    "less": operator.lt,
    "equal": operator.eq,
}
PAIRS = {name: (lambda xp, a, b, f=f: f(a, b)) for name, f in SIGNS.items()}
PAIRS |= {"maximum": lambda xp, a, b: xp.maximum(a, b), "minimum": lambda xp, a, b: xp.minimum(a, b)}
ELEMENTWISE = names("elementwise", "comparison")
UNARY = sorted(ELEMENTWISE - {*PAIRS, *BITS, "astype"})
X = np.array([*SPECIAL, *RNG.standard_normal(30)])
Y = np.array([*reversed(SPECIAL), *RNG.standard_normal(30)])
PLAIN = RNG.standard_normal((5, 7))
WITH_NAN = np.where(RNG.random((5, 7)) < 0.1, np.nan, PLAIN)

CASES = {name: (lambda xp, a, f=name: getattr(xp, f)(a[0]), (X,)) for name in UNARY}
for name, function in PAIRS.items():
    CASES[f"{name} of two"] = lambda xp, a, f=function: f(xp, *a), (X, Y)
    CASES[f"{name} and a number"] = lambda xp, a, f=function: f(xp, a[0], 0.3), (X,)
    for first, second, what in (
        (X[None], Y, "a row and a vector"),
        (X[None], Y[3:4, None], "a row and one"),
        (X[5:6, None], Y[None], "one and a row"),
        (X[1:2, None], Y[2:3], "one and one"),
    ):
        CASES[f"{name} of {what}"] = lambda xp, a, f=function: f(xp, *a), (first, second)
    CASES[f"{name} of what has gaps"] = (
        lambda xp, a, f=function: f(xp, a[0][:, 1:2], a[1]),
        (X.reshape(22, 2), Y[None, :22, None]),
    )
    if name in {*SIGNS} - COMPARISONS:
        CASES[f"a number and {name}"] = lambda xp, a, f=function: f(xp, 0.7, a[0]), (X,)
WHOLE = RNG.integers(-(2**31), 2**31, 40).astype(np.int32)
for name, function in BITS.items():
    CASES[f"{name} and a number"] = lambda xp, a, f=function: f(a[0], 13), (WHOLE,)
CASES["a number and bitwise_xor"] = lambda xp, a: 0x55 ^ a[0], (WHOLE,)
CASES["bitwise_and of two"] = lambda xp, a: a[0] & a[1], (WHOLE, WHOLE[::-1].copy())
for name in ("sum", "max", "min"):
    for axis in (None, 0, 1, (0, 1)):
        for keepdims in (True, False):
            for kind, x in (("numbers", PLAIN), ("NaN", WITH_NAN)):
                CASES[f"{name} of {kind} over {axis}, {keepdims}"] = (
                    lambda xp, a, f=name, axis=axis, k=keepdims: getattr(xp, f)(a[0], axis=axis, keepdims=k),
                    (x,),
                )
for kind in ("float32", "float64", "int32"):
    CASES[f"astype {kind}"] = lambda xp, a, k=kind: xp.astype(a[0], getattr(xp, k)), (PLAIN * 100,)
CASES["astype of truths"] = lambda xp, a: xp.astype(a[0] > 0.1, xp.float32), (X,)
CASES["where"] = lambda xp, a: xp.where(a[0] > 0.1, a[0], a[1]), (X, Y)
CASES["where and a number"] = lambda xp, a: xp.where(a[0] > 0.1, a[0], 0.0), (X,)
CASES["take"] = lambda xp, a: xp.take(a[0], a[1], axis=0), (PLAIN, np.array([4, 0, 0, 2], np.int32))
CASES["searchsorted"] = lambda xp, a: xp.searchsorted(a[0], a[1], side="right"), (np.sort(PLAIN[:, 0]), PLAIN[:, 0])
CASES["concat"] = lambda xp, a: xp.concat([a[0], xp.exp(a[1]), xp.exp(a[0])]), (X[:4], Y[:9])
for m, k, n in ((5, 7, 5), (1, 7, 1), (5, 1, 7), (1, 1, 1), (64, 300, 90)):
    pair = RNG.standard_normal((m, k)), RNG.standard_normal((k, n))
    CASES[f"matmul {m} x {k} x {n}"] = lambda xp, a: xp.matmul(*a), pair
    CASES[f"matmul {m} x {k} x {n}, turned"] = (
        lambda xp, a: xp.matmul(xp.matrix_transpose(a[1]), xp.matrix_transpose(a[0])),
        pair,
    )


def target_of(backend):
    return NumPyTarget() if backend.name == "numpy" else TorchTarget(backend._torch, backend.xp, backend.scope)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_calls_have_the_bits_of_the_librarys_own(case, dtype, recording):
    function, values = CASES[case]
    backend = get_backend(recording)
    target = target_of(backend)
    with np.errstate(over="ignore"):
        arrays = tuple(backend.asarray(v.astype(dtype) if v.dtype.kind == "f" else v) for v in values)

    def alone_and_within(xp, state):
        """The result as the caller's own, and as what another operation reads: in memory that was planned."""
        result = function(xp, state)
        return result, xp.expand_dims(result, axis=0)

    with backend.scope():
        expected = alone_and_within(backend.xp, arrays)
    program = Executable(target, alone_and_within, (backend.xp,), (arrays,), None)
    assert [line.shape for line in program.program.results] == [tuple(each.shape) for each in expected]

    def result_of(program):
        """What it gives for a state that has other values when the program is bound to it."""
        state = tuple(target.aligned(array.shape, array.dtype) for array in arrays)
        run = program.bind(state, None, target.memory(program.size))
        for own, array in zip(state, arrays, strict=True):
            target.names["copyto"](own, array)
        return run()

    got = result_of(program)
    within = Executable(target, lambda *all: alone_and_within(*all)[1:], (backend.xp,), (arrays,), None)
    own = {line.operation for line in within.program.lines} & ALLOCATING_OPS or case == f"astype {dtype}"
    assert within.size or own or not expected[0].shape
    got = (*got, *result_of(within))
    within = Executable(target, lambda xp, _, given: alone_and_within(xp, given), (backend.xp,), ((), arrays), None)
    got = (*got, *within.bind((), None, target.memory(within.size))(arrays))
    for each, own in zip(got, (*expected, expected[1], *expected), strict=True):
        assert (each.dtype, each.shape) == (own.dtype, own.shape)
        assert backend.to_numpy(each).tobytes() == backend.to_numpy(own).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("before", range(1, 9))
def test_products_are_the_same_wherever_they_end(before, dtype, recording):
    """As pieces of a vector, such as weights' gradients: MKL's float64 depends on where its result starts."""
    backend = get_backend(recording)
    target = target_of(backend)
    arrays = tuple(backend.asarray(RNG.standard_normal(n), dtype) for n in (before, 172 * 497, 172 * 450))

    def joined(xp, state):
        first, a, b = state
        product = xp.matmul(xp.matrix_transpose(xp.reshape(a, (172, 497))), xp.reshape(b, (172, 450)))
        return xp.exp(xp.concat([xp.exp(first), xp.reshape(product, (-1,)), first]))

    with backend.scope():
        expected = backend.to_numpy(joined(backend.xp, arrays))
    program = Executable(target, joined, (backend.xp,), (arrays,), None)
    got = backend.to_numpy(program.bind(arrays, None, target.memory(program.size))())
    assert got.tobytes() == expected.tobytes()
    (product,) = (line for line in program.program.lines if line.operation == "matmul")
    place = program._code.plan.locations[product.line]
    aligned = before * expected.itemsize % CACHE_LINE_BYTES == 0
    assert place[0] == ("segment" if aligned or recording == "numpy" else "slot")


def test_pieces_of_a_vector_and_views_of_it_are_told_apart(recording):
    """Of whatever size the first piece is, also where that is the number of the line which stretches the vector."""
    backend = get_backend(recording)
    target = target_of(backend)
    for first in range(1, 9):
        arrays = tuple(backend.asarray(RNG.standard_normal(shape)) for shape in ((first,), (9,), (1, first + 9)))

        def stretched(xp, state):
            a, b, row = state
            return xp.exp(row + xp.concat([a, b]))

        program = Executable(target, stretched, (backend.xp,), (arrays,), None)
        with backend.scope():
            expected = backend.to_numpy(stretched(backend.xp, arrays))
        got = backend.to_numpy(program.bind(arrays, None, target.memory(program.size))())
        assert got.tobytes() == expected.tobytes()


def test_every_operation_is_compared():
    said = " ".join(CASES)
    assert not [name for name in ELEMENTWISE if name not in said]
