"""A progress bar where someone is looking: on a terminal's stderr, or under a notebook's cell."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["PATIENCE", "bar"]

#: Seconds that work may take before it is worth a bar.
PATIENCE = 1.0


@contextmanager
def bar(wanted: bool | None, what: str, total: int, *, patience: float = 0.0) -> Iterator[Callable[[], None]]:
    """What to call after each step.

    A bar is shown in a notebook and where stderr is a terminal, unless `wanted` says otherwise, once the work has
    taken `patience` seconds; one that is wanted is shown at once.
    """
    notebook = _in_notebook()
    if not (notebook or sys.stderr.isatty() if wanted is None else wanted):
        yield lambda: None
        return
    patience = 0.0 if wanted else patience
    started = time.monotonic()  # for the eye only: no result depends on it
    done = 0
    with (_under_cell if notebook else _on_terminal)(what, total) as show:
        if not patience:
            show(0)

        def step() -> None:
            nonlocal done
            done += 1
            if time.monotonic() - started >= patience:
                show(done)

        yield step


def _in_notebook() -> bool:
    """Whether a kernel runs this; IPython is there then."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def _on_terminal(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console  # noqa: PLC0415  # a bar is not always shown
    from rich.progress import Progress  # noqa: PLC0415

    shown = Progress(console=Console(file=sys.stderr, force_jupyter=False))
    task = shown.add_task(what, total=total)

    def show(done: int) -> None:
        shown.start()
        shown.update(task, completed=done)

    try:
        yield show
    finally:
        if shown.live.is_started:
            shown.stop()


@contextmanager
def _under_cell(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """An element of HTML that is changed as the work goes on, and is gone when it is done: it needs no widgets."""
    screen: Any = import_module("IPython.display")  # it is there: a kernel runs this
    handle: Any = None
    percent = -1

    def show(done: int) -> None:
        nonlocal handle, percent
        if 100 * done // total == percent:
            return
        percent = 100 * done // total
        said = html.escape(f"{what}: {done:,} of {total:,}")
        element = screen.HTML(
            f"<progress value='{done}' max='{total}' aria-label='{html.escape(what)}'></progress> {said}"
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
