"""Keep columns of the user's own whose names the package needs, and report columns that do not exist."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence

import polars as pl

from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import MarketImpactWarning, SpecificationError

__all__ = ["SUFFIX", "find_clash", "is_label_type", "keep_own_columns", "require_labels", "unknown_column"]

#: Ends the name under which a column of the user's own is kept.
SUFFIX = "_event"
#: Number of columns that a message lists.
COLUMNS_LISTED = 20


def keep_own_columns(frame: pl.DataFrame, taken: Collection[str], label: str, *, stacklevel: int = 3) -> pl.DataFrame:
    """Rename columns of the user's own whose names are taken, with a warning; none is dropped or replaced.

    Parameters
    ----------
    frame : polars.DataFrame
        A frame of the user's.
    taken : collection of str
        Names of columns that the package computes. Names that begin with an underscore are always taken: they are
        those of its working columns.
    label : str
        Name of the frame in the warning.
    stacklevel : int
        Frames from the caller of the public function to this one.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     keep_own_columns(pl.DataFrame({"event_id": ["a"], "t": [3]}), ["car", "t"], "events").columns
    ['event_id', 't_event']
    """
    names = {name: _free_name(name, frame.columns) for name in frame.columns if name in taken or name[:1] == "_"}
    if not names:
        return frame
    kept = ", ".join(f"{name!r} as {new!r}" for name, new in names.items())
    message = f"{label}: results have columns of these names, so your own are kept under others: {kept}."
    warnings.warn(message, MarketImpactWarning, stacklevel=stacklevel)
    return frame.rename(names)


def find_clash(text: str, columns: Collection[str], taken: Collection[str]) -> str | None:
    """Return the first name in `text` that is taken and under which `columns` had one of the user's own, or None."""
    words = re.findall(r"[^\W\d]\w*", text)
    return next((word for word in words if word in taken and f"{word}{SUFFIX}" in columns), None)


def unknown_column(argument: str, name: str, columns: Sequence[str]) -> SpecificationError:
    """Build the error for an argument that names no column of the events.

    Examples
    --------
    >>> print(unknown_column("by='roel'", "roel", ["event_id", "role"]))
    by='roel' is no column of the events: event_id, role. Did you mean 'role'?
    """
    renamed = f"{name}{SUFFIX}"
    hint = f" Your own column is kept as {renamed!r}." if renamed in columns else did_you_mean(str(name), columns)
    return SpecificationError(
        f"{argument} is no column of the events: {listed(columns, limit=COLUMNS_LISTED, quoted=False)}.{hint}"
    )


def is_label_type(kind: pl.DataType) -> bool:
    """Return whether values of this type can label a group: text, numbers and dates, no lists, structs or objects."""
    return not kind.is_nested() and kind not in (pl.Object, pl.Binary)


def require_labels(argument: str, column: pl.Series) -> None:
    """Stop at a column of lists, structs or objects, which are no labels of groups.

    Raises
    ------
    SpecificationError
        With the type of the column.
    """
    if not is_label_type(column.dtype):
        raise SpecificationError(
            f"{argument} has type {column.dtype}, which is no label of a group. Make text of it, or name another."
        )


def _free_name(name: str, columns: Sequence[str]) -> str:
    """Append the suffix, until the name is free, and take underscores off the front."""
    new = f"{name.lstrip('_')}{SUFFIX}"
    return _free_name(new, columns) if new in columns else new
