"""Pictures: what they show is what there is, in the Axes that were asked for."""

import numpy as np
import pytest

from portnn import (
    ArgumentError,
    BackendUnavailableError,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    MaxPool2D,
    NeuralNetwork,
    Residual,
    ShapeError,
    Standardize,
    diagnose,
    find_learning_rate,
    plot,
)
from portnn.metrics import confusion_matrix
from portnn.train.history import History

plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
X = RNG.random((40, 2))
LABELS = (X[:, 0] > 0.6).astype(int) + (X[:, 1] > 0.7)


def net(*layers, **options):
    return NeuralNetwork(*(layers or (2, 4, 3)), output="softmax", loss="cross_entropy", seed=0, **options)


HISTORY = History([3.0, 2.0, 1.0], {"validation_loss": [3.5, 2.5, 2.0], "accuracy": [0.1, 0.2, 0.3]})
PLOTS = {
    "history": lambda **k: HISTORY.plot(**k),
    "curves": lambda **k: plot.curves({"a": [1.0, 2.0]}, **k),
    "drift": lambda **k: plot.drift({("a", "float32"): [1e-9, 2e-9]}, **k),
    "confusion_matrix": lambda **k: plot.confusion_matrix([[3, 1], [0, 2]], **k),
    "network": lambda **k: plot.network(net(), **k),
    "decision_boundary": lambda **k: plot.decision_boundary(net(), X, LABELS, **k),
    "diagnosis": lambda **k: diagnose(net(), X, LABELS).plot(**k),
    "range_test": lambda **k: find_learning_rate(net(), X, LABELS, steps=10).plot(**k),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_draws_where_it_is_told_and_once(name, tmp_path):
    """Into ``ax``, else into one new figure; a saved figure of its own does not stay open."""
    plt.close("all")
    _, (left, right) = plt.subplots(1, 2)
    assert PLOTS[name](ax=right) is right
    assert len(plt.get_fignums()) == 1
    assert right.has_data()
    assert not left.has_data()
    plt.close("all")
    drawn = PLOTS[name]()
    assert [plt.figure(number) for number in plt.get_fignums()] == [drawn.figure]
    assert drawn in drawn.figure.axes
    plt.close("all")
    PLOTS[name](path=tmp_path / "it.png")
    assert not plt.get_fignums()
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_leaves_no_figure(monkeypatch, tmp_path):
    plt.close("all")
    with pytest.raises(FileNotFoundError):
        plot.curves({"a": [1.0]}, tmp_path / "nowhere" / "it.png")
    assert not plt.get_fignums()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(BackendUnavailableError, match=r"matplotlib is not installed; pip install 'portnn\[plot\]'"):
        plot.network(net())


def test_a_history_shows_all_metrics_and_the_best_epoch():
    ax = HISTORY.plot()
    loss, accuracy = axes = ax.figure.axes
    assert ax is loss
    assert [one.get_ylabel() for one in axes] == ["loss", "accuracy"]
    for one, expected in ((loss, [HISTORY.loss, HISTORY.metrics["validation_loss"]]), (accuracy, [[0.1, 0.2, 0.3]])):
        *curves, best = one.get_lines()
        assert [curve.get_ydata().tolist() for curve in curves] == expected
        assert set(best.get_xdata()) == {HISTORY.best_epoch} == {3}
        assert all(float(tick).is_integer() for tick in one.get_xticks())
    plt.close(ax.figure)
    alone = HISTORY.plot(log=True, metric="validation_loss")
    assert (alone.get_yscale(), alone.get_ylabel()) == ("log", "validation_loss")
    plt.close(alone.figure)
    many = History([1.0], {name: [1.0] for name in "abcd"}).plot()
    assert len(many.figure.axes) == 5
    plt.close(many.figure)
    one = History([2.0, 1.0], {}).plot()
    assert len(one.figure.axes) == 1
    plt.close(one.figure)


def test_a_history_shows_training_and_validation_together():
    for metric, expected in (
        ("loss", {"training": HISTORY.loss, "validation": HISTORY.metrics["validation_loss"]}),
        ("accuracy", {"training": HISTORY.metrics["accuracy"]}),
    ):
        ax = HISTORY.plot(metric=metric)
        *lines, best = ax.get_lines()
        assert set(best.get_xdata()) == {3}
        assert ax.get_ylabel() == metric
        assert [line.get_ydata().tolist() for line in lines] == list(expected.values())
        assert [line.get_xdata().tolist() for line in lines] == [[1, 2, 3]] * len(lines)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == [*expected, "best: epoch 3"]
        plt.close(ax.figure)
    with pytest.raises(ArgumentError, match="metric: expected one of loss, validation_loss, accuracy; got 'f1'"):
        HISTORY.plot(metric="f1")


def test_a_confusion_matrix_has_a_row_for_each_class():
    y = np.array([0, 0, 0, 0, 1, 1, 2])
    outputs = np.eye(3)[[0, 0, 0, 2, 1, 0, 2]]
    ax = plot.confusion_matrix(confusion_matrix(outputs, y), classes=["ant", "bee", "cat"])
    shown = {tuple(map(int, text.get_position()[::-1])): text.get_text() for text in ax.texts}
    assert shown[0, 0] == "3"
    assert (shown[0, 2], shown[2, 0], shown[1, 0]) == ("1", "0", "1")
    assert np.allclose(ax.images[0].get_array(), [[0.75, 0, 0.25], [0.5, 0.5, 0], [0, 0, 1]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ant", "bee", "cat"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("taken for", "class")
    plt.close(ax.figure)
    with pytest.raises(ShapeError, match=r"matrix: expected shape \(classes, classes\); got \(2, 3\)"):
        plot.confusion_matrix(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="classes: expected 2 names; got 3"):
        plot.confusion_matrix(np.eye(2), classes="abc")


def drawn_weights(ax):
    """Return {(column, place of the source, place of the target): colour} of a drawing's lines."""
    found = {}
    for lines in ax.collections:
        if hasattr(lines, "get_segments"):
            for ((x, y), (_, to_y)), colour in zip(lines.get_segments(), lines.get_colors(), strict=True):
                found[int(x), float(y), float(to_y)] = colour
    return found


def test_a_drawing_shows_each_weight_between_its_units(backend):
    one = net(2, "tanh", 3, backend=backend)
    weights = np.array([[1.0, -1.0, 0.0], [0.25, -0.5, 0.0]])
    one = NeuralNetwork(2, 3, 1, seed=0, backend=backend)
    one.set_parameters({"W1": weights, "b1": [2.0, 0.0, -2.0]})
    ax = plot.network(one)
    lines = drawn_weights(ax)
    assert len(lines) == 2 * 3 + 3 * 1
    red, _, blue, opacity = np.moveaxis([[lines[0, 0.5 - i, 1.0 - j] for j in range(3)] for i in range(2)], -1, 0)
    redness = (red - blue) * opacity
    assert np.all(np.sign(redness) == np.sign(weights))
    assert redness[0, 0] - redness[1, 0] > 0.3  # the stronger, the more colour
    rims = next(c for c in ax.collections if len(c.get_offsets()) == 3).get_edgecolors()
    assert rims[0][0] > rims[0][2]
    assert rims[2][0] < rims[2][2]
    assert [text.get_text() for text in ax.texts] == ["2 inputs", "3 units\nrelu", "1 unit"]
    plt.close(ax.figure)


def test_a_drawing_leaves_out_the_middle_of_wide_layers():
    ax = plot.network(net(50, Standardize(), 20, "tanh", Residual((20, "relu")), 3), most=5)
    assert len(drawn_weights(ax)) == 5 * 5 + 5 * 3
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("⋮") == 2
    assert texts[-3:] == ["50 inputs\nStandardize", "20 units\ntanh\nResidual", "3 units\nsoftmax"]
    plt.close(ax.figure)
    codes = NeuralNetwork((2,), Embedding(9, 3), Flatten(), Dense(1, bias=False), seed=0)
    ax = plot.network(codes)
    assert len(drawn_weights(ax)) == 6
    plt.close(ax.figure)


def test_a_boundary_is_where_the_classes_change(backend):
    """A network that looks at the first feature alone: left of 1/2 the first class, right of it the second."""
    one = NeuralNetwork(2, 1, output="sigmoid", loss="binary_cross_entropy", seed=0, backend=backend)
    one.set_parameters({"W1": [[20.0], [0.0]], "b1": [-10.0]})
    corners = np.array([[0.0, 0.0], [1.0, 2.0]])
    ax = plot.decision_boundary(one, corners, [0, 1])
    image, (left, right, low, high) = ax.images[0].get_array(), ax.images[0].get_extent()
    assert left < 0 < 1 < right
    assert low < 0 < 2 < high
    across = np.linspace(left, right, image.shape[1])
    blue = image[..., 2] > image[..., 0]  # C0 is blue, C1 orange
    assert np.array_equal(blue, np.broadcast_to(across < 0.5, blue.shape))
    assert ax.get_legend_handles_labels()[1] == ["0", "1"]
    plt.close(ax.figure)


def test_a_boundary_knows_texts_and_values():
    one = NeuralNetwork(Standardize(), 8, 3, output="softmax", loss="cross_entropy", seed=0)
    names = np.array(["ant", "bee", "cat"])[LABELS]
    one.fit(X, names, epochs=2)
    ax = plot.decision_boundary(one, X, names)
    assert ax.get_legend_handles_labels()[1] == ["ant", "bee", "cat"]
    drawn = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1]
    assert [len(d) for d in drawn] == np.bincount(LABELS).tolist()
    plt.close(ax.figure)
    values = NeuralNetwork(2, 4, 1, seed=0)
    ax = plot.decision_boundary(values, X, X.sum(axis=1))
    assert ax.figure.axes[1].get_ylabel() == "output"
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((net(3, 2), X[:, :1]), r"x: expected rows of two features to draw on a plane; got shape \(40, 1\)"),
        ((NeuralNetwork(2, 2, seed=0), X), "net: expected one output, or classes; got 2 outputs"),
        ((net(), X, LABELS[:3]), "y: expected a target for each of 40 rows; got 3"),
    ],
)
def test_what_is_no_plane_is_refused(arguments, message):
    plt.close("all")
    with pytest.raises(ShapeError, match=message):
        plot.decision_boundary(*arguments)
    assert not plt.get_fignums()


def test_a_drawing_of_a_network_of_images_names_their_shape():
    one = NeuralNetwork((1, 6, 6), Conv2D(2, 3), "relu", MaxPool2D(2), Flatten(), 3, 2, seed=0, backend="numpy")
    ax = plot.network(one)
    first = next(text.get_text() for text in ax.texts if "inputs" in text.get_text())
    assert first == "1 x 6 x 6 inputs\nConv2D\nrelu\nMaxPool2D\nFlatten\n8 features"
    assert repr(one).startswith("NeuralNetwork(1x6x6-3-2,")
    assert "8 features" not in one._repr_html_()  # its first column is the pixels
    plt.close(ax.figure)
