"""Data frames: columns are taken by name, and what cannot be used is refused by name."""

import decimal

import numpy as np
import pytest

from portnn import ArgumentError, DataError, DTypeError, NeuralNetwork, PortnnError, Standardize

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
    assert one.fingerprint() == expected.fingerprint()
    np.testing.assert_array_equal(one.predict(pandas.DataFrame(X)[[2, 0, 1]]), one.predict(X))
    with pytest.raises(DataError, match="x: expected the columns it was trained on; got them without '0', '1', '2'"):
        one.predict(named("pandas"))
    one = net()
    one.fit(named("pandas"), Y)  # a frame without names of its own, and an array, are taken as they stand
    np.testing.assert_array_equal(one.predict(pandas.DataFrame(X)), one.predict(X))
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


def test_a_lazy_frame_is_refused():
    polars = pytest.importorskip("polars")
    with pytest.raises(DTypeError, match=r"x: expected real numbers in .*; got LazyFrame"):
        net().fit(polars.LazyFrame({"a": [1.0]}), Y)


# ---- texts, gaps and dates


MIXED = {
    "sex": ["m", "f", "m", "f", "f", "m", "m", "f"],
    "age": [20.0, None, 30.0, 40.0, None, 25.0, 31.0, 22.0],
    "when": [f"2020-01-0{i}" for i in range(1, 9)],
    "port": ["S", "C", None, "S", "C", "S", "S", "C"],
}
KINDS = ["yes", "no", "yes", "no", "no", "yes", "yes", "no"]


def mixed(library, order=tuple(MIXED), dates=True, rows=slice(None)):
    columns = {name: MIXED[name][rows] for name in order}
    if dates:
        import datetime

        columns["when"] = [datetime.datetime.fromisoformat(day) for day in columns["when"]]
    return frame(library, columns)


def inferred(**options):
    return NeuralNetwork(
        Standardize(), 6, "relu", 2, output="softmax", loss="cross_entropy", seed=0, backend="numpy", **options
    )


def by_hand():
    """What the mixed columns become: from all rows."""
    sex = np.array([[s == "f", s == "m"] for s in MIXED["sex"]], float)
    age = np.array([27.5 if a is None else a for a in MIXED["age"]])
    gone = np.array([a is None for a in MIXED["age"]], float)
    port = np.array([[p in ("S", None), p == "C"] for p in MIXED["port"]], float)
    lost = np.array([p is None for p in MIXED["port"]], float)
    return np.column_stack([sex, age, gone, 18262 + np.arange(8), port, lost])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dates", [True, False])
def test_texts_gaps_and_dates(library, dates, tmp_path):
    """A network whose input is open takes the frame; it learns what the numbers by hand teach, and is saved with it."""
    one, plain = inferred(), inferred()
    codes = np.array([kind == "yes" for kind in KINDS], int)
    one.fit(mixed(library, dates=dates), KINDS, epochs=3)
    plain.fit(by_hand(), codes, epochs=3)
    assert one.fingerprint() == plain.fingerprint()
    assert one.classes == ("no", "yes")
    labels = np.array(["no", "yes"])[np.asarray(plain.predict_classes(by_hand()))]
    one.save(tmp_path / "m")
    for each in (one, NeuralNetwork.load(tmp_path / "m"), one.to()):
        np.testing.assert_array_equal(each.predict(mixed(library)), plain.predict(by_hand()))
        shuffled = mixed("pandas", order=("port", "when", "age", "sex"))
        np.testing.assert_array_equal(each.predict_classes(shuffled), labels)
        assert each.evaluate(mixed(library), KINDS, metrics=["f1"]) == plain.evaluate(by_hand(), codes, metrics=["f1"])
    one.step(mixed(library), KINDS), plain.step(by_hand(), codes)
    one.fit(mixed(library), KINDS, validation=(mixed("pandas"), KINDS))
    plain.fit(by_hand(), codes, validation=(by_hand(), codes))
    assert one.fingerprint() == plain.fingerprint()


def test_only_rows_that_stay_are_learnt_from():
    """With a share held out the median is that of the others, and so is what a text is worth."""
    from portnn.nn import random

    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"n": [None, *np.arange(1.0, 24.0) ** 2], "t": list("abcd") * 6})
    y = np.arange(24) % 2
    one = inferred()
    one.fit(x, y, validation=0.5)
    kept, _ = random.split(24, 0.5, 0, y)
    number, text = one._schema.encoding.columns
    assert number.fill == x["n"][kept].median() != x["n"].median()
    assert dict(zip(text.values, text.shares, strict=True)) == x["t"][kept].value_counts(normalize=True).to_dict()


@pytest.mark.parametrize("kind", ["labels", "one column", "texts", "probability", "one-hot", "texts of two classes"])
def test_what_is_learnt_from_is_what_stays_whatever_the_targets_are(kind):
    """One split: classes give their shares where the loss takes labels, rows at random elsewhere."""
    from unittest.mock import patch

    from portnn.nn import random

    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame({"n": [None, *np.arange(1.0, 24.0) ** 2]})
    y = np.array([0] * 17 + [1] * 7)
    output, loss = (
        ("sigmoid", "binary_cross_entropy") if kind.endswith(("ty", "classes")) else ("softmax", "cross_entropy")
    )
    targets = {
        "labels": y, "one column": y[:, None], "texts": np.array(["no", "yes"])[y], "probability": y * 1.0,
        "one-hot": np.eye(2)[y], "texts of two classes": np.array(["no", "yes"])[y],
    }[kind]  # fmt: skip
    one = NeuralNetwork(Standardize(), 4, 1 if output == "sigmoid" else 2, output=output, loss=loss, seed=0)
    with patch.object(random, "split", wraps=random.split) as split:
        one.fit(x, targets, validation=0.5)
    (fit, _), (kept, _) = (random.split(*call.args) for call in split.call_args_list)
    np.testing.assert_array_equal(fit, kept)
    assert one._schema.encoding.columns[0].fill == x["n"][kept].median()


@pytest.mark.parametrize("kind", ["list", "object", "text", "series", "category", "polars"])
def test_labels_that_are_texts(kind):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    y = {
        "list": KINDS,
        "object": np.array(KINDS, object),
        "text": np.array(KINDS),
        "series": pandas.Series(KINDS),
        "category": pandas.Series(KINDS, dtype="category"),
        "polars": polars.Series(KINDS),
    }[kind]
    one, other = (NeuralNetwork(3, 4, 2, output="softmax", loss="cross_entropy", seed=0) for _ in range(2))
    one.fit(X, y, epochs=2, validation=0.25)
    other.fit(X, [kind == "yes" for kind in KINDS] * np.array(1), epochs=2, validation=0.25)
    assert one.fingerprint() == other.fingerprint()
    assert set(one.predict_classes(X)) <= {"yes", "no"}
    for _ in range(3):
        one.step(X, y)
    with pytest.raises(DataError, match="y: expected the classes no, yes; got 'maybe'"):
        one.evaluate(X, ["maybe"] * 8)
    with pytest.raises(DataError, match="y: expected a value in every row; got 1 of 8 missing"):
        one.fit(X, ["", *KINDS[1:]])
    binary = NeuralNetwork(3, 1, output="sigmoid", loss="binary_cross_entropy", seed=0)
    binary.fit(X, y)
    assert set(binary.predict_classes(X)) <= {"yes", "no"}
    assert NeuralNetwork(output="softmax", loss="cross_entropy", seed=0).fit(X, y).loss
    other.fit(X, [0, 1] * 4)
    with pytest.raises(ArgumentError, match="y: expected whole numbers, as the labels that it was trained on"):
        other.fit(X, y)


def test_weights_of_classes_go_by_the_labels():
    """Of texts too: never by their places."""
    weight = {"yes": 3.0, "no": 0.5}
    one, other = (NeuralNetwork(3, 4, 2, output="softmax", loss="cross_entropy", seed=0) for _ in range(2))
    one.fit(X, KINDS, sample_weight=weight)
    other.fit(X, KINDS, sample_weight=[weight[kind] for kind in KINDS])
    assert one.fingerprint() == other.fingerprint()
    assert one.evaluate(X, KINDS, sample_weight=weight) == other.evaluate(
        X, KINDS, sample_weight=[weight[k] for k in KINDS]
    )
    for wrong in ({0: 0.5, 1: 3.0}, {"yes": 3.0}):
        with pytest.raises(DataError, match="sample_weight: expected a weight for each class; got none for no"):
            one.fit(X, KINDS, sample_weight=wrong)


TEXTS = ["0.5", "-1.25", "10", "9", "1e-2", " 3 ", "+4", "0"]


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "sse", "half_sse"])
@pytest.mark.parametrize("kind", ["list", "tuple", "object", "text", "series", "category", "decimals", "polars"])
def test_targets_that_are_numbers_as_texts_are_numbers(kind, loss):
    """Where the loss compares values: neither the ranks of the texts nor classes."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    y = {
        "list": TEXTS,
        "tuple": tuple(TEXTS),
        "object": np.array(TEXTS, object),
        "text": np.array(TEXTS),
        "series": pandas.Series(TEXTS),
        "category": pandas.Series(TEXTS, dtype="category"),
        "decimals": pandas.Series([decimal.Decimal(text.strip()) for text in TEXTS]),
        "polars": polars.Series(TEXTS),
    }[kind]
    one, other = (NeuralNetwork(3, 4, 1, loss=loss, seed=0) for _ in range(2))
    one.fit(X, y, epochs=2, validation=0.25)
    other.fit(X, np.array([float(text) for text in TEXTS]), epochs=2, validation=0.25)
    assert one.fingerprint() == other.fingerprint()
    assert one.classes is None
    assert one.evaluate(X, y) == other.evaluate(X, [float(text) for text in TEXTS])
    assert NeuralNetwork(loss=loss, seed=0).fit(X, y).loss


@pytest.mark.parametrize("text", ["yes", "1_0", "0,5", "nan", "inf", ""])
def test_targets_that_are_no_numbers_are_refused_where_the_loss_compares_values(text):
    one = NeuralNetwork(3, 4, 1, loss="mse", seed=0)
    before = one.fingerprint()
    missing = "y: expected a value in every row; got 1 of 8 missing"
    expected = {"": missing, "nan": f"{missing} ('nan')", "inf": "y: expected finite"}
    named = (
        f'y: expected numbers, which the loss compares; got {text!r} in row 7. Class labels need loss="cross_entropy"'
    )
    with pytest.raises(DataError) as caught:
        one.fit(X, [*TEXTS[:7], text])
    assert str(caught.value).startswith(expected.get(text, named))
    assert one.fingerprint() == before
    with pytest.raises(DTypeError, match="y: integer targets need a named loss"):
        NeuralNetwork(3, 4, 1, seed=0).fit(X, ["1", "2"] * 4)


def test_what_cannot_be_learnt_from_a_frame_is_refused():
    pandas = pytest.importorskip("pandas")
    one = inferred()
    one.fit(mixed("pandas"), KINDS)
    before = one.fingerprint()
    for change, message in (
        (lambda x: x.drop(columns="age"), "x: expected the columns it was trained on; got them without 'age'"),
        (lambda x: x.assign(more=1), "got them with 'more' beside them"),
        (lambda x: x.assign(age="old"), "x, row 0, column 'age': expected a number, as where the model was trained"),
    ):
        with pytest.raises(DataError, match=message):
            one.predict(change(mixed("pandas")))
    assert one.fingerprint() == before
    unknown = mixed("pandas").assign(sex="x", port=None)
    assert np.isfinite(one.predict(unknown)).all()
    with pytest.raises(DataError, match="x: expected columns to learn from"):
        inferred().fit(pandas.DataFrame({"name": [f"n{i}" for i in range(30)]}), np.arange(30) % 2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_is_what_its_csv_is(library, tmp_path):
    """The same features from the raw file, as the command line reads it, and from the library's own reader."""
    from portnn.data.encoding import Encoding
    from portnn.data.frames import frame_table
    from portnn.io.readers import read_csv

    path = tmp_path / "t.csv"
    rows = zip(*MIXED.values(), strict=True)
    path.write_text("\n".join(",".join("" if v is None else str(v) for v in row) for row in (MIXED, *rows)))
    tables = read_csv(path), frame_table("x", pytest.importorskip(library).read_csv(path))
    encodings = [Encoding.fit(table, list(MIXED), np.arange(8))[0] for table in tables]
    assert encodings[0] == encodings[1]
    np.testing.assert_array_equal(encodings[0].encoded(tables[1]), encodings[1].encoded(tables[0]))
    np.testing.assert_array_equal(encodings[0].encoded(tables[0]), by_hand())
