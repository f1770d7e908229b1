"""Write the files of one run aside, and move them to their place together."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from marketimpact.errors import DataError

__all__ = ["parquet_bytes", "write_together"]


@contextmanager
def write_together(folder: Path) -> Iterator[Path]:
    """Give a folder in which to write; at the end its files move into `folder`, over files of the same names.

    Whatever stops the writing before, an error, a full disk or Ctrl-C, leaves `folder` as it was. Files of other names
    stay there.

    Raises
    ------
    DataError
        Where the file system refuses, such as a full disk.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp())
    >>> with write_together(target) as aside:
    ...     _ = (aside / "a.txt").write_text("a")
    >>> [path.name for path in target.iterdir()]
    ['a.txt']
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    aside = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # in the folder itself, since a move between file systems is not one step
        aside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
        yield aside
        _move(aside, folder)
        made = []
    except OSError as error:
        raise DataError(
            f"{error.filename2 or error.filename or folder} cannot be written ({error.strerror or error}). {folder} is "
            "as it was before. Free space or correct the permissions, or choose another folder, then try again."
        ) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        for each in made:
            _remove_empty(each)


def parquet_bytes(frame: pl.DataFrame, *, statistics: bool = True) -> bytes:
    """Write a frame as Parquet; polars itself reports a full disk in several ways."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, statistics=statistics)
    return buffer.getvalue()


def _move(source: Path, target: Path) -> None:
    """Move every file, folder by folder, names with an underscore last; a file of the same name is replaced."""
    for path in sorted(source.iterdir(), key=lambda path: (path.name.startswith("_"), path.name)):
        place = target / path.name
        if path.is_dir():
            place.mkdir(exist_ok=True)
            _move(path, place)
        else:
            path.replace(place)


def _remove_empty(folder: Path) -> None:
    """Remove a folder that was made in vain, if it is there and empty."""
    try:
        folder.rmdir()
    except OSError:  # it is gone, or another program writes there
        return
