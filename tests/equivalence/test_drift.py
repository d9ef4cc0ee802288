"""How far trainings drift apart: measured from NumPy's own run, drawn in decades, with zeros as such."""

import numpy as np
import pytest
from conftest import spare

from portnn import NeuralNetwork, compare, compare_bits, plot
from portnn.equivalence.drift import Drift, distance, draw, drift
from portnn.equivalence.report import save_reports

plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 4)), RNG.standard_normal((20, 2))
OTHER = "array_api_strict"


def network(**options):
    return NeuralNetwork(4, 5, "tanh", 2, seed=0, **options)


def heights(ax):
    return {line.get_label(): np.asarray(line.get_ydata()) for line in ax.get_lines()}


def ticks(ax):
    return {text.get_text(): float(at) for at, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}


def test_the_distance_is_a_share_of_the_norm():
    assert distance(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == 0.1
    assert distance(np.array([3.0, 4.0], np.float32), np.array([3.0, 4.0], np.float32)) == 0.0
    assert np.isnan(distance(np.array([np.nan]), np.array([np.nan])))
    for little in (1e-170, 5e-324):  # whose square is 0
        assert distance(np.array([1.0, 0.0]), np.array([1.0, little])) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_drift_is_that_of_two_trainings(other, dtype):
    """Alone as in the report of a comparison: the last distance is that of what ``fit`` gives."""
    spare(other, "what is measured is no array of a library")
    report = compare(network(dtype=dtype), X, Y, backends=[other], steps=6, batch_size=7)
    alone = drift(network(dtype=dtype), X, Y, backends=[other], steps=6, batch_size=7)
    assert alone.trajectory == report.trajectory
    assert alone.arithmetic == report.arithmetic == dtype
    weights = []
    for name in ("numpy", other):
        net = network(dtype=dtype, backend=name)
        net.fit(X, Y, epochs=2, batch_size=7)
        weights.append(np.concatenate([np.ravel(w) for w in net.to("numpy").parameters.values()]))
    (distances,) = report.trajectory.values()
    assert len(distances) == 6
    assert distances[-1] == pytest.approx(distance(*weights), rel=1e-6)


def test_a_backend_that_is_named_twice_is_taken_once():
    for measured in (compare, compare_bits, drift):
        report = measured(network(), X, Y, backends=["numpy", OTHER, f"{OTHER}:CPU_DEVICE"], steps=2)
        assert list(map(len, report.trajectory.values())) == [2]


def test_equal_bits_do_not_drift_and_others_do():
    report = compare_bits(network(arithmetic="reproducible"), X, Y, backends=[OTHER], steps=4)
    assert list(report.trajectory.values()) == [[0.0] * 4]
    assert report.arithmetic == "reproducible"


def test_decades_and_zeros():
    """Each value at its power of ten, an exact zero on the row called 0 below, what is not finite nowhere."""
    ax = plot.drift(
        {
            ("torch:cpu", "float64"): [0.0, 1e-16, 3e-14],
            ("torch:cpu", "float32"): [1e-7, np.nan, np.inf],
            ("jax:cpu:0", "reproducible"): [0.0, 0.0, 0.0],
        }
    )
    drawn, labels = heights(ax), ticks(ax)
    assert list(drawn) == ["torch:cpu, float64", "torch:cpu, float32", "jax:cpu:0, reproducible"]
    np.testing.assert_allclose(drawn["torch:cpu, float64"][1:], np.log10([1e-16, 3e-14]))
    assert drawn["torch:cpu, float32"].tolist()[0] == -7.0
    assert not np.isfinite(drawn["torch:cpu, float32"][1:]).any()
    assert {labels[f"$10^{{{decade}}}$"] - decade for decade in range(-16, -5)} == {0.0}
    assert labels["0"] <= -17
    zeros = {float(drawn["torch:cpu, float64"][0]), *drawn["jax:cpu:0, reproducible"].tolist()}
    assert len(zeros) == 2  # side by side, so that both are seen
    assert max(abs(zero - labels["0"]) for zero in zeros) < 0.5
    bottom, top = ax.get_ylim()
    seen = [y for values in drawn.values() for y in values if np.isfinite(y)]
    assert bottom < min(seen) - 0.1
    assert max(seen) < top
    colours = [line.get_color() for line in ax.get_lines()]
    assert colours[0] == colours[1] != colours[2]
    assert len({line.get_linestyle() for line in ax.get_lines()}) == 3
    plt.close("all")


def test_where_all_are_equal_all_are_seen():
    """Side by side on the row of zeros, none on the frame."""
    ax = plot.drift({(name, "float64"): [0.0] * 40 for name in "abcd"})
    found = sorted(float(values[0]) for values in heights(ax).values())
    assert ax.get_ylim()[0] < found[0] - 0.1
    assert len(set(found)) == 4
    assert found[-1] < ticks(ax)["$10^{-16}$"] - 0.1
    plt.close("all")


def test_the_largest_drift_of_several_networks():
    several = [
        Drift("float32", trajectory={"a": [1e-9, 1e-6], "b": [1e-8]}),
        Drift("float32", trajectory={"a": [1e-8, 1e-7, 1e-5]}),
        Drift("float64", trajectory={"a": [1e-17]}),
        Drift("float64", trajectory={"c": [np.nan, 0.0]}),
        Drift("float64", trajectory={"c": [0.0, np.nan]}),
    ]
    drawn = heights(draw(several))
    assert np.isnan(drawn.pop("c, float64")).all()  # what diverged is not drawn as equal
    assert {name: np.round(values).tolist() for name, values in drawn.items()} == {
        "a, float32": [-8, -6, -5],
        "b, float32": [-8],
        "a, float64": [-17],
    }
    plt.close("all")


def test_one_picture_of_both_arithmetics(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(plot, "drift", lambda series, path, ax: seen.append((list(series), path)))
    net = network(dtype="float32")
    fast = drift(net, X, Y, backends=[OTHER], steps=2)
    exact = compare_bits(net.to(arithmetic="reproducible"), X, Y, backends=[OTHER], steps=2)
    save_reports({"net": exact}, tmp_path / "both.png", beside=[fast])
    name = f"{OTHER}:CPU_DEVICE"
    assert seen == [([(name, "float32"), (name, "reproducible")], tmp_path / "both.png")]
