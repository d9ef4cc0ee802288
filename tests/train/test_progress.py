"""Who sees a progress bar."""

import sys

import pytest

from portnn.train.progress import progress_bar


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"),
    [(True, False, True), (False, True, False), (None, True, True), (None, False, False), ("log", True, False)],
)
def test_a_bar_is_for_terminals_unless_it_is_asked_for(progress, terminal, shown, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress_bar(progress, 10, 4) as bar:
        assert bar.disable is not shown
        if shown:
            assert (bar.total, bar.n, bar.delay, bar.leave) == (10, 4, 0 if progress else 1, bool(progress))


def test_notebooks_have_a_bar_of_their_own(monkeypatch):
    """tqdm.auto is then a subclass of tqdm.notebook's: shown without a terminal."""
    import tqdm.auto

    class Bar(tqdm.auto.tqdm):
        def __init__(self, **options):
            self.options = options

    Bar.__module__ = "tqdm.notebook"
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    bar = progress_bar(None, 3)
    bar.disable = True
    assert bar.options["disable"] is False
