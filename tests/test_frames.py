"""Data frames: columns are taken by name, and what cannot be used is refused by name."""

import numpy as np
import pytest

from portnn import DataError, DTypeError, NeuralNetwork, PortnnError, Standardize

X = np.random.default_rng(0).random((8, 3))
Y = np.random.default_rng(1).random((8, 2))
LIBRARIES = ("pandas", "polars", "pyarrow")


def frame(library, columns):
    """Return a data frame of that library from {name: values}."""
    module = pytest.importorskip(library)
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


def named(library, x=X, order="abc"):
    return frame(library, {name: x[:, "abc".index(name)] for name in order})


def net(**options):
    return NeuralNetwork(3, Standardize(), 4, 2, **{"seed": 0, "backend": "numpy", **options})


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("later", LIBRARIES)
def test_columns_are_taken_by_name(library, later, tmp_path):
    expected, one = net(), net()
    expected.fit(X, Y)
    one.fit(named(library), Y)
    assert one.fingerprint() == expected.fingerprint()
    for order in ("abc", "cab", "bca"):
        shuffled = named(later, order=order)
        np.testing.assert_array_equal(one.predict(shuffled), expected.predict(X))
        assert one.evaluate(shuffled, Y) == expected.evaluate(X, Y)
    np.testing.assert_array_equal(one.predict(X), expected.predict(X))  # an array has its order alone
    one.save(tmp_path / "m")
    for other in (NeuralNetwork.load(tmp_path / "m"), one.to(), one.to(dtype="float32")):
        np.testing.assert_array_equal(other.predict(named(later, order="cba")), expected.predict(X))
    one.fit(named(later, order="bac"), Y)
    one.step(named(later, order="cba"), Y)
    expected.fit(X, Y)
    expected.step(X, Y)
    assert one.fingerprint() == expected.fingerprint()


def test_validation_data_are_taken_by_name_too():
    one, expected = net(), net()
    history = one.fit(named("pandas"), Y, validation=(named("pandas", order="cba"), Y))
    assert history.metrics == expected.fit(X, Y, validation=(X, Y)).metrics


def test_targets_are_taken_by_name():
    pandas = pytest.importorskip("pandas")
    targets = pandas.DataFrame({"u": Y[:, 0], "v": Y[:, 1]})
    one, expected = net(), net()
    one.fit(X, targets)
    expected.fit(X, Y)
    assert one.evaluate(X, targets[["v", "u"]]) == expected.evaluate(X, Y)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("ab", r"x: expected the columns it was trained on; got them without 'c'"),
        ("abcd", r"got them with 'd' beside them"),
        ("abd", r"got them without 'c' and with 'd' beside them"),
    ],
)
def test_other_columns_are_refused(library, order, message):
    one = net()
    one.fit(named(library), Y)
    before = one.fingerprint()
    wide = np.concatenate([X, X], axis=1)
    given = frame(library, {name: wide[:, "abcd".index(name)] for name in order})
    for call in (one.predict, lambda x: one.fit(x, Y), lambda x: one.step(x, Y), lambda x: one.evaluate(x, Y)):
        with pytest.raises(DataError, match=message):
            call(given)
    assert one.fingerprint() == before


def test_names_are_those_of_data_that_were_used():
    one = net()
    with pytest.raises(PortnnError):
        one.fit(named("pandas", order="cba"), Y[:3])
    one.fit(named("pandas"), Y)
    np.testing.assert_array_equal(one.predict(named("pandas", order="cba")), one.predict(X))


def test_frames_without_names():
    pandas = pytest.importorskip("pandas")
    one, expected = net(), net()
    one.fit(pandas.DataFrame(X), Y)
    expected.fit(X, Y)
    np.testing.assert_array_equal(one.predict(named("pandas", order="cba")), one.predict(X[:, ::-1]))
    assert one.fingerprint() == expected.fingerprint()
    with pytest.raises(DataError, match="x: expected different columns; got 'a' twice"):
        net().fit(pandas.DataFrame(X, columns=list("aba")), Y)


@pytest.mark.parametrize("library", LIBRARIES)
def test_kinds_of_columns(library):
    columns = {"a": [1, 2, 3, 4], "b": [True, False, True, False], "c": np.float32([0.5, 1.5, 2.5, 3.5])}
    one, expected = net(), net()
    one.fit(frame(library, columns), Y[:4])
    expected.fit(np.stack([np.asarray(values, np.float64) for values in columns.values()], axis=1), Y[:4])
    assert one.fingerprint() == expected.fingerprint()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ([1.0, 2.0, float("nan"), 4.0], DataError, r"NaN or infinity in row 2, column 'b'"),
        ([1, None, 3, 4], DataError, r"column 'b'"),
        (["u", "v", "w", "w"], DTypeError, r"x, column 'b': expected real numbers; got dtype"),
    ],
)
def test_what_is_no_number_is_named(library, values, error, message):
    given = frame(library, {"a": [1.0, 2.0, 3.0, 4.0], "b": values, "c": [1, 2, 3, 4]})
    for one in (net(), NeuralNetwork(3, 2, seed=0)):
        with pytest.raises(error, match=message):
            one.fit(given, Y[:4])
        assert one.step_count == 0


def test_nullable_columns():
    pandas = pytest.importorskip("pandas")
    whole = pandas.DataFrame(np.arange(12).reshape(4, 3), columns=list("abc"))
    expected = net()
    expected.fit(whole.to_numpy(), Y[:4])
    for dtype in ("Int64", "Float64", "int64[pyarrow]"):
        if "pyarrow" in dtype:
            pytest.importorskip("pyarrow")
        nullable = whole.astype(dtype)
        one = net()
        one.fit(nullable, Y[:4])
        assert one.fingerprint() == expected.fingerprint()
        nullable.loc[2, "b"] = pandas.NA
        for method, arguments in (("predict", ()), ("fit", (Y[:4],))):
            with pytest.raises(DataError, match=r"x, column 'b': expected a value in every row; got 1 of 4 missing"):
                getattr(one, method)(nullable, *arguments)
    labels = pandas.Series([0, 1, 0, 1], dtype="Int64")
    classifier = NeuralNetwork(3, 2, output="softmax", loss="cross_entropy", seed=0)
    other = NeuralNetwork(3, 2, output="softmax", loss="cross_entropy", seed=0)
    assert classifier.fit(X[:4], labels).loss == other.fit(X[:4], [0, 1, 0, 1]).loss
    labels[1] = pandas.NA
    with pytest.raises(DataError, match="y: expected a value in every row; got 1 of 4 missing"):
        classifier.fit(X[:4], labels)


def test_a_lazy_frame_is_refused():
    polars = pytest.importorskip("polars")
    with pytest.raises(DTypeError, match=r"x: expected real numbers in .*; got LazyFrame"):
        net().fit(polars.LazyFrame({"a": [1.0]}), Y)
