"""Show a progress bar on a terminal or in a notebook."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["PATIENCE", "progress_bar"]

#: Seconds of work before a bar appears.
PATIENCE = 1.0


@contextmanager
def progress_bar(shown: bool | None, label: str, total: int, *, patience: float = 0.0) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of `total` steps.

    Parameters
    ----------
    shown : bool or None
        True shows the bar at once, False never; None shows it in a notebook or on a terminal, after `patience` seconds.
    label : str
        Text beside the bar.
    total : int
        Number of steps.
    patience : float
        Seconds of work before the bar appears.
    """
    notebook = _in_notebook()
    if not (notebook or sys.stderr.isatty() if shown is None else shown):
        yield lambda: None
        return
    patience = 0.0 if shown else patience
    started = time.monotonic()  # only for display: no result depends on it
    done = 0
    with (_under_cell if notebook else _on_terminal)(label, total) as show:
        if not patience:
            show(0)

        def step() -> None:
            nonlocal done
            done += 1
            if time.monotonic() - started >= patience:
                show(done)

        yield step


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this process."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def _on_terminal(label: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console  # noqa: PLC0415  # a bar is not always shown
    from rich.progress import Progress  # noqa: PLC0415

    progress = Progress(console=Console(file=sys.stderr, force_jupyter=False))
    task = progress.add_task(label, total=total)

    def show(done: int) -> None:
        progress.start()
        progress.update(task, completed=done)

    try:
        yield show
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def _under_cell(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show an HTML element under the cell, updated as work goes on and removed at the end; it needs no widgets."""
    screen: Any = import_module("IPython.display")  # installed, since a kernel runs this
    handle: Any = None
    percent = -1

    def show(done: int) -> None:
        nonlocal handle, percent
        if 100 * done // total == percent:
            return
        percent = 100 * done // total
        text = html.escape(f"{label}: {done:,} of {total:,}")
        element = screen.HTML(
            f"<progress value='{done}' max='{total}' aria-label='{html.escape(label)}'></progress> {text}"
        )
        if handle is None:
            handle = screen.display(element, display_id=True)
        else:
            handle.update(element)

    try:
        yield show
    finally:
        if handle is not None:
            handle.update(screen.HTML(""))
