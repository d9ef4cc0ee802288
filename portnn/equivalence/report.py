"""What a comparison of backends found: as text, JSON, Markdown and a picture."""

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
from portnn.io.files import write_atomically

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Measurement:
    """One array of one step on one backend, beside the reference's."""

    backend: str
    step: int
    """Counted from 1."""
    place: str
    """Layer with its number, "loss", "update" or "whole step"."""
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
        """Whether the error is within the worst-case bound, and beyond the probabilistic one."""
        return self.share > 1.0 >= self.share_of_worst_case

    @property
    def holds(self) -> bool:
        """Whether the error is within its bound."""
        return self.share <= 1.0 or self.conspires

    @classmethod
    def measured(
        cls, backend: str, step: int, place: str, what: str, like: np.ndarray, got: np.ndarray, truth: Reference
    ) -> "Measurement":
        """Return the errors of an array, which must have the dtype and shape of ``like``, from its true value."""
        like = np.asarray(like)
        if got.dtype != like.dtype or got.shape != like.shape:
            return cls(backend, step, place, what, np.inf, np.inf, np.inf)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            value = truth.value
            same = (value.astype(like.dtype) == got) | (np.isnan(value) & np.isnan(got))
            exact = np.abs((got.astype(np.float64) - value) - truth.rest)  # the first difference is exact, or large
            distance = np.where(same & ~np.isfinite(exact), 0.0, exact)
            size = np.maximum(np.maximum(np.abs(value), np.abs(got)), np.finfo(like.dtype).smallest_normal)
            ulps = distance / np.spacing(size.astype(like.dtype)).astype(np.float64)
            shares = [distance / (truth.times * limit) for limit in (truth.probable, truth.worst)]
            far = [np.where(distance == 0, 0.0, each) for each in (ulps, *shares)]
        largest = [float(np.nan_to_num(np.max(each, initial=0.0), nan=np.inf)) for each in far]
        return cls(backend, step, place, what, largest[0], largest[1], largest[2])


@dataclass
class Comparison(Drift):
    """What a comparison of backends found: what reports of either kind have."""

    environment: dict[str, Any]
    backends: list[str]
    """Those that were compared, NumPy first."""

    title: ClassVar[str]
    schema: ClassVar[str]
    """Of the report as JSON; its number grows where a key is renamed or means something else."""

    @property
    def holds(self) -> bool:
        """Whether the backends agree, and something was compared."""
        raise NotImplementedError

    def verdict(self) -> str:
        """Return one line a backend."""
        raise NotImplementedError

    def _tables(self) -> list[str]:
        """Return what was found, as lines of Markdown."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, under a name that says how they are arranged."""
        return {"schema": self.schema, "holds": self.holds, **asdict(self)}

    def to_markdown(self, title: str | None = None) -> str:
        """Return verdict, findings and environment as Markdown."""
        found = [f"- {line}" for line in self.verdict().splitlines()]
        made = ["```json", json.dumps(self.environment, indent=2), "```"]
        return "\n".join([f"# {title or self.title}", "", *found, "", *self._tables(), "", *made, ""])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON (.json) or Markdown (.md), or the picture of the drift (.png, .svg, .pdf)."""
        save_reports({self.title: self}, path)


@dataclass
class Report(Comparison):
    """What ``compare`` found; ``arithmetic`` is the network's dtype.

    Examples
    --------
    See ``compare``.
    """

    judged_by: str = "float64"
    """What stood for the truth."""
    pieces: list[Measurement] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)

    title = "Equivalence of backends"
    schema = "portnn.report/2"

    @property
    def holds(self) -> bool:
        """Whether every piece is within its bound, and there was one."""
        return bool(self.pieces) and all(piece.holds for piece in self.pieces)

    @property
    def broken(self) -> list[Measurement]:
        """The pieces beyond their bound, in the order of steps."""
        return [piece for piece in self.pieces if not piece.holds]

    def worst(self, backend: str) -> dict[tuple[str, str], Measurement]:
        """Return, for each place and array, the step with the largest share."""
        worst: dict[tuple[str, str], Measurement] = {}
        for piece in self.pieces:
            name = piece.place, piece.what
            if piece.backend == backend and (name not in worst or piece.share > worst[name].share):
                worst[name] = piece
        return worst

    def _lines(self, bar: str) -> list[str]:
        lines = [bar.join(f"{title:>{width}}" for title, width in _COLUMNS)]
        for backend in self.backends:
            for piece in self.worst(backend).values():
                cells = (
                    backend,
                    piece.place,
                    piece.what,
                    str(piece.step),
                    f"{piece.ulps:.1f}",
                    f"{piece.share:.4f}",
                    f"{piece.share_of_worst_case:.4f}",
                )
                lines.append(bar.join(f"{c:>{width}}" for c, (_, width) in zip(cells, _COLUMNS, strict=True)))
        return lines

    def verdict(self) -> str:
        """Return one line a backend, and the first step and place where a bound is broken."""
        return "\n".join(f"{backend}: {self._found(backend)}" for backend in self.backends)

    def _found(self, backend: str) -> str:
        mine = [piece for piece in self.pieces if piece.backend == backend]
        broken = [piece for piece in mine if not piece.holds]
        drift = self.trajectory.get(backend)
        ends = f"; after {len(drift)} steps {drift[-1]:.1e} from NumPy" if drift else ""
        if broken:
            first = broken[0]
            where = f"step {first.step}, {first.place}, {first.what}"
            return f"BROKEN first at {where}: {first.share:.3g} of the bound{ends}"
        if backend == self.backends[0] and self.judged_by.startswith("NumPy"):
            return "stands for the truth: too large for exact numbers"
        sound = [piece for piece in mine if not piece.conspires] or mine
        worst = max(sound, key=lambda piece: piece.share, default=None)
        if worst is None:
            return f"nothing was compared{ends}"
        found = f"every bound holds, worst share {worst.share:.4f} ({worst.place}, {worst.what}, {worst.ulps:.1f} ulps)"
        conspiring = dict.fromkeys(f"{piece.place}, {piece.what}" for piece in mine if piece.conspires)
        if conspiring:
            found += f"; data whose rounding errors conspire in {'; '.join(conspiring)}"
        return found + ends

    def __str__(self) -> str:
        prints = [f"{name:<28} {digest}" for name, digest in self.fingerprints.items()]
        return "\n".join([*self._lines("  "), "", *prints, "", self.verdict()])

    def _tables(self) -> list[str]:
        head, *rows = self._lines(" | ")
        rule = " | ".join("---" for _ in _COLUMNS)
        table = [f"| {line} |" for line in (head, rule, *rows)]
        return [*table, "", *(f"- {name}: `{digest}`" for name, digest in self.fingerprints.items())]


def save_reports(reports: Mapping[str, Comparison], path: str | os.PathLike[str], beside: Sequence[Drift] = ()) -> None:
    """Write reports by title, as ``Report.save`` does; the picture shows the largest drift of each backend.

    ``beside``: other drifts for the picture.
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
    """Return versions, devices and BLAS of what is compared."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "backends": {repr(backend): backend.version() for backend in backends},
        "numpy blas": f"{blas.get('name')} {blas.get('version')}",
    }
