"""Reports of comparisons: text, JSON, Markdown and a picture."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from portnn.backend import Backend
from portnn.equivalence.drift import Drift, draw
from portnn.equivalence.oracle import Reference
from portnn.errors import ArgumentError
from portnn.html import elements
from portnn.io.files import write_atomically

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Measurement:
    """The error of one tensor of one step on one backend."""

    backend: str
    step: int
    """Number of the step, from 1."""
    place: str
    """Layer with its number ("1 Dense"), "loss", "update" or "whole step"."""
    what: str
    """output, dx, dW, loss, a parameter's name ..."""
    ulps: float
    """Largest distance in units in the last place of the larger value."""
    share: float
    """max(error / probabilistic bound). A value above 1 triggers a second check."""
    share_of_worst_case: float
    """max(error / worst-case bound). A value above 1 means a wrong result."""
    conspires: bool = False
    """Whether the error exceeds the probabilistic bound on these data alone, and not on random data of the same
    scale."""

    @property
    def is_suspect(self) -> bool:
        """Whether the error exceeds the probabilistic bound, but not the worst-case bound."""
        return self.share > 1.0 >= self.share_of_worst_case

    @property
    def holds(self) -> bool:
        """Whether the error is within its bound."""
        return self.share <= 1.0 or self.conspires

    @classmethod
    def measured(
        cls, backend: str, step: int, place: str, what: str, expected: np.ndarray, got: np.ndarray, reference: Reference
    ) -> "Measurement":
        """Return the errors of an array of the dtype and shape of ``expected`` from its true value."""
        expected = np.asarray(expected)
        if got.dtype != expected.dtype or got.shape != expected.shape:
            return cls(backend, step, place, what, np.inf, np.inf, np.inf)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            value = reference.value
            is_equal = (value.astype(expected.dtype) == got) | (np.isnan(value) & np.isnan(got))
            # The first difference is exact, or large.
            exact = np.abs((got.astype(np.float64) - value) - reference.remainder)
            distance = np.where(is_equal & ~np.isfinite(exact), 0.0, exact)
            size = np.maximum(np.maximum(np.abs(value), np.abs(got)), np.finfo(expected.dtype).smallest_normal)
            ulps = distance / np.spacing(size.astype(expected.dtype)).astype(np.float64)
            shares = [distance / (reference.times * limit) for limit in (reference.probable, reference.worst)]
            errors = [np.where(distance == 0, 0.0, error) for error in (ulps, *shares)]
        largest = [float(np.nan_to_num(np.max(error, initial=0.0), nan=np.inf)) for error in errors]
        return cls(backend, step, place, what, largest[0], largest[1], largest[2])


@dataclass
class Comparison(Drift):
    """Base of reports of comparisons."""

    environment: dict[str, Any]
    backends: list[str]
    """The compared backends, NumPy first."""

    title: ClassVar[str]
    schema: ClassVar[str]
    """Version of the JSON format; a renamed key or a changed meaning increments it."""

    @property
    def holds(self) -> bool:
        """Whether the backends agree, and at least one was compared."""
        raise NotImplementedError

    def verdict(self) -> str:
        """Return one line for each backend."""
        raise NotImplementedError

    def _tables(self) -> list[str]:
        """Return the findings as lines of Markdown."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Return verdict and findings as HTML, for notebooks."""
        verdicts = [line.partition(": ")[::2] for line in self.verdict().splitlines()]
        wrong = [i for i, (_, verdict) in enumerate(verdicts) if verdict.startswith(("BROKEN", "DIFFERS"))]
        title = f"{self.title}: {'agree' if self.holds else 'no agreement'}"
        return elements.frame(title, elements.table(("backend", ""), verdicts, wrong, 0), *self._findings())

    def _findings(self) -> list[str]:
        """Return further findings as HTML."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, with the name of the format."""
        return {"schema": self.schema, "holds": self.holds, **asdict(self)}

    def to_markdown(self, title: str | None = None) -> str:
        """Return verdict, findings and environment as Markdown."""
        lines = [f"- {line}" for line in self.verdict().splitlines()]
        environment = ["```json", json.dumps(self.environment, indent=2), "```"]
        return "\n".join([f"# {title or self.title}", "", *lines, "", *self._tables(), "", *environment, ""])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON (.json) or Markdown (.md), or the picture of the drift (.png, .svg, .pdf)."""
        save_reports({self.title: self}, path)


@dataclass
class Report(Comparison):
    """The result of ``compare``; ``arithmetic`` is the network's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from portnn import NeuralNetwork, compare
    >>> x = np.random.default_rng(0).random((20, 3))
    >>> net = NeuralNetwork(3, 4, 1, loss="mse", seed=0, backend="numpy")
    >>> report = compare(net, x, x[:, :1], backends=["array_api_strict"], steps=1)
    >>> report.holds, report.worst("numpy:cpu")["loss", "loss"].share < 1.0, report.arithmetic
    (True, True, 'float32')
    """

    judged_by: str = "float64"
    """Source of the true values."""
    pieces: list[Measurement] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)

    title = "Equivalence of backends"
    schema = "portnn.report/2"

    @property
    def holds(self) -> bool:
        """Whether at least one tensor was measured, and every one is within its bound."""
        return bool(self.pieces) and all(m.holds for m in self.pieces)

    @property
    def broken(self) -> list[Measurement]:
        """The tensors beyond their bound, in the order of steps."""
        return [m for m in self.pieces if not m.holds]

    def worst(self, backend: str) -> dict[tuple[str, str], Measurement]:
        """Return the measurement with the largest share of its bound for each layer and tensor."""
        worst: dict[tuple[str, str], Measurement] = {}
        for m in self.pieces:
            name = m.place, m.what
            if m.backend == backend and (name not in worst or m.share > worst[name].share):
                worst[name] = m
        return worst

    def _lines(self, bar: str) -> list[str]:
        rows = [[title for title, _ in _COLUMNS], *(cells for cells, _ in self._rows())]
        return [bar.join(f"{c:>{width}}" for c, (_, width) in zip(row, _COLUMNS, strict=True)) for row in rows]

    def _rows(self) -> list[tuple[list[str], bool]]:
        """Return the cells of the worst measurement of each tensor on each backend, and whether the bound holds."""
        worst = ((backend, m) for backend in self.backends for m in self.worst(backend).values())
        shares = "{:.1f} {:.4f} {:.4f}"
        return [
            (
                [name, m.place, m.what, str(m.step), *shares.format(m.ulps, m.share, m.share_of_worst_case).split()],
                m.holds,
            )
            for name, m in worst
        ]

    def _findings(self) -> list[str]:
        rows = self._rows()
        wrong = [i for i, (_, holds) in enumerate(rows) if not holds]
        table = elements.table([title for title, _ in _COLUMNS], [cells for cells, _ in rows], wrong, 4)
        return [elements.details("largest error of each tensor", table)]

    def verdict(self) -> str:
        """Return one line for each backend, with the first step and layer that exceeds a bound."""
        return "\n".join(f"{backend}: {self._verdict_of(backend)}" for backend in self.backends)

    def _verdict_of(self, backend: str) -> str:
        measurements = [m for m in self.pieces if m.backend == backend]
        broken = [m for m in measurements if not m.holds]
        drift = self.trajectory.get(backend)
        ends = f"; after {len(drift)} steps {drift[-1]:.1e} from NumPy" if drift else ""
        if broken:
            first = broken[0]
            location = f"step {first.step}, {first.place}, {first.what}"
            return f"BROKEN first at {location}: {first.share:.3g} of the bound{ends}"
        if backend == self.backends[0] and self.judged_by.startswith("NumPy"):
            return "stands for the truth: too large for exact numbers"
        sound = [m for m in measurements if not m.conspires] or measurements
        worst = max(sound, key=lambda m: m.share, default=None)
        if worst is None:
            return f"nothing was compared{ends}"
        line = f"every bound holds, worst share {worst.share:.4f} ({worst.place}, {worst.what}, {worst.ulps:.1f} ulps)"
        conspiring = dict.fromkeys(f"{m.place}, {m.what}" for m in measurements if m.conspires)
        if conspiring:
            line += f"; data whose rounding errors conspire in {'; '.join(conspiring)}"
        return line + ends

    def __str__(self) -> str:
        prints = [f"{name:<28} {digest}" for name, digest in self.fingerprints.items()]
        return "\n".join([*self._lines("  "), "", *prints, "", self.verdict()])

    def _tables(self) -> list[str]:
        head, *rows = self._lines(" | ")
        rule = " | ".join("---" for _ in _COLUMNS)
        table = [f"| {line} |" for line in (head, rule, *rows)]
        return [*table, "", *(f"- {name}: `{digest}`" for name, digest in self.fingerprints.items())]


def save_reports(reports: Mapping[str, Comparison], path: str | os.PathLike[str], beside: Sequence[Drift] = ()) -> None:
    """Write several reports by title, as ``Report.save`` does; a picture shows the largest drift of each backend.

    ``beside``: further drifts for the picture.
    """
    suffix = Path(path).suffix
    if suffix == ".json":
        values = {title: report.to_dict() for title, report in reports.items()}
        write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())
    elif suffix == ".md":
        write_atomically(path, "\n".join(report.to_markdown(title) for title, report in reports.items()).encode())
    elif suffix in PICTURES:
        draw([*beside, *reports.values()], path)
    else:
        raise ArgumentError(f"output: expected a name ending in .json, .md, {', '.join(PICTURES)}; got {path}")


_COLUMNS = (
    ("backend", 20),
    ("place", 16),
    ("array", 12),
    ("step", 4),
    ("ulps", 10),
    ("of bound", 9),
    ("of worst case", 13),
)


def environment(backends: Sequence[Backend]) -> dict[str, Any]:
    """Return versions, devices and BLAS libraries of the backends."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "backends": {repr(backend): backend.version() for backend in backends},
        "numpy blas": f"{blas.get('name')} {blas.get('version')}",
    }
