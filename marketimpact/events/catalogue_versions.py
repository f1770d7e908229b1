"""Versions of the embedded chronology, each kept as the file it was, so that a result can name the one it used."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from marketimpact.core.resources import resource
from marketimpact.core.text import did_you_mean
from marketimpact.errors import SpecificationError
from marketimpact.events.contract_files import load_table

__all__ = ["CURRENT_VERSION", "catalogue_versions", "version_file"]


class _Version(NamedTuple):
    version: str
    date: date
    changes: str


#: Every version, the oldest first. The last one is ``data/announcements.csv``, the others are in ``data/versions``.
VERSIONS = (
    _Version("2026.06", date(2026, 11, 23), "first version; its last announcement is of 23 June 2026"),
    _Version(
        "2026.11", date(2026, 11, 29), "clocks of feeds and filings, 88 rows read again, 22 new rows, official dates"
    ),
)
#: Version of the chronology that `marketimpact.announcements` reads by default.
CURRENT_VERSION = VERSIONS[-1].version


def catalogue_versions() -> pl.DataFrame:
    """List the versions of the embedded chronology.

    Returns
    -------
    polars.DataFrame
        One row per version, the oldest first: ``version``; ``date`` on which it was put together; ``n_rows``, the
        number of its announcements; ``sha256``, the hash of its file in hexadecimal digits; ``changes`` in a line.
        The last row is the version that `marketimpact.announcements` reads by default.

    Examples
    --------
    >>> import marketimpact as mi
    >>> mi.catalogue_versions().select("version", "date", "n_rows").row(0)
    ('2026.06', datetime.date(2026, 11, 23), 201)
    """
    files = [version_file(one.version) for one in VERSIONS]
    return pl.DataFrame(
        {
            "version": [one.version for one in VERSIONS],
            "date": [one.date for one in VERSIONS],
            "n_rows": [load_table(file, "announcements")[0].height for file in files],
            "sha256": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
            "changes": [one.changes for one in VERSIONS],
        }
    )


def version_file(version: str) -> Path:
    """Return the file of a version of the chronology.

    Raises
    ------
    SpecificationError
        If there is no such version.
    """
    known = [one.version for one in VERSIONS]
    if version not in known:
        raise SpecificationError(
            f"The chronology has no version {version!r}.{did_you_mean(str(version), known)} Its versions are "
            f"{', '.join(known)}; mi.catalogue_versions() says how they differ."
        )
    if version == CURRENT_VERSION:
        return resource("data", "announcements.csv")
    return resource("data", "versions", f"announcements-{version}.csv")
