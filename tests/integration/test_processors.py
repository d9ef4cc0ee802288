"""scripts/processor.py on this processor, and what scripts/processors.py makes of others'; CI emulates two."""

import importlib.util
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

SCRIPTS = ROOT / "scripts"


@pytest.fixture
def script(monkeypatch):
    """Return a function that loads a script as a module; what it puts on sys.path goes away again."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def loaded(name):
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded


def printed(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    return module.main(), capsys.readouterr().out


def test_this_processor_has_the_written_digests(script, monkeypatch, capsys, tmp_path):
    pytest.importorskip("threadpoolctl")
    processor, model = script("processor"), tmp_path / "m.safetensors"
    code, out = printed(processor, monkeypatch, capsys, "--quick", "--saved", model)
    first = json.loads(out)
    assert code == 0
    assert len(first["cases"]) == 6
    assert first["fast"] != first["reproducible"]
    code, out = printed(processor, monkeypatch, capsys, "--quick", model, "--saved", tmp_path / "again.safetensors")
    again = json.loads(out)
    assert again["saved"] == first["saved"]
    assert again["trained on"] != again["reproducible"]
    monkeypatch.setitem(processor.test_training_bits.DIGESTS, "saturated", ("0" * 16, "0" * 16))
    code, out = printed(processor, monkeypatch, capsys, "--quick")
    assert code == 1
    assert [case for case, same in json.loads(out)["cases"].items() if not same] == ["saturated"]


SAME = {"cases": {"a": True, "b": True}, "reproducible": "r", "saved": "s", "trained on": "t", "failed": []}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, []),
        ({"fast": "another"}, []),
        ({"cases": {"a": True, "b": False}}, ["b"]),
        ({"reproducible": "x"}, ["reproducible"]),
        ({"saved": "x"}, ["saved"]),
        ({"trained on": "x"}, ["trained on"]),
        ({"failed": ["FAILED tests/nn/test_random.py"]}, ["FAILED tests/nn/test_random.py"]),
    ],
)
def test_what_differs_is_named(change, named, script):
    assert script("processors").differences(SAME | change, SAME) == named


def test_a_processor_that_printed_nothing_differs(script):
    assert script("processors").differences({"failed": ["Killed"]}, SAME)


def test_what_cannot_be_had_is_said(script, monkeypatch, capsys, tmp_path):
    processors = script("processors")
    monkeypatch.setattr(processors.shutil, "which", lambda name: None)
    code, out = printed(processors, monkeypatch, capsys, "--keep", tmp_path, "riscv64")
    assert code == 2
    assert "qemu-user-static, mmdebstrap: not installed, and there is no apt-get" in out
    with pytest.raises(SystemExit):
        printed(processors, monkeypatch, capsys, "vax")
    assert "expected one of nehalem, haswell" in capsys.readouterr().err


def test_processors_that_share_a_system_unpack_it_once(script, monkeypatch, tmp_path):
    """Two at a time, from an empty folder: neither meets what the other has half done."""
    processors, calls = script("processors"), []

    def done(what, command, **options):
        folder = Path(command[-1] if command[0] == "mmdebstrap" else command[command.index("--target") + 1])
        calls.append(folder.name)
        folder.mkdir()
        time.sleep(0.05)
        (folder / "usr" / "bin").mkdir(parents=True)
        (folder / "usr" / "bin" / "python3.11").touch()
        return ""

    monkeypatch.setattr(processors, "done", done)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda name: processors.prepared(name, tmp_path), ("nehalem", "haswell")))
    assert len(calls) == 2  # a system and its packages
    assert len({python for python, *_ in found}) == 2
