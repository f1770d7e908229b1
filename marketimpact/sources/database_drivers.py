"""Run statements over connections of PEP 249 drivers and of SQLAlchemy, without importing either.

A driver's `paramstyle` and `Error` (PEP 249) are looked up in its module, which the user has imported.
`polars.read_database` is not used: it needs pyarrow for duckdb, and infers the type of a mixed column from its first
rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import polars as pl

from marketimpact.core.python_columns import python_column
from marketimpact.core.text import listed
from marketimpact.errors import DataError

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
            return _frame([(name,) for name in result.keys()], result.fetchall())  # noqa: SIM118  # no mapping
    cursor = connection.cursor()
    try:
        if values:
            cursor.execute(statement, bound)
        else:  # without parameters, so that a percent sign in the user's query stays one
            cursor.execute(statement)
        return _frame(cursor.description or (), cursor.fetchall())
    finally:
        cursor.close()


def driver_errors(connection: Any) -> tuple[type[Exception], ...]:
    """Return the base classes of the driver's errors: of its module, or those that the connection itself names."""
    module = sys.modules.get("sqlalchemy.exc") if is_sqlalchemy(connection) else _driver(connection)
    classes = [getattr(module, name, None) for name in ("SQLAlchemyError", "Error")]
    classes.append(getattr(connection, "Error", None))
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


def _frame(description: Any, rows: Any) -> pl.DataFrame:
    """Build a frame from a description and rows as of PEP 249, where a row may also be a mapping."""
    try:
        names = [str(column[0]) for column in description]
        table = [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in rows]
    except (TypeError, LookupError) as error:
        raise _shape_error(f"{error}") from error
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"The database returns columns more than once: {listed(repeated)}. Select each once.")
    if widths := {len(row) for row in table} - {len(names)}:
        raise _shape_error(f"rows of {min(widths)} values for {len(names)} columns")
    return pl.DataFrame([python_column(name, [row[k] for row in table]) for k, name in enumerate(names)])


def _shape_error(cause: str) -> DataError:
    """Build the error for rows that are not as PEP 249 describes them."""
    return DataError(
        f"The connection does not return rows as PEP 249 describes them ({cause}). Use the driver's own connection and "
        "its default kind of row."
    )
