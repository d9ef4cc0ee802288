"""portnn.compare_bits and portnn check --bits: equal bits are seen, a differing one is named."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT

from portnn import ArgumentError, Dropout, NeuralNetwork, Report, compare_bits, get_backend
from portnn.cli import main
from portnn.equivalence.bits import BitsReport
from portnn.reproducible import arithmetic
from portnn.reproducible.arithmetic import Reproducible
from portnn.reproducible.namespace import ReproducibleNamespace
from portnn.testing import assert_same_bits

RNG = np.random.default_rng(0)
DIGITS = ROOT / "examples" / "data" / "digits.csv"
X, LABELS = RNG.standard_normal((50, 6)), RNG.integers(0, 3, 50)


def classifier(**options):
    options = {"arithmetic": "reproducible", **options}
    return NeuralNetwork(6, 8, "tanh", Dropout(0.2), 3, output="softmax", loss="cross_entropy", seed=0, **options)


def test_the_fingerprints_are_those_of_a_fit():
    net = classifier()
    before = net.fingerprint()
    report = compare_bits(net, X, LABELS, backends=["array_api_strict"], steps=7, batch_size=20)
    assert net.fingerprint() == before
    assert report.holds
    assert report.verdict() == "array_api_strict:CPU_DEVICE: the same bits as NumPy after 7 steps"
    expected = []
    net.fit(X, LABELS, epochs=2, batch_size=20, callbacks=[lambda net, event: expected.append(net.fingerprint())])
    for prints in report.fingerprints.values():
        assert prints[:2] == expected
        assert len(prints) == 3  # and after the seventh step, in the third epoch
    assert list(report.fingerprints) == report.backends == ["numpy:cpu", "array_api_strict:CPU_DEVICE"]


@pytest.fixture
def planted(monkeypatch):
    """Give array-api-strict's reproducible arithmetic other functions: ``plant(name=function of (xp, ...))``."""

    def plant(**functions):
        class Faulty(ReproducibleNamespace):
            pass

        for name, function in functions.items():
            setattr(Faulty, name, function)
        make = Reproducible.xp.fget
        here = get_backend("array_api_strict")
        classifier(backend="array_api_strict")  # the self-test, once a process: what it refuses is not compared
        monkeypatch.setattr(
            Reproducible, "xp", property(lambda self: Faulty(self._kit) if self.backend is here else make(self))
        )

    return plant


def through_float32(xp, x):
    return xp._xp.astype(xp._xp.astype(x, xp._xp.float32), xp._xp.float64)


LIBRARY = {
    "a library's tanh": ("tanh", lambda xp, x: xp._kit.xp.tanh(x), "xp.tanh, of the same arguments, on the way to 2 "),
    "a plain product": (
        "matmul",
        lambda xp, a, b: xp._kit.xp.matmul(a, b),
        "xp.matmul, of the same arguments, on the way to 1 Dense, output",
    ),
    "a plain sum": (
        "sum",
        lambda xp, x, **options: xp._kit.xp.sum(x, **options),
        "xp.sum, of the same arguments, on the way to ",
    ),
    "a root of float32": (
        "sqrt",
        lambda xp, x: through_float32(xp, xp._xp.sqrt(x)),
        "xp.sqrt, of the same arguments, on the way to update, W1",
    ),
    "a cast through float32": (
        "exp",
        lambda xp, x: through_float32(xp, xp._kit.functions["exp"](x)),
        "xp.exp, of the same arguments, on the way to loss, ",
    ),
}


@pytest.mark.parametrize("fault", LIBRARY)
def test_the_first_operation_that_differs_is_named(planted, fault):
    name, function, place = LIBRARY[fault]
    planted(**{name: function})
    report = compare_bits(classifier(), X, LABELS, backends=["array_api_strict"], steps=3)
    assert not report.holds
    assert re.search(rf"DIFFERS first at step \d: {re.escape(place)}", report.verdict()), report.verdict()
    assert len(report.fingerprints["array_api_strict:CPU_DEVICE"]) < len(report.fingerprints["numpy:cpu"])
    with pytest.raises(AssertionError, match="DIFFERS first at step"):
        assert_same_bits(classifier(), X, LABELS, backends=["array_api_strict"], steps=3)


def test_an_operator_that_differs_is_named(monkeypatch):
    """No function of the namespace: the sum of a product and a bias, as if it were rounded once more."""
    strict = pytest.importorskip("array_api_strict")
    kind = type(strict.asarray(0.0))
    plain = kind.__add__

    def off(self, other):
        result = plain(self, other)
        again = result.shape == (32, 8) and getattr(other, "shape", None) == (8,) and result.dtype == strict.float64
        return strict.asarray(np.nextafter(np.asarray(result), np.inf)) if again else result

    monkeypatch.setattr(kind, "__add__", off)
    report = compare_bits(classifier(), X, LABELS, backends=["array_api_strict"], steps=1)
    assert "first at step 1: an operator on the way to 1 Dense, output" in report.verdict()


def test_the_step_as_it_is_run_is_compared(monkeypatch):
    """Operation by operation all is well; what runs the optimizer's kernel is not."""
    real = Reproducible.elementwise

    def off(self, param_groups, *how):
        run = real(self, param_groups, *how)
        if self.backend.name == "numpy":
            return run
        return lambda xp, vectors, numbers: tuple(v * (1.0 + 2.0**-52) for v in run(xp, vectors, numbers))

    monkeypatch.setattr(arithmetic.Reproducible, "elementwise", off)
    report = compare_bits(classifier(), X, LABELS, backends=["array_api_strict"], steps=2)
    assert "first at step 1: the step as the backend runs it" in report.verdict()


def test_fast_arithmetic_is_compared_as_it_is():
    """The control: the libraries' own functions differ in float64, and the comparison sees it."""
    pytest.importorskip("torch")
    net = classifier(arithmetic="fast", dtype="float64")
    report = compare_bits(net, X, LABELS, backends=["torch"], steps=20)
    assert re.search("DIFFERS first at step [0-9]+: xp[.](matmul|tanh|exp|log|sum|sqrt)", report.verdict())


def test_options():
    for option in ({"steps": 0}, {"batch_size": 0}):
        with pytest.raises(ArgumentError, match="expected a positive int"):
            compare_bits(classifier(), X, LABELS, **option)
    with pytest.raises(ArgumentError, match="another beside numpy"):
        compare_bits(classifier(), X, LABELS, backends=["numpy"])
    assert not BitsReport("reproducible", {}, ["numpy:cpu"], 1, fingerprints={"numpy:cpu": ["0"]}).holds
    assert not Report("float32", {}, []).holds


def check(*arguments):
    return CliRunner().invoke(main, ["check", "--bits", "--backends", "array_api_strict", *map(str, arguments)])


def test_command_line(tmp_path, planted):
    classifier(arithmetic="fast").save(tmp_path / "m.safetensors")
    outputs = [word for name in ("r.json", "r.md", "r.png") for word in ("--output", tmp_path / name)]
    result = check(tmp_path / "m.safetensors", "--steps", 5, *outputs)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "all bits are equal"
    (report,) = json.loads((tmp_path / "r.json").read_text()).values()
    assert report["holds"] is True
    assert report["arithmetic"] == "reproducible"
    (ours,), (theirs,) = report["fingerprints"].values()
    assert ours == theirs
    assert ours in (tmp_path / "r.md").read_text()
    assert report["schema"] == "portnn.bits/1"
    assert (tmp_path / "r.png").stat().st_size > 5000
    assert check(tmp_path / "m.safetensors", "--output", tmp_path / "r.csv").exit_code == 2
    assert check("--dtype", "float32").exit_code == 2
    planted(matmul=LIBRARY["a plain product"][1])
    result = check(tmp_path / "m.safetensors")
    assert result.exit_code == 1
    assert "DIFFERENT: " in result.stdout
    assert "DIFFERS first at step 1: xp.matmul" in result.stdout


@pytest.mark.exhaustive
def test_portnn_train_reproducible(tmp_path):
    prints = []
    for backend in ("numpy", "array_api_strict"):
        path = tmp_path / f"{backend}.safetensors"
        words = (
            f"train examples/data/digits.csv --target label --hidden 8 --epochs 2 --reproducible --backend {backend}"
        )
        result = CliRunner().invoke(
            main, [*words.split(), "--save", str(path), "--plot", str(path.with_suffix(".svg"))]
        )
        assert result.exit_code == 0, result.output
        prints.append(re.search(r"^fingerprint +(\w+)$", result.stdout, re.MULTILINE)[1])
        assert NeuralNetwork.load(path).arithmetic == "reproducible"
    assert prints[0] == prints[1]
    words = f"train {DIGITS} --target label --reproducible --dtype float32"
    assert "float64 throughout" in CliRunner().invoke(main, words.split()).output


def test_a_report_of_bits_is_saved_as_any_other(tmp_path):
    net = NeuralNetwork(3, 4, 2, seed=0, arithmetic="reproducible")
    x = np.random.default_rng(0).random((16, 3))
    report = compare_bits(net, x, x[:, :2], backends=["array_api_strict"], steps=2, batch_size=8)
    report.save(tmp_path / "bits.json")
    (saved,) = json.loads((tmp_path / "bits.json").read_text()).items()
    assert saved == ("Bits of backends", json.loads(json.dumps(report.to_dict())))
    assert saved[1]["schema"] == "portnn.bits/1"
    report.save(tmp_path / "bits.md")
    text = (tmp_path / "bits.md").read_text()
    assert text == report.to_markdown("Bits of backends")
    assert "- array_api_strict:cpu: the same bits as NumPy after 2 steps" in text.replace("CPU_DEVICE", "cpu")
