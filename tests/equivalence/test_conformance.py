"""What an adapter owes the core: ours pass, a third party's passes as it is, and each planted fault is named."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faulty import Faulty, fewer_bits

from portnn import BackendInfo, BackendUnavailableError, available_backends, get_backend
from portnn.equivalence import conformance
from portnn.equivalence.lockstep import comparison_backends
from portnn.testing import check_backend

ROOT = Path(__file__).parents[2]


def test_every_adapter_conforms(backend, monkeypatch):
    if backend.startswith("jax"):  # which compiles for seconds: test_compare.py takes the training steps on it
        monkeypatch.setattr(conformance, "_steps", lambda backend: iter(()))
    check_backend(backend)


def test_a_missing_one_is_said_to_be_so():
    for info in available_backends():
        if not info.available:
            with pytest.raises(BackendUnavailableError):
                check_backend(info.name)


class Unwrapped:
    """int32 as Python's ints are: without end."""

    def __init__(self, xp):
        self.xp = xp

    def __call__(self, *arguments, dtype=None):
        return self.xp.arange(*arguments, dtype=self.xp.int64 if dtype == self.xp.int32 else dtype)


def strict(monkeypatch, **changes):
    pytest.importorskip("array_api_strict")
    adapter = get_backend("array_api_strict")
    for name, change in changes.items():
        monkeypatch.setattr(adapter, name, change(adapter))
    return adapter


def changed(**functions):
    return {"xp": lambda adapter: Faulty(adapter.xp, **{n: f(adapter.xp) for n, f in functions.items()})}


def shared(xp):
    """Return an asarray that never copies."""
    return lambda a, **options: xp.asarray(a, **{**options, "copy": None}) if isinstance(a, np.ndarray | list) else a


FAULTS = {
    "whole numbers that do not wrap": (changed(arange=Unwrapped), "int32 arange: expected .*: int32 must wrap at 2"),
    "a tanh of few digits": (
        changed(tanh=lambda xp: lambda x: xp.tanh(x) * (1 + 1e-4)),
        "tanh of float32: .* times as far from its true value",
    ),
    "products of few bits": (
        changed(matmul=lambda xp: fewer_bits(xp, 10)["matmul"]),
        "matmul of float32: .* times as far",
    ),
    "results of another dtype": (
        changed(sum=lambda xp: lambda x, **o: xp.astype(xp.sum(x, **o), xp.float64)),
        "dtypes: expected xp.sum of float32 to be xp.float32; got",
    ),
    "a copy that is none": (
        changed(asarray=shared),
        r"xp.asarray\(..., copy=True\): expected a copy",
    ),
    "a copy of the adapter's own that is none": (
        {"copy": lambda adapter: lambda array: array},
        "copy: expected a copy",
    ),
    "a function that is missing": (changed(expm1=lambda xp: None), "expm1: TypeError"),
    "an array on no device": (
        {"device": lambda adapter: "elsewhere"},
        "devices: expected 'elsewhere', which asks for this one, among",
    ),
    "values that come back changed": (
        {"to_numpy": lambda adapter: lambda array, there=adapter.to_numpy: np.nan_to_num(there(array))},
        r"asarray, to_numpy: the values of an array \(infinite and NaN\) come back changed",
    ),
    "numbers that are arrays": (
        {"read": lambda adapter: lambda scalars: [np.float64(adapter.to_numpy(s)) for s in scalars]},
        r"read: expected \[3.5, 7.0\], Python's floats; got",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_mend(fault, monkeypatch):
    changes, message = FAULTS[fault]
    strict(monkeypatch, **changes)
    with pytest.raises(AssertionError, match=message):
        check_backend("array_api_strict")


def test_a_check_that_breaks_off_hides_no_other(monkeypatch):
    read = {"read": lambda adapter: lambda scalars: [1, 2]}
    strict(monkeypatch, **read, **changed(asarray=lambda xp: None))
    with pytest.raises(AssertionError) as found:
        check_backend("array_api_strict")
    assert len({line.partition(":")[0] for line in str(found.value).splitlines()}) > 5


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the third party's distribution, installed as it is."""
    pytest.importorskip("mparray")
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    source.mkdir()
    for path in (ROOT / "examples" / "hundred_digits").glob("*.*"):
        (source / path.name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "packages"), str(source)], check=True, capture_output=True)
    return folder / "packages"


def test_a_third_partys_adapter_passes_without_a_change_to_portnn(site):
    """A hundred digits: it conforms, and trains in all of them."""
    script = f"""
import sys
sys.path[:0] = [{str(site)!r}, {str(ROOT)!r}]
import numpy as np
from portnn import NeuralNetwork, get_backend
from portnn.testing import check_backend
check_backend("hundred_digits")
assert get_backend("hundred_digits").slow
rng = np.random.default_rng(0)
net = NeuralNetwork(3, 4, "tanh", 2, seed=0, backend="hundred_digits", dtype="float64")
net.fit(rng.standard_normal((8, 3)), rng.standard_normal((8, 2)))
value = net.parameters["W1"]._data[0, 0]
import mpmath
with mpmath.workdps(120):
    assert value != mpmath.mpf(float(value)), "more digits than a float has"
print("it conforms")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "it conforms\n"


def test_a_slow_one_is_compared_where_it_is_named(monkeypatch):
    infos = [BackendInfo("numpy", True, "1", ("cpu",), ""), BackendInfo("torch", True, "1", ("cpu",), "")]
    infos.append(BackendInfo("hundred_digits", True, "1", ("cpu",), "", slow=True))
    monkeypatch.setattr("portnn.equivalence.lockstep.available_backends", lambda: infos)
    monkeypatch.setattr("portnn.equivalence.lockstep.get_backend", {info.name: info for info in infos}.__getitem__)
    assert comparison_backends(None) == infos[1:2]
    assert comparison_backends(["hundred_digits"]) == infos[2:]


def test_the_third_partys_adapter_is_short():
    assert len((ROOT / "examples" / "hundred_digits" / "hundred_digits.py").read_text().splitlines()) < 100
