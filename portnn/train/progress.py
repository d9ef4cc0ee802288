"""The progress bar of long work: tqdm's, in notebooks their own."""

import sys
from typing import Any


def progress_bar(progress: bool | str | None, total: int | None, initial: int = 0) -> Any:
    """Return a bar of steps.

    ``progress``: True shows the bar, None shows it on a terminal and in notebooks after a second, everything else hides
    it.
    """
    from tqdm.auto import tqdm

    is_visible = sys.stderr.isatty() or any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
    enabled = is_visible if progress is None else progress is True
    return tqdm(
        total=total, initial=initial, disable=not enabled, delay=0 if progress else 1, unit="step", leave=bool(progress)
    )
