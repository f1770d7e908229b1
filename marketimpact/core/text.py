"""Lists of names in messages and notes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["NAMES_SHOWN", "listed"]

#: How many names a message or a note lists before it says how many more there are.
NAMES_SHOWN = 5


def listed(names: Sequence[str]) -> str:
    """Up to five names for a sentence, and how many more there are.

    Examples
    --------
    >>> listed(["NVDA", "AMD"])
    "'NVDA', 'AMD'"
    """
    shown = ", ".join(repr(name) for name in names[:NAMES_SHOWN])
    return shown + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
