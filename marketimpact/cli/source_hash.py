"""Identify a copy of marketimpact: the hash of its source, and where its metadata say that it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from marketimpact.core import resources
from marketimpact.core.resources import resource

__all__ = ["source_origin", "source_sha256"]

#: Endings of the files that results depend on.
SUFFIXES = (".py", ".j2", ".toml", ".json", ".csv", ".parquet")
#: Folders of data, in a wheel inside the package, in a checkout beside it.
DATA = ("data", "studies")


def source_sha256() -> str:
    """Compute the SHA-256 of the package's modules, templates and embedded data, in hex.

    It is the same for a wheel, a checkout and an editable installation of one source, with either line ends.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_files()):
        content = path.read_bytes()
        if path.suffix != ".parquet":
            content = content.replace(b"\r\n", b"\n")
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the name and path of every file that is hashed, data once."""
    package = Path(resources.__file__).parent.parent
    for path in package.rglob("*"):
        name = path.relative_to(package)
        if _is_source(path) and name.parts[0] not in DATA:
            yield f"marketimpact/{name.as_posix()}", path
    for folder in map(resource, DATA):
        for path in folder.rglob("*"):
            if _is_source(path):
                yield path.relative_to(folder.parent).as_posix(), path


def _is_source(path: Path) -> bool:
    return path.suffix in SUFFIXES and path.is_file()


def source_origin() -> dict[str, str]:
    """Return the project's ``url`` and the ``commit`` that was installed, where the metadata name them; no path."""
    try:
        own = distribution("marketimpact")
    except PackageNotFoundError:
        return {}
    # "Repository, https://...": the first of the project's addresses
    url = next((text.partition(",")[2].strip() for text in own.metadata.get_all("Project-URL") or []), None)
    installed = json.loads(own.read_text("direct_url.json") or "{}")
    commit = installed.get("vcs_info", {}).get("commit_id")
    return {name: text for name, text in (("url", url), ("commit", commit)) if text}
