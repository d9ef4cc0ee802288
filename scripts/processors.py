#!/usr/bin/env python
"""Train on processors that are not at hand, emulated by QEMU: are the bits of reproducible arithmetic the same?

    python scripts/processors.py [--quick] [--keep FOLDER] [--table] [NAME ...]

For each processor (all, or those that are named): the written digests of tests/integration/test_training_bits.py, a
network that was saved on this machine and is trained on there, the bytes of a network that is saved there, and a part
of the tests. Prints a table; ``--table`` prints it as Markdown at the end. Exits with 1 where a bit differs or a
test fails, and with 2 where something could not be had. It installs what it needs by name: qemu-user-static and
mmdebstrap by apt, wheels by pip. ``--keep`` leaves them in a folder for the next time.

A processor is a Debian system without a kernel, unpacked into a folder, whose Python runs under qemu-user: no rights
and no services are needed. NumPy is its wheel where there is one, and Debian's else.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = [
    "integration/test_training_bits",
    "nn/test_random",
    "equivalence/test_oracle",
    "io/test_files",
    "data/test_encoding",
]
QUICK = TESTS[:2]
"""Those of bits: other tests take a minute, emulated."""
LEFT_OUT = "not kernel and not threads and not columns_are_chosen"
"""Tests that start processes, which take a minute emulated, or draw with matplotlib, which is a large wheel."""

PURE = """array-api-compat array-api-strict click execnet hypothesis iniconfig mpmath narwhals packaging pluggy pygments
    pytest pytest-timeout sortedcontainers threadpoolctl tqdm""".split()
COMPILED = ["numpy", "safetensors"]
TOOLS = ["qemu-user-static", "mmdebstrap"]
PREPARING = Lock()
LIBRARIES = "libgfortran5,libstdc++6,libgcc-s1"
"""What wheels expect of a system."""


class MissingError(Exception):
    """A command that failed: something that apt or pip could not give."""


class Processor(NamedTuple):
    """What is emulated, and whose packages run on it."""

    title: str
    qemu: str
    """QEMU's name of the instruction set."""
    model: str
    """QEMU's name of the processor; empty: its default."""
    architecture: str
    """Debian's name."""
    suite: str
    wheels: str = ""
    """The platform of the wheels; without them Python packages that are compiled are Debian's."""


HASWELL = "Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid"  # QEMU warns of what it lacks
PROCESSORS = {
    "nehalem": Processor("x86-64 without AVX (Nehalem)", "x86_64", "Nehalem", "amd64", "bookworm", "x86_64"),
    "haswell": Processor("x86-64 with AVX2 (Haswell)", "x86_64", HASWELL, "amd64", "bookworm", "x86_64"),
    "x86-64": Processor("x86-64 (all that QEMU has)", "x86_64", "max", "amd64", "bookworm", "x86_64"),
    "aarch64": Processor("aarch64 (Neoverse N1)", "aarch64", "neoverse-n1", "arm64", "bookworm", "aarch64"),
    "riscv64": Processor("riscv64", "riscv64", "", "riscv64", "trixie"),
    "s390x": Processor("s390x, big-endian", "s390x", "", "s390x", "forky"),
    "ppc64le": Processor("ppc64le", "ppc64le", "", "ppc64el", "forky"),
}


def done(what: str, command: Sequence[str | Path], **options: Any) -> str:
    """Return what a command prints. Raises MissingError with its last words."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    if result.returncode:
        raise MissingError(f"{what}: " + " | ".join((result.stdout + result.stderr).strip().splitlines()[-3:]))
    return result.stdout


def install_tools() -> None:
    """Install QEMU and mmdebstrap where they are missing."""
    needed = {f"qemu-{processor.qemu}-static" for processor in PROCESSORS.values()} | {"mmdebstrap"}
    if all(map(shutil.which, needed)):
        return
    if shutil.which("apt-get") is None:
        raise MissingError(f"{', '.join(TOOLS)}: not installed, and there is no apt-get to install them")
    for command in (["update", "-qq"], ["install", "-y", "-qq", *TOOLS]):
        done(" ".join(TOOLS), ["apt-get", *command], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def system(processor: Processor, folder: Path) -> Path:
    """Return the root of a Debian system with Python, unpacked there once."""
    root = folder / f"{processor.architecture}-{processor.suite}"
    if root.exists():
        return root
    unpacked = root.with_suffix(".part")
    shutil.rmtree(unpacked, ignore_errors=True)
    packages = LIBRARIES if processor.wheels else ",".join(f"python3-{name}" for name in COMPILED)
    options = [
        f"--architectures={processor.architecture}",
        "--variant=extract",
        f"--include=python3,{packages}",
        # A mirror that is behind has no updates that fit, and a list of packages past its date; both are signed.
        '--setup-hook=sed -i -E "/-(updates|security)/d" "$1/etc/apt/sources.list"',
        '--aptopt=Acquire::Check-Valid-Until "false"',
    ]
    done(
        f"Debian's {processor.suite} for {processor.architecture}", ["mmdebstrap", *options, processor.suite, unpacked]
    )
    for name in ("bin", "lib", "lib64", "sbin"):  # what Debian's scripts would have done, which need the processor
        if (unpacked / "usr" / name).exists() and not (unpacked / name).exists():
            (unpacked / name).symlink_to(f"usr/{name}")
    for library in unpacked.glob("usr/lib/*-linux-gnu/*/lib*.so.3"):
        if library.parent.name in ("blas", "lapack"):
            (library.parents[1] / library.name).symlink_to(f"{library.parent.name}/{library.name}")
    return unpacked.rename(root)


def packages(processor: Processor, python: Path, folder: Path) -> Path:
    """Return a folder with the Python packages that portnn and its tests need, installed there once."""
    version = python.name.removeprefix("python")
    site = folder / f"{processor.architecture}-packages-{version}"
    if site.exists():
        return site
    unpacked = site.with_suffix(".part")
    shutil.rmtree(unpacked, ignore_errors=True)
    kinds = ("manylinux_2_28", "manylinux_2_17", "manylinux2014") if processor.wheels else ()
    platforms = [*(f"{kind}_{processor.wheels}" for kind in kinds), "any"]
    options = ["-q", "--no-deps", "--only-binary=:all:", "--python-version", version, "--target", unpacked]
    options += [word for platform in platforms for word in ("--platform", platform)]
    names = PURE + (COMPILED if processor.wheels else [])
    done(f"wheels for {processor.title}", [sys.executable, "-m", "pip", "install", *options, *names])
    return unpacked.rename(site)


def emulated(name: str, root: Path) -> tuple[Path, Path]:
    """Return a command that is a processor's Python, and the binary that it runs."""
    processor = PROCESSORS[name]
    binary = max((root / "usr" / "bin").glob("python3.[0-9]*"), key=lambda path: int(path.suffix[1:]))
    # Beside the binary and under its own name, so that sys.executable is what starts it again.
    command = binary.with_name(f"python-{name}")
    model = f"-cpu {processor.model} " if processor.model else ""
    command.write_text(f'#!/bin/sh\nexec qemu-{processor.qemu}-static {model}-L "{root}" -0 "$0" "{binary}" "$@"\n')
    command.chmod(0o755)
    return command, binary


def prepared(name: str, folder: Path) -> tuple[Path, Path, Path]:
    """Return a processor's Python, its packages and its system, each of which others may share."""
    with PREPARING:
        root = system(PROCESSORS[name], folder)
        python, binary = emulated(name, root)
        return python, packages(PROCESSORS[name], binary, folder), root


def seen(name: str, folder: Path, model: Path, quick: bool) -> dict[str, Any]:
    """Return what scripts/processor.py finds on a processor, and how its tests end."""
    python, site, root = prepared(name, folder)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, site, root / "usr" / "lib" / "python3" / "dist-packages"))),
        "OPENBLAS_NUM_THREADS": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # portnn may be installed where ROOT is, or not
    }
    run = partial(subprocess.run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    saved = folder / f"{name}.safetensors"
    words = ["scripts/processor.py", str(model), "--saved", str(saved), *(["--quick"] if quick else [])]
    first = run([python, *words])
    if not first.stdout.startswith("{"):
        return {"failed": first.stderr.strip().splitlines()[-1:]}
    found: dict[str, Any] = json.loads(first.stdout)
    files = [f"tests/{test}.py" for test in (QUICK if quick else TESTS)]
    plugins = [word for plugin in ("portnn.pytest_plugin", "pytest_timeout") for word in ("-p", plugin)]
    chosen = [] if quick else ["-m", ""]
    options = ["-q", "-rf", *chosen, *plugins, "-p", "no:cacheprovider", "-o", "timeout=0", "-k", LEFT_OUT]
    tested = run([python, "-m", "pytest", *options, *files])
    *_, last = (tested.stdout.strip() or tested.stderr.strip() or "no output").splitlines()
    failures = [line for line in tested.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    failures = failures or ([last] if tested.returncode else [])
    counts = re.findall(r"\d+ (?:passed|failed|errors?)", last)
    return found | {"tests": ", ".join(counts), "failed": failures}


def differences(found: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return what is not as on this machine, or as written."""
    wrong = [case for case, same in found.get("cases", {}).items() if not same]
    wrong += [what for what in ("reproducible", "saved", "trained on") if found.get(what) != here[what]]
    return [*wrong, *found["failed"]]


def cells(title: str, found: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    cases = found["cases"].values()
    return [
        title,
        f"{found['numpy']}, Python {found['python']}",
        found["blas"],
        found["fast"][:12],
        found["reproducible"][:12],
        f"{sum(cases)} of {len(cases)}",
        found["tests"],
    ]


HEAD = ["processor", "NumPy", "BLAS", "fast", "reproducible", "written digests", "tests"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROCESSORS))
    parser.add_argument("--quick", action="store_true", help="28 steps of each case, and no exhaustive test")
    parser.add_argument("--keep", type=Path, help="a folder for systems and packages, to find them there again")
    parser.add_argument("--table", action="store_true", help="print the table as Markdown")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(PROCESSORS):
        parser.error(f"NAME: expected one of {', '.join(PROCESSORS)}; got {', '.join(sorted(unknown))}")
    code, rows = 0, []
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / "here.safetensors"
        script = [sys.executable, ROOT / "scripts" / "processor.py"]
        ready = False
        try:
            install_tools()
            ready = True
            done("this machine", [*script, "--saved", model])
            here = json.loads(done("this machine", [*script, model, "--saved", model, "--quick"]))
        except MissingError as error:
            print(f"{'DIFFERENT' if ready else 'could not be had'}: {error}")
            return 1 if ready else 2
        here["tests"] = "README's second command"
        rows.append(cells(f"this machine ({here['machine']}, not emulated)", here))
        print("  ".join(HEAD), "  ".join(rows[0]), sep="\n", flush=True)

        def look(name: str) -> tuple[str, dict[str, Any] | MissingError]:
            try:
                return name, seen(name, folder, model, asked.quick)
            except MissingError as missing:
                return name, missing

        with ThreadPoolExecutor(2) as pool:
            for name, found in pool.map(look, asked.names or PROCESSORS):
                title = PROCESSORS[name].title
                if isinstance(found, MissingError):
                    print(f"{title}: NOT RUN, could not be had: {found}", flush=True)
                    code = code or 2
                    continue
                wrong = differences(found, here)
                if "cases" in found:
                    rows.append(cells(title, found))
                    print("  ".join(rows[-1]), flush=True)
                if wrong:
                    print(f"{title}: DIFFERENT: {'; '.join(wrong)}", flush=True)
                    code = 1
    if asked.table:
        print("", *(f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *rows)), sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
