"""Docstrings of public names: each has an example, and every example runs."""

import dataclasses
import doctest
import importlib
import inspect
import re
from importlib.util import find_spec

import pytest
from conftest import ROOT

import portnn

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "portnn").rglob("*.py"))
    if re.search(r"^__all__ =", path.read_text(), re.M) and (find_spec("sklearn") or "sklearn" not in path.parts)
]
"""Those that say what they hand to users."""


def public(module):
    """Yield (name, object) of what a module hands to users: classes and functions."""
    found = importlib.import_module(module)
    for name in found.__all__:
        thing = getattr(found, name)
        ours = getattr(thing, "__module__", "").startswith("portnn")
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and ours and not hasattr(thing, "__args__"):
            yield f"{module}.{name}", thing


NAMES = {thing: name for module in MODULES for name, thing in public(module)}
METHODS = {
    getattr(portnn.NeuralNetwork, name): f"portnn.NeuralNetwork.{name}"
    for name in dir(portnn.NeuralNetwork)
    if not name.startswith("_") and inspect.isroutine(getattr(portnn.NeuralNetwork, name))
}
INTERNAL = {"prepare", "serialize"}
"""Methods for the library's own modules."""
RESULTS = {"BackendInfo", "BitsReport", "Diagnosis", "Forward", "History", "RangeTest", "Report"}
"""What functions return: their fields are documented one by one."""


CASES = {thing: name for thing, name in {**NAMES, **METHODS}.items() if thing.__name__ not in INTERNAL}


@pytest.mark.parametrize("thing", CASES, ids=CASES.values())
def test_a_public_name_has_an_example_that_runs(thing, capsys):
    text = inspect.getdoc(thing) or ""
    assert "Examples\n--------\n" in text, "no example"
    if thing.__module__.startswith("portnn.plot"):
        pytest.importorskip("matplotlib")
    module = importlib.import_module(thing.__module__)
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(recurse=False).find(thing, thing.__name__, module=module, globs={}):
        runner.run(test)
    assert runner.tries, "no line of the example runs"
    assert runner.failures == 0, capsys.readouterr().out


@pytest.mark.parametrize("thing", CASES, ids=CASES.values())
def test_a_public_name_documents_its_parameters_and_what_it_returns(thing):
    text = inspect.getdoc(thing) or ""
    if inspect.isclass(thing):
        options = dataclasses.is_dataclass(thing) and any(field.init for field in dataclasses.fields(thing))
        inherited = any("Parameters\n------" in (inspect.getdoc(base) or "") for base in thing.__mro__[:-1])
        assert thing.__name__ in RESULTS or not options or inherited
        return
    signature = inspect.signature(thing)
    assert "Parameters\n------" in text or not [name for name in signature.parameters if name != "self"]
    assert "Returns\n------" in text or signature.return_annotation in (None, "None", inspect.Signature.empty)


def test_help_shows_the_options():
    """Objects with options are made by a metaclass that takes any."""
    assert (
        str(inspect.signature(portnn.BatchNorm))
        == "(momentum: float = 0.1, eps: float = 1e-05, trainable: bool = True)"
    )
    assert [*inspect.signature(portnn.SGD).parameters][:2] == ["learning_rate", "momentum"]


def test_every_module_of_public_names_is_found():
    assert {"portnn", "portnn.backend", "portnn.losses", "portnn.testing"} <= set(MODULES)
