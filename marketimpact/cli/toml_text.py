"""Write TOML: the same value always gives the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["flat", "sorted_keys", "toml_text"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> str:
    """Write a table as TOML, keys in the order given, its own values before the tables in it.

    Parameters
    ----------
    table : mapping
        Text, numbers, booleans, lists of these, tables, and lists of tables.
    above : tuple of str
        Keys that lead to the table.

    Examples
    --------
    >>> print(toml_text({"title": "H20", "report": {"windows": [[0, 1], [0, 0]]}}))
    title = "H20"
    <BLANKLINE>
    [report]
    windows = [[0, 1], [0, 0]]
    """
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _is_table(value)]
    blocks = ["\n".join(lines)] if lines else []
    for key, value in table.items():
        path = (*above, key)
        name = ".".join(map(_key, path))
        if isinstance(value, Mapping):
            # a table of tables only needs no heading of its own
            heading = "" if value and all(map(_is_table, value.values())) else f"[{name}]\n"
            blocks.append(f"{heading}{toml_text(value, path)}".strip("\n"))
        elif _is_table(value):
            blocks += [f"[[{name}]]\n{toml_text(one, path)}" for one in value]
    return "\n\n".join(blocks)


def sorted_keys(value: Any) -> Any:
    """Sort the keys of a table and of all tables in it; lists keep their order."""
    if isinstance(value, Mapping):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [sorted_keys(one) for one in value]
    return value


def flat(table: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """List the values of a table by their keys joined with dots.

    A list is one value; of a list of tables that is their names, and each table follows with its own.

    Examples
    --------
    >>> flat({"study": {"model": "market_model"}, "groups": [{"name": "a", "symbols": ["NVDA"]}]})
    {'study.model': 'market_model', 'groups': ['a'], 'groups[a].symbols': ['NVDA']}
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif _is_table(value):
            names = [str(one.get("name", number)) for number, one in enumerate(value, start=1)]
            found[name] = names
            for label, one in zip(names, value, strict=True):
                found |= flat({k: v for k, v in one.items() if k != "name"}, f"{name}[{label}].")
        else:
            found[name] = value
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, Sequence) and bool(value) and all(isinstance(one, Mapping) for one in value)
    )


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(map(_value, value))}]"
