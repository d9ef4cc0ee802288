"""Properties of the intake: the same values are the same data, in whatever frame, array or file they come.

Each is tried on a few tables that hypothesis draws, and on 2,000 with HYPOTHESIS_PROFILE=nightly.
"""

import csv
import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnn import NeuralNetwork, Standardize
from portnn.io.readers import read_csv

pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
ROWS = 12

NUMBERS = st.integers(-(10**9), 10**9).map(lambda n: n / 1024)
WORDS = st.sampled_from(["red", "blue", "A03", "x y", "007a", "Ümläut", "1.2.3", "t,f"])
CELLS = {
    "float": NUMBERS,
    "int": st.integers(-1000, 1000),
    "bool": st.booleans(),
    "text": WORDS,
    "date": st.dates(datetime.date(1990, 1, 1), datetime.date(2030, 1, 1)).map(
        lambda day: datetime.datetime(day.year, day.month, day.day)
    ),
}
NAMES = st.sampled_from(["a", "b c", "Größe", "x1", "other", "z.9"])


@st.composite
def tables(draw, kinds=tuple(CELLS), gaps=True):
    """Draw {name: values} of two to four columns of one kind each, None where there is no value."""
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    columns = {}
    for name in names:
        kind = draw(st.sampled_from(kinds))
        values = draw(st.lists(CELLS[kind], min_size=ROWS, max_size=ROWS))
        missing = draw(st.sets(st.integers(0, ROWS - 2), max_size=4)) if gaps else set()
        columns[name] = [None if i in missing else value for i, value in enumerate(values)]
    # A column that says nothing at all is refused: one of numbers is always worth its feature.
    return {**columns, "n": draw(st.lists(NUMBERS, min_size=ROWS, max_size=ROWS))}


def text_of(value):
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def written(path, columns):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*columns], *zip(*(map(text_of, c) for c in columns.values()), strict=True)])
    return path


def forms(columns, folder, data):
    """Yield (name, the same table in another form)."""
    order = data.draw(st.permutations(list(columns)))
    shuffled = {name: columns[name] for name in order}
    index = data.draw(st.lists(st.integers(-5, 5), min_size=ROWS, max_size=ROWS))
    objects = {name: np.array(values, object) for name, values in shuffled.items()}
    yield "pandas, objects", pd.DataFrame(objects, index=index)
    yield "pandas", pd.DataFrame(shuffled, index=index)
    yield "pandas, nullable", pd.DataFrame(shuffled).convert_dtypes()
    yield "polars", pl.DataFrame(shuffled, strict=False)
    halves = [{name: values[part] for name, values in shuffled.items()} for part in (slice(0, 5), slice(5, None))]
    schema = pa.table(shuffled).schema
    yield "pyarrow, in chunks", pa.concat_tables([pa.table(half, schema=schema) for half in halves])
    yield "a file", read_csv(written(folder / "t.csv", shuffled), header=True)
    yield "pandas' reader", pd.read_csv(folder / "t.csv")


def network():
    return NeuralNetwork(Standardize(), 3, 2, output="softmax", loss="cross_entropy", seed=0, backend="numpy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@given(columns=tables(), data=st.data())
def test_the_same_table_in_any_form_is_the_same_data(columns, data, folder):
    """A fit, predictions and scores: of any dtypes, chunks, files; in any order and of any index."""
    y = np.arange(ROWS) % 2
    reference, (_, first) = network(), next(forms(columns, folder, data))
    reference.fit(first, y, validation=0.25)
    expected = reference.predict(first)
    for name, form in forms(columns, folder, data):
        other = network()
        other.fit(form if name == "a file" else _ordered(form, reference.columns), y, validation=0.25)
        np.testing.assert_array_equal(reference.predict(form), expected, err_msg=name)
        assert reference.evaluate(form, y) == reference.evaluate(first, y), name
        np.testing.assert_array_equal(other.predict(first), other.predict(form), err_msg=name)
        if other.columns == reference.columns:
            assert other.fingerprint() == reference.fingerprint(), name


def _ordered(form, names):
    return form.select(list(names)) if hasattr(form, "select") else form[list(names)]


@given(columns=tables(kinds=("float", "int", "bool"), gaps=False), data=st.data())
def test_numbers_in_any_layout_are_the_same_data(columns, data, folder):
    """Arrays of any order in memory and dtype that holds the values, lists, frames and files."""
    x = np.array([[float(value) for value in row] for row in zip(*columns.values(), strict=True)])
    y = np.arange(ROWS) % 2
    reference = network()
    reference.fit(x, y)
    wide = np.zeros((2 * ROWS, 2 * x.shape[1]))
    wide[::2, ::2] = x
    make_layouts = [np.asfortranarray(x), wide[::2, ::2], x[::-1][::-1], x.tolist(), x.astype(">f8")]
    make_layouts += [x.astype(np.longdouble)]
    make_layouts += [x.astype(np.float32)] if (x.astype(np.float32) == x).all() else []
    make_layouts += [form for _, form in forms(columns, folder, data)]
    for layout in make_layouts:
        named = not isinstance(layout, np.ndarray | list)
        layout = _ordered(layout, tuple(columns)) if named else layout
        other = network()
        other.fit(layout, y)
        assert other.fingerprint() == reference.fingerprint(), layout
        np.testing.assert_array_equal(reference.predict(layout), reference.predict(x))


LABELS = st.one_of(
    st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=4, unique=True),
    st.lists(st.text("abcäöü XYZ019_-", min_size=1, max_size=6).filter(str.strip), min_size=2, max_size=4, unique=True),
    st.lists(st.floats(-1e6, 1e6).filter(lambda f: f != int(f)), min_size=2, max_size=4, unique=True),
    st.just([False, True]),
)


@given(labels=LABELS, data=st.data())
def test_any_labels_map_back(labels, data):
    """They come back as they were given, of their type; and each form of them is the same target."""
    picks = [*range(len(labels)), *data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=6, max_size=6))]
    y = [labels[i] for i in picks]
    x = np.array([[float(i), float(i) ** 2] for i in picks])
    targets = [np.array(y, object), pd.Series(y, dtype="category"), pd.Series(y, dtype=object)]
    targets += [y, np.array(y), pd.Series(y), pl.Series(y)] if isinstance(y[0], str) else []
    found = set()
    for target in targets:
        made = NeuralNetwork(Standardize(), 8, len(labels), output="softmax", loss="cross_entropy", seed=0)
        made.fit(x, target, epochs=2)
        found.add(made.fingerprint())
        assert set(made.classes) == set(labels)
        back = made.predict_classes(x).tolist()
        assert {type(label) for label in back} <= {type(label) for label in labels}
        assert set(back) <= set(labels)
        for other in targets:
            accuracy = made.evaluate(x, other, metrics=["accuracy"])["accuracy"]
            assert accuracy == np.mean([one == two for one, two in zip(back, y, strict=True)])
    assert len(found) == 1
