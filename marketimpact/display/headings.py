"""Headings of columns for readers who do not know this package, such as those of a paper."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["heading", "note_for_readers"]

#: Columns whose names are abbreviations or terms.
_HEADINGS = {
    "aar": "AAR", "ar": "AR", "bhar": "BHAR", "caar": "CAAR", "car": "CAR", "mean_car": "Mean CAR", "scar": "SCAR",
    "sar": "SAR", "ci_low": "CI low", "ci_high": "CI high", "ci_low_filtered": "95% CI low",
    "ci_high_filtered": "95% CI high", "se": "SE", "se_filtered": "SE (filtered)", "df": "df", "t": "t",
    "p": "p", "p_value": "p", "p_filtered": "p (filtered)", "p_holm": "p (Holm)", "p_bh": "p (Benjamini-Hochberg)",
    "p_by": "p (Benjamini-Yekutieli)", "p_romano_wolf": "p (Romano-Wolf)",
    "p_romano_wolf_filtered": "p (Romano-Wolf, filtered)", "p_cluster": "p (clustered)",
    "p_wild": "p (wild bootstrap)", "sq_p": "p (sample quantile)", "mde": "MDE", "effect_mde": "MDE",
    "minimum detectable effect": "MDE", "r2": "R²", "tau": "Session", "last": "Last session", "name": "Firm",
    "event_id": "Event", "n_days": "Sessions", "n_obs": "Sessions", "n_events": "Events", "true_car": "Simulated CAR",
    "raw": "Raw return", "n_legs": "Legs", "note": "Notes", "coef": "Coefficient", "term": "",
}  # fmt: skip


def heading(column: str) -> str:
    """Write the heading of a column: a term for its abbreviation, or its name in words.

    Examples
    --------
    >>> heading("ci_low_filtered"), heading("n_clusters"), heading("stance")
    ('95% CI low', 'Number of clusters', 'Stance')
    """
    if column in _HEADINGS:
        return _HEADINGS[column]
    words = column.removeprefix("n_").replace("_", " ").strip()
    return f"Number of {words}" if column.startswith("n_") else words[:1].upper() + words[1:]


def note_for_readers(note: str, columns: Collection[str]) -> str:
    """Write a note with headings in place of the names of columns, as a sentence.

    Parameters
    ----------
    note : str
        A note that may begin with names of columns and a colon, and may have others in the middle.
    columns : collection of str
        Names of the columns shown; others that the note begins with are left out where one of these is among them.

    Examples
    --------
    >>> note_for_readers("se_filtered, p: from the volatility known the evening before", ["se_filtered", "p"])
    'SE (filtered), p: from the volatility known the evening before.'
    >>> note_for_readers("not valid: fat tails (p_holm, p_bh)", ["note"])
    'not valid: fat tails (p (Holm), p (Benjamini-Hochberg)).'
    """
    known = _HEADINGS.keys() | columns
    names, colon, text = note.partition(":")
    first = names.split(", ")
    if colon and all(name in known for name in first):
        names = ", ".join(heading(name) for name in [name for name in first if name in columns] or first)
    written = re.sub(
        r"\b[a-z]\w*_\w+\b", lambda name: heading(name[0]) if name[0] in known else name[0], names + colon + text
    )
    return written if written.endswith((".", "?", "!")) else f"{written}."
