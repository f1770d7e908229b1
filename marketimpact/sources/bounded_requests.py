"""Bound the time and size of HTTP requests, which `requests` does not: its timeout is for each read of some bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

__all__ = ["MAX_BYTES", "RefusedAnswerError", "read_body", "run_within"]

#: Largest body that is read: thirty years of one symbol are 1 MB, French's largest file of factors 2 MB.
MAX_BYTES = 50_000_000
#: Bytes that are read at a time, so that a slow server cannot hold a read for long.
BLOCK_BYTES = 1024

T = TypeVar("T")


class RefusedAnswerError(OSError):
    """An answer that is not used: too large, from another host, or of another security."""


def run_within(call: Callable[[], T], seconds: float) -> T:
    """Run a call in its own thread, and raise TimeoutError where it has not ended in time.

    The thread is abandoned then. Give it a call that ends by itself, such as one that reads with `read_body`.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised again by result()
            future.set_exception(error)

    threading.Thread(target=run, name="bounded request", daemon=True).start()
    return future.result(timeout=seconds)


def read_body(blocks: Iterable[bytes], end: float) -> bytes:
    """Join the blocks of a body.

    Parameters
    ----------
    blocks : iterable of bytes
        Blocks of `BLOCK_BYTES`.
    end : float
        Time of `time.monotonic` after which no block is read.

    Raises
    ------
    TimeoutError
        If the body has not ended in time.
    RefusedAnswerError
        If it is larger than `MAX_BYTES`.
    """
    body = bytearray()
    for block in blocks:
        if monotonic() > end:
            raise TimeoutError("the answer did not end in time")
        body += block
        if len(body) > MAX_BYTES:
            raise RefusedAnswerError(f"the answer is larger than {MAX_BYTES / 1e6:g} MB")
    return bytes(body)
