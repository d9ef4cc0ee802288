"""Adapters of third parties: a broken one harms nobody, none replaces ours, a sound one is like ours."""

import json
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from portnn import ArgumentError, BackendInfo, BackendUnavailableError, NeuralNetwork, available_backends, get_backend
from portnn import backend as choice

NUMPY = "from portnn.backends._numpy import NumPyBackend\nclass Mine(NumPyBackend):\n    name = {name!r}\n"
OWNS = "    @classmethod\n    def owns(cls, array): return False\n"
MODULES = {
    "broken": "raise RuntimeError('no such device driver')",
    "shadow": NUMPY.format(name="numpy") + "    @classmethod\n    def version(cls): return 'of another'",
    "stranger": "class Mine:\n    name = 'stranger'",
    "misnamed": NUMPY.format(name="numpy"),
    "raising": NUMPY.format(name="raising")
    + "    @classmethod\n    def is_available(cls): raise OSError('cannot open the device')\n"
    + "    @classmethod\n    def owns(cls, array): raise OSError('cannot open the device')",
    "halfway": NUMPY.format(name="halfway")
    + OWNS
    + "    @classmethod\n    def devices(cls): raise OSError('cannot count the devices')",
    "sound": NUMPY.format(name="sound") + OWNS + "    @classmethod\n    def version(cls): return '1.5'",
}
POINTS = {"numpy": "shadow", **{name: name for name in MODULES if name != "shadow"}, "absent": "nowhere"}
SCRIPT = """
import json, pickle
import numpy as np
import portnn
infos = {i.name: [i.available, i.version, i.reason] for i in portnn.available_backends()}
x = np.random.default_rng(0).random((8, 3))
ends = {}
for name in ("numpy", "sound"):
    net = portnn.NeuralNetwork(3, 4, 2, backend=name, seed=0)
    net.fit(x, x[:, :2], epochs=2)
    ends[name] = [net.fingerprint(), net.backend, pickle.loads(pickle.dumps(net)).backend]
class Frame:
    def __array__(self, dtype=None, copy=None): return x
net.fit(Frame(), x[:, :2])
report = portnn.compare(net, x, x[:, :2], backends=["sound"])
refused = {}
for name in ("broken", "stranger", "misnamed", "raising", "absent"):
    try:
        portnn.get_backend(name)
    except portnn.BackendUnavailableError as error:
        refused[name] = str(error)
print(json.dumps({"infos": infos, "ends": ends, "refused": refused, "holds": report.holds, "of": report.backends}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What portnn says beside a distribution whose adapters are all wrong but one."""
    folder = tmp_path_factory.mktemp("site")
    for name, code in MODULES.items():
        (folder / f"{name}.py").write_text(code + "\n")
    scratch = folder / "scratch-1.0.dist-info"
    scratch.mkdir()
    (scratch / "METADATA").write_text("Metadata-Version: 2.1\nName: scratch\nVersion: 1.0\n")
    lines = [f"{name} = {module}:Mine" for name, module in POINTS.items()]
    (scratch / "entry_points.txt").write_text("\n".join(["[portnn.backends]", *lines, ""]))
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path[:0] = [{str(folder)!r}, {root!r}]"
    code += SCRIPT
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_broken_adapter_is_its_own_reason(found):
    reasons = {
        "broken": "cannot be loaded (RuntimeError: no such device driver)",
        "absent": "cannot be loaded (ModuleNotFoundError",
        "stranger": "no subclass of portnn.backend.Backend",
        "misnamed": "calls itself 'numpy'",
        "raising": "failed (OSError: cannot open the device)",
    }
    for name, reason in reasons.items():
        available, _, said = found["infos"][name]
        assert not available
        assert reason in said
        assert reason in found["refused"][name]
    assert found["infos"]["halfway"][0] is False
    assert "cannot count the devices" in found["infos"]["halfway"][2]


def test_none_replaces_ours(found):
    assert found["infos"]["numpy"] == [True, np.__version__, ""]
    ours = {info.name: info for info in available_backends()}
    for name in ("numpy", "torch", "jax", "array_api_strict"):
        assert found["infos"][name] == [ours[name].available, ours[name].version, ours[name].reason]


def test_a_sound_adapter_is_like_ours(found):
    assert found["infos"]["sound"] == [True, "1.5", ""]
    fingerprint, backend, again = found["ends"]["sound"]
    assert backend == again == "sound:cpu"
    assert fingerprint == found["ends"]["numpy"][0]
    assert found["holds"]
    assert found["of"] == ["numpy:cpu", "sound:cpu"]


def test_ours_are_in_the_code():
    """Not in the metadata of what is installed, which may be another version's."""
    assert next(info.name for info in available_backends()) == "numpy"
    assert {info.name for info in available_backends()} >= {"numpy", "cupy", "torch", "jax", "array_api_strict"}
    assert all(isinstance(info, BackendInfo) and (info.available or info.reason) for info in available_backends())


def test_one_instance_a_device(backend):
    one = get_backend(backend)
    assert get_backend(f"{one.name}:{one.device}") is one
    assert get_backend(one.name, one.device) is one
    assert choice.backend_of(one.asarray([1.0])) is one


def test_a_backend_that_was_pickled_and_cannot_run_is_refused(monkeypatch):
    pytest.importorskip("array_api_strict")
    backend = get_backend("array_api_strict")
    kept = pickle.dumps(backend)
    assert pickle.loads(kept) is backend
    monkeypatch.setattr(type(backend), "is_available", classmethod(lambda cls: (False, "it is gone")))
    with pytest.raises(BackendUnavailableError, match="backend 'array_api_strict': it is gone"):
        pickle.loads(kept)


def test_the_current_device_is_asked_for_each_time(monkeypatch):
    pytest.importorskip("array_api_strict")
    adapter = type(get_backend("array_api_strict"))
    before = adapter.__init__

    def on_device1(self, device=None):
        before(self, device or "device1")

    monkeypatch.setattr(adapter, "__init__", on_device1)
    assert repr(get_backend("array_api_strict")) == "array_api_strict:device1"
    monkeypatch.undo()
    assert repr(get_backend("array_api_strict")) == "array_api_strict:CPU_DEVICE"


def test_devices_by_number():
    for number in (0, np.int64(0)):
        with pytest.raises(ArgumentError, match="numpy runs on cpu; got '0'"):
            NeuralNetwork(3, 1, backend="numpy", device=number)
    with pytest.raises(ArgumentError, match=r"device: expected a name or a number; got 1\.5"):
        NeuralNetwork(3, 1, backend="numpy", device=1.5)


def test_losses_are_read_at_once(backend, monkeypatch):
    adapter, reads = get_backend(backend), []
    read = adapter.read
    monkeypatch.setattr(adapter, "read", lambda scalars: reads.append(len(scalars)) or read(scalars))
    x = np.random.default_rng(0).random((20, 3))
    history = NeuralNetwork(3, 2, backend=backend, seed=0).fit(x, x[:, :2], epochs=2, batch_size=5)
    assert reads == [1, 5, 5]  # the state before it; the losses of an epoch and the state after it
    assert all(type(loss) is float for loss in history.loss)
    with adapter.scope():
        assert read([]) == []
        values = [adapter.asarray(np.float32(v)) for v in (0.1, 2.5)]
        assert read(values) == [float(np.float32(0.1)), 2.5]


def test_jax_does_not_read_numpys_memory_later():
    """It would take what begins on a cache line as it is, and compute when the caller may have written there again."""
    pytest.importorskip("jax")
    memory = np.ones(1024 + 8)
    x = memory[(-memory.ctypes.data % 64) // 8 :][:1024]
    taken = get_backend("jax").asarray(x)
    x[:] = 0.0
    assert np.asarray(taken).sum() == 1024


def test_an_adapter_by_the_old_names(monkeypatch):
    """As adapters of third parties were written: it trains to NumPy's bits, and each old name says its new one."""
    from portnn.backends._numpy import NumPyBackend

    import portnn.backend

    with pytest.warns(DeprecationWarning, match=r"portnn\.backend\.Consumed is now called Donation"):
        assert portnn.backend.Consumed is portnn.backend.Donation
    with pytest.warns(DeprecationWarning, match="loaded is now called imported_module"):
        assert portnn.backend.loaded("numpy") is np
    with pytest.raises(AttributeError, match=r"module 'portnn\.backend' has no attribute 'nothing'"):
        _ = portnn.backend.nothing

    def compiled(self, function, static=1, consumed=None):
        wholes.append(consumed and consumed.whole)
        return partial(self.called, function, static)

    wholes, members = [], {"name": "before", "mend": "pip install before", "one_by_one": True, "compile": compiled}
    members["consumes"] = lambda self, size: False
    with pytest.warns(DeprecationWarning, match=r"Before\.\w+ is now called") as said:
        adapter = type("Before", (NumPyBackend,), members)
    assert {warning.filename for warning in said} == {__file__}
    assert adapter.install_hint == "pip install before"
    x, y = np.random.default_rng(0).random((2, 10, 3))
    nets = [NeuralNetwork(3, 4, 2, backend="numpy", seed=0) for _ in range(2)]
    nets[0].fit(x, y[:, :2], epochs=2)
    nets[1]._backend = adapter(None)
    with pytest.warns(DeprecationWarning, match=r"whole is now called Donation|called is now called call_in_scope"):
        nets[1]._runtime = nets[1]._runtime.to(nets[1]._backend)
    nets[1].fit(x, y[:, :2], epochs=2)
    assert True in wholes
    assert nets[0].fingerprint() == nets[1].fingerprint()
