"""Files: safetensors with the network's description as metadata, and a safe reader for pickled weights."""

import json
import os
import pickle
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from portnn.errors import SerializationError
from portnn.io.categories import as_text, number

FORMAT = 3
_KEY = "portnn"


def little_endian(array: np.ndarray) -> bytes:
    """Return an array's bytes in little-endian order, so that digests are equal on every processor."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically: a failure leaves the old file unchanged.

    Symbolic links and the file's mode stay; devices and pipes are written to directly. An OSError names ``path``.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            target.write_bytes(content)
        else:
            _replace(target, content)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _replace(target: Path, content: bytes) -> None:
    import tempfile

    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files belong to their owner alone; set the mode that open() would have set.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_model(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
    """Write a model file. Equal arrays and descriptions give equal bytes.

    safetensors orders its metadata keys by hash: all of ours stand in one JSON text under one key.
    """
    from safetensors.numpy import save

    try:
        _check_keys(description)
        text = json.dumps({"format": FORMAT, **description}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SerializationError(f"metadata: expected plain JSON values; {error}") from error
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    write_atomically(path, save(ordered, {_KEY: text}))


def _check_keys(value: Any) -> None:
    """Raise TypeError for a key that is not a text: JSON would make it one."""
    for key in value if isinstance(value, Mapping) else ():
        if not isinstance(key, str):
            raise TypeError(f"keys are to be texts; got {key!r}")
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        _check_keys(part)


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return (arrays, description) of a model file. Raises SerializationError for any other file."""
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # a missing or unreadable file is the operating system's error, not a bad format
        pass
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, ValueError, OSError) as error:
        raise SerializationError(
            f"{path}: expected a portnn model file; got a truncated or foreign one ({error})"
        ) from error
    if _KEY not in metadata:
        raise SerializationError(f"{path}: expected a portnn model; got a safetensors file without its description")
    try:
        description = json.loads(metadata[_KEY])
        version = description["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise SerializationError(f"{path}: the model's description cannot be read ({error!r})") from error
    if version != FORMAT:
        raise SerializationError(f"{path}: expected format {FORMAT}; got {version!r}: written by another portnn")
    return arrays, description


@contextmanager
def contradictions(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add the file's name to errors of an inconsistent description."""
    try:
        yield
    except SerializationError as error:
        raise SerializationError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AssertionError, AttributeError) as error:
        raise SerializationError(f"{path}: the file contradicts itself ({error!r})") from error


# The globals that pickles of plain arrays name, in every NumPy and protocol; none runs code of the file's choice.
_ADMITTED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise SerializationError(f"refused: encoding {encoding!r} in a pickle")
    return text.encode("latin1")


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocols 0 to 2 write bytes
            return _latin1
        if (module, name) not in _ADMITTED:
            raise SerializationError(f"refused: the pickle asks for {module}.{name}; only NumPy arrays are read")
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)


def read_pickled_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a pickled ``{"W1": ..., "W2": ...}``, the deck's ``weight.txt``.

    Admits a dictionary of numeric NumPy arrays and nothing else: a pickle that asks for anything that could
    run code is refused with SerializationError before it runs.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    dict of str to numpy.ndarray

    Examples
    --------
    >>> import os, pickle, tempfile
    >>> import numpy as np
    >>> from portnn import read_pickled_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(os.path.join(folder, "weight.txt"), "wb") as file:
    ...         pickle.dump({"W1": np.ones((3, 4))}, file)
    ...     weights = read_pickled_weights(os.path.join(folder, "weight.txt"))
    >>> weights["W1"].shape
    (3, 4)
    """
    with open(path, "rb") as file:
        try:
            content = _ArraysOnly(file).load()
        except SerializationError as error:
            raise SerializationError(f"{path}: {error}") from None
        except Exception as error:  # a damaged pickle may raise nearly anything
            raise SerializationError(
                f"{path}: expected pickled weights; got a damaged or foreign file ({error!r})"
            ) from error
    if not isinstance(content, dict) or not all(
        isinstance(k, str) and isinstance(v, np.ndarray) and v.dtype.kind in "iuf" for k, v in content.items()
    ):
        raise SerializationError(f"{path}: expected a dictionary of names and numeric arrays")
    return content


def kept_in(description: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (``DataSpec.names``, metadata) of a model file.

    An early release kept columns, encoding and classes in the metadata, and numeric classes as texts.
    """
    names, metadata = dict(description["names"]), dict(description["metadata"])
    by_command_line = isinstance(metadata.get("columns"), list) and isinstance(metadata.get("classes"), list)
    if any(names.values()) or not by_command_line or not {"target", "task"} <= metadata.keys():
        return names, metadata
    target, classes = metadata.pop("target"), metadata.pop("classes")
    numbers = [number(text) for text in classes]
    if all(n is not None and as_text(n) == text for n, text in zip(numbers, classes, strict=True)):
        classes = [int(text) if text.lstrip("-").isdigit() else float(text) for text in classes]
    del metadata["task"]
    names |= {
        "columns": metadata.pop("columns"),
        "target_columns": None if target is None else [target],
        "classes": classes or None,
        "encoding": metadata.pop("encoding", None),
        "scales_bytes": True,
    }
    return names, metadata
