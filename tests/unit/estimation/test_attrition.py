"""The reasons of attrition are a closed list: what the code writes, and what the list has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import marketimpact
from marketimpact.estimation.attrition import REASONS
from marketimpact.events.dual_listings import OTHER_LISTING

PACKAGE = Path(marketimpact.__file__).parent
#: Reasons are words joined by underscores; details are sentences.
REASON = re.compile(r"[a-z]+(_[a-z]+)+")
#: Rows of exposures and share counts that are not used have reasons of their own.
OTHER_REASONS = {PACKAGE / "events" / f"{name}.py" for name in ("as_of", "exposures", "share_counts")}


def functions() -> Iterator[ast.FunctionDef]:
    for path in sorted(set(PACKAGE.rglob("*.py")) - OTHER_REASONS):
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def names_a_reason(function: ast.FunctionDef) -> bool:
    """Check whether a function returns reasons, or writes a column of them."""
    return "attrition_reason" in function.name or any(
        (is_call(node, "alias") and isinstance(node.args[0], ast.Constant)
         and node.args[0].value in {"reason", "align_reason"})
        or (isinstance(node, ast.Name) and node.id == "ATTRITION")
        for node in ast.walk(function)
    )  # fmt: skip


def literals(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """Return the expressions where reasons are written: in pl.lit(), as keys of a dict, first in a returned tuple."""
    for node in ast.walk(function):
        if is_call(node, "lit"):
            yield from node.args[:1]
        elif isinstance(node, ast.Dict):
            yield from (key for key in node.keys if key is not None)
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            yield node.value.elts[0]


def test_every_reason_written_is_in_the_closed_list_and_every_one_of_the_list_is_written():
    written = {OTHER_LISTING}
    for function in functions():
        if names_a_reason(function):
            values = (node.value for node in literals(function) if isinstance(node, ast.Constant))
            written |= {value for value in values if isinstance(value, str) and REASON.fullmatch(value)}
    assert written == set(REASONS)
