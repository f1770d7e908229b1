"""Every example in a docstring runs, and docstrings of functions begin with a verb."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import marketimpact

PACKAGE = Path(marketimpact.__file__).parent
#: Words that begin a description of a value, not of what a function does; ruff's D401 lets them pass.
NO_VERBS = {
    "A", "All", "Altair", "An", "Column", "Cross-sectional", "Cumulative", "Each", "Every", "For", "How", "Its",
    "JSON", "Mean", "Minimum", "None", "Number", "Of", "One", "Positions", "Rows", "Same", "Some", "That", "The",
    "These", "This", "Those", "Two", "What", "When", "Where", "Whether", "Which", "Who", "p-values"
}  # fmt: skip
MODULES = sorted(m.name for m in pkgutil.walk_packages(marketimpact.__path__, "marketimpact."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name)) if t.examples]
    assert len(found) >= 6


def is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Yield functions and methods, without properties, dunder methods and nested functions."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not re.fullmatch("__.+__", node.name) and not is_property(node):
            yield node


def begins_with_a_verb(docstring: str) -> bool:
    first = docstring.split(maxsplit=1)[0].rstrip(",.:;")
    return first[0].isalpha() and first not in NO_VERBS


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_of_functions_begin_with_a_verb(path):
    found = {node: ast.get_docstring(node) for node in functions(ast.parse(path.read_text(encoding="utf-8")).body)}
    nouns = [
        f"{node.lineno}: {text.splitlines()[0]}"
        for node, text in found.items()
        if text and not begins_with_a_verb(text)
    ]
    assert nouns == []


@pytest.mark.parametrize(
    "text", ["`StudyResult.car`.", "+1 for a rise.", "Whether it is.", "One row per event.", "2 rows."]
)
def test_nouns_are_noticed(text):
    assert not begins_with_a_verb(text)
