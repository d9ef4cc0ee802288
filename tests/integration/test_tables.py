"""One way for tables: what a column or a label means is the same for whoever trains and whoever predicts."""

import contextlib
import csv
import datetime
import importlib
import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import portnn
from portnn import DataError, NeuralNetwork, Rescale, Standardize, Tabular, Unstandardize
from portnn.cli import main
from portnn.io.categories import Categories
from portnn.io.readers import read_table

pd = pytest.importorskip("pandas")
KEPT = Path(__file__).parents[1] / "kept"
RNG = np.random.default_rng(0)


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def trained(path, target, model, *options):
    return run("train", path, "--target", target, "--save", model, "--plot", model.with_suffix(".l.png"), *options)


def predicted(model, path, *options):
    return list(csv.reader(io.StringIO(run("predict", model, path, *options).stdout)))


def classifier(*layers, **options):
    made = layers or (Standardize(), 4, 2)
    return NeuralNetwork(*made, output="softmax", loss="cross_entropy", seed=0, backend="numpy", **options)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A table with texts, gaps, bools, dates and text labels, and the frame that pandas makes of it."""
    path, rng = tmp_path_factory.mktemp("mixed") / "t.csv", np.random.default_rng(1)
    colours, sizes = rng.choice(["red", "blue", "007"], 120), rng.standard_normal(120).round(3)
    lines = [
        f"{colours[i]},{'' if i % 7 == 0 else sizes[i]},{i % 3 == 0},{datetime.date(2024, 1, 1 + i % 28)},v{i % 50},"
        f"{'yes' if colours[i] == 'red' else 'no'}"
        for i in range(120)
    ]
    path.write_text("\n".join(["colour,size,round,day,code,kind", *lines]) + "\n")
    frame = pd.read_csv(path, dtype={"colour": str})
    return path, frame.assign(day=pd.to_datetime(frame["day"]))


# ---- the command line and Python


def test_what_the_command_line_trained_predicts_frames(mixed, tmp_path):
    """To the bit: outputs, labels and scores, of columns in any order; and a fit on the same rows is the same fit."""
    path, frame = mixed
    model = tmp_path / "m.safetensors"
    trained(path, "kind", model, "--epochs", "3")
    network = NeuralNetwork.load(model)
    shuffled = frame[["day", "code", "size", "round", "colour"]]
    header, *rows = predicted(model, path, "--outputs")
    assert header == ["no", "yes"] == list(network.classes)
    np.testing.assert_array_equal(network.predict(shuffled), np.array(rows, np.float32))
    assert network.predict_classes(shuffled).tolist() == [label for (label,) in predicted(model, path)[1:]]
    assert network.columns == ("colour", "size", "round", "day", "code")
    assert network.target_columns == ("kind",)
    scores = json.loads(run("evaluate", model, path, "--json").stdout)
    found = network.evaluate(shuffled, frame["kind"], metrics=["accuracy"])
    assert (scores["loss"], scores["accuracy"]) == (found["loss"], found["accuracy"])
    run("check", model, path, "--backends", "array_api_strict", "--steps", "1")
    again = tmp_path / "again.safetensors"
    run("train", path, "--continue", model, "--epochs", "2", "--save", again, "--plot", tmp_path / "a.png")
    kept, _ = portnn.nn.random.split(120, 0.2, 0, frame["kind"] == "yes")
    network.fit(frame.iloc[kept].drop(columns="kind"), frame["kind"].iloc[kept], epochs=2)
    assert NeuralNetwork.load(again).fingerprint() == network.fingerprint()


def test_what_python_trained_predicts_files(mixed, tmp_path):
    path, frame = mixed
    model = tmp_path / "m.safetensors"
    network = classifier(Tabular(), 4, 2)
    network.fit(frame.drop(columns="kind"), frame["kind"], epochs=3)
    network.save(model)
    shuffled = tmp_path / "shuffled.csv"
    frame[["kind", "day", "round", "code", "colour", "size"]].to_csv(shuffled, index=False)
    for each in (path, shuffled):
        x = frame.drop(columns="kind")
        expected = network.predict(x)
        np.testing.assert_array_equal(np.array(predicted(model, each, "--outputs")[1:], np.float32), expected)
        assert [label for (label,) in predicted(model, each)[1:]] == network.predict_classes(x).tolist()
        found = json.loads(run("evaluate", model, each, "--json").stdout)
        assert found["loss"] == network.evaluate(x, frame["kind"])["loss"]
    run("check", model, path, "--backends", "array_api_strict", "--steps", "1")
    run("train", path, "--continue", model, "--epochs", "1", "--save", tmp_path / "n", "--plot", tmp_path / "n.png")


def test_one_training_whoever_asks_for_it(mixed, tmp_path):
    """The same network, and the defaults of the command line, named in Python; from a checkpoint too."""
    path, frame = mixed
    model = tmp_path / "m.safetensors"
    trained(path, "kind", model, "--epochs", "3", "--checkpoint", tmp_path / "run")
    kept, _ = portnn.nn.random.split(120, 0.2, 0, frame["kind"] == "yes")
    x, y = frame.iloc[kept].drop(columns="kind"), frame["kind"].iloc[kept]
    network = classifier(Tabular(), 100, 2, optimizer=portnn.default_optimizer(len(x)))
    network.fit(x, y, **portnn.fit_options(len(x), epochs=3))
    assert network.fingerprint() == NeuralNetwork.load(model).fingerprint()
    checkpoint = NeuralNetwork.load(tmp_path / "run")
    assert checkpoint._schema == NeuralNetwork.load(model)._schema
    options = portnn.fit_options(2000)
    assert (options["validation"], options["epochs"], options["callbacks"][0].patience) == (0.1, 60, 10)
    assert portnn.fit_options(100)["epochs"] == 250
    assert [portnn.default_optimizer(rows).weight_decay for rows in (1, 500, 1000)] == [1.0, 1.0, 0.5]
    assert "validation" not in portnn.fit_options(100)


@pytest.mark.parametrize("options", [(), ("--validation", "0.2"), ("--loss", "mae"), ("--no-standardize",)])
def test_numbers_are_learnt_from_texts_and_gaps(options, mixed, tmp_path):
    """A regression: the same network by the command line, and in Python from a frame and its column."""
    path, frame = tmp_path / "t.csv", mixed[1].rename(columns={"kind": "answer"})
    frame["price"] = (RNG.random(len(frame)) + 3 * (frame["answer"] == "yes")).round(3)
    frame.to_csv(path, index=False)
    model = tmp_path / "m.safetensors"
    trained(path, "price", model, "--epochs", "2", *options)
    first, last = ("identity", ()) if "--no-standardize" in options else (Tabular(), (Unstandardize(),))
    kept, _ = portnn.nn.random.split(120, 0.2, 0)
    made = {"loss": "mae" if "mae" in options else "mse", "seed": 0, "backend": "numpy"}
    made["optimizer"] = portnn.default_optimizer(len(kept))
    network = NeuralNetwork(first, 100, 1, *last, **made)
    share = 0.2 if "--validation" in options else None
    fit = portnn.fit_options(len(kept), epochs=2, validation=share)
    network.fit(frame.iloc[kept].drop(columns="price"), frame["price"].iloc[kept], **fit)
    assert NeuralNetwork.load(model).fingerprint() == network.fingerprint()


def test_a_model_says_how_it_reads(mixed, tmp_path):
    path, frame = mixed
    network = classifier(Tabular(), 4, 2)
    network.fit(frame.drop(columns="kind"), frame["kind"])
    median = f"{frame['size'].median():g}"
    reads = f"reads colour (3 texts), size (number, gaps: {median}), round (bool), day (days), code (50 texts, each a "
    assert network.summary().splitlines()[-2:] == [reads + "vector)", "predicts kind (no, yes)"]
    network.save(tmp_path / "m")
    said = run("predict", tmp_path / "m", path, "--verbose")
    assert said.stderr == network.summary() + "\n"
    assert said.stdout == run("predict", tmp_path / "m", path).stdout
    network = NeuralNetwork(2, Standardize(), 1, seed=0)
    assert "reads" not in network.summary()
    network.fit(frame[["size", "round"]].fillna(0), frame["size"].fillna(0))
    assert network.summary().splitlines()[-2:] == ["reads size (number), round (number)", "predicts size"]
    old = NeuralNetwork.load(KEPT / "cli-pixels.model").summary().splitlines()[-3:]
    assert old[1:] == ["bytes are divided by 255", "predicts classes (3, 4)"]


@pytest.mark.parametrize("name", ["cli-mixed", "cli-labels", "cli-regression", "cli-pixels", "python-mixed"])
def test_models_of_before_predict_as_before(name):
    """Files of both kinds, written before columns and classes had one place; what they predicted stands beside them."""
    model, before = KEPT / f"{name}.model", json.loads((KEPT / "predictions.json").read_text())[name]
    network, data = NeuralNetwork.load(model), KEPT / before["data"]
    if name == "python-mixed":
        frame = pd.read_csv(data)
        np.testing.assert_allclose(network.predict(frame.drop(columns="kind")), before["predict"], rtol=1e-5)
        assert [label for (label,) in predicted(model, data)[1:]] == before["labels"]
        return
    outputs = list(csv.reader(io.StringIO(before["outputs"])))
    header, *rows = predicted(model, data, "--outputs")
    assert header == outputs[0]
    np.testing.assert_allclose(np.array(rows, float), np.array(outputs[1:], float), rtol=1e-5)
    labels = list(csv.reader(io.StringIO(before["predict"])))
    if name != "cli-regression":
        assert predicted(model, data) == labels
    if "evaluate" in before:
        lines = [" ".join(line.split()[:4]) for line in before["evaluate"].splitlines() if "loss" not in line]
        found = [" ".join(line.split()[:4]) for line in run("evaluate", model, data).stdout.splitlines()]
        assert [line for line in found if "loss" not in line] == lines
    if name == "cli-pixels":  # read from the file batch by batch too
        mapped, y = np.load(data, mmap_mode="r"), [int(label) for (label,) in labels[1:]]
        np.testing.assert_array_equal(network.predict(mapped), network.predict(np.load(data)))
        assert network.evaluate(mapped, y) == network.evaluate(np.load(data), y)
        one, other = network.to(), network.to()
        for _ in range(3):
            one.step(np.load(data), y)
            other.step(np.load(data) / np.float32(255), y)
        assert one.fingerprint() == other.fingerprint()
    x = np.load(data) if name == "cli-pixels" else pd.read_csv(data)[list(network.columns)[::-1]]
    np.testing.assert_allclose(network.predict(x), np.array(rows, float), rtol=1e-5)
    if name == "cli-labels":  # as they were: whole numbers
        assert network.predict_classes(x).tolist() == [int(label) for (label,) in labels[1:]]


@pytest.mark.parametrize("columns", [None, ["a"], 1])
def test_metadata_of_a_users_own_stay(columns, tmp_path):
    """Under whatever names: what the command line once kept there is told by what is missing elsewhere."""
    network = classifier(2, 3)
    metadata = {"columns": columns, "target": "mine", "classes": ["u"], "task": "t", "encoding": None}
    network.fit(pd.DataFrame(RNG.random((6, 2)), columns=["a", "b"]), list("uvwuvw"))
    network.metadata = metadata
    network.save(tmp_path / "m")
    again = NeuralNetwork.load(tmp_path / "m")
    assert (again.metadata, again.classes, again.columns) == (metadata, ("u", "v", "w"), ("a", "b"))


# ---- columns by name


def test_columns_of_files_are_taken_by_name(tmp_path):
    """Of a model that Python trained on a frame; also where the names are numbers."""
    x = RNG.standard_normal((40, 3))
    for names in (["a", "b", "c"], [0, 1, 2], [2022, 2023, 2024]):
        frame = pd.DataFrame(x, columns=names)
        network = NeuralNetwork(3, Standardize(), 2, seed=0)
        network.fit(frame, x[:, :2])
        network.save(tmp_path / "m")
        frame[names[::-1]].to_csv(tmp_path / "d.csv", index=False)
        found = np.array(predicted(tmp_path / "m", tmp_path / "d.csv", "--header")[1:], np.float32)
        np.testing.assert_array_equal(found, network.predict(x))
        for renamed in ({names[0]: "other"}, {name: f"{name} too" for name in names}):
            frame.rename(columns=renamed).to_csv(tmp_path / "d.csv", index=False)
            message = run("predict", tmp_path / "m", tmp_path / "d.csv", "--header", code=2).stderr
            assert f"d.csv: expected the columns it was trained on; got them without '{names[0]}'" in message


@pytest.mark.parametrize(
    "names", [[0, 1, 2], [2020, 2021, 2022], ["a", 1, 2.5], [("u", 1), ("u", 2), ("v", 1)], [True, "x", None]]
)
def test_names_that_are_no_texts(names, tmp_path):
    columns = pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else names
    x = RNG.standard_normal((20, 3))
    frame = pd.DataFrame(x, columns=columns)
    network = NeuralNetwork(3, Standardize(), 3, seed=0, loss="mse")
    network.fit(frame, frame, epochs=2)
    network.save(tmp_path / "m")
    for each in (network, NeuralNetwork.load(tmp_path / "m")):
        shuffled = frame.iloc[:, [2, 0, 1]]
        np.testing.assert_array_equal(each.predict(shuffled), each.predict(x))
        assert each.evaluate(shuffled, shuffled) == each.evaluate(x, x)
        with pytest.raises(DataError, match="expected the columns it was trained on"):
            each.predict(frame.iloc[:, :2])


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("0,1,2,3\n5.1,3.5,1.4,1\n4.9,3.0,1.4,2\n4.7,3.2,1.3,1\n", True),
        ("0,1,2,kind\n5.1,3.5,1.4,a\n4.9,3.0,1.4,b\n4.7,3.2,1.3,a\n", True),
        (",0,1\n0,5.1,3.5\n1,4.9,3.0\n", True),
        ("2019,2020,2022\n5,3,1\n4,3,7\n", True),
        ("2019,2020,price\n5,3,1\n4,3,7\n", True),
        ("0,1\n1,0\n1,1\n0,0\n", False),
        ("1,2,3\n2,4,6\n3,6,9\n", False),
        ("100,200\n90,180\n80,160\n", False),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n4.7,3.2,virginica\n", False),
        ("1,2\n3,4\n", False),
    ],
)
def test_a_header_of_numbers_is_told_from_data(text, header, tmp_path, caplog):
    path = tmp_path / "d.csv"
    path.write_text(text)
    rows = len(text.splitlines())
    with caplog.at_level(logging.WARNING, "portnn"):
        table = read_table(path)
    assert (table.header, table.rows) == (header, rows - header)
    assert ("is read as a header; --no-header" in caplog.text) == header
    for given in (True, False):
        assert read_table(path, given).rows == rows - given


ROWS = ["40-49,premeno,yes,left", "50-59,ge40,no,left", "40-49,ge40,yes,right", "50-59,premeno,no,right"]


def test_a_first_row_of_texts_that_occurs_again_is_data(tmp_path, caplog):
    """Each cell in its column; what was decided is said in one line."""
    path = tmp_path / "d.csv"
    path.write_text("\n".join(ROWS) + "\n")
    with caplog.at_level(logging.WARNING, "portnn"):
        table = read_table(path)
    assert (table.header, table.rows) == (False, 4)
    shown = f"{path}: its first row, 40-49, premeno, yes, left, occurs again below: it is read as data; --header "
    assert [record.getMessage() for record in caplog.records] == [shown + "(header=True): as a header"]
    assert read_table(path, True).rows == 3
    path.write_text("\n".join(["age,menopause,yes,left", *ROWS]) + "\n")
    assert read_table(path).rows == 4


def test_columns_count_from_the_end(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("a,b,c\n" + "".join(f"{i},{-i},{i % 2}\n" for i in range(20)))
    for name, column in (("-1", "c"), ("-2", "b"), ("-3", "a")):
        assert read_table(path).column(name) == column
    for name in ("-4", "0", "-", "--1"):
        with pytest.raises(DataError, match=f"expected one of the columns a, b, c; got '{name}'"):
            read_table(path).column(name)
    trained(path, "-1", tmp_path / "m", "--epochs", "1")
    assert NeuralNetwork.load(tmp_path / "m").target_columns == ("c",)
    path.write_text("-1,b\n1,2\n3,4\n")
    assert read_table(path, True).column("-1") == "-1"


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "check"])
def test_other_encodings_are_named(command, tmp_path):
    path, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
    text = "stadt,größe,art\n" + "".join(f"{'KölnBern'[i % 2 * 4 :][:4]},{i},{'äb'[i % 2]}\n" for i in range(40))
    path.write_bytes(text.encode())
    trained(path, "art", model, "--epochs", "1")
    (tmp_path / "latin.csv").write_bytes(text.encode("latin-1"))
    options = {"train": ["--target", "art"], "check": ["--backends", "array_api_strict", "--steps", "1"]}
    arguments = [command, *([] if command == "train" else [model]), tmp_path / "latin.csv", *options.get(command, [])]
    refused = run(*arguments, code=2)
    assert "expected a CSV file of UTF-8 text; " in refused.output
    assert "--encoding (encoding=) names another: latin-1" in refused.output
    found = run(*arguments, "--encoding", "latin-1")
    if command == "predict":
        assert found.stdout == run("predict", model, path).stdout
    for name in ("klingon", "base64"):
        assert "encoding: expected utf-8, latin-1" in run(*arguments, "--encoding", name, code=2).output


def test_a_mark_at_the_beginning_of_utf_8_is_no_name(tmp_path):
    path = tmp_path / "d.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-8-sig"))
    for encoding in (None, "utf-8", "UTF8"):
        assert list(read_table(path, encoding=encoding).columns) == ["a", "b"]


# ---- numbers of which thousands are marked, and times


def frames(frame):
    """A frame of pandas, and the same of polars and pyarrow, where they are installed."""
    yield frame
    for name in ("polars", "pyarrow"):
        with contextlib.suppress(ImportError):
            library = importlib.import_module(name)
            yield getattr(library, "Table", library).from_pandas(frame)


AMOUNTS = [1163.74, 893.31, 12000.0, 7.5, 2000000.25]


def amounts(rows, form):
    """The amounts as texts; "," and "." by ``form``: 1,163.74 or 1.163,74."""
    texts = [f"{AMOUNTS[i % 5] + i:,.2f}" for i in range(rows)]
    return [text.translate(str.maketrans(",.", ".,")) if form == "1.163,74" else text for text in texts]


@pytest.mark.parametrize("form", ["1,163.74", "1.163,74"])
def test_thousands_in_files_and_frames(form, tmp_path, caplog):
    """The same network as of plain numbers, to the bit; what was read is said, and kept with the model."""
    paths = {name: tmp_path / f"{name}.csv" for name in ("plain", "marked")}
    target = [i % 2 for i in range(40)]
    plain = [float(text.replace(",", "")) for text in amounts(40, "1,163.74")]
    paths["plain"].write_text("amount,gone,y\n" + "".join(f"{plain[i]},,{target[i]}\n" for i in range(40)))
    mark = ";" if form == "1.163,74" else ","
    cells = [f'"{a}"{mark}{mark}{t}' for a, t in zip(amounts(40, form), target, strict=True)]
    paths["marked"].write_text("\n".join([f"amount{mark}gone{mark}y", *cells]) + "\n")
    fingerprints = []
    for name, path in paths.items():
        said = trained(path, "y", tmp_path / name, "--epochs", "2").stderr
        assert ("amount (number, 12,002.00 is 12002)" in said) == (name == "marked")
        fingerprints.append(NeuralNetwork.load(tmp_path / name).fingerprint())
    assert fingerprints[0] == fingerprints[1]
    network = NeuralNetwork.load(tmp_path / "marked")
    assert "amount (number, 12,002.00 is 12002)" in network.summary()
    frame = pd.DataFrame({"amount": amounts(40, "1,163.74"), "gone": [""] * 40})
    outputs = network.predict(frame.assign(amount=plain))
    for made in frames(frame):
        np.testing.assert_array_equal(outputs, network.predict(made))
    for name in paths:
        found = predicted(tmp_path / "marked", paths[name], "--outputs")[1:]
        np.testing.assert_array_equal(np.array(found, np.float32), outputs)
    by_frame = classifier(Tabular(), 100, 2, optimizer=portnn.default_optimizer(32))
    kept, _ = portnn.nn.random.split(40, 0.2, 0, np.array(target))
    by_frame.fit(frame.iloc[kept], np.array(target)[kept], epochs=2)
    assert by_frame.fingerprint() == fingerprints[0]


def test_thousands_that_nothing_tells_from_decimals(tmp_path):
    """A later file of 1.163 alone may mean 1163, where the model was trained on 1.163,74."""
    path, model = tmp_path / "d.csv", tmp_path / "m"
    rows = [f"{a};{i % 2}" for i, a in enumerate(amounts(40, "1.163,74"))]
    path.write_text("\n".join(["amount;y", *rows]) + "\n")
    trained(path, "y", model, "--epochs", "1")
    later = tmp_path / "later.csv"
    later.write_text("amount;y\n893,31;1\n1.163;0\n")
    assert "line 3: expected one decimal mark; got both 893,31 and 1.163" in run("predict", model, later, code=2).output
    later.write_text("amount;y\n1.163;0\n12;1\n")
    wanted = "line 2, column 'amount': expected numbers with marked thousands, as 12,002.00; got 1.163"
    assert wanted in run("predict", model, later, code=2).output
    later.write_text("amount,y\n1.163,0\n12,1\n")
    assert len(predicted(model, later)) == 3


def test_targets_of_which_thousands_are_marked(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("a,y\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(amounts(40, "1,163.74"))))
    said = trained(path, "y", tmp_path / "m", "--epochs", "1").stderr
    assert "regression: the target has 40 different numbers" in said
    marked, plain = (NeuralNetwork(1, 4, 1, loss="mse", seed=0) for _ in range(2))
    x = np.arange(40.0)[:, None]
    marked.fit(x, amounts(40, "1,163.74"), epochs=1)
    plain.fit(x, [float(text.replace(",", "")) for text in amounts(40, "1,163.74")], epochs=1)
    assert marked.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("zone", ["+01:00", "Z"])
def test_instants_in_files_and_frames(zone, tmp_path):
    """In UTC; a time without a zone among them is an error, with its line."""
    path = tmp_path / "d.csv"
    times = [f"2024-03-{1 + i % 28:02}T{i % 24:02}:30:00{zone}" for i in range(40)]
    path.write_text("at,y\n" + "".join(f"{time},{i % 2}\n" for i, time in enumerate(times)))
    said = trained(path, "y", tmp_path / "m", "--epochs", "1").stderr
    assert "features: at (days, UTC, hour, weekday)" in said
    network = NeuralNetwork.load(tmp_path / "m")
    frame = pd.DataFrame({"at": pd.to_datetime(times).tz_convert("America/New_York")})
    outputs = np.array(predicted(tmp_path / "m", path, "--outputs")[1:], np.float32)
    for made in (*frames(frame), *frames(pd.DataFrame({"at": times}))):
        np.testing.assert_array_equal(network.predict(made), outputs)
    times[7] = "2024-03-05T07:30:00"
    path.write_text("at,y\n" + "".join(f"{time},{i % 2}\n" for i, time in enumerate(times)))
    for command in (["train", path, "--target", "y"], ["predict", tmp_path / "m", path]):
        assert "line 9, column 'at': expected a time with a time zone" in run(*command, code=2).output
    with pytest.raises(DataError, match=r"x, row 7, column 'at': expected a time with a time zone"):
        classifier(Tabular(), 2).fit(pd.DataFrame({"at": times}), np.arange(40) % 2)


# ---- the kind of a column


@pytest.mark.parametrize(
    ("values", "cells", "codes"),
    [
        (["True", "False"], [True, False], [0, 1]),
        (["True", "False"], [1.0, 0.0, 2.0], [0, 1, -1]),
        (["True", "False"], ["true", "FALSE", "1", "0", "yes"], [0, 1, 0, 1, -1]),
        (["True", "False", "x"], ["true", "1"], [-1, -1]),
        (["1.10", "A03", "007"], [1.1, 7.0, 3.0], [0, 2, -1]),
        (["1.10", "A03", "007"], ["1.1", "7", "007"], [-1, -1, 2]),
        (["1.10", "1.1", "7"], [1.1, 7], [1, 2]),
        (["1.10", "1.100"], [1.1], [-1]),
        ([1, 2, 30], ["1", "2.0", "030", "x"], [0, 1, 2, -1]),
        ([False, True], ["False", "true", "1"], [0, 1, 1]),
    ],
)
def test_which_category_a_cell_is(values, cells, codes):
    for each in (np.array(cells), np.array(cells, object)):
        assert Categories(values).codes(each).tolist() == codes


def fitted(values, **options):
    """Return a network that learnt 10 for the first value of a column and -10 for the others."""
    frame = pd.DataFrame({"v": values, "n": np.arange(len(values)) % 5.0})
    y = np.where(np.array([value == values[0] for value in values]), 10.0, -10.0)
    network = NeuralNetwork(Standardize(), 1, seed=0, optimizer=portnn.SGD(0.1), loss="mse", backend="numpy")
    network.fit(frame, y, epochs=100, batch_size=None, **options)
    return network


def answers(network, values):
    return np.asarray(network.predict(pd.DataFrame({"v": values, "n": 2.0})))[:, 0]


FORMS = [
    (["001", "002", "A03", "A04"] * 8, [(["001", "002"], "text"), ([1, 2], "numbers"), ([1.0, 2.0], "floats")]),
    (["001", "1", "A03", "A04"] * 8, [(["001", "1"], "text")]),
    (["1.10", "1.20", "rc", "dev"] * 8, [(["1.10", "1.20"], "text"), ([1.1, 1.2], "floats")]),
    ([True, False, None] * 8, [([True, False], "bools"), ([1, 0], "numbers"), (["true", "FALSE"], "texts")]),
    (["True", "False", ""] * 8, [([True, False], "bools"), (["1", "0"], "digits")]),
    ([True, False] * 12, [(["True", "False"], "texts"), ([1.0, 0.0], "numbers")]),
    (["u", "v", "w"] * 8, [(pd.Categorical(["u", "v"]), "categories"), (np.array(["u", "v"], object), "objects")]),
]


@pytest.mark.parametrize(
    ("values", "later"),
    [pytest.param(values, later, id=f"{values[:3]} {name}") for values, forms in FORMS for later, name in forms],
)
def test_a_value_is_the_same_category_in_whatever_form_it_comes(values, later, tmp_path):
    network = fitted(values)
    expected = answers(network, values[:2])
    assert abs(expected[0] - expected[1]) > 9
    found = answers(network, later)
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    if isinstance(values[0], str) and isinstance(later[0], float | int):
        return  # in a file 1.1 is another text than 1.10
    network.save(tmp_path / "m")
    pd.DataFrame({"v": later, "n": 2.0}).to_csv(tmp_path / "d.csv", index=False)
    rows = predicted(tmp_path / "m", tmp_path / "d.csv")
    assert np.float32(rows[1][0]) == expected[0]


def test_a_column_in_which_nothing_is_known_is_said(caplog):
    network = fitted(["u", "v", "w"] * 8)
    caplog.set_level(logging.WARNING, "portnn")
    caplog.clear()
    answers(network, ["u", "new"])
    assert not caplog.text
    answers(network, ["other", "new"])
    assert "x, row 0, column 'v': none of the values occurred in training" in caplog.text


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_times_with_a_zone_are_no_times_without(zone, tmp_path):
    times = pd.date_range("2024-03-01", periods=24, freq="7h", tz=zone)
    frame = pd.DataFrame({"t": times, "g": [None, *range(23)]})
    y = np.arange(24.0)
    network = NeuralNetwork(Standardize(), 2, 1, seed=0)
    network.fit(frame, y)
    expected = network.predict(frame)
    np.testing.assert_array_equal(network.predict(frame.assign(t=times.tz_convert("UTC"))), expected)
    network.save(tmp_path / "m")
    frame.to_csv(tmp_path / "d.csv", index=False)
    np.testing.assert_array_equal(np.array(predicted(tmp_path / "m", tmp_path / "d.csv")[1:], np.float32), expected)
    naive = times.tz_localize(None)
    for each in (naive, naive.astype(str)):
        with pytest.raises(DataError, match="x, row 0, column 't': expected a time with a time zone, as where"):
            network.predict(frame.assign(t=each))
    network = NeuralNetwork(Standardize(), 2, 1, seed=0)
    network.fit(frame.assign(t=naive), y)
    with pytest.raises(DataError, match="x, row 0, column 't': expected a date, as where"):
        network.predict(frame)
    network = NeuralNetwork(Standardize(), 2, 1, seed=0)
    with pytest.raises(DataError, match="x, row 1, column 't': expected a time with a time zone; got"):
        network.fit(frame.assign(t=[str(times[0]), str(naive[1]), *map(str, times[2:])]), y)


# ---- labels


@pytest.mark.parametrize(
    "form", [list("123"), [1, 2, 3], [1.0, 2.0, 3.0], pd.Categorical([1, 2, 3]), np.array([1, 2, 3], object)]
)
def test_classes_are_told_by_their_values_never_by_their_places(form, tmp_path):
    """Learnt as texts, or as numbers; given as texts, numbers, objects or categories, or in a file."""
    x = RNG.standard_normal((60, 2))
    places = np.digitize(x[:, 0], [-0.4, 0.4])
    form = form if isinstance(form, pd.Categorical) else list(form)
    y = [form[place] for place in places]
    for learnt in (np.array(list("123"))[places], pd.Series([1, 2, 3], dtype="category")[places]):
        network = classifier(2, 8, 3, learning_rate=0.05)
        network.fit(x, learnt, epochs=60)
        found = network.evaluate(x, pd.Series(y), metrics=["accuracy"])["accuracy"]
        assert found == np.mean(np.asarray(network.predict_classes(x)) == np.asarray(learnt)) > 0.8
        one, other = network.to(), network.to()
        for _ in range(3):
            one.step(x, np.array([1, 2, 3])[places])
            other.step(x, learnt)
        assert one.fingerprint() == other.fingerprint()
        first = network.evaluate(x[:9], np.full(9, 1), metrics=["accuracy"])["accuracy"]
        assert first == np.mean(np.asarray(network.predict_classes(x[:9])).astype(int) == 1)
        with pytest.raises(DataError, match="y: expected the classes 1, 2, 3; got 0"):
            network.evaluate(x, places)
        network.save(tmp_path / "m")
        pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).to_csv(tmp_path / "d.csv", index=False)
        scores = json.loads(run("evaluate", tmp_path / "m", tmp_path / "d.csv", "--target", "y", "--json").stdout)
        assert scores["accuracy"] == network.evaluate(x, pd.Series(y), metrics=["accuracy"])["accuracy"]


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([3, 7, 3, 7], dtype="category"),
        pd.Series([3, 7, 3, 7], dtype=object),
        np.array([3, 7, 3, 7], object),
        pd.Series([0.5, 1.5, 0.5, 1.5], dtype="category"),
        pd.Series([True, False, True, False], dtype=object),
        pd.Series(["3", "7", "3", "7"]),
        pd.Series([2**60 + 1, 2**60 + 3] * 2, dtype=object),
    ],
)
def test_labels_come_back_as_they_were_given(y, tmp_path):
    network = classifier(1, 2)
    network.fit([[0.0], [1.0]] * 2, y, epochs=400, batch_size=None)
    network.save(tmp_path / "m")
    for each in (network, NeuralNetwork.load(tmp_path / "m")):
        found = each.predict_classes([[0.0], [1.0]] * 2)
        assert (np.asarray(found) == np.asarray(y)).all()
        assert type(found[0].item()) is type(y[0].item() if isinstance(y[0], np.generic) else y[0])


def test_labels_beyond_what_float64_holds(tmp_path):
    path, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
    rows = [f"{i % 2}.5,{2**60 + 1 + 2 * (i % 2)}" for i in range(40)]
    path.write_text("\n".join(["x,id", *rows]) + "\n")
    trained(path, "id", model)
    assert {label for (label,) in predicted(model, path)[1:]} == {str(2**60 + 1), str(2**60 + 3)}
    assert NeuralNetwork.load(model).classes == (2**60 + 1, 2**60 + 3)


def test_blanks_around_labels(tmp_path):
    """Part of a label in arrays and frames; none in files."""
    x, y = RNG.standard_normal((30, 2)), ["a", "a ", "b"] * 10
    for each in (y, np.array(y), pd.Series(y)):
        network = classifier(2, 3)
        network.fit(x, each, epochs=5)
        assert network.classes == ("a", "a ", "b")
        accuracy = network.evaluate(x, each, metrics=["accuracy"])["accuracy"]
        assert accuracy == np.mean(network.predict_classes(x) == np.array(y))
    path, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
    pd.DataFrame({"p": x[:, 0], "q": x[:, 1], "y": y}).to_csv(path, index=False)
    trained(path, "y", model, "--epochs", "1")
    assert NeuralNetwork.load(model).classes == ("a", "b")


def test_as_many_classes_as_outputs():
    with pytest.raises(DataError, match="y: expected a label for each of 3 classes; got 2 different ones: a, b"):
        classifier(2, 3).fit(RNG.standard_normal((6, 2)), list("ababab"))
    with pytest.raises(DataError, match="y: expected labels of one kind; got texts beside numbers"):
        classifier(2, 3).fit(RNG.standard_normal((6, 2)), np.array([1, "a", 2] * 2, object))


# ---- rows without a target


@pytest.mark.parametrize("gap", ["NA", "?", "", "NaN"])
def test_rows_without_a_target_are_left_out_and_counted(gap, tmp_path, caplog):
    """In files and in frames, in training and in evaluation; of texts, numbers and whole numbers."""
    x = RNG.standard_normal((60, 2)).round(3)
    for values, loss in ((["u", "v", gap], "cross_entropy"), ([1, 2, gap], "cross_entropy"), ([0.25, 1.5, gap], "mse")):
        y = [values[i % 3] for i in range(60)]
        path, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
        pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).to_csv(path, index=False)
        task = () if loss != "mse" else ("--task", "regression")
        result = trained(path, "y", model, "--epochs", "2", *task)
        assert f"{path}, column 'y': left out 20 of 60 rows, which have no value" in result.stderr
        assert f"on {8} rows not trained on" in result.stdout
        assert "on 40 rows" in run("evaluate", model, path).stdout
        network = NeuralNetwork.load(model)
        assert network.classes == (None if loss == "mse" else tuple(values[:2]))
        whole = [i for i in range(60) if i % 3 < 2]
        series = pd.Series([None if value == gap else value for value in y])
        if loss == "cross_entropy" and values[0] == 1:
            series = series.astype("Int64")
        frame = pd.DataFrame(x, columns=["a", "b"])
        caplog.clear()
        assert network.evaluate(frame, series) == network.evaluate(frame.iloc[whole], series.iloc[whole])
        assert "y: left out 20 of 60 rows, which have no value" in caplog.text
        one, other = network.to(), network.to()
        weight = np.arange(1.0, 61)
        one.fit(x, series, sample_weight=weight, validation=(x, series))
        other.fit(x[whole], series.iloc[whole], sample_weight=weight[whole], validation=(x[whole], series.iloc[whole]))
        assert one.fingerprint() == other.fingerprint()
        assert one.history.metrics == other.history.metrics


def test_gaps_in_lists_and_arrays_of_labels_are_refused():
    for gap in ("NA", "?", ""):
        with pytest.raises(DataError, match="y: expected a value in every row; got 2 of 4 missing"):
            classifier(1, 2).fit([[0.0], [1.0]] * 2, ["u", gap, "v", gap])
    network = classifier(1, 2)  # a class may be called so
    network.fit([[0.0], [1.0]] * 2, ["none", "mild"] * 2)
    assert network.classes == ("mild", "none")
    with pytest.raises(DataError, match="y: expected a value in every row; got 4 of 4 missing"):
        classifier(1, 2).fit([[0.0], [1.0]] * 2, pd.Series([None] * 4, dtype=object))


def test_whole_numbers_that_gaps_made_floats_are_labels():
    """pandas has no gap among int64: labels 0 and 1 with a gap are 0.0 and 1.0."""
    y = pd.Series([0.0, 1.0, None, 1.0])
    one, other = classifier(1, 2), classifier(1, 2)
    one.fit([[0.0], [1.0], [5.0], [2.0]], y)
    other.fit([[0.0], [1.0], [2.0]], [0, 1, 1])
    assert one.fingerprint() == other.fingerprint()


# ---- images


def test_the_scale_of_images_is_the_models(tmp_path):
    """Bytes are divided by 255, whoever predicts, and in whatever form they come."""
    pixels = RNG.integers(0, 256, (60, 4))
    pixels[:2] = [[0], [255]]
    np.save(tmp_path / "x.npy", pixels.astype(np.uint8))
    np.save(tmp_path / "y.npy", (pixels[:, 0] > 127).astype(int))
    model = tmp_path / "m.safetensors"
    trained(tmp_path / "x.npy", tmp_path / "y.npy", model, "--epochs", "3")
    network = NeuralNetwork.load(model)
    assert network.architecture.layers[0] == Rescale(255.0)
    expected = np.array(predicted(model, tmp_path / "x.npy", "--outputs")[1:], np.float32)
    np.save(tmp_path / "wide.npy", pixels.astype(np.int64))
    np.savetxt(tmp_path / "x.csv", pixels, "%d", delimiter=",")
    for name in ("wide.npy", "x.csv"):
        found = predicted(model, tmp_path / name, "--outputs", "--no-header")[1:]
        np.testing.assert_array_equal(np.array(found, np.float32), expected)
    for dtype in (np.uint8, np.int64, np.float32):
        np.testing.assert_array_equal(network.predict(pixels.astype(dtype)), expected)
    by_hand = classifier(4, 100, 2, optimizer=portnn.default_optimizer(48))
    kept, _ = portnn.nn.random.split(60, 0.2, 0, pixels[:, 0] > 127)
    by_hand.fit((pixels / 255)[kept], (pixels[:, 0] > 127).astype(int)[kept], epochs=3)
    np.testing.assert_allclose(by_hand.predict(pixels / 255), expected, rtol=1e-5)
