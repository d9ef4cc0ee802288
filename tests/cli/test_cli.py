"""The command line: results on stdout, messages on stderr, exit code 2 and one line for bad input."""

import csv
import gzip
import io
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import portnn
from portnn.cli import main
from portnn.io.readers import read_csv, read_idx, read_table
from portnn.model.runtime import Runtime

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.csv"


def portnn_command(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def results(output):
    return dict(line.split(maxsplit=1) for line in output.splitlines())


@pytest.fixture
def iris(tmp_path):
    """Three separable kinds of flowers, with names for labels."""
    rng = np.random.default_rng(0)
    lines = ["length,width,kind"]
    for i, kind in enumerate(["setosa", "versicolor", "virginica"] * 30):
        a, b = rng.normal(i % 3, 0.1, 2)
        lines.append(f"{a:.3f},{b:.3f},{kind}")
    path = tmp_path / "iris.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_data_from_standard_input(tmp_path, iris):
    """As from the file, to the bit; errors name it."""
    model = tmp_path / "model.safetensors"
    found = []
    for data, content in ((iris, None), ("-", iris.read_bytes())):
        options = ["train", str(data), "--target", "kind", "--epochs", "2", "--no-progress"]
        result = CliRunner().invoke(main, [*options, "--save", str(model)], input=content)
        assert result.exit_code == 0, result.output
        (tmp_path / "model.png").unlink(missing_ok=True)
        fingerprint = results(result.stdout)["fingerprint"]
        assert fingerprint == portnn.NeuralNetwork.load(model).fingerprint()
        predicted = CliRunner().invoke(main, ["predict", str(model), str(data)], input=content).stdout
        found.append((fingerprint, predicted))
    assert found[0] == found[1]
    result = CliRunner().invoke(main, ["predict", str(model), "-"], input="length,width\n1,x\n")
    assert result.exit_code == 2
    assert "standard input, line 2, column 'width': expected a number; got 'x'" in result.stderr


def test_train_digits_twice_evaluate_predict(tmp_path):
    pytest.importorskip("matplotlib")
    model = tmp_path / "digits.safetensors"
    first = portnn_command(
        "train", DIGITS, "--target", "label", "--hidden", "128", "--save", model, "--backend", "numpy"
    )
    again = portnn_command("train", DIGITS, "--target", "label", "--hidden", "128", "--backend", "numpy")
    one, two = results(first.stdout), results(again.stdout)
    assert float(one["accuracy"].split()[0]) >= 0.96
    assert one["fingerprint"] == two["fingerprint"] == portnn.NeuralNetwork.load(model).fingerprint()
    assert one["backend"] == "numpy:cpu"
    assert one["time"]
    assert "classification: the target has 10" in first.stderr
    assert (tmp_path / "digits.png").stat().st_size > 5000
    assert float(results(portnn_command("evaluate", model, DIGITS).stdout)["accuracy"].split()[0]) > 0.98
    lines = portnn_command("predict", model, DIGITS).stdout.splitlines()
    assert lines[0] == "label"
    truth = read_csv(DIGITS).columns["label"]
    assert np.mean(np.array(lines[1:], float) == truth) > 0.98


@pytest.mark.exhaustive
def test_backends_train_alike(backend, iris):
    out = results(portnn_command("train", iris, "--target", "kind", "--backend", backend).stdout)
    assert out["backend"].startswith(backend)
    assert float(out["accuracy"].split()[0]) > 0.9


def test_names_of_classes_and_columns(tmp_path, iris):
    model = tmp_path / "m.safetensors"
    portnn_command("train", iris, "--target", "kind", "--save", model, "--epochs", "60")
    new = tmp_path / "new.csv"
    new.write_text("extra,width,length\n9,2.0,2.0\n9,0.0,0.0\n")  # other columns, another order, no target
    assert portnn_command("predict", model, new).stdout.split() == ["kind", "virginica", "setosa"]
    out = tmp_path / "out.csv"
    portnn_command("predict", model, new, "--outputs", "--output", out)
    table = read_csv(out)
    assert list(table.columns) == ["setosa", "versicolor", "virginica"]
    np.testing.assert_allclose(sum(table.columns.values()), 1, rtol=1e-5)


def test_regression_without_a_header(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.random((200, 3))
    y = 1e4 * x @ [1, 2, 3] - 5e6  # a unit of its own
    np.savetxt(tmp_path / "d.csv", np.c_[x, y], delimiter=",")
    model = tmp_path / "m.safetensors"
    result = portnn_command("train", tmp_path / "d.csv", "--target", "-1", "--save", model)
    assert "regression" in result.stderr
    assert float(results(result.stdout)["r2"].split()[0]) > 0.95
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    lines = portnn_command("predict", model, tmp_path / "x.csv").stdout.splitlines()
    assert np.mean((np.array(lines[1:], float) - y) ** 2) < 0.05 * y.var()


def test_scores_beside_guesses_and_class_by_class(tmp_path):
    """Of rare classes the accuracy says little: what guessing scores, and each class, stand beside it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2))
    kinds = np.where(x[:, 0] + 0.3 * rng.standard_normal(300) > 1.5, "fraud", "fine")
    table, model = tmp_path / "d.csv", tmp_path / "m.safetensors"
    rows = [f"{a},{b},{kind}" for (a, b), kind in zip(x.tolist(), kinds, strict=True)]
    table.write_text("\n".join(["a,b,kind", *rows]))
    found = results(portnn_command("train", table, "--target", "kind", "--save", model).stdout)
    kept, held = portnn.nn.random.split(300, 0.2, 0, kinds == "fraud")
    network = portnn.NeuralNetwork.load(model)
    truth, taken = (kinds[held] == "fraud").astype(int), (network.predict_classes(x[held]) == "fraud").astype(int)
    assert found["accuracy"] == f"{np.mean(truth == taken):.4f} on 60 rows not trained on"
    assert found["baseline"] == f"{np.mean(truth == 0):.4f} by guessing fine always"
    hits, of, called = np.sum(truth & taken), truth.sum(), taken.sum()
    assert 0 < hits < of
    figures = [f"{hits / called:.4f}", f"{hits / of:.4f}", f"{2 * hits / (of + called):.4f}", str(of)]
    assert found["fraud"].split() == [*figures, str(of - hits), str(hits)]
    again = results(portnn_command("evaluate", model, table).stdout)
    assert again["baseline"] == f"{np.mean(kinds == 'fine'):.4f} by guessing fine always"
    assert int(again["fraud"].split()[3]) == np.sum(kinds == "fraud")
    numbers = tmp_path / "n.csv"
    numbers.write_text("\n".join(["a,b,y", *(f"{a},{b},{a + b}" for a, b in x.tolist())]))
    found = results(portnn_command("train", numbers, "--target", "y", "--save", tmp_path / "r.safetensors").stdout)
    kept, held = portnn.nn.random.split(300, 0.2, 0)
    y = x.sum(axis=1)
    expected = 1 - np.mean((y[held] - y[kept].mean()) ** 2) / y[held].var()
    assert found["baseline"] == f"{expected:.4f} by guessing the mean"


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_what_was_learnt(tmp_path, iris, monkeypatch):
    step = Runtime.step

    def interrupted(runtime, batch):
        if runtime.counters.step == 7:
            signal.raise_signal(signal.SIGINT)
        return step(runtime, batch)

    monkeypatch.setattr(Runtime, "step", interrupted)
    model = tmp_path / "m.safetensors"
    result = portnn_command("train", iris, "--target", "kind", "--save", model, code=130)
    assert "interrupted after 2 epochs (8 steps); the network is kept" in result.stderr
    network = portnn.NeuralNetwork.load(model)
    assert network.step_count == 8
    assert network.fingerprint() == results(result.stdout)["fingerprint"]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_said_to_be_kept_is_saved(tmp_path, iris, monkeypatch, number):
    """A training with a validation that is broken off: the best epoch, as was said at its beginning."""
    step = Runtime.step

    def interrupted(runtime, batch):
        if runtime.counters.step == 11:
            signal.raise_signal(number)
        return step(runtime, batch)

    model = tmp_path / "m.safetensors"
    train = ("train", iris, "--target", "kind", "--validation", "0.3", "--learning-rate", "0.9", "--save", model)
    with monkeypatch.context() as patch:
        patch.setattr(Runtime, "step", interrupted)
        result = portnn_command(*train, code=143 if number == signal.SIGTERM else 130)
    (best,) = re.findall(r"interrupted after \d epochs .*; epoch (\d), of the least loss of the", result.stderr)
    shorter = tmp_path / "shorter.safetensors"
    portnn_command(*train[:-1], shorter, "--epochs", best, "--plot", tmp_path / "l.png")
    assert portnn.NeuralNetwork.load(model).fingerprint() == portnn.NeuralNetwork.load(shorter).fingerprint()


@pytest.mark.usefixtures("interruptible")
def test_sigterm_writes_the_checkpoint_and_resume_goes_on(tmp_path, iris, monkeypatch):
    """It ends as the training that was never broken off; without --resume a checkpoint that is there is refused."""
    command = ("train", iris, "--target", "kind", "--epochs", "5", "--checkpoint")
    whole = portnn_command(*command, tmp_path / "whole")
    step, run = Runtime.step, tmp_path / "run"

    def terminated(runtime, batch):
        if runtime.counters.step == 7:
            signal.raise_signal(signal.SIGTERM)
        return step(runtime, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Runtime, "step", terminated)
        result = portnn_command(*command, run, code=143)
    assert "interrupted after 2 epochs (8 steps); the network is kept" in result.stderr
    assert portnn.NeuralNetwork.load(run).step_count == 8
    result = portnn_command(*command, run, code=2)
    assert "run exists; --resume goes on from it, or name another file" in result.stderr
    result = portnn_command(*command, run, "--resume")
    assert results(result.stdout)["fingerprint"] == results(whole.stdout)["fingerprint"]
    result = portnn_command(*command, run, "--resume", "--seed", "1", code=2)
    assert "is of one with seed 0, here 1" in result.stderr
    result = portnn_command("train", iris, "--target", "kind", "--resume", code=2)
    assert "resume: expected --checkpoint" in result.stderr


def test_ctrl_c_elsewhere_ends_with_its_code(tmp_path, iris, monkeypatch):
    model = tmp_path / "m.safetensors"
    portnn_command("train", iris, "--target", "kind", "--epochs", "1", "--save", model)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Runtime, "forward", interrupted)
    result = portnn_command("predict", model, iris, code=130)
    assert result.stderr == "Interrupted\n"
    assert result.stdout == ""


OPTIONS = {
    "--hidden": ["9", "9,8"],
    "--activation": ["tanh"],
    "--loss": ["binary_cross_entropy"],
    "--optimizer": ["sgd"],
    "--learning-rate": ["0.02"],
    "--initializer": ["normal"],
    "--epochs": ["3"],
    "--batch-size": ["16", "0"],
    "--holdout": ["0.4"],
    "--validation": ["0.25"],
    "--no-standardize": [],
    "--dtype": ["float64"],
    "--reproducible": [],
    "--seed": ["1"],
    "--task": ["regression"],
}


def test_every_option_of_train_is_obeyed(tmp_path):
    """Each changes what is learnt; and what is learnt is what the same network learns in Python."""
    rng = np.random.default_rng(0)
    x, label = rng.standard_normal((60, 3)), rng.integers(0, 2, 60)
    path = tmp_path / "d.csv"
    rows = [f"{','.join(map(repr, row.tolist()))},{y}" for row, y in zip(x, label, strict=True)]
    path.write_text("\n".join(["a,b,c,label", *rows]))
    common = ["train", path, "--target", "label", "--hidden", "7", "--epochs", "2", "--backend", "numpy"]
    known = {option.opts[0] for option in main.commands["train"].params if option.opts[0].startswith("--")}
    elsewhere = {"--target", "--test", "--test-target", "--header", "--backend", "--save", "--plot", "--progress"}
    elsewhere |= {"--checkpoint", "--resume", "--columns", "--drop", "--continue", "--json", "--patience", "--encoding"}
    elsewhere |= {"--distributed", "--model"}
    assert known - elsewhere == {*OPTIONS} - {"--no-standardize"} | {"--standardize"}

    def trained(*options):
        return results(portnn_command(*common, *options).stdout)["fingerprint"]

    plain = trained()
    found = [trained(option, *([value] if value else [])) for option in OPTIONS for value in OPTIONS[option] or [""]]
    assert len({plain, *found}) == 1 + len(found)
    for seed, fingerprint in ((0, plain), (1, trained("--seed", "1"))):
        kept, _ = portnn.nn.random.split(60, 0.2, seed, label)
        made = {"output": "softmax", "loss": "cross_entropy", "optimizer": portnn.default_optimizer(48)}
        net = portnn.NeuralNetwork(3, portnn.Standardize(), 7, 2, **made, seed=seed)
        net.fit(x[kept], label[kept], epochs=2)
        assert net.fingerprint() == fingerprint


def test_no_file_is_destroyed(tmp_path, iris):
    """Neither what is read nor what was there, by a model, a picture or predictions: refused before the work."""
    pytest.importorskip("matplotlib")
    model, train = tmp_path / "m.safetensors", ("train", iris, "--target", "kind", "--epochs", "1")
    portnn_command(*train, "--save", model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iris.csv", "m.png", "m.safetensors"]
    link = tmp_path / "link.csv"
    link.symlink_to(iris)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    cases = {
        (*train, "--save", iris): "save: expected another file than those that are read",
        (*train, "--save", link): "save: expected another file than those that are read",
        (*train, "--plot", iris): "plot: expected another file than those that are read",
        (*train, "--test", model, "--save", model): "save: expected another file than those that are read",
        (*train, "--save", model): f"m.png exists; --plot {tmp_path / 'm.png'} draws the loss over it",
        (*train, "--save", tmp_path / "net.png"): "save: the picture of the loss would overwrite",
        (*train, "--save", tmp_path / "a.png", "--plot", tmp_path / "a.png"): "plot: expected another file than save's",
        (*train, "--plot", tmp_path / "loss.xyz"): "plot: expected a name ending in .png, .svg, .pdf",
        ("check", "--output", tmp_path / "x.txt"): "output: expected a name ending in .json, .md, .png",
        ("check", "--output", tmp_path / "no" / "x.md"): "expected a folder that exists",
        ("check", model, "--output", tmp_path / "link.md"): "expected another file than those that are read",
        ("predict", model, iris, "--output", model): "output: expected another file than those that are read",
        ("predict", model, iris, "--output", iris): "output: expected another file than those that are read",
    }
    (tmp_path / "link.md").symlink_to(model)
    for arguments, message in cases.items():
        result = portnn_command(*arguments, code=2)
        assert message in result.stderr
        assert result.stdout == ""
    assert {p: p.read_bytes() for p in before} == before
    portnn_command(*train, "--save", model, "--plot", tmp_path / "m.png")  # as asked


def test_digits_with_zeros_are_numbers_where_numbers_are_asked_for(tmp_path):
    path = tmp_path / "months.csv"
    path.write_text("x,month\n" + "".join(f"{i},{i % 12 + 1:02}\n" for i in range(60)))
    train = ("train", path, "--target", "month", "--epochs", "1")
    asked = portnn_command(*train, "--task", "regression", "--save", tmp_path / "m", "--plot", tmp_path / "l.png")
    assert "r2" in asked.stdout
    assert "r2" in portnn_command("evaluate", tmp_path / "m", path).stdout
    assert "accuracy" in portnn_command(*train).stdout


def test_small_tables_get_steps_enough(iris, tmp_path):
    """72 rows make 3 steps an epoch, and one in the full batch; 30 epochs are enough where they make 1,000 steps."""
    train = ("train", iris, "--target", "kind")
    assert results(portnn_command(*train).stdout)["time"].endswith("for 334 epochs")
    assert results(portnn_command(*train, "--batch-size", "0").stdout)["time"].endswith("for 1000 epochs")
    assert results(portnn_command(*train, "--batch-size", "2").stdout)["time"].endswith("for 30 epochs")
    assert results(portnn_command(*train, "--epochs", "2").stdout)["time"].endswith("for 2 epochs")


def test_what_is_tested_on_is_said(tmp_path, iris):
    train = ("train", iris, "--target", "kind", "--epochs", "1")
    result = portnn_command(*train, "--test", iris)
    assert "is the training file" in result.stderr
    assert results(result.stdout)["accuracy"].endswith("on 90 rows trained on")
    assert results(portnn_command(*train).stdout)["accuracy"].endswith("on 18 rows not trained on")
    both = portnn_command(*train, "--test", iris, "--holdout", "0.2", code=2)
    assert "holdout: --test names the rows to test on already" in both.stderr


def test_predictions_are_csv(tmp_path):
    """Names with commas, quotes and line ends; outputs named by class, by the positive class, by the target."""
    rng = np.random.default_rng(0)
    kinds = ["Paris, France", 'the "other"', "two\nlines"]
    path, model = tmp_path / "d.csv", tmp_path / "m.safetensors"

    def written(targets):
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([["a", "b", "to, be"], *([*rng.normal(3 * i, 0.1, 2), t] for i, t in targets)])

    def predicted(*options):
        return list(csv.reader(io.StringIO(portnn_command("predict", model, path, *options).stdout)))

    train = ("train", path, "--target", "to, be", "--save", model, "--plot", tmp_path / "loss.png", "--epochs", "60")
    written([(i % 3, kinds[i % 3]) for i in range(60)])
    portnn_command(*train)
    assert predicted() == [["to, be"], *([kinds[i % 3]] for i in range(60))]
    assert predicted("--outputs")[0] == sorted(kinds)
    written([(i % 2, kinds[i % 2]) for i in range(60)])
    portnn_command(*train, "--loss", "binary_cross_entropy")
    head, *rows = predicted("--outputs")
    assert head == [sorted(kinds[:2])[1]]
    assert np.mean([(float(row[0]) > 0.5) == (i % 2 == 1) for i, row in enumerate(rows)]) > 0.95
    written([(i % 2, i % 2 + 0.25 + i / 100) for i in range(60)])
    portnn_command(*train)
    assert predicted()[0] == ["to, be"]
    assert len(predicted()) == 61


def test_check_says_what_runs_as_it_goes(monkeypatch):
    """The title of what is compared stands there before it is."""
    pytest.importorskip("array_api_strict")
    seen = []

    def compared(*arguments, **options):
        seen.append(capture.getvalue())
        raise KeyboardInterrupt

    capture = io.StringIO()
    monkeypatch.setattr(sys.modules["portnn.cli.check"], "compare", compared)
    monkeypatch.setattr(click, "echo", lambda message="", **_: capture.write(f"{message}\n"))
    portnn_command("check", code=130)
    assert seen[0].startswith("the deck: 3-4-1")


def test_check_keeps_what_jax_compiles_for_each_kind_of_processor(monkeypatch, tmp_path):
    """In the user's cache folder, unless the user says where."""
    features = sys.modules["numpy._core._multiarray_umath"].__cpu_features__
    keep_compiled, folders = sys.modules["portnn.cli.check"].keep_compiled, []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for there in (True, False, False):
        monkeypatch.setitem(features, "a feature", there)
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        keep_compiled()
        folders.append(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert folders[0] != folders[1] == folders[2]
    assert all(Path(folder).is_relative_to(tmp_path / "portnn" / "jax") for folder in folders)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    keep_compiled()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"


def test_what_could_not_be_written_is_refused_before_the_training(tmp_path, iris):
    for option in ("--save", "--plot"):
        result = portnn_command("train", iris, "--target", "kind", option, tmp_path / "absent" / "file.png", code=2)
        assert "file.png: expected a folder that exists and can be written" in result.stderr
        assert result.stdout == ""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_kinds_of_csv(tmp_path, delimiter, newline, mark):
    lines = [delimiter.join(cells) for cells in (['"a"', " b", "kind"], ["1", ' "2.5"', "u v"], [], ["-3e1", "4", "w"])]
    path = tmp_path / "t.csv"
    path.write_bytes((mark + newline.join(lines) + newline).encode())
    table = read_csv(path)
    assert list(table.columns) == ["a", "b", "kind"]
    np.testing.assert_array_equal(table.numbers(["a", "b"]), [[1, 2.5], [-30, 4]])
    assert list(table.columns["kind"]) == ["u v", "w"]


def test_binary_with_a_sigmoid(tmp_path, iris):
    two = tmp_path / "two.csv"
    two.write_text("".join(line for line in iris.read_text().splitlines(keepends=True) if "versi" not in line))
    model = tmp_path / "m.safetensors"
    portnn_command(
        "train", two, "--target", "kind", "--loss", "binary_cross_entropy", "--save", model, "--epochs", "60"
    )
    assert results(portnn_command("evaluate", model, two).stdout)["accuracy"].startswith("1.0")


def idx(array):
    header = struct.pack(">BBBB", 0, 0, {"u1": 8, "i4": 12, "f8": 14}[array.dtype.str[1:]], array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_idx_npy_npz(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.uint8) % 3
    images = (rng.integers(0, 80, (60, 4, 4)) + 80 * labels[:, None, None]).astype(np.uint8)
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx(labels))
    np.testing.assert_array_equal(read_idx(tmp_path / "images-idx3-ubyte.gz"), images)
    numbers = rng.random((2, 3))
    (tmp_path / "f.idx").write_bytes(idx(numbers))
    np.testing.assert_array_equal(read_idx(tmp_path / "f.idx"), numbers)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "all.npz", x=images.reshape(60, 16), y=labels)
    names = ["images-idx3-ubyte.gz", "images.npy"]
    accuracies = []
    for name in names:
        arguments = ("train", tmp_path / name, "--target", tmp_path / "labels-idx1-ubyte", "--learning-rate", "0.01")
        tested = ("--test", tmp_path / name, "--test-target", tmp_path / "labels-idx1-ubyte")
        accuracies.append(results(portnn_command(*arguments, *tested).stdout)["accuracy"])
    from_npz = portnn_command("train", tmp_path / "all.npz", "--target", "y", "--learning-rate", "0.01")
    accuracies.append(results(from_npz.stdout)["accuracy"])
    assert all(float(a.split()[0]) > 0.9 for a in accuracies)
    assert list(read_table(tmp_path / "all.npz").columns)[:2] == ["x0", "x1"]


BAD_FILES = {
    "text": ("a,b,y\n1,2,3\n4,x,6\n" + "7,8,9\n" * 9, "y", "line 3, column 'b': expected a number; got 'x'"),
    "text in the target": ("a,y\n1,2\n3,4\n5,x\n", "y", "line 4, column 'y': expected a number; got 'x'"),
    "missing target": ("a,y\n1,u\n3,\n5,v\n", "y", "column 'y'"),
    "infinity": ("a,b,y\n1,inf,3\n4,5,6\n", "y", "line 2, column 'b': expected a finite number; got inf"),
    "unknown column": ("a,b,y\n1,2,3\n4,5,6\n", "z", "expected one of the columns a, b, y; got 'z'"),
    "ragged": ("a,b,y\n1,2,3\n4,5\n", "y", "line 3: expected 3 cells; got 2"),
    "empty": ("", "y", "got an empty file"),
    "header only": ("a,b,y\n", "y", "got an empty file"),
    "two names alike": ("a,a,y\n1,2,3\n", "y", "'a' twice"),
    "target alone": ("y\n1\n2\n", "y", "columns beside the target"),
    "one row": ("a,y\n1,2.5\n", "y", "at least two rows"),
    "binary": (b"\xff\xfe\x00\x80", "y", "UTF-8"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_csv(tmp_path, case):
    content, target, message = BAD_FILES[case]
    path, model = tmp_path / "bad.csv", tmp_path / "m.safetensors"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = portnn_command("train", path, "--target", target, "--save", model, code=2)
    assert message in result.stderr
    assert result.stderr.startswith("Error: ") or "\nError: " in result.stderr
    assert result.stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x05abc"),
        ("t-idx1-ubyte", b"hello"),
        ("t-idx1-ubyte.gz", b"hello"),
        ("t.npy", b"hello"),
        ("t.npz", b"hello"),
        ("t.npy", pickle.dumps([1])),
    ],
)
def test_bad_arrays(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "expected" in portnn_command("train", tmp_path / name, "--target", "0", code=2).stderr


def test_other_bad_calls(tmp_path, iris):
    model = tmp_path / "m.safetensors"
    portnn_command("train", iris, "--target", "kind", "--save", model, "--epochs", "1")
    whole = model.read_bytes()
    portnn_command("train", tmp_path / "absent.csv", "--target", "kind", code=2)
    portnn_command("train", iris, "--target", "kind", "--optimizer", "admm", code=2)
    assert "expected one of" in portnn_command("train", iris, "--target", "kind", "--backend", "nmpy", code=2).stderr
    message = portnn_command("train", iris, "--target", "kind", "--loss", "mse", code=2).stderr
    assert "cross_entropy" in message
    portnn_command("train", iris, "--target", "kind", "--task", "regression", code=2)
    assert "digits.csv: expected the columns it was" in portnn_command("predict", model, DIGITS, code=2).stderr
    assert model.read_bytes() == whole
    (tmp_path / "other.csv").write_text("length,width,kind\n1,2,tulip\n")
    assert "got 'tulip'" in portnn_command("evaluate", model, tmp_path / "other.csv", code=2).stderr
    model.write_bytes(whole[:200])
    assert "truncated or foreign" in portnn_command("predict", model, iris, code=2).stderr
    no_folder = tmp_path / "no" / "m.safetensors"
    portnn_command("train", iris, "--target", "kind", "--epochs", "1", "--save", no_folder, code=2)


def test_version_and_backends():
    assert portnn.__version__ in portnn_command("--version").stdout
    listed = portnn_command("backends").stdout
    for info in portnn.available_backends():
        assert info.name in listed
        assert (info.version if info.available else info.reason) in listed


def test_installed_command():
    program = shutil.which("portnn", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    out = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert portnn.__version__ in out
