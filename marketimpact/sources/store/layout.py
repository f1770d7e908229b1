"""The version of a price store's layout, and whether a folder is one at all."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.sources.store.files import read_content, set_aside, write_atomic
from marketimpact.sources.store.index import dump_json

__all__ = ["FORMAT", "has_known_format", "require_known_format", "write_format"]

#: Version of what is written. A store of a later one is refused.
FORMAT = 1
#: What a store's folder holds.
STORE_FILES = ("format.json", "index.json", "lock", "prices", "set_aside", "snapshots")


def has_known_format(directory: Path) -> bool:
    """Whether a store says its format, and it is the known one.

    Raises
    ------
    DataError
        If it is of a later version, or the folder is somebody else's.
    """
    content = read_content(directory / "format.json")
    if content is None:
        _require_own_folder(directory)
        return False
    try:
        version = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError):
        return False  # made anew with the next commit; the files carry what matters
    require_known_format(version, f"The price store {directory}")
    return bool(version == FORMAT)


def write_format(directory: Path) -> None:
    """Say the format where nothing says it; only for who holds the lock."""
    if has_known_format(directory):
        return
    path = directory / "format.json"
    if path.exists():
        aside = set_aside(path, directory)
        warnings.warn(
            f"format.json of the price store was damaged; it is set aside as {aside.name} and made anew.",
            MarketImpactWarning,
            stacklevel=4,
        )
    write_atomic(path, dump_json({"format": FORMAT}))


def require_known_format(version: object, what: str) -> None:
    """Refuse what a later version wrote."""
    if isinstance(version, int) and version > FORMAT:
        raise DataError(
            f"{what} was written by a newer version of marketimpact (format {version}; this one knows {FORMAT}). "
            "Upgrade marketimpact, or use another directory."
        )


def _require_own_folder(directory: Path) -> None:
    """Refuse a folder of somebody else's files: an index.json there would be taken for a damaged one of ours."""
    held = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    strange = [name for name in held if name not in STORE_FILES and not name.startswith(".")]
    if strange or ("index.json" in held and "prices" not in held):
        raise DataError(
            f"{directory} is no price store, and not empty: it holds {listed(strange or held)}. Choose a folder of "
            "its own."
        )
