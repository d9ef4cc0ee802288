"""A record of benchmarks/peers.py as Markdown and as a picture: python benchmarks/table.py RECORD.json [--summary]

With --summary it prints the table of the README, and writes nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def markdown(record: dict[str, Any]) -> str:
    """Return one table per piece of work: the fastest first, and what failed with its reason."""
    where = record["environment"]
    text = [f"{where['date']}, {where['processor']}, Python {where['python']}, NumPy's BLAS {where['blas of numpy']}; "]
    text[0] += ", ".join(f"{name} {version}" for name, version in where["versions"].items()) + "."
    text[0] += f" Medians of {record['rounds']} rounds; in brackets a 95 % interval."
    for work, found in record["works"].items():
        mnist = any("accuracy" in entry for entry in found.values())
        text += ["", f"### {work}", ""]
        text.append("| | time | portnn on NumPy takes times as long | memory, MB |" + (" to 97.5 % |" if mnist else ""))
        text.append("|---|---|---|---|" + ("---|" if mnist else ""))
        timed = {name: entry for name, entry in found.items() if "seconds" in entry}
        for name, entry in sorted(timed.items(), key=lambda pair: pair[1]["seconds"]):
            middle, low, high = entry.get("ratio", (float("nan"),) * 3)
            times = f"{duration(entry['seconds'])} | {middle:.2f} ({low:.2f} to {high:.2f})"
            row = f"| {name} | {times} | {entry['mb']:.0f} |"
            reached = entry.get("to 97.5 %")
            text.append(row + (f" {duration(reached) if reached else 'not reached'} |" if mnist else ""))
        text += [f"\n{name}: {entry['failed']}" for name, entry in found.items() if "failed" in entry]
    if "imports" in record:
        text += ["", "### Import and size on disk", "", "| | import | MB with what it needs |", "|---|---|---|"]
        ordered = sorted(record["imports"].items(), key=lambda pair: pair[1]["seconds"])
        text += [f"| {name} | {duration(entry['seconds'])} | {entry['mb']:.0f} |" for name, entry in ordered]
    return "\n".join(text) + "\n"


PEERS = ("torch", "jax", "scikit-learn", "keras on jax", "thinc", "onnxruntime", "bare numpy")


def summary(record: dict[str, Any]) -> str:
    """Return the README's table: portnn's times, and how many times as long the others take as portnn on NumPy."""
    text = ["| | portnn on NumPy | on JAX | on PyTorch | " + " | ".join(PEERS) + " |", "|---" * (4 + len(PEERS)) + "|"]
    for work, found in record["works"].items():
        cells = [duration(found["portnn on numpy"]["seconds"])]
        for name in ("portnn on jax", "portnn on torch", *PEERS):
            ratio = found.get(name, {}).get("ratio")
            cells.append(f"{1 / ratio[0]:.2f}" if ratio else "")
        text.append(f"| {work} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def picture(record: dict[str, Any], path: Path) -> None:
    """Draw each contender's time over portnn's on NumPy, work by work."""
    from matplotlib import pyplot as plt

    works = list(record["works"])
    names = list(dict.fromkeys(name for found in record["works"].values() for name in found))
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.55 * len(works)), layout="constrained")
    colours = plt.get_cmap("tab20")  # of ten in two shades
    for number, name in enumerate(names):
        points = [
            (1.0 / entry["ratio"][0], row)
            for row, work in enumerate(works)
            if "ratio" in (entry := record["works"][work].get(name, {}))
        ]
        marker = "D" if name.startswith("portnn") else "|" if name in ("products", "bare numpy") else "o"
        colour = colours(2 * number % 20 + number // 10 % 2)
        axes.scatter(*zip(*points, strict=True), marker=marker, s=60, color=colour, label=name) if points else None
    axes.axvline(1.0, color="0.7", zorder=0)
    axes.set(xscale="log", xlabel="time over that of portnn on NumPy", yticks=range(len(works)), yticklabels=works)
    ticks = [t for t in (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.invert_yaxis()
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    if "--summary" in sys.argv:
        sys.exit(print(summary(json.loads(source.read_text())), end=""))
    source.with_suffix(".md").write_text(markdown(json.loads(source.read_text())))
    picture(json.loads(source.read_text()), source.with_suffix(".png"))
