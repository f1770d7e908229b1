"""Write parts of messages: lists of names, suggestions for misspelt names, first lines of other messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["NAMES_SHOWN", "closest_name", "did_you_mean", "first_line", "listed"]

#: Number of names that a message or a note lists before "and N more".
NAMES_SHOWN = 5


def listed(names: Sequence[str], *, limit: int = NAMES_SHOWN, quoted: bool = True, separator: str = ", ") -> str:
    """Join up to `limit` names for a sentence, and count the rest.

    Examples
    --------
    >>> listed(["NVDA", "AMD"])
    "'NVDA', 'AMD'"
    >>> listed(["AMD", "INTC", "MU", "NVDA"], limit=2, quoted=False)
    'AMD, INTC and 2 more'
    """
    shown = separator.join(repr(name) if quoted else str(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def closest_name(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name most similar to `name`, or None if none reaches the similarity `cutoff` (0 to 1).

    A name that differs in upper and lower case only is the most similar one.
    """
    names = list(known)
    in_another_case = [other for other in names if other.casefold() == name.casefold()]
    matches = in_another_case or difflib.get_close_matches(name, names, n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the closest known name, with a leading space; empty if none is close.

    Examples
    --------
    >>> did_you_mean("semiconductor", ["semiconductors", "banks"])
    " Did you mean 'semiconductors'?"
    """
    match = closest_name(name, known)
    return f" Did you mean {match!r}?" if match else ""


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or the name of its class where there is none.

    Later lines of a driver's message repeat the statement and its values.

    Examples
    --------
    >>> first_line(ValueError("no such table: prices\nSELECT * FROM prices"))
    'no such table: prices'
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__
