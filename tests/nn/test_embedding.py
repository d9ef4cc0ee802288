"""Texts of many values: a code for each, and a trainable vector for each code."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from portnn import (
    ArgumentError,
    DataError,
    NeuralNetwork,
    ShapeError,
    Tabular,
    Unstandardize,
    default_optimizer,
    fit_options,
)
from portnn.cli import main
from portnn.data.encoding import MAX_ONE_HOT, MAX_VOCABULARY, Column, Encoding
from portnn.io.tables import Table
from portnn.nn import random

CITIES = [f"city{i:02}" for i in range(MAX_ONE_HOT + 10)]


def place(row):
    return f"row {row}"


def test_a_column_of_many_texts_becomes_a_code():
    """The more frequent the smaller; 0 for what came once, or never; a gap counts as the most frequent."""
    cells = np.array([*(city for i, city in enumerate(CITIES) for _ in range(2 + (i == 7))), "village", "?"])
    column = Column.fit("home", cells, place, embed=True)
    assert (column.coded, column.values[0], len(column.values)) == (True, "city07", len(CITIES))
    assert column.features == ["home missing", "home"]
    assert column.encoded(np.array(["city07", "city00", "village", "nowhere", ""]), place).tolist() == [
        [0, 1],
        [0, 2],
        [0, 0],
        [0, 0],
        [1, 1],
    ]
    assert str(column) == f"home ({len(CITIES)} texts, each a vector, gaps: city07)"
    assert not Column.fit("home", cells, place).coded
    assert not Column.fit("home", cells[: 2 * MAX_ONE_HOT], place, embed=True).coded
    many = Column.fit("home", np.repeat([f"v{i}" for i in range(MAX_VOCABULARY + 5)], 3), place, embed=True)
    assert len(many.values) == MAX_VOCABULARY


def test_codes_come_last():
    rng = np.random.default_rng(0)
    columns = {
        "home": np.repeat(CITIES, 4),
        "size": np.arange(4.0 * len(CITIES)),
        "work": rng.permutation(np.repeat(CITIES, 4)),
    }
    table = Table("t", columns, True)
    encoding, _ = Encoding.fit(table, list(columns), np.arange(table.rows), embed=True)
    assert encoding.features == ["size", "home", "work"]
    assert encoding.vocabulary_sizes == (len(CITIES), len(CITIES))
    x = encoding.encoded(table)
    assert x[:, 0].tolist() == columns["size"].tolist()
    for i, name in ((1, "home"), (2, "work")):
        values = next(c for c in encoding.columns if c.name == name).values
        assert [values[int(code) - 1] for code in x[:, i]] == columns[name].tolist()
    assert Encoding.from_config(json.loads(json.dumps(encoding.get_config()))) == encoding


def test_columns_of_0_and_1_pass_as_they_are(backend):
    """Whoever made them: of a frame, or an array; rows that do not count decide nothing."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(5, 3, 40), np.arange(40) == 3, rng.integers(0, 3, 40), np.ones(40)], axis=1)
    net = NeuralNetwork(4, Tabular(), 1, seed=0, backend=backend)
    net.fit(x, rng.standard_normal((40, 1)))
    deviations = x[:, [0, 2]].std(axis=0)
    np.testing.assert_allclose(np.asarray(net.to("numpy").buffers["inverse_std1"])[[0, 2]], 1 / deviations, rtol=1e-6)
    mean, scale = (np.asarray(net.to("numpy").buffers[name]) for name in ("mean1", "inverse_std1"))
    assert (mean[[1, 3]].tolist(), scale[[1, 3]].tolist()) == ([0, 0], [1, 1])
    x[5, 1] = 7
    net = NeuralNetwork(4, Tabular(), 1, seed=0, backend=backend)
    net.fit(x, rng.standard_normal((40, 1)), sample_weight=np.arange(40) != 5)
    assert np.asarray(net.to("numpy").buffers["inverse_std1"])[1] == 1
    net = NeuralNetwork(4, Tabular(), 1, seed=0, backend=backend)
    net.fit([(x[:20], x[:20, :1]), (x[20:] * 4, x[20:, :1])])  # the first batches alone do not say
    assert np.asarray(net.to("numpy").buffers["inverse_std1"])[3] != 1


def test_rare_values_of_a_text_are_learnt(tmp_path):
    """A target that is linear in four numbers and a text of 30 values: as scikit-learn learns it, one-hot."""
    pandas, rng = pytest.importorskip("pandas"), np.random.default_rng(0)
    frame = pandas.DataFrame(rng.standard_normal((160, 4)), columns=list("abcd"))
    makes = rng.integers(0, 30, 160)
    frame["make"] = [f"make{i}" for i in makes]
    frame["price"] = frame[list("abcd")].sum(axis=1) + rng.standard_normal(30)[makes]
    frame.to_csv(tmp_path / "cars.csv", index=False)
    result = CliRunner().invoke(main, ["train", str(tmp_path / "cars.csv"), "--target", "price", "--json"])
    assert json.loads(result.stdout)["r2"] > 0.97
    net = NeuralNetwork(Tabular(), 100, 1, Unstandardize(), seed=0, optimizer=default_optimizer(128))
    kept, held = random.split(160, 0.2, 0)
    x, y = frame.drop(columns="price"), frame["price"]
    net.fit(x.iloc[kept], y.iloc[kept], **fit_options(128))
    found = net.evaluate(x.iloc[held], y.iloc[held], metrics=["r2"])["r2"]
    assert found == pytest.approx(json.loads(result.stdout)["r2"], abs=1e-6)


def test_each_code_has_its_vector(backend):
    """By hand: numbers standardised, then the vectors of each row's codes; 0 has none."""
    rng = np.random.default_rng(0)
    for numbers in (2, 0):
        layer = Tabular((5, 3), (2, 4))
        net = NeuralNetwork(numbers + 2, layer, 3, seed=0, backend=backend, dtype="float64")
        codes = np.stack([rng.integers(0, 6, 40), rng.integers(0, 4, 40)], axis=1)
        codes[0] = 0
        x = np.concatenate([rng.normal(5, 3, (40, numbers)), codes], axis=1)
        net.fit(x, rng.standard_normal((40, 3)))
        p = {name: np.asarray(value) for name, value in net.to("numpy").parameters.items()}
        assert (p["E1"].shape, p["E2"].shape) == ((5, 2), (3, 4))
        first, second = (
            np.concatenate([np.zeros((1, e.shape[1])), e])[codes[:, i]] for i, e in enumerate((p["E1"], p["E2"]))
        )
        scaled = (x[:, :numbers] - x[:, :numbers].mean(axis=0)) / x[:, :numbers].std(axis=0)
        expected = np.concatenate([scaled, first, second], axis=1) @ p["W1"] + p["b1"]
        np.testing.assert_allclose(np.asarray(net.to("numpy").predict(x)), expected, rtol=1e-12, atol=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match="embedding_dims: expected one for each of 2 columns; got 1"):
        Tabular((3, 4), (2,))
    with pytest.raises(ArgumentError, match="num_embeddings: expected a positive int; got 0"):
        Tabular((0,))
    with pytest.raises(ShapeError, match=r"Tabular: expected \(batch, numbers \+ 2 codes\)"):
        NeuralNetwork(1, Tabular((3, 4)), 2)
    net = NeuralNetwork(3, Tabular((5, 3)), 2, seed=0, dtype="float64", backend="numpy")
    x = np.array([[0.5, 5.0, 3.0], [7.5, 0.0, 0.0]])
    net.step(x, np.zeros((2, 2)))
    for place, value, limit in (((0, 1), 6.0, 6), ((1, 2), 4.0, 4), ((1, 1), 1.5, 6), ((0, 2), -1.0, 4)):
        wrong = x.copy()
        wrong[place] = value
        message = rf"x: expected whole numbers below {limit} for Tabular.*; got {value} at \({place[0]}, {place[1]}\)"
        for call in (net.predict, lambda x: net.fit(x, np.zeros((2, 2))), lambda x: net.step(x, np.zeros((2, 2)))):
            with pytest.raises(DataError, match=message):
                call(wrong)
    assert Tabular((60, 5, 10**6)).embedding_dims == (16, 4, 50)


@pytest.fixture
def shops(tmp_path):
    """Which of 120 shops it is decides, and no two neighbours alike: 40 features cannot tell it."""
    rng = np.random.default_rng(0)
    good = rng.random(120) < 0.5
    shop, size = rng.integers(0, 120, 2000), rng.standard_normal(2000)
    label = np.where(good[shop] == (rng.random(2000) < 0.95), "yes", "no")
    path = tmp_path / "shops.csv"
    lines = [f"shop{s},{v:.3f},{answer}" for s, v, answer in zip(shop, size, label, strict=True)]
    path.write_text("\n".join(["shop,size,buys", *lines]) + "\n")
    return path


def test_the_command_line_embeds_texts_of_many_values(shops, tmp_path):
    def run(*arguments):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result

    model = tmp_path / "m.safetensors"
    train = ("train", shops, "--target", "buys", "--hidden", "16", "--epochs", "20", "--json")
    result = run(*train, "--save", model)
    assert "shop (120 texts, each a vector)" in result.stderr
    hot = json.loads(run(*train, "--no-standardize").stdout)
    assert json.loads(result.stdout)["accuracy"] > 0.9 > 0.8 > hot["accuracy"]
    assert isinstance(NeuralNetwork.load(model).architecture.layers[0], Tabular)
    new = tmp_path / "new.csv"
    new.write_text("size,shop\n0.5,nowhere\n0.5,shop7\n")
    assert len(run("predict", model, new).stdout.split()) == 3
    assert json.loads(run("evaluate", model, shops, "--json").stdout)["accuracy"] > 0.9


def test_frames_embed_where_the_network_has_the_layer(shops, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.read_csv(shops)
    x, y = frame[["shop", "size"]], frame["buys"]
    net = NeuralNetwork(Tabular(), 16, 2, output="softmax", loss="cross_entropy", seed=0)
    net.fit(x, y, epochs=20, validation=0.2, metrics=["accuracy"])
    assert net.history.metrics["validation_accuracy"][-1] > 0.9
    assert net.architecture.layers[0] == Tabular((120,))
    net.save(tmp_path / "m.safetensors")
    again = NeuralNetwork.load(tmp_path / "m.safetensors")
    assert again.predict_classes(x.iloc[:50, ::-1]).tolist() == net.predict_classes(x[:50]).tolist()
    net.fit(x, y)  # goes on
    plain = NeuralNetwork(Tabular(), 4, 1, seed=0)
    plain.fit(frame[["size"]], frame["size"])
    assert plain.architecture.layers[0] == Tabular()
