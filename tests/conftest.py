"""One fixture gives every test its backend; each skip names backend and reason."""

import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from portnn import available_backends
from portnn.pytest_plugin import header

ROOT = Path(__file__).parents[1]

# Tests run in several processes: more threads than cores would wait for each other.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")  # examples draw in this process
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # as scikit-learn asks for arrays of other libraries; read at import
os.environ["COLUMNS"] = "160"  # what is printed fits the terminal, whichever the tests run in
# Hundreds of tests make JAX compile the same programs: one takes another's from here, and a later run from this one.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=15, database=None)
settings.register_profile("nightly", deadline=None, max_examples=2000, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [] if config.getoption("--portnn-require") else header()  # with the option the plugin says it


def spare(backend: str, why: str) -> None:
    """Skip on JAX, which compiles each network for seconds, what says no more there."""
    if backend.startswith("jax"):
        pytest.skip(f"jax: compiles for seconds; {why}")


@pytest.fixture(autouse=True)
def _no_backend_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTNN_BACKEND", raising=False)


@pytest.fixture(autouse=True)
def _the_same_draws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test draws depends on its name, not on which tests ran before it in its process."""
    if hasattr(request.module, "RNG"):
        seed = zlib.crc32(request.node.name.encode())
        monkeypatch.setattr(request.module, "RNG", np.random.default_rng(seed))


@pytest.fixture
def backend(portnn_backend: str) -> str:
    """Every backend, by portnn's own plugin."""
    return portnn_backend


@pytest.fixture
def other(portnn_backend: str) -> str:
    """Every backend that is compared with NumPy."""
    if portnn_backend == "numpy":
        pytest.skip("numpy: the reference, compared with itself")
    return portnn_backend


@pytest.fixture(params=["numpy", "torch"])
def recording(request: pytest.FixtureRequest) -> str:
    """Each backend that records."""
    available = {info.name: info.reason for info in available_backends()}
    if available[request.param]:
        pytest.skip(f"{request.param}: {available[request.param]}")
    return request.param


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
