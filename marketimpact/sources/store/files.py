"""Write files atomically, lock a directory, and make safe file names."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from marketimpact.errors import DataError

__all__ = [
    "SAFE_NAME",
    "digest",
    "list_folder",
    "lock_directory",
    "read_content",
    "remove_file",
    "remove_unfinished",
    "safe_name",
    "set_aside",
    "write_atomic",
]

#: Seconds to wait for another process to finish writing.
LOCK_SECONDS = 120.0
#: Seconds between attempts to take a lock; with longer ones a busy process always gets it first.
POLL_SECONDS = 0.002
#: Ending of files being written; those that remain are of a process that died.
UNFINISHED = ".unfinished"
UNFINISHED_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.unfinished")
#: Number of readable characters in a safe name.
READABLE = 40
NOT_PLAIN = re.compile(r"[^A-Za-z0-9._^=-]")
#: Pattern of what `safe_name` returns.
SAFE_NAME = rf"[A-Za-z0-9._^=-]{{0,{READABLE}}}-[0-9a-f]{{12}}"


def digest(content: bytes) -> str:
    """Compute the SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def read_content(path: Path) -> bytes | None:
    """Read a file's bytes; None if it does not exist.

    Raises
    ------
    DataError
        If the file system refuses, or it is no regular file: a pipe would never end.
    """
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} cannot be read: it is no file. Move it away, or choose another directory.")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}). Correct its permissions, or choose another directory."
        ) from error


def safe_name(name: str) -> str:
    """Convert a name to a file name that is unique and cannot leave its directory.

    It has the plain characters of the name and a hash of all of it, so that names that are long, or differ only in
    case, stay distinct on every file system.

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
    """Hold the directory's lock; the system releases it when the process dies."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  # slow to import, and few studies use a store

    try:
        directory.mkdir(parents=True, exist_ok=True)
        # a singleton, so that the holder may take the lock again
        lock = FileLock(directory / "lock", timeout=LOCK_SECONDS, is_singleton=True)
        lock.acquire(poll_interval=POLL_SECONDS)
    except Timeout as error:
        raise DataError(
            f"The price store {directory} has been locked by another process for {LOCK_SECONDS:g} s. Wait for that "
            "process, or end it, which releases the lock."
        ) from error
    except OSError as error:
        raise DataError(
            f"The price store {directory} cannot be locked ({error.strerror or error}): reading takes a lock too, so "
            "the directory must be writable. Choose another directory, or copy it to one."
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically: after a crash or power cut either the old or the new content is there.

    Raises
    ------
    DataError
        If the file system refuses, such as a full disk; the old content is kept.
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
            f"{path} cannot be written ({error.strerror or error}). The store's earlier content is intact. Free space "
            "or choose another directory, then try again."
        ) from error


def set_aside(path: Path, directory: Path) -> Path:
    """Move a damaged file to the folder `set_aside`, under a name with its folder; nothing is deleted."""
    folder = directory / "set_aside"
    target = folder / f"{path.parent.name}-{path.name}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    except FileNotFoundError:
        return target  # another process moved it
    except OSError as error:
        raise DataError(
            f"{path} is damaged and cannot be set aside ({error.strerror or error}). Move it away."
        ) from error
    return target


def list_folder(folder: Path) -> list[Path]:
    """List the paths in a folder, none if there is no such folder; raise DataError if the file system refuses."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror or error}). Correct its permissions.") from error


def remove_file(path: Path) -> None:
    """Remove a file if it exists, or raise DataError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path} cannot be removed ({error.strerror or error}). Correct the permissions of its folder."
        ) from error


def remove_unfinished(folders: Iterable[Path]) -> int:
    """Remove unfinished files of processes that died from folders, and count them; call it with the lock held."""
    unfinished = [
        path
        for folder in folders
        for path in list_folder(folder)
        if UNFINISHED_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    ]
    for path in unfinished:
        with suppress(OSError):
            path.unlink()
    return len(unfinished)


def _sync_directory(directory: Path) -> None:
    """Sync a directory, so that a rename survives a power cut; Windows does so itself."""
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
