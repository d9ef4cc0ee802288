"""Tables with gaps, texts and dates become numbers: as learnt from the rows to train on, and from no others."""

import json
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from portnn import DataError, NeuralNetwork
from portnn.cli import main
from portnn.data.encoding import MAX_ONE_HOT, Column, Encoding
from portnn.data.task import read_task
from portnn.io.readers import read_csv
from portnn.io.tables import Table


def place(row):
    return f"row {row}"


def fit(cells, name="c"):
    return Column.fit(name, np.array(cells), place)


def encoded(column, cells):
    return column.encoded(np.array(cells), place).tolist()


def test_numbers_with_gaps():
    """The median of those that there are, and a feature that says where there is none."""
    for cells in (["1", "", "4", "NaN", "2"], [1, np.nan, 4, np.nan, 2], ["1", "?", "4", "n/a", "2"]):
        column = fit(cells)
        assert (column.kind, column.fill, column.features) == ("number", 2.0, ["c", "c missing"])
        assert encoded(column, cells) == [[1, 0], [2, 1], [4, 0], [2, 1], [2, 0]]
    whole = fit([1, 2, 9])
    assert whole.features == ["c"]
    assert encoded(whole, [5.0, np.nan]) == [[5], [2]]  # a gap where there was none to learn from
    assert encoded(whole, ["5", ""]) == [[5], [2]]
    assert fit([3, 3]).is_informative  # a constant number is the network's own affair


def test_texts():
    cells = ["b", "a", " b ", "", "b", "c"]
    column = fit(cells)
    assert column.features == ["c=b", "c=a", "c=c", "c missing"]
    rows = encoded(column, cells)
    assert rows == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    # What was never seen is the average of what was: it speaks for no value.
    assert encoded(column, ["z"]) == [[3 / 5, 1 / 5, 1 / 5, 0]]
    assert encoded(fit(["u", "v"]), ["", "v"]) == [[1, 0], [0, 1]]
    assert encoded(fit(["007", "x", "y"]), ["007", "7"]) == [[1, 0, 0], [1 / 3] * 3]


def test_of_many_texts_the_most_frequent_have_a_feature():
    cells = [f"v{i}" for i in range(MAX_ONE_HOT + 20) for _ in range(1 + (i < MAX_ONE_HOT) * 3)]
    column = fit(cells)
    assert column.values == tuple(sorted(f"v{i}" for i in range(MAX_ONE_HOT)))
    assert sum(column.shares) == pytest.approx(4 * MAX_ONE_HOT / len(cells))
    assert column.is_informative
    (rare,) = encoded(column, [f"v{MAX_ONE_HOT + 3}"])
    assert rare == list(column.shares)


@pytest.mark.parametrize(
    ("cells", "is_informative", "features"),
    [
        ([f"name {i}" for i in range(100)], False, []),
        ([f"name {i}" for i in range(100)] + [""] * 20, True, ["c missing"]),
        (
            [f"name {i // 2}" for i in range(22)] + ["name 10"],
            True,
            [f"c=name {i}" for i in (10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)],
        ),
        ([f"name {i}" for i in range(10)], True, [f"c=name {i}" for i in range(10)]),
        (["same"] * 5, False, ["c=same"]),
        (["same", "", "same"], True, ["c=same", "c missing"]),
        (["", "", ""], True, ["c missing"]),
    ],
)
def test_texts_that_say_nothing(cells, is_informative, features):
    column = fit(cells)
    assert (column.is_informative, column.features) == (is_informative, features)
    if features == ["c missing"]:
        assert encoded(column, ["name 3", ""]) == [[0], [1]]


def test_dates_are_days():
    cells = ["1970-01-02", "", "1970-01-03 12:00", "1969-12-31T06:00:00"]
    column = fit(cells)
    assert (column.kind, column.fill) == ("date", 1.0)
    assert [row[:1] + row[-1:] for row in encoded(column, cells)] == [[1, 0], [1, 1], [2.5, 0], [-0.75, 0]]
    assert column.timed
    native = np.array(["1970-01-02", "NaT", "1970-01-03T12:00", "1969-12-31T06:00"], "datetime64[s]")
    assert fit(native) == column
    assert encoded(column, native) == encoded(column, cells)
    with pytest.raises(DataError, match="row 2: expected a date; got '1970-02-31', where most"):
        fit(["1970-01-02", "1970-01-02", "1970-02-31"])


def test_times_of_the_day_and_weekdays_lie_on_circles():
    """Midnight beside midnight, Sunday beside Monday; a gap is nowhere on them; dates alone have none."""
    cells = ["2024-03-01 00:00", "2024-03-01 06:00", "2024-03-03 23:59", "", "2024-03-04 12:00"]  # a Friday
    column = fit(cells)
    assert column.features[1:] == [f"c {n} {part}" for n in ("hour", "weekday") for part in ("sine", "cosine")] + [
        "c missing"
    ]
    assert str(column).startswith("c (days, hour, weekday, gaps: ")
    turns = np.array([[0, 4], [0.25, 4], [1439 / 1440, 6], [0, 0], [0.5, 0]])
    expected = np.concatenate([[np.sin(t := 2 * np.pi * turns.T / [[1], [7]]), np.cos(t)]])
    expected = expected.transpose(2, 1, 0).reshape(5, 4)
    expected[3] = 0
    np.testing.assert_allclose(np.array(encoded(column, cells))[:, 1:5], expected, atol=1e-15)
    assert fit(["2024-03-01", "2024-03-02"]).features == ["c"]
    assert fit(["2024-03-01 07:00", "2024-03-02 07:00"]).features == ["c"]
    zoned = fit(["2024-03-01T12:00:00+01:00", "2024-03-01T23:30:00Z"])
    assert (zoned.kind, zoned.timed) == ("instant", True)
    assert encoded(zoned, ["2024-03-01T00:30:00+01:00"]) == encoded(zoned, ["2024-02-29T23:30Z"])
    assert not Column(**{**vars(column), "timed": False}).features[1:-1]  # files made before


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1,163.74", "893.31", "-12,000", "7"], [1163.74, 893.31, -12000, 7]),
        (["1,234,567", "12", "999"], [1234567, 12, 999]),
        (["$1,163", "12,34", "1,16"], None),
        (["0,512", "12,34", "1,16"], None),
    ],
)
def test_thousands_may_be_marked(cells, numbers):
    column = fit(cells)
    if numbers is None:
        assert column.kind == "text"
        return
    assert encoded(column, cells) == [[n] for n in numbers]
    assert f"{cells[0]} is {numbers[0]:.15g}" in str(column)
    assert not fit(["1163.74", "893.31"]).grouped


def test_thousands_beside_decimal_commas_are_an_error():
    with pytest.raises(DataError, match=r"row 1: expected one decimal mark; got 0,5, where others are as 1,163.74"):
        fit(["1,163.74", "0,5", "12"])


def test_a_slip_is_no_text():
    """One word in a column of numbers, and a number where texts were: refused, or taken for what it was."""
    with pytest.raises(DataError, match="row 3: expected a number; got '3,1', where most rows"):
        fit(["1", "2", "", "3,1", "4"])
    with pytest.raises(DataError, match="row 1: expected a finite number; got inf"):
        fit([1.0, np.inf])
    with pytest.raises(DataError, match="row 0: expected a number, as where the model was trained; got red"):
        encoded(fit([1, 2]), ["red", "blue"])
    with pytest.raises(DataError, match=r"row 1: expected a date, as where the model was trained; got 3\.0"):
        encoded(fit(["1970-01-02"]), [np.nan, 3.0])
    column = fit(["1", "x", "2.5", "y"])  # half of them: names
    assert column.kind == "text"
    assert encoded(column, [1.0, 2.5])[0] == encoded(column, ["1", "2.5"])[0]


def test_against_scikit_learn():
    impute, preprocessing = (pytest.importorskip(f"sklearn.{name}") for name in ("impute", "preprocessing"))
    rng = np.random.default_rng(0)
    numbers = np.where(rng.random(80) < 0.2, np.nan, rng.standard_normal(80))
    theirs = impute.SimpleImputer(strategy="median", add_indicator=True).fit(numbers[:60, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.transform(numbers[:, None])
    np.testing.assert_array_equal(encoded(fit(numbers[:60]), numbers), expected)
    texts = rng.choice(["u", "v", "w", "rare"], 80, p=[0.5, 0.3, 0.15, 0.05])
    column = fit(texts[:60])
    hot = preprocessing.OneHotEncoder(categories=[list(column.values)], handle_unknown="ignore").fit(texts[:60, None])
    known = np.isin(texts, column.values)
    np.testing.assert_array_equal(
        np.array(encoded(column, texts))[known], hot.transform(texts[:, None]).toarray()[known]
    )


def test_an_encoding_goes_through_json():
    table = Table("t", {"a": np.array(["x", "y", "x"]), "b": np.array([1.5, np.nan, 2.0])}, header=True)
    encoding, left = Encoding.fit(table, ["a", "b"], np.arange(3))
    again = Encoding.from_config(json.loads(json.dumps(encoding.get_config())))
    assert (again, left) == (encoding, [])
    np.testing.assert_array_equal(again.encoded(table), encoding.encoded(table))
    assert encoding.features == ["a=x", "a=y", "b", "b missing"]
    with pytest.raises(DataError, match="t: expected one of the columns a; got 'b'"):
        encoding.encoded(Table("t", {"a": np.array(["x"])}, header=True))


# ---- the command line


CSV = "sex,age,port,kind\n" + "\n".join(
    f"{'mf'[i % 2]},{'' if i % 7 == 0 else 20 + i % 30},{['S', 'C', ''][i % 3]},{'yes' if i % 2 else 'no'}"
    for i in range(60)
)


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_only_rows_to_train_on_are_learnt_from(tmp_path):
    """A value that is held out alone is unknown to the model, and the median is that of the others."""
    rows = [f"{'rare' if i == 17 else 'ab'[i % 2]},{1000 if i == 17 else i % 5},{i % 2}" for i in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["word,n,kind", *rows]))
    for seed in range(20):
        task, found = read_task(path, "kind", seed=seed)
        layers, loss, output = task.network([4])
        network = NeuralNetwork(*layers, loss=loss, output=output, seed=0)
        network.fit(found.x, found.y)
        word, _ = network._schema.encoding.columns
        held = 1000 in found.x_test.columns["n"]
        assert ("rare" in word.values) != held
        assert network.architecture.features == (len(network._schema.encoding.features),)
        if held:
            return
    raise AssertionError("row 17 was never held out")


def test_train_predict_and_evaluate_from_the_raw_table(tmp_path):
    path, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    path.write_text(CSV)
    result = run("train", path, "--target", "kind", "--save", model)
    assert "features: sex (2 texts), age (number, gaps: 32.5), port (2 texts, gaps: C)" in result.stderr
    assert "accuracy     1.0000" in result.stdout  # sex says it all
    assert "accuracy     1.0000 on 60 rows" in run("evaluate", model, path).stdout
    new = tmp_path / "new.csv"
    new.write_text("port,sex,age,note\nX,f,30,never seen\n,m,,gaps\n")
    assert run("predict", model, new).stdout.split() == ["kind", "yes", "no"]
    new.write_text("port,age\nS,3\n")
    assert "expected the columns it was trained on; got them without 'sex'" in run("predict", model, new, code=2).stderr
    new.write_text("port,sex,age\nS,f,3\nS,f,4\nS,f,old\n")
    assert (
        "new.csv, line 4, column 'age': expected a number, as where the model was trained; got old"
        in run("predict", model, new, code=2).stderr
    )
    assert "every bound holds" in run("check", model, path, "--backends", "array_api_strict", "--steps", "1").stdout


def test_columns_are_chosen(tmp_path):
    path, model = tmp_path / "t.csv", tmp_path / "m.safetensors"
    path.write_text(CSV)
    for options, expected in (
        (("--columns", "sex,age"), ["sex", "age"]),
        (("--drop", "sex"), ["age", "port"]),
        (("--columns", "sex,age,kind", "--drop", "sex"), ["age"]),
    ):
        run("train", path, "--target", "kind", "--save", model, "--plot", tmp_path / "p.png", *options)
        assert NeuralNetwork.load(model).columns == tuple(expected)
    assert "expected one of the columns" in run("train", path, "--target", "kind", "--drop", "sx", code=2).stderr
    assert "expected columns beside" in run("train", path, "--target", "kind", "--drop", "sex,age,port", code=2).stderr


def test_names_are_left_out_and_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,x,kind\n" + "\n".join(f"person {i},{i % 5},{i % 2}" for i in range(100)))
    result = run("train", path, "--target", "kind")
    assert "left out, texts that differ in most rows: name" in result.stderr
    path.write_text("name,kind\n" + "\n".join(f"person {i},{i % 2}" for i in range(100)))
    assert "expected columns to learn from" in run("train", path, "--target", "kind", code=2).stderr


def test_plain_numbers_stay_as_they_are(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,kind\n" + "\n".join(f"{i},{i * i},{i % 2}" for i in range(30)))
    task, rows = read_task(path, "kind")
    assert task.features == 2
    found = [table.columns["a"] for table in (rows.x, rows.x_test)]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(30))
    assert read_csv(path).columns["a"].dtype == np.float64
