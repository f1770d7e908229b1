"""Run statements over connections of PEP 249 drivers and of SQLAlchemy, without importing either.

A driver's `paramstyle` and `Error` (PEP 249) are looked up in its module, which the user has imported.
`polars.read_database` is not used: it needs pyarrow for duckdb, and infers the type of a mixed column from its first
rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import polars as pl

from marketimpact.sources.python_columns import python_column

__all__ = ["driver_errors", "fetch_frame", "is_sqlalchemy", "placeholders", "quote_name"]


def is_sqlalchemy(connection: Any) -> bool:
    """Return whether this is an engine or a connection of SQLAlchemy."""
    return hasattr(connection, "dialect") and hasattr(connection, "execution_options")


def quote_name(connection: Any, name: str) -> str:
    """Quote an identifier, whatever characters it has."""
    if is_sqlalchemy(connection):
        return str(connection.dialect.identifier_preparer.quote_identifier(name))
    return '"' + name.replace('"', '""') + '"'


def placeholders(connection: Any, count: int) -> list[str]:
    """Return parameter marks in the driver's style."""
    style = _style(connection)
    marks = {"named": ":p{0}", "pyformat": "%(p{0})s", "format": "%s", "numeric": ":{1}", "numeric_dollar": "${1}"}
    return [marks.get(style, "?").format(number, number + 1) for number in range(count)]


def fetch_frame(connection: Any, statement: str, values: Sequence[object] = ()) -> pl.DataFrame:
    """Run a statement and return its rows; a column that mixes text with other values becomes text."""
    bound: Any = tuple(values)
    if values and _style(connection) in ("named", "pyformat"):
        bound = {f"p{number}": value for number, value in enumerate(values)}
    if is_sqlalchemy(connection):
        opened = connection.connect() if hasattr(connection, "connect") else nullcontext(connection)
        with opened as ready:
            result = ready.exec_driver_sql(statement, bound) if values else ready.exec_driver_sql(statement)
            return _frame(list(result.keys()), result.fetchall())
    cursor = connection.cursor()
    try:
        if values:
            cursor.execute(statement, bound)
        else:  # without parameters, so that a percent sign in the user's query stays one
            cursor.execute(statement)
        return _frame([column[0] for column in cursor.description or ()], cursor.fetchall())
    finally:
        cursor.close()


def driver_errors(connection: Any) -> tuple[type[Exception], ...]:
    """Return the base classes of the driver's errors."""
    module = sys.modules.get("sqlalchemy.exc") if is_sqlalchemy(connection) else _driver(connection)
    classes = [getattr(module, name, None) for name in ("SQLAlchemyError", "Error")]
    return tuple(
        error_class for error_class in classes if isinstance(error_class, type) and issubclass(error_class, Exception)
    )


def _driver(connection: Any) -> ModuleType | None:
    """Find the driver's module: the outermost one of the connection's type that follows PEP 249."""
    parts = type(connection).__module__.split(".")
    names = [".".join(parts[: k + 1]) for k in range(len(parts))] + [parts[0].lstrip("_")]
    return next((sys.modules[n] for n in names if n in sys.modules and hasattr(sys.modules[n], "paramstyle")), None)


def _style(connection: Any) -> str:
    """Return the style of parameter marks, as in PEP 249."""
    source = connection.dialect if is_sqlalchemy(connection) else _driver(connection)
    return str(getattr(source, "paramstyle", "qmark"))


def _frame(names: Sequence[str], rows: Sequence[Sequence[object]]) -> pl.DataFrame:
    return pl.DataFrame([python_column(name, [row[column] for row in rows]) for column, name in enumerate(names)])
