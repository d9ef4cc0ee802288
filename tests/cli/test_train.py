"""The command line's training: when it stops, what it goes on from, what it says to programs and in its help."""

import gzip
import json
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import portnn
from portnn import NeuralNetwork, callbacks
from portnn.cli import main
from portnn.cli.scores import score_lines
from portnn.nn import random

ROOT = Path(__file__).parents[2]


def portnn_command(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def results(*arguments):
    return json.loads(portnn_command(*arguments, "--json").stdout)


def write(path, x, labels, names="abcdefgh"):
    rows = [f"{','.join(map(repr, row.tolist()))},{label}" for row, label in zip(x, labels, strict=True)]
    path.write_text("\n".join([f"{','.join(names[: x.shape[1]])},kind", *rows]) + "\n")


@pytest.fixture
def noisy(tmp_path):
    """1,300 rows of which 1,040 are to train on, whose labels are half chance: more epochs do no good."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1300, 3))
    labels = (x[:, 0] + 1.5 * rng.standard_normal(1300) > 0).astype(int)
    write(tmp_path / "noisy.csv", x, labels)
    return tmp_path / "noisy.csv", x, labels


def by_hand(x, labels, **options):
    kept, _ = random.split(len(x), 0.2, 0, labels)
    net = portnn.NeuralNetwork(3, portnn.Standardize(), 7, 2, output="softmax", loss="cross_entropy", seed=0)
    history = net.fit(x[kept], labels[kept], **{"epochs": 30, **options})
    return net, history


def test_training_stops_by_a_validation_where_rows_allow(noisy):
    """As in Python, to the bit; its own share and patience are obeyed, and 0 goes to the end."""
    path, x, labels = noisy
    train = ("train", path, "--target", "kind", "--hidden", "7", "--learning-rate", "0.05", "--epochs", "30")
    for given, share, patience in (
        ((), 0.1, 10),
        (("--validation", "0.3", "--patience", "3"), 0.3, 3),
        (("--validation", "0"), None, None),
    ):
        stops = {} if share is None else {"callbacks": [callbacks.EarlyStopping(patience=patience)]}
        kept, _ = random.split(len(x), 0.2, 0, labels)
        net = portnn.NeuralNetwork(
            *(3, portnn.Standardize(), 7, 2),
            output="softmax",
            loss="cross_entropy",
            seed=0,
            optimizer=portnn.default_optimizer(len(kept)),
            learning_rate=0.05,
        )
        history = net.fit(x[kept], labels[kept], epochs=30, validation=share, **stops)
        found = results(*train, *given)
        assert found["fingerprint"] == net.fingerprint()
        assert found["epochs"] == len(history.loss)
        if share is None:
            assert "best_epoch" not in found
            assert found["epochs"] == 30
        else:
            assert found["epochs"] < 30
            assert found["best_epoch"] == 1 + int(np.argmin(history.metrics["validation_loss"]))
            assert found["epochs"] == found["best_epoch"] + patience
    text = portnn_command(*train)
    assert "validation: 0.1 of the rows; the epoch with their least loss is kept (--patience 10)" in text.stderr
    assert re.search(r"^best +epoch \d+, by the loss of the validation$", text.stdout, re.MULTILINE)


def test_results_as_json_are_those_of_the_lines(noisy, tmp_path):
    path, x, labels = noisy
    model = tmp_path / "m.safetensors"
    train = ("train", path, "--target", "kind", "--epochs", "2", "--save", model, "--plot", tmp_path / "l.png")
    found, text = results(*train), portnn_command(*train).stdout
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["accuracy"] == f"{found['accuracy']:.4f} on {found['rows']} rows not trained on"
    assert lines["baseline"] == f"{found['baseline']:.4f} by guessing {found['guess']} always"
    assert (lines["fingerprint"], lines["backend"]) == (found["fingerprint"], found["backend"])
    assert (found["finished"], found["trained_on_test"], found["epochs"]) == (True, False, 2)
    _, held = random.split(1300, 0.2, 0, labels)
    taken = np.asarray(portnn.NeuralNetwork.load(model).predict_classes(x[held]))
    matrix = [[int(np.sum((labels[held] == a) & (taken == b))) for b in range(2)] for a in range(2)]
    assert (found["classes"], found["confusion_matrix"]) == (["0", "1"], matrix)
    assert found["recall"][1] == pytest.approx(matrix[1][1] / sum(matrix[1]))
    evaluated = results("evaluate", model, path)
    assert evaluated["rows"] == 1300
    assert evaluated["accuracy"] == np.mean(np.asarray(portnn.NeuralNetwork.load(model).predict_classes(x)) == labels)
    listed = results("backends")["backends"]
    assert [each["name"] for each in listed] == [info.name for info in portnn.available_backends()]


@pytest.mark.parametrize(("width", "whole"), [(159, True), (158, False), (80, False), (60, False)])
def test_the_table_of_classes_fits_the_terminal(width, whole, monkeypatch):
    """All that was taken for what, or the worst of it alone."""
    monkeypatch.setenv("COLUMNS", str(width))
    names = [f"class{i}" for i in range(11)] + ["a name that is longer than any terminal is wide, as they may be " * 3]
    names = names[:11] if width > 100 else names
    counts = np.diag(range(len(names))) + np.eye(len(names), k=2, dtype=int) * 3
    counts[4, 1], counts[7, 0] = 9, 5
    each = {score: [0.5] * len(names) for score in ("precision", "recall", "f1")}
    found = {"accuracy": 0.5, "rows": int(counts.sum()), "baseline": 0.1, "guess": "class1", "loss": 1.0}
    lines = list(score_lines({**found, **each, "classes": names, "confusion_matrix": counts.tolist()}, "accuracy"))
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) == width or not whole
    table = lines[3:]
    assert ("taken for" in table[0]) == whole
    worst = [line for line in lines if line.startswith("mistaken")]
    assert len(worst) == (0 if whole else 5)
    if whole:
        assert table[5].split()[-len(names) :] == list(map(str, counts[4]))
    else:
        assert worst[0] == f"mistaken     9 of {counts[4].sum()} rows of class4 for class1"
        assert worst[1] == f"mistaken     5 of {counts[7].sum()} rows of class7 for class0"


def test_what_is_no_number_is_null(tmp_path):
    """The r2 of one row."""
    write(tmp_path / "d.csv", np.random.default_rng(0).standard_normal((5, 2)), [1.5, 2.5, 3.25, 4.5, 9.0])
    assert results("train", tmp_path / "d.csv", "--target", "kind", "--epochs", "1")["r2"] is None


def test_a_model_is_trained_further_on_its_own_columns_and_classes(tmp_path):
    """On a table with other columns, classes and texts: as load and fit do it in Python."""
    rng = np.random.default_rng(0)

    def table(name, rows, colours, kinds):
        x = rng.standard_normal(rows)
        lines = [f"{i},{v},{rng.choice(colours)},{rng.choice(kinds)}" for i, v in enumerate(x.tolist())]
        (tmp_path / name).write_text("\n".join(["id,length,colour,kind", *lines]) + "\n")
        return tmp_path / name

    first = table("first.csv", 80, ["red", "blue"], ["ant", "bee", "cat"])
    more = table("more.csv", 60, ["blue", "green"], ["ant", "bee"])
    model, better = tmp_path / "m.safetensors", tmp_path / "better.safetensors"
    made = ("--target", "kind", "--drop", "id", "--hidden", "5", "--seed", "7", "--epochs", "3")
    portnn_command("train", first, *made, "--save", model)
    before = model.read_bytes()
    go_on = ("train", more, "--continue", model, "--epochs", "2")
    found = results(*go_on, "--learning-rate", "0.02", "--save", better)
    assert model.read_bytes() == before
    text = portnn_command(*go_on).stdout
    assert re.search(r"on 12 rows, which the model may have been trained on before$", text, re.MULTILINE)
    assert found["trained_on_test"] is None
    net = portnn.NeuralNetwork.load(model)
    assert net.classes == ("ant", "bee", "cat")
    _, rows = portnn.data.task.read_task(more, "kind", kind="classification", seed=7, columns=net.columns, known=True)
    net.learning_rate = 0.02
    net.fit(rows.x, rows.y, epochs=2)
    saved = portnn.NeuralNetwork.load(better)
    assert found["fingerprint"] == net.fingerprint() == saved.fingerprint()
    assert (found["epochs"], saved.epoch_count, saved.learning_rate) == (2, 5, 0.02)
    assert saved._schema == net._schema
    again = results(*go_on, "--optimizer", "sgd", "--save", model, "--plot", tmp_path / "l.png")
    assert portnn.NeuralNetwork.load(model).fingerprint() == again["fingerprint"] != found["fingerprint"]
    assert type(portnn.NeuralNetwork.load(model).optimizer) is portnn.SGD
    (tmp_path / "other.csv").write_text("length,colour,kind\n1,red,dog\n2,red,ant\n3,red,bee\n")
    for arguments, message in (
        ((*go_on, "--hidden", "9"), f"hidden: --continue takes it from {model}; expected one of the two"),
        ((*go_on, "--reproducible"), "reproducible: --continue takes it from"),
        (("train", more), "target: expected --target with the column to predict, or --continue with a model"),
        (("train", tmp_path / "other.csv", "--continue", model), "got 'dog'"),
    ):
        assert message in portnn_command(*arguments, code=2).stderr


def test_a_confusion_matrix_is_drawn_where_there_is_one(noisy, tmp_path):
    pytest.importorskip("matplotlib")
    path, x, _ = noisy
    model, picture = tmp_path / "m.safetensors", tmp_path / "confusion.png"
    portnn_command("train", path, "--target", "kind", "--epochs", "1", "--save", model)
    portnn_command("evaluate", model, path, "--plot", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "plot: expected another file" in portnn_command("evaluate", model, path, "--plot", path, code=2).stderr
    write(tmp_path / "values.csv", x[:50], x[:50].sum(axis=1))
    portnn_command("train", tmp_path / "values.csv", "--target", "kind", "--epochs", "1", "--save", tmp_path / "v")
    refused = portnn_command("evaluate", tmp_path / "v", tmp_path / "values.csv", "--plot", tmp_path / "c.png", code=2)
    assert "plot: expected a classifier" in refused.stderr


EXAMPLES = [
    (name, line.strip())
    for name, command in {"": main, **main.commands}.items()
    for line in command.epilog.splitlines()[2:]
]


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """A folder with the files that the examples name, and a model."""
    folder = tmp_path_factory.mktemp("flowers")
    rng = np.random.default_rng(0)
    for name in ("flowers.csv", "new.csv", "more.csv"):
        lines = [f"{i},{rng.random()},{rng.random()},{'ab'[i % 2]}" for i in range(20)]
        (folder / name).write_text("\n".join(["id,length,width,kind", *lines]) + "\n")
    for name, values in (
        ("images-idx3-ubyte.gz", rng.integers(0, 255, (20, 12, 12))),
        ("labels-idx1-ubyte.gz", rng.integers(0, 3, 20)),
    ):
        header = b"\0\0\x08" + bytes([values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
        (folder / name).write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))
    train = ("train", folder / "flowers.csv", "--target", "kind", "--epochs", "1")
    portnn_command(*train, "--save", folder / "flowers.safetensors", "--plot", folder / "l.png")
    return folder


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_the_examples_of_each_help_run(name, line, flowers, tmp_path, monkeypatch):
    assert line in portnn_command(*([name] if name else []), "--help").stdout
    for path in flowers.iterdir():
        if not ("--save " + path.name in line or path.suffix == ".png"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    command = re.sub(r'^eval "\$\((.*)\)".*$', r"\1", line).partition(" > ")[0]
    program, *words = shlex.split(command)
    assert program == "portnn"
    quick = {"train": ["--epochs", "1"], "check": [*"--backends array_api_strict --steps 1".split()]}
    if words[0] == "check":
        pytest.importorskip("array_api_strict")
        quick["check"] += [] if "--bits" in words else ["--dtype", "float32"]
    if words[0] == "export":
        pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    result = portnn_command(*words, *quick.get(words[0], []))
    written = re.findall(r"(?:--(?:save|output|checkpoint)|export \S+) (\S+)", line)
    assert result.stdout or written
    assert all(Path(path).stat().st_size for path in written)


def test_tab_completes_commands_options_and_values():
    def completed(words):
        place = {
            "COMP_WORDS": f"portnn {words}",
            "COMP_CWORD": str(len(words.split())),
            "_PORTNN_COMPLETE": "bash_complete",
        }
        return CliRunner().invoke(main, env=place, prog_name="portnn").stdout.split()

    assert completed("ev") == ["plain,evaluate"]
    assert "plain,--checkpoint" in completed("train --che")
    assert completed("train d.csv --optimizer ada") == ["plain,adagrad", "plain,adam", "plain,adamw"]
    assert "_PORTNN_COMPLETE=fish_complete" in portnn_command("completion", "fish").stdout


def test_lenet_takes_square_images(tmp_path):
    """Of bytes, in IDX files; the model predicts as any other, and other rows are refused."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60).astype(np.uint8)
    images = rng.integers(0, 60, (60, 12, 12), np.uint8) + 190 * labels[:, None, None] * (np.arange(12) < 6)
    for name, values in (("images-idx3-ubyte", images.astype(np.uint8)), ("labels-idx1-ubyte", labels)):
        header = struct.pack(f">I{values.ndim}I", 0x800 + values.ndim, *values.shape)
        (tmp_path / name).write_bytes(header + values.tobytes())
    files = tmp_path / "images-idx3-ubyte", "--target", tmp_path / "labels-idx1-ubyte"
    model = tmp_path / "lenet.safetensors"
    common = ["--model", "lenet", "--epochs", "4", "--backend", "numpy"]
    assert results("train", *files, *common, "--save", model)["accuracy"] > 0.9
    net = NeuralNetwork.load(model)
    assert [type(layer).__name__ for layer in net.architecture.layers[:3]] == ["Rescale", "Reshape", "Conv2D"]
    assert results("evaluate", model, *files)["accuracy"] > 0.9
    result = portnn_command("train", *files, *common, "--hidden", "7", code=2)
    assert "hidden: --model names the hidden layers" in result.stderr
    result = portnn_command(
        "train", ROOT / "examples" / "data" / "digits.csv", "--target", "label", "--model", "lenet", code=2
    )
    assert "lenet: expected rows of square images, at least 12 x 12 pixels; got 64 numbers" in result.stderr
