"""End the program on Ctrl-C with one line and exit code 130, also while it is still importing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["EXIT_CODE", "MESSAGE", "raising_on_interrupt"]

#: As a shell gives it for SIGINT.
EXIT_CODE = 130
MESSAGE = "Interrupted."


@contextmanager
def raising_on_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C meanwhile, as Python does by itself, so that files that are half written go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(*_: object) -> None:
    os.write(2, f"{MESSAGE}\n".encode())
    os._exit(EXIT_CODE)


# the command, not a notebook or a user's own script: while it imports there is nothing to clean up
if Path(sys.argv[0] if sys.argv else "").stem == "marketimpact":
    signal.signal(signal.SIGINT, _end)
