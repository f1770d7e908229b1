"""Check that a folder is a price store, and the version of its layout."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.sources.store.files import read_content, set_aside, write_atomic
from marketimpact.sources.store.index import dump_json

__all__ = ["FORMAT", "has_known_format", "require_known_format", "write_format"]

#: Version of the layout that is written; stores of later versions are refused.
FORMAT = 1
#: Names in a store's folder.
STORE_FILES = ("format.json", "index.json", "lock", "prices", "set_aside", "snapshots")


def has_known_format(directory: Path) -> bool:
    """Return whether the folder has a readable format.json of the known version.

    Raises
    ------
    DataError
        If it is of a later version, or the folder has other files.
    """
    content = read_content(directory / "format.json")
    if content is None:
        _require_own_folder(directory)
        return False
    try:
        version = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError):
        return False  # rewritten at the next commit; the data files are complete without it
    require_known_format(version, f"The price store {directory}")
    return bool(version == FORMAT)


def write_format(directory: Path) -> None:
    """Write format.json where it is absent or damaged; call it with the lock held."""
    if has_known_format(directory):
        return
    path = directory / "format.json"
    if path.exists():
        aside = set_aside(path, directory)
        warnings.warn(
            f"format.json of the price store was damaged; it is set aside as {aside.name} and written again.",
            MarketImpactWarning,
            stacklevel=4,
        )
    write_atomic(path, dump_json({"format": FORMAT}))


def require_known_format(version: object, label: str) -> None:
    """Raise DataError for a file of a later version."""
    if isinstance(version, int) and version > FORMAT:
        raise DataError(
            f"{label} was written by a newer version of marketimpact (format {version}; this one reads {FORMAT}). "
            "Upgrade marketimpact, or use another directory."
        )


def _require_own_folder(directory: Path) -> None:
    """Raise DataError for a folder with other files: its index.json would be taken for a damaged one of the store."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    foreign = [name for name in names if name not in STORE_FILES and not name.startswith(".")]
    if foreign or ("index.json" in names and "prices" not in names):
        raise DataError(
            f"{directory} is no price store, and not empty: it has {listed(foreign or names)}. Choose an empty or new "
            "folder."
        )
