"""Networks as ONNX files: onnxruntime's outputs beside the network's own, and what such a file cannot hold."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner
from registered import ACTIVATIONS, LAYERS

from portnn import (
    Activation,
    ArgumentError,
    BackendUnavailableError,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    Layer,
    LayerNorm,
    NeuralNetwork,
    NotFittedError,
    Rescale,
    Residual,
    SerializationError,
    Shapes,
    Standardize,
    Tabular,
    Unstandardize,
)
from portnn.cli import main
from portnn.equivalence.networks import built_in, sample
from portnn.io.tables import Table
from portnn.jit.graph import Graph
from portnn.jit.tracer import Tape, TracingNamespace
from portnn.ops import OPS

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import onnxruntime as ort

from portnn.onnx import verify
from portnn.onnx.nodes import Nodes

ROWS = (1, 7, 333)
BUILT_IN = [(dtype, title, net) for dtype in ("float32", "float64") for title, net in built_in(dtype)]


def session_of(path):
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def network(*layers, **options):
    return NeuralNetwork(*layers, **{"seed": 0, "backend": "numpy", **options})


def agrees(net, path, **options):
    """Export a network; compare onnxruntime's outputs with ``predict``, both within the bound of the true ones."""
    net.export_onnx(path, **options)
    fast = net.to("numpy", arithmetic="fast")
    runtime, session = fast._require_runtime(), session_of(path)
    for rows in ROWS:
        x, feed = verify.samples(session, runtime, net._schema, rows)
        outputs, predicted = session.run(None, feed)[0], fast.predict(x)
        _, bound = verify.bounded(runtime, net._schema, x)[0]
        assert outputs.shape == predicted.shape == (rows, net.architecture.outputs)
        assert outputs.dtype == predicted.dtype == net.dtype
        assert np.isfinite(bound).all()
        assert (np.abs(outputs.astype(float) - predicted) <= 2.0 * bound).all()
    return session


# ---- every part


@pytest.mark.parametrize(("dtype", "title", "net"), BUILT_IN, ids=[f"{dtype} {title}" for dtype, title, _ in BUILT_IN])
def test_built_in_networks(tmp_path, dtype, title, net):
    agrees(net, tmp_path / "net.onnx")


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(tmp_path, name):
    layer, shape = LAYERS[name]
    first = shape if len(shape) > 1 else shape[0]
    net = network(first, 3, layer) if name == "Unstandardize" else network(first, layer, Flatten(), 3)
    agrees(net, tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(tmp_path, name):
    agrees(network(5, Dense(6), Activation(name), 3, dtype="float64"), tmp_path / "net.onnx")
    agrees(network(5, Dense(6), Activation(name), 3, dtype="float32"), tmp_path / "net.onnx")


def drawn(seed):
    """Return a network of random layers."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 20))
    layers = [width, *([[], [Standardize()], [Rescale(0.5)]][rng.integers(3)])]
    for _ in range(rng.integers(1, 6)):
        width = int(rng.integers(1, 20))
        name = str(rng.choice(list(ACTIVATIONS)))
        layers += [
            [width],
            [Dense(width), Activation(name)],
            [Dense(width), BatchNorm(), name],
            [Dense(width), LayerNorm(), Dropout(0.1)],
            [Dense(width), Residual((Dense(width), Activation(name)))],
        ][rng.integers(5)]
    classes = rng.random() < 0.5
    ends = {"output": "softmax", "loss": "cross_entropy"} if classes else {"loss": str(rng.choice(["mse", "poisson"]))}
    ends["learning_rate"] = 1e-3
    return network(*layers, int(rng.integers(2, 9)), **ends, seed=seed, dtype=["float32", "float64"][seed % 2])


@pytest.mark.parametrize("seed", range(30))
def test_random_networks(tmp_path, seed):
    """Trained a little, so that moving averages and standardisation are no longer 0 and 1."""
    net = drawn(seed)
    x, y = sample(net, 40, seed)
    net.fit(3.0 * x + 5.0, y, epochs=1)
    agrees(net, tmp_path / "net.onnx")


def test_operators_are_within_the_table_of_ulps(tmp_path):
    """What makes the rounding bound onnxruntime's too: each elementary function, in both dtypes."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    positive = np.exp(rng.uniform(-30, 30, 400))
    points = {"log": positive, "sqrt": positive, "log1p": positive - 0.9, "divide": positive}
    signed = np.concatenate([rng.uniform(-20, 20, 300), rng.uniform(-1e-3, 1e-3, 100)])
    for op in OPS:
        if op.ulps is None or op.name == "cos":  # encodings of dates, alone, take cos; in float64
            continue
        for dtype in ("float32", "float64"):
            x = points.get(op.name, signed).astype(dtype)
            tape = Tape(np)
            traced = tape.input(x.shape, x.dtype)
            function = getattr(TracingNamespace(tape), op.name, None)
            result = 3.0 / traced if op.name == "divide" else function(traced)
            nodes = Nodes(["x", "y"])
            nodes.write(Graph(tape, [result]), {traced.line: "x"}, ["y"])
            kind = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
            ends = [[onnx.helper.make_tensor_value_info(name, kind, x.shape)] for name in ("x", "y")]
            graph = onnx.helper.make_graph(nodes.nodes, "one", *ends, nodes.constants)
            opset = [onnx.helper.make_opsetid("", 18)]
            onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "one.onnx")
            computed = session_of(tmp_path / "one.onnx").run(None, {"x": x})[0]
            with mpmath.workprec(120):
                exact = [
                    3 / mpmath.mpf(float(v)) if op.name == "divide" else getattr(mpmath, op.name)(float(v)) for v in x
                ]
                true = np.array([float(v) for v in exact])
                off = np.array([abs(float(mpmath.mpf(float(c)) - e)) for c, e in zip(computed, exact, strict=True)])
            ulp = np.spacing(np.maximum(np.abs(true), np.finfo(dtype).smallest_normal).astype(dtype)).astype(float)
            assert (off / ulp).max() <= op.ulps, (op.name, dtype, (off / ulp).max())


# ---- what the file is


def test_a_classifier_has_probabilities_labels_and_names(tmp_path):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((60, 4)), np.array(["ash", "oak", "elm"])[rng.integers(0, 3, 60)]
    net = network(4, Standardize(), 8, 3, output="softmax", loss="cross_entropy")
    net.fit(x, labels, epochs=2)
    net.metadata["who"] = "a test"
    session = agrees(net, tmp_path / "net.onnx")
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [("x", "tensor(double)", ["rows", 4])]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [
        ("probabilities", "tensor(float)", ["rows", 3]),
        ("label", "tensor(string)", ["rows"]),
    ]
    assert session.run(["label"], {"x": x})[0].tolist() == net.predict_classes(x).tolist()
    about = session.get_modelmeta()
    assert (about.producer_name, about.graph_name) == ("portnn", "network")
    assert json.loads(about.custom_metadata_map["classes"]) == ["ash", "elm", "oak"]
    assert json.loads(about.custom_metadata_map["metadata"]) == {"who": "a test"}
    assert about.custom_metadata_map["fingerprint"] == net.fingerprint()


@pytest.mark.parametrize("classes", [[0, 1], ["no", "yes"], [False, True]])
def test_one_output_of_two_classes(tmp_path, classes):
    x = np.random.default_rng(0).standard_normal((50, 2))
    net = network(2, 6, 1, output="sigmoid", loss="binary_cross_entropy", learning_rate=0.1)
    net.fit(x, np.array(classes)[(x[:, 0] > 0).astype(int)], epochs=5)
    session = agrees(net, tmp_path / "net.onnx")
    expected = net.predict_classes(x)
    if net.classes is None:  # the labels are 0 and 1
        (probabilities,) = session.run(None, {"x": x.astype(np.float32)})
        assert (probabilities[:, 0] > 0.5).tolist() == expected.tolist()
        return
    found = session.run(["label"], {"x": x.astype(np.float32)})[0]
    assert found.tolist() == expected.tolist()
    assert len(set(found.tolist())) == 2


def test_rates_of_poisson(tmp_path):
    net = network(3, 4, 1, loss="poisson", dtype="float64")
    session = agrees(net, tmp_path / "net.onnx")
    x = np.random.default_rng(0).standard_normal((9, 3))
    outputs, rates = session.run(["outputs", "predictions"], {"x": x})
    np.testing.assert_allclose(rates, np.exp(outputs), rtol=4e-16)


def test_the_digits_network_is_small(tmp_path):
    net = network(64, Standardize(), 128, 10, output="softmax", loss="cross_entropy")
    net.export_onnx(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").stat().st_size - 4 * (64 * 128 + 128 + 128 * 10 + 10) < 4096
    operators = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert operators[-4:] == ["Gemm", "Relu", "Gemm", "Softmax"]
    assert len(operators) <= 9


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_dtypes_of_the_input(tmp_path, dtype):
    net = network(4, Rescale(1 / 255), 8, 2)
    session = agrees(net, tmp_path / "net.onnx", input_dtype=dtype)
    x = np.arange(12).reshape(3, 4).astype(dtype)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], net.predict(x), rtol=1e-5, atol=1e-6)


def test_a_network_of_another_backend_and_arithmetic(tmp_path):
    net = network(4, 8, 2, arithmetic="reproducible", backend="array_api_strict")
    agrees(net, tmp_path / "net.onnx")


# ---- raw tables


def table(rows, seed=0, label="text"):
    """Return cells of every kind, with gaps, and names that nodes have too."""
    rng = np.random.default_rng(seed)

    def gaps(values, gap):
        values[rng.random(rows) < 0.2] = gap
        return values

    cells = {
        "v0": rng.standard_normal(rows),
        "x": gaps(rng.integers(0, 5, rows).astype(float), np.nan),
        "c0": gaps(rng.choice(["red", "blue", "Grün"], rows), ""),
        "label": gaps(np.datetime64("2020-01-01T07:30") + rng.integers(0, 600_000, rows), np.datetime64("NaT")),
        "instant": np.datetime64("1969-12-01T00:00") + rng.integers(0, 99_000, rows),
        "flag": rng.random(rows) > 0.5,
        "town": rng.choice([f"town {i}" for i in range(60)], rows),
    }
    y = cells["v0"] + (cells["c0"] == "red")
    cells["c0"] = cells["c0"].astype(object)
    return Table("x", cells, header=True, zoned=frozenset(["instant"])), (
        np.where(y > 0, "yes", "no") if label == "text" else y
    )


def fed(cells, rename=str):
    """Return cells as a caller of onnxruntime gives them, written without the module under test."""
    days = {"M": lambda c: [np.nan if np.isnat(v) else (v - np.datetime64(0, "m")).astype(float) / 1440.0 for v in c]}
    return {
        name: np.array(days["M"](c))[:, None]
        if c.dtype.kind == "M"
        else c.astype(object)[:, None]
        if c.dtype.kind in "OU"
        else c.astype(np.float64)[:, None]
        for name, c in cells.items()
    }


@pytest.mark.parametrize("first", [Standardize(), Tabular()], ids=repr)
@pytest.mark.parametrize("label", ["text", "number"])
def test_raw_tables(tmp_path, first, label):
    train, y = table(300, label=label)
    if label == "text":
        net = network(first, 16, 2, output="softmax", loss="cross_entropy")
    else:
        net = network(first, 16, 1, Unstandardize(), dtype="float64")
    net.fit(train, y, epochs=2)
    session = agrees(net, tmp_path / "net.onnx")
    types = {i.name: i.type for i in session.get_inputs()}
    assert types == {n: f"tensor({'string' if n in ('c0', 'town') else 'double'})" for n in train.columns}
    new, _ = table(77, seed=1)
    new.columns["c0"][:4] = ["purple", "NA", "nUlL", "n/a"]
    results = session.run(None, fed(new.columns))
    eps = np.finfo(net.dtype).eps
    np.testing.assert_allclose(results[0], net.predict(new), rtol=0, atol=100 * eps * np.abs(results[0]).max())
    if label == "text":
        assert [o.name for o in session.get_outputs()] == ["probabilities", "label_"]
        assert results[1].tolist() == net.predict_classes(new).tolist()


# ---- what is refused


@dataclass(frozen=True)
class Odd(Layer):
    """A layer of the kind that its name says."""

    kind: str

    def shapes(self, features):
        return Shapes(features)

    def forward(self, xp, weights, x, context):
        y = {
            "number": lambda: x * (1.0 / x.shape[0]),
            "size": lambda: xp.reshape(x, (2 * x.shape[0] + 1, -1)),
            "odd rows": lambda: x * 2.0 if x.shape[0] % 4 == 1 else x + 1.0,
            "operation": lambda: xp.cumulative_sum(x, axis=1),
            "value": lambda: x if float(xp.sum(x)) > 0 else -x,
            "slice": lambda: xp.concat([x[1:, :], x[:1, :]], axis=0),
        }[self.kind]()
        return y, lambda dy: (dy, {})


@pytest.mark.parametrize("kind", ["number", "odd rows", "operation", "value", "slice"])
def test_layers_that_a_file_cannot_hold(tmp_path, kind):
    net = network(4, Odd(kind), 8, 2)
    assert net.predict(np.ones((5, 4))).shape == (5, 2)  # an own layer that works here
    with pytest.raises(SerializationError, match="onnx: expected"):
        net.export_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_a_file_cannot_hold(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"what was here before")
    with pytest.raises(NotFittedError):
        network(Standardize(), 8, 2).export_onnx(path)
    with pytest.raises(ArgumentError, match=r"input_dtype: expected one of .*float16"):
        network(2, 8, 2).export_onnx(path, input_dtype="float16")
    train, y = table(100)
    net = network(Standardize(), 8, 2, output="softmax", loss="cross_entropy")
    net.fit(train, y, epochs=1)
    with pytest.raises(ArgumentError, match="input_dtype: expected none for a model of a table"):
        net.export_onnx(path, input_dtype="float32")
    with pytest.raises(FileNotFoundError):
        network(2, 8, 2).export_onnx(tmp_path / "nowhere" / "net.onnx")
    assert path.read_bytes() == b"what was here before"
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_outputs_of_another_network_are_refused(tmp_path, monkeypatch):
    """The file is kept once onnxruntime has computed the same: here it computes another relu."""
    path = tmp_path / "net.onnx"
    add = Nodes.add
    for operator in ("Gemm", "Relu"):
        other = {"Gemm": "Gemm", "Relu": "Elu"}[operator]
        options = {"alpha": 1.001} if other == "Gemm" else {}

        def wrong(self, name, *inputs, operator=operator, other=other, options=options, **attributes):
            name, extra = (other, options) if name == operator else (name, {})
            return add(self, name, *inputs, **attributes, **extra)

        monkeypatch.setattr(Nodes, "add", wrong)
        with pytest.raises(SerializationError, match="expected the network's outputs within their rounding bound"):
            network(4, 8, 3).export_onnx(path)
        assert not path.exists()


def test_without_onnx(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith("portnn.onnx.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BackendUnavailableError, match=r"onnx: .*pip install 'portnn\[onnx\]'"):
        network(2, 8, 2).export_onnx(tmp_path / "net.onnx")


# ---- the command


def test_the_command(tmp_path):
    net, model, path = network(4, 8, 3), tmp_path / "net.safetensors", tmp_path / "net.onnx"
    net.save(model)
    result = CliRunner().invoke(main, ["export", str(model), str(path), "--input-dtype", "float64"])
    assert (result.exit_code, result.stderr) == (0, f"wrote {path}\n")
    assert session_of(path).get_inputs()[0].type == "tensor(double)"
    for arguments, message in [
        ([model, model], "expected a name ending in .onnx"),
        ([model, tmp_path / "no" / "net.onnx"], "expected a folder that exists"),
        ([model, path, "--input-dtype", "half"], "input_dtype: expected one of"),
        ([path, tmp_path / "other.onnx"], "net.onnx"),
    ]:
        result = CliRunner().invoke(main, ["export", *map(str, arguments)])
        assert result.exit_code == 2
        assert message in result.stderr, result.stderr
    assert not (tmp_path / "other.onnx").exists()
