"""Drivers for fused programs without a GPU: the generated source compiled by g++, matrix products by NumPy.

``Gxx`` runs a kernel as loops over blocks and threads. ``Simt`` runs one as a GPU does: a fiber for each thread of a
block, which waits at barriers and shuffles for all others, the threads in order or in reverse.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

available = shutil.which("g++") is not None
FLAGS = "-O0 -std=c++17 -ffp-contract=off -fno-fast-math -w -shared -fPIC".split()
HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"portnn_gxx_{os.getuid()}"
_CTYPES = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int, "int64": ctypes.c_longlong}


def compiled(text: str) -> ctypes.CDLL:
    """Return the library of a source; each source is compiled once on a machine."""
    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"{hashlib.sha256((text + ' '.join(FLAGS)).encode()).hexdigest()[:24]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            source.write_text(text)
            subprocess.run(["g++", *FLAGS, "-o", built, source], check=True, capture_output=True, timeout=300)
            built.replace(path)
    return ctypes.CDLL(str(path))


class Gxx:
    """Kernels by g++ on NumPy's arrays; counts what it launches."""

    array = np.ndarray

    def __init__(self) -> None:
        self.launched: list[str] = []
        self.products = self.copies = 0
        self.library: ctypes.CDLL | None = None

    def scope(self):
        return np.errstate(all="ignore")

    def load(self, source):
        library = compiled(source)
        return lambda name: (name, getattr(library, name))

    def empty(self, shape, dtype):
        return np.full(shape, 77, dtype)  # whoever reads what was never written sees it

    def upload(self, value):
        return np.array(value)

    def contiguous(self, array):
        return np.ascontiguousarray(array)

    def copy(self, source, target):
        self.copies += 1
        target[...] = source

    def address(self, array):
        return array.ctypes.data

    def launch(self, kernel, blocks, threads, arguments):
        name, function = kernel
        self.launched.append(name)
        function(*map(argument, arguments))

    def product(self, left, right, out):
        def multiply():
            self.products += 1
            np.matmul(left, right, out=out)

        return multiply

    def replay(self, steps):
        return lambda: [step() for step in steps]


def argument(value):
    """Return an array's address, or a number, as C takes it."""
    if isinstance(value, np.generic):
        return _CTYPES[value.dtype.name](value)
    return ctypes.c_void_p(value.ctypes.data)


class Simt(Gxx):
    """Kernels as a GPU runs them, with the launch's blocks and threads."""

    def __init__(self, reverse: bool = False) -> None:
        super().__init__()
        self.reverse = reverse

    def load(self, source):
        wrappers = []
        for name, parameters in re.findall(r"KERNEL\(\d+\) (\w+)\((.*?)\) \{", source):
            names = ", ".join(parameter.split()[-1].lstrip("*") for parameter in parameters.split(", "))
            wrappers.append(
                f'extern "C" void run_{name}(int grid, int block, int reverse, {parameters}) '
                f"{{ simt_(grid, block, reverse, [&] {{ {name}({names}); }}); }}"
            )
        library = compiled((HERE / "simt.h").read_text() + source + "\n".join(wrappers))
        return lambda name: (name, getattr(library, f"run_{name}"))

    def launch(self, kernel, blocks, threads, arguments):
        name, function = kernel
        self.launched.append(name)
        function(*map(ctypes.c_int, (blocks, threads, self.reverse)), *map(argument, arguments))
