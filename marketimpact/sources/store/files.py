"""Files that are whole or not there: atomic writes, one lock, names that stay inside a directory."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marketimpact.errors import DataError

__all__ = ["digest", "lock_directory", "read_content", "remove_unfinished", "safe_name", "set_aside", "write_atomic"]

#: Seconds to wait for another process to finish writing.
LOCK_SECONDS = 120.0
#: Seconds between looks at a lock that is taken; with long ones a busy neighbour always comes first.
POLL_SECONDS = 0.002
#: Ending of files that are being written; what is left of them belongs to a writer that died.
UNFINISHED = ".unfinished"
READABLE = 40
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._^=-]")


def digest(content: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def read_content(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none.

    Raises
    ------
    DataError
        When the file system refuses.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}). Mend its permissions, or choose another directory."
        ) from error


def safe_name(name: str) -> str:
    """A name for a file or folder that no other name shares and that cannot leave its directory.

    Readable as far as the name is plain, then a hash of all of it, so that neither long names nor file
    systems that do not tell capitals apart bring two together.

    Examples
    --------
    >>> safe_name("2330.TW")
    '2330.TW-383d6c8d2ed2'
    >>> safe_name("../../etc/passwd")[:16]
    '_._.._etc_passwd'
    """
    plain = NOT_PLAIN.sub("_", name)[:READABLE]
    plain = "_" + plain[1:] if plain.startswith(".") else plain
    return f"{plain}-{digest(name.encode('utf-8', 'surrogatepass'))[:12]}"


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; the system lets go of it when a process dies."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  # it brings multiprocessing, and most studies keep no store

    try:
        directory.mkdir(parents=True, exist_ok=True)
        # a singleton, so that who holds the lock may take it again
        lock = FileLock(directory / "lock", timeout=LOCK_SECONDS, is_singleton=True)
        lock.acquire(poll_interval=POLL_SECONDS)
    except Timeout as error:
        raise DataError(
            f"The price store {directory} has been locked by another process for {LOCK_SECONDS:g} s. Wait for it, or "
            "end it; its lock goes with it."
        ) from error
    except OSError as error:
        raise DataError(
            f"The price store {directory} cannot be locked ({error.strerror or error}): it must be writable even to be "
            "read safely beside a writer. Choose another directory, or copy it to one."
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that at any moment, even of a power cut, the old content or the new is there.

    Raises
    ------
    DataError
        When the file system refuses, such as a full disk; what was there before still is.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}). What the store held before is intact; make room or "
            "choose another directory, then do it again."
        ) from error


def set_aside(path: Path, directory: Path) -> Path:
    """Move a damaged file out of the way, under a name that says where it was; nothing is deleted."""
    aside = directory / "set_aside"
    target = aside / f"{path.parent.name}-{path.name}-{secrets.token_hex(4)}"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    except FileNotFoundError:
        return target  # another process has done it
    except OSError as error:
        raise DataError(f"{path} is damaged and cannot be set aside ({error.strerror or error}). Move it.") from error
    return target


def remove_unfinished(directory: Path) -> int:
    """Remove what writers that died left unfinished; only for who holds the lock."""
    left = [path for path in directory.rglob(f".*{UNFINISHED}") if path.is_file()]
    for path in left:
        with suppress(OSError):
            path.unlink()
    return len(left)


def _sync_directory(directory: Path) -> None:
    """Make a rename last; Windows has no such call for directories and does it by itself."""
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
