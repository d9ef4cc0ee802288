"""The proof in the user's hands: bounds hold on sound backends, and a faulty one is named with layer and step."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import spare
from faulty import Faulty, fewer_bits

from portnn import (
    ArgumentError,
    BackendUnavailableError,
    Conv2D,
    Dropout,
    Flatten,
    MaxPool2D,
    NeuralNetwork,
    Report,
    Standardize,
    available_backends,
    compare,
    get_backend,
)
from portnn.cli import main
from portnn.equivalence.networks import built_in, sample

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((70, 12)), RNG.integers(0, 4, 70)


def classifier(dtype="float32", **options):
    return NeuralNetwork(
        12,
        Standardize(),
        32,
        Dropout(0.2),
        16,
        4,
        output="softmax",
        loss="cross_entropy",
        seed=0,
        dtype=dtype,
        **options,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_hold(other, dtype):
    spare(
        other,
        "test_breadth.py has everything on it, test_oracle.py takes it through 300 steps",
    )
    net = classifier(dtype)
    before = net.fingerprint()
    report = compare(net, X, LABELS, backends=[other], steps=3)
    assert report.holds, str(report)
    assert net.fingerprint() == before
    assert net.step_count == 0
    name = repr(get_backend(other))
    assert report.backends == ["numpy:cpu", name]
    assert {p.backend for p in report.pieces} == {"numpy:cpu", name}
    assert report.judged_by == ("float64" if dtype == "float32" else "numbers of 50 digits")
    assert {p.step for p in report.pieces} == {1, 2, 3}
    places = {p.place for p in report.pieces}
    assert places == {
        "1 Standardize",
        "2 Dense",
        "3 Activation",
        "4 Dropout",
        "5 Dense",
        "6 Activation",
        "7 Dense",
        "loss",
        "update",
        "whole step",
    }
    assert {p.what for p in report.pieces if p.place == "5 Dense"} == {"output", "dx", "dW", "db"}
    # A float64 run of three steps stays within a few hundred roundings of the parameters' norm.
    assert report.trajectory[name][-1] < 500 * np.finfo(dtype).eps
    assert set(report.fingerprints) == {"numpy:cpu", name}


@pytest.mark.exhaustive
def test_built_in_networks_hold(other):
    spare(other, "test_breadth.py has everything on it, test_training_bits.py these")
    for title, net in built_in("float32"):
        report = compare(net, *sample(net, 40), backends=[other], steps=1)
        assert report.holds, f"{title}\n{report}"


FAULTS = {
    "TF32 products": (lambda xp: fewer_bits(xp, 10), r"2 Dense, output"),
    "bfloat16 products": (lambda xp: fewer_bits(xp, 7), r"2 Dense, output"),
    "exp to 1e-5": (lambda xp: {"exp": lambda x: xp.exp(x) * (1 + 1e-5)}, "loss, loss"),
    "sqrt to 1e-3": (lambda xp: {"sqrt": lambda x: xp.sqrt(x) * (1 + 1e-3)}, r"update, W1"),
    "a sum that loses a thousandth": (lambda xp: {"sum": lambda x, **o: xp.sum(x, **o) * 0.999}, "loss, loss"),
    "a promoted result": (lambda xp: {"max": lambda x, **o: xp.astype(xp.max(x, **o), xp.float64)}, "loss, loss"),
    "other random bits": (
        lambda xp: {"arange": lambda *a, **o: xp.arange(*a, **o) + 1},
        "4 Dropout, output",
    ),
}


@pytest.fixture
def strict(monkeypatch):
    pytest.importorskip("array_api_strict")
    adapter = get_backend("array_api_strict")

    def plant(fault):
        monkeypatch.setattr(adapter, "xp", Faulty(adapter.xp, **fault(adapter.xp)))

    return plant


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_library_is_named(fault, strict):
    change, place = FAULTS[fault]
    strict(change)
    report = compare(classifier(), X, LABELS, backends=["array_api_strict"], steps=2)
    assert not report.holds
    assert re.search(rf"BROKEN first at step 1, {place}", report.verdict()), report.verdict()
    assert report.broken[0].share > 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("k", [784, 4096])
@pytest.mark.parametrize("bits", [10, 7])
def test_products_of_fewer_bits_break_the_bound(k, bits, strict):
    strict(lambda xp: fewer_bits(xp, bits))
    net = NeuralNetwork(k, 64, 10, output="softmax", loss="cross_entropy", seed=0)
    report = compare(net, *sample(net, 128), backends=["array_api_strict"], steps=1, batch_size=128)
    assert report.broken[0].place == "1 Dense"


def test_a_fault_of_the_compiled_step_alone_is_seen(monkeypatch):
    """The pieces are sound, the step as the backend runs it is not: its bias correction is a thousandth off."""
    pytest.importorskip("array_api_strict")
    adapter = get_backend("array_api_strict")

    def wrong(function, static=1, donation=None):
        off = lambda hyperparams: tuple((*first, last * 1.001) for *first, last in hyperparams)  # noqa: E731
        run = partial(adapter.call_in_scope, function, static)
        return lambda *a: run(*a) if donation is None else run(*a[:-1], off(a[-1]))

    monkeypatch.setattr(adapter, "compile", wrong)
    report = compare(classifier(), X, LABELS, backends=["array_api_strict"], steps=2)
    assert {piece.place for piece in report.broken} == {"whole step"}


def test_reports_are_written(tmp_path):
    pytest.importorskip("array_api_strict")
    pytest.importorskip("matplotlib")
    report = compare(classifier(), X, LABELS, backends=["array_api_strict"], steps=2)
    for name in ("r.json", "r.md", "r.png"):
        report.save(tmp_path / name)
    (title,) = values = json.loads((tmp_path / "r.json").read_text())
    assert values[title]["holds"] is True
    assert len(values[title]["pieces"]) == len(report.pieces)
    assert values[title]["environment"]["backends"]["numpy:cpu"] == np.__version__
    assert "| 2 Dense | " in re.sub(" +", " ", (tmp_path / "r.md").read_text())
    assert (tmp_path / "r.png").stat().st_size > 5000
    with pytest.raises(ArgumentError, match=r"expected a name ending in .json"):
        report.save(tmp_path / "r.txt")


def test_options():
    for option in ({"steps": 0}, {"batch_size": 0}):
        with pytest.raises(ArgumentError, match="expected a positive int"):
            compare(classifier(), X, LABELS, **option)
    with pytest.raises(ArgumentError, match="backend: expected one of"):
        compare(classifier(), X, LABELS, backends=["nmpy"])


def without_others(monkeypatch):
    """Make NumPy the only library that can run."""
    infos = [i if i.name == "numpy" else replace(i, available=False, reason="pip it") for i in available_backends()]
    monkeypatch.setattr("portnn.equivalence.lockstep.available_backends", lambda: infos)


def test_a_check_that_compares_nothing_does_not_pass(monkeypatch):
    for chosen in (["numpy"], [], ["numpy", "numpy:cpu"], ("numpy",)):
        with pytest.raises(ArgumentError, match="backends: expected another beside numpy"):
            compare(classifier(), X, LABELS, backends=chosen)
    without_others(monkeypatch)
    with pytest.raises(BackendUnavailableError, match=r"no array library beside NumPy can run here.*torch: pip it"):
        compare(classifier(), X, LABELS)
    result = CliRunner().invoke(main, ["check", "--steps", "1"])
    assert result.exit_code == 2
    assert "no array library beside NumPy" in result.output
    assert "holds" not in result.stdout
    assert not Report("float32", {}, []).holds


def test_one_name_is_no_list_of_names():
    with pytest.raises(ArgumentError, match=r"backends: expected a list of names; got 'torch'"):
        compare(classifier(), X, LABELS, backends="torch")


def check(*arguments):
    return CliRunner().invoke(main, ["check", "--backends", "array_api_strict", *map(str, arguments)])


def test_command_line(tmp_path, strict):
    result = check("--steps", 1, "--dtype", "float32", "--output", tmp_path / "all.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "every bound holds"
    assert len(json.loads((tmp_path / "all.json").read_text())) == len(list(built_in("float32")))
    net = classifier()
    net.save(tmp_path / "m.safetensors")
    assert check(tmp_path / "m.safetensors").exit_code == 0
    lines = [",".join([*(f"x{i}" for i in range(12)), "y"])]
    lines += [",".join([*map(str, row), str(label)]) for row, label in zip(X, LABELS, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    assert "expected --target" in check(tmp_path / "m.safetensors", tmp_path / "d.csv").stderr
    net._schema = replace(net._schema, columns=tuple(f"x{i}" for i in range(12)), target_columns=("y",))
    net.save(tmp_path / "m.safetensors")
    plain = check(tmp_path / "m.safetensors", tmp_path / "d.csv").stdout
    assert re.search(r"^every bound holds\nnumpy:cpu: .*\narray_api_strict:CPU_DEVICE: ", plain, re.MULTILINE)
    assert "5 Dense" not in plain
    exact = check(tmp_path / "m.safetensors", tmp_path / "d.csv", "--verbose", "--against", "exact", "--steps", 1)
    assert re.search(r"^ *numpy:cpu +5 Dense ", exact.stdout, re.MULTILINE)
    assert "--bits compares bits" in check("--bits", "--against", "exact").stderr
    strict(lambda xp: fewer_bits(xp, 10))
    result = check(tmp_path / "m.safetensors", tmp_path / "d.csv")
    assert result.exit_code == 1
    assert "BROKEN first at step 1, 2 Dense, output" in result.stdout
    assert check("--backends", "nmpy").exit_code == 2


def test_convolutions_keep_their_bounds_beside_numbers_of_50_digits():
    """Stacks of matrices, pools and padding of the exact namespace too."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 2, 4, 5)), rng.standard_normal((3, 2))
    layers = Conv2D(2, 2, padding="same", groups=2), "tanh", MaxPool2D(2, padding="same"), Flatten()
    net = NeuralNetwork((2, 4, 5), *layers, 2, loss="mse", dtype="float64", seed=0, backend="numpy")
    report = compare(net, x, y, backends=["array_api_strict"], steps=1, against="exact")
    assert report.holds, report.verdict()
    assert report.judged_by != "float64"
