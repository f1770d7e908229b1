"""Check that a folder is a price store, the version of its layout, and which names in it are the store's own."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning
from marketimpact.sources.store.files import SAFE_NAME, digest, list_folder, read_content, set_aside, write_atomic
from marketimpact.sources.store.index import dump_json, is_data_file

__all__ = [
    "FORMAT",
    "NAME_LENGTH",
    "bar_files",
    "data_files",
    "has_known_format",
    "intact_bars",
    "links",
    "own_folders",
    "own_path",
    "require_known_format",
    "snapshot_names",
    "write_format",
]

#: Version of the layout that is written: the first had no opens, highs and lows. Stores of later ones are refused.
FORMAT = 2
#: Names in a store's folder.
STORE_FILES = ("bars", "format.json", "index.json", "lock", "prices", "set_aside", "snapshots")
#: Number of characters of a snapshot's name.
NAME_LENGTH = 16
#: Number of the fetch and hash of the content.
BAR_FILE = re.compile(r"[0-9]{6}-[0-9a-f]{64}\.parquet")
SNAPSHOT_FILE = re.compile(rf"[0-9a-f]{{{NAME_LENGTH}}}\.json")


def has_known_format(directory: Path) -> bool:
    """Return whether the folder has a readable format.json of the version that is written.

    Raises
    ------
    DataError
        If it is of a later version, or the folder has other files.
    """
    content = read_content(own_path(directory, "format.json"))
    if content is None:
        _require_own_folder(directory)
        return False
    try:
        version = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False  # rewritten at the next commit; the data files are complete without it
    require_known_format(version, f"The price store {directory}")
    return isinstance(version, int) and not isinstance(version, bool) and version == FORMAT


def write_format(directory: Path) -> None:
    """Write format.json where it is absent, damaged or of an earlier version; call it with the lock held."""
    if has_known_format(directory):
        return
    path = own_path(directory, "format.json")
    own_path(directory, "set_aside")
    if path.exists() and not _is_of_earlier_format(path):
        aside = set_aside(path, directory)
        warnings.warn(
            f"format.json of the price store was damaged; it is set aside as {aside.name} and written again.",
            MarketImpactWarning,
            stacklevel=4,
        )
    write_atomic(path, dump_json({"format": FORMAT}))


def _is_of_earlier_format(path: Path) -> bool:
    """Return whether format.json is one that an earlier version of this package wrote."""
    return read_content(path) in [dump_json({"format": version}) for version in range(1, FORMAT)]


def require_known_format(version: object, label: str) -> None:
    """Raise DataError for a file of a later version."""
    if isinstance(version, int | float) and version > FORMAT:
        raise DataError(
            f"{label} was written by a newer version of marketimpact (format {version}; this one reads {FORMAT}). "
            "Upgrade marketimpact, or use another directory."
        )


def own_path(directory: Path, file: str) -> Path:
    """Return the path of a file in the store; raise DataError where it, or a folder above it, is a symbolic link."""
    path = directory / file
    for part in (path, *path.parents):
        if part == directory:
            break
        if part.is_symlink():
            raise DataError(
                f"{part} is a symbolic link, which the price store does not follow. Replace it by what it points to, "
                "or give the folder itself as the store."
            )
    return path


def own_folders(directory: Path) -> list[Path]:
    """List the folders that the store writes to, without links and folders of other names."""
    above = _folders(directory, "bars|prices|snapshots")
    vendors = [folder for kind in above if kind.name != "snapshots" for folder in _folders(kind, SAFE_NAME)]
    symbols = [folder for vendor in vendors for folder in _folders(vendor, SAFE_NAME)]
    return [directory, *above, *vendors, *symbols]


def data_files(directory: Path) -> list[Path]:
    """List the data files, without links and files of other names."""
    files = (path for folder in own_folders(directory) for path in list_folder(folder))
    return sorted(path for path in files if is_data_file(path.relative_to(directory).as_posix()) and _is_own(path))


def bar_files(folder: Path) -> list[Path]:
    """List the files of bars in a symbol's folder in the order they were fetched, without links and other names."""
    return [path for path in list_folder(folder) if BAR_FILE.fullmatch(path.name) and _is_own(path)]


def intact_bars(file: Path) -> bytes | None:
    """Read a file of bars; None where its content does not match the hash in its name."""
    content = read_content(file) or b""
    return content if digest(content) == file.stem.rpartition("-")[2] else None


def snapshot_names(directory: Path) -> list[str]:
    """List the names of snapshots, without links and files of other names."""
    folder = directory / "snapshots"
    paths = list_folder(folder) if _is_own_folder(folder) else []
    return [path.stem for path in paths if SNAPSHOT_FILE.fullmatch(path.name) and _is_own(path)]


def links(directory: Path) -> list[str]:
    """List symbolic links in the store's folders, which it does not follow."""
    paths = (path for folder in own_folders(directory) for path in list_folder(folder))
    return sorted(path.relative_to(directory).as_posix() for path in paths if path.is_symlink())


def _folders(parent: Path, pattern: str) -> list[Path]:
    """List the folders in a folder whose names match, without links."""
    return [path for path in list_folder(parent) if re.fullmatch(pattern, path.name) and _is_own_folder(path)]


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _require_own_folder(directory: Path) -> None:
    """Raise DataError for a folder with other files: its index.json would be taken for a damaged one of the store."""
    names = [path.name for path in list_folder(directory)]
    foreign = [name for name in names if name not in STORE_FILES and not name.startswith(".")]
    if foreign or ("index.json" in names and "prices" not in names):
        raise DataError(
            f"{directory} is no price store, and not empty: it has {listed(foreign or names)}. Choose an empty or new "
            "folder."
        )
