"""One fixture gives every test its backend; each skip names backend and reason."""

from pathlib import Path

import numpy as np
import pytest

import portnn

# With a plain install, `python -m pytest` in the root finds ./portnn; its backends/ lies beside it, not inside.
portnn.__path__.append(str(Path(__file__).parents[1]))

INFOS = {info.name: info for info in portnn.available_backends()}
BUILT_IN = ["numpy", "array_api_strict", "cupy", "jax", "torch"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--portnn-require", default="", help="backends that must run: numpy,torch,jax")


def pytest_report_header() -> list[str]:
    return [
        f"{info.name}: {info.version} on {', '.join(info.devices)}"
        if info.available
        else f"{info.name}: NOT RUN, {info.reason}"
        for info in INFOS.values()
    ]


def pytest_configure(config: pytest.Config) -> None:
    required = [name for name in config.getoption("--portnn-require").split(",") if name]
    for name in required:
        if name not in INFOS or not INFOS[name].available:
            reason = INFOS[name].reason if name in INFOS else "no such backend"
            raise pytest.UsageError(f"--portnn-require {name}: {reason}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", BUILT_IN)


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTNN_BACKEND", raising=False)


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    if "backend" in request.fixturenames:
        info = INFOS[request.getfixturevalue("backend")]
        if not info.available:
            pytest.skip(f"{info.name}: {info.reason}")


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1797 digits of examples/data: (1797, 64) pixels and labels."""
    path = Path(__file__).parents[1] / "examples" / "data" / "digits.csv"
    rows = np.loadtxt(path, delimiter=",", skiprows=1)
    return rows[:, :-1], rows[:, -1].astype(np.int64)
