"""What notebooks show: well-formed HTML without scripts, with the numbers that there are, and nothing unescaped."""

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from portnn import Dropout, NeuralNetwork, Standardize, compare, compare_bits
from portnn.html import drawings, elements
from portnn.train.history import History

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = (X[:, 0] > 0).astype(int)


def parsed(html):
    """Return the tree: the HTML is XML too; refuse what no notebook shall run or fetch."""
    assert "<script" not in html
    assert "href" not in html
    assert "src=" not in html
    return ElementTree.fromstring(html.replace("xmlns=", "data-xmlns="))


def texts(tree, tag):
    return ["".join(node.itertext()) for node in tree.iter(tag)]


def network(**options):
    options = {"output": "softmax", "loss": "cross_entropy", "seed": 0, "backend": "numpy", **options}
    return NeuralNetwork(3, Standardize(), 8, Dropout(0.2), 2, **options)


def cells(tree):
    return [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]


def test_a_network_shows_layers_parameters_and_state():
    net = network()
    tree = parsed(net._repr_html_())
    assert texts(tree, "strong") == [repr(net)]
    assert cells(tree)[1:] == [list(row) for row in net.architecture.table()]
    assert "not trained" in texts(tree, "div")
    net.fit(X, Y, epochs=2, batch_size=20)
    assert "trained for 6 steps, 2 whole epochs" in texts(parsed(net._repr_html_()), "div")
    (drawing,) = tree.iter("svg")
    assert len(list(drawing.iter("rect"))) == 3
    assert [text.text for text in drawing.iter("text")][:2] == ["3 inputs", "Standardize"]
    assert drawing.get("aria-label").startswith("layers: 3 inputs Standardize, 8 units relu Dropout, 2 units softmax")


def test_a_network_without_widths_and_one_of_a_table():
    assert not list(parsed(NeuralNetwork(Standardize(), 4, 1, seed=0)._repr_html_()).iter("svg"))
    net = NeuralNetwork(Standardize(), 4, 2, output="softmax", loss="cross_entropy", seed=0)
    pandas = pytest.importorskip("pandas")
    colours = np.array(["<b>red</b>", "blue"])[Y]
    net.fit(pandas.DataFrame({"a & b": X[:, 0], "colour": colours}), np.array(["<i>", "no"])[Y], epochs=1)
    (details,) = parsed(net._repr_html_()).iter("details")
    assert "a & b (number)" in "".join(details.itertext())
    assert "<i>" in "".join(details.itertext())


def test_a_history_shows_its_curves_and_the_best_epoch():
    history = History(
        [3.0, 2.0, 1.0],
        {"accuracy": [0.1, 0.2, 0.3], "validation_loss": [3.5, 2.5, 2.75], "validation_accuracy": [0.0, 0.25, 0.5]},
    )
    assert history.best_epoch == 2
    tree = parsed(history._repr_html_())
    assert cells(tree) == [
        ["", "last", "epoch 2"],
        ["loss", "1", "2"],
        ["validation loss", "2.75", "2.5"],
        ["accuracy", "0.3", "0.2"],
        ["validation accuracy", "0.5", "0.25"],
    ]
    loss, accuracy = tree.iter("svg")
    assert "loss over epochs" in loss.get("aria-label")
    assert len(list(accuracy.iter("polyline"))) == 2
    assert "best: 2" in texts(loss, "text")
    first, second = (
        [tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in loss.iter("polyline")
    )
    assert [y for _, y in first] == sorted(y for _, y in first)  # falls: downwards on the page
    assert second[1][1] > second[2][1] > second[0][1]
    assert first[1][0] == second[1][0]


@pytest.mark.parametrize(
    ("values", "lines", "dots"),
    [
        ([1.0, math.nan, 2.0, 3.0], 1, 1),
        ([math.inf, 1.0], 0, 1),
        ([1.0], 0, 1),
        ([2.0, 2.0], 1, 0),
        ([math.nan], None, 0),
    ],
)
def test_curves_with_gaps(values, lines, dots):
    html = drawings.curves("loss", {"training": values})
    if lines is None:
        assert html == ""
        return
    tree = parsed(html)
    assert (len(list(tree.iter("polyline"))), len(list(tree.iter("circle")))) == (lines, dots)
    numbers = [float(v) for node in tree.iter("polyline") for p in node.get("points").split() for v in p.split(",")]
    assert np.isfinite(numbers).all()


def test_long_histories_stay_small_and_keep_their_end():
    values = [1.0 / (i + 1) for i in range(10_000)]
    (line,) = parsed(drawings.curves("loss", {"training": values})).iter("polyline")
    assert len(line.get("points").split()) <= 300
    assert line.get("points").split()[-1].split(",")[0] == "282.0"


def test_histories_without_epochs_or_finite_losses():
    assert "0 epochs" in texts(parsed(History()._repr_html_()), "strong")[0]
    assert History().best_epoch is None
    assert History([math.nan], {}).best_epoch is None
    assert History([math.nan, 2.0, math.inf], {}).best_epoch == 2
    parsed(History([math.nan], {})._repr_html_())


def test_a_report_marks_what_is_broken():
    net = network(dtype="float64")
    report = compare(net, X, Y, backends=["array_api_strict"], steps=1, batch_size=20)
    tree = parsed(report._repr_html_())
    assert texts(tree, "strong") == ["Equivalence of backends: agree"]
    rows = cells(tree)
    assert [row[0] for row in rows[1:3]] == report.backends
    assert len(rows) == 1 + 2 + 1 + sum(len(report.worst(backend)) for backend in report.backends)
    assert elements.WRONG not in report._repr_html_()
    piece = replace(report.pieces[-1], share=3.0, share_of_worst_case=2.0)
    broken = replace(report, pieces=[*report.pieces, piece])
    tree = parsed(broken._repr_html_())
    assert texts(tree, "strong") == ["Equivalence of backends: no agreement"]
    marked = ["".join(row.itertext()) for row in tree.iter("tr") if elements.WRONG in row.get("style")]
    assert len(marked) == 2
    assert "BROKEN" in marked[0]
    assert piece.what in marked[1]


def test_a_report_of_bits():
    report = compare_bits(network(arithmetic="reproducible"), X, Y, backends=["array_api_strict"], steps=2)
    tree = parsed(report._repr_html_())
    assert texts(tree, "strong") == ["Bits of backends: agree"]
    assert cells(tree)[1:] == [[report.backends[1], "the same bits as NumPy after 2 steps"]]
    differs = replace(report, differences={report.backends[1]: "DIFFERS first at step 1: <loss>"})
    assert elements.WRONG in differs._repr_html_()
    assert "&lt;loss&gt;" in differs._repr_html_()
