"""A progress bar on stderr, where someone is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]


@contextmanager
def bar(wanted: bool | None, what: str, total: int) -> Iterator[Callable[[], None]]:
    """What to call after each step; a bar is shown where stderr is a terminal, unless `wanted` says otherwise."""
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415  # a bar is not always shown
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(file=sys.stderr, force_jupyter=False)) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)
