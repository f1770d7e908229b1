"""Find embedded data files, in an installed wheel or in a checkout."""

from __future__ import annotations

from pathlib import Path

from marketimpact.errors import DataError

__all__ = ["resource"]

_PACKAGE = Path(__file__).parent.parent
_ROOTS = (_PACKAGE, _PACKAGE.parent)


def resource(*parts: str) -> Path:
    """Return the path of an embedded file, such as ``resource("data", "announcements.csv")``.

    Raises
    ------
    DataError
        If the installation lacks it.
    """
    for root in _ROOTS:
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise DataError(
        f"The embedded file {'/'.join(parts)} is missing. "
        "Reinstall the package: pip install --force-reinstall marketimpact."
    )
