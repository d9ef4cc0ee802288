"""One fixture gives every test its backend; each skip names backend and reason."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import portnn

ROOT = Path(__file__).parents[1]

# With a plain install, `python -m pytest` in the root finds ./portnn; its backends/ lies beside it, not inside.
portnn.__path__.append(str(ROOT))

INFOS = {info.name: info for info in portnn.available_backends()}
BUILT_IN = ["numpy", "array_api_strict", "cupy", "jax", "torch"]


def _reason(name: str) -> str:
    """Why a backend such as "torch:cuda:0" cannot run here; empty where it can."""
    library, _, device = name.partition(":")
    if library not in INFOS:
        return "no such backend"
    info = INFOS[library]
    if device and info.available and device not in info.devices:
        return f"{library} has {', '.join(info.devices)}"
    return info.reason


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--portnn-require", default="", help="backends that must run: numpy,torch,torch:cuda:0,jax")


def pytest_report_header() -> list[str]:
    return [
        f"{i.name}: {i.version} on {', '.join(i.devices)}" if i.available else f"{i.name}: NOT RUN, {i.reason}"
        for i in INFOS.values()
    ]


def pytest_configure(config: pytest.Config) -> None:
    for name in filter(None, config.getoption("--portnn-require").split(",")):
        if reason := _reason(name):
            raise pytest.UsageError(f"--portnn-require {name}: {reason}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        # A device asked for by name is tested beside its library's default one.
        required = metafunc.config.getoption("--portnn-require").split(",")
        metafunc.parametrize("backend", [*BUILT_IN, *(name for name in required if ":" in name)])


@pytest.fixture(autouse=True)
def _on_what_is_installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTNN_BACKEND", raising=False)
    if "backend" in request.fixturenames:
        name = request.getfixturevalue("backend")
        if reason := _reason(name):
            pytest.skip(f"{name}: {reason}")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background of a script."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1797 digits of examples/data: (1797, 64) pixels and labels."""
    rows = np.loadtxt(ROOT / "examples" / "data" / "digits.csv", delimiter=",", skiprows=1)
    return rows[:, :-1], rows[:, -1].astype(np.int64)
