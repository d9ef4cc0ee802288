"""The pytest plugin: ``portnn_backend`` runs a test on every backend; ``--portnn-require`` turns skips into errors.

A test with the fixture gets the name of a backend ("numpy", "cupy" ...) and is skipped, with the reason, if that one
cannot run. Loading the plugin imports portnn and NumPy, but no other array library.
"""

import pytest


def reason(name: str) -> str:
    """Return why a backend such as "torch:cuda:0" cannot run here; "" if it can."""
    from portnn.backend import available_backends

    library, _, device = name.partition(":")
    infos = {info.name: info for info in available_backends()}
    if library not in infos:
        return f"no such backend; there are {', '.join(infos)}"
    info = infos[library]
    if device and info.available and device not in info.devices:
        return f"{library} has {', '.join(info.devices)}"
    return info.reason


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("portnn").addoption(
        "--portnn-require",
        default="",
        metavar="NAMES",
        help="backends that must run, a missing one is an error: numpy,cupy,torch:cuda:0",
    )


def _required(config: pytest.Config) -> list[str]:
    return [name.strip() for name in config.getoption("--portnn-require").split(",") if name.strip()]


def pytest_configure(config: pytest.Config) -> None:
    for name in _required(config):
        if problem := reason(name):
            raise pytest.UsageError(f"--portnn-require {name}: {problem}")


def pytest_report_header(config: pytest.Config) -> list[str]:
    return header() if _required(config) else []


def header() -> list[str]:
    """Return a line for each backend, so that a run without a GPU is not taken as proof for CuPy."""
    from portnn.backend import available_backends

    return [
        f"{i.name}: {i.version} on {', '.join(i.devices)}" if i.available else f"{i.name}: NOT RUN, {i.reason}"
        for i in available_backends()
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "portnn_backend" in metafunc.fixturenames:
        from portnn.backend import available_backends

        names = [info.name for info in available_backends() if not info.slow]
        # A device that is required by name is tested beside its library's default one.
        names += [name for name in _required(metafunc.config) if name not in names]
        metafunc.parametrize("portnn_backend", names, indirect=True)


@pytest.fixture
def portnn_backend(request: pytest.FixtureRequest) -> str:
    """Name of an available backend; the test runs once for each."""
    if problem := reason(request.param):
        pytest.skip(f"{request.param}: {problem}")
    return str(request.param)
