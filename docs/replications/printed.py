"""Compare printed cells of a paper with ours, to the digits that were printed or within a Monte-Carlo error."""

from __future__ import annotations

import polars as pl

from docs.findings.cells import table

#: Half a unit of the last printed digit, and a little for the rounding of decimals in binary.
SLACK = 1e-9
#: How many Monte-Carlo errors a cell that is computed from some of the paper's simulations may be off.
ERRORS = 3
WITHIN = "within error"
STATES = ("met", WITHIN, "differs", "open")


def compared(cells: pl.DataFrame, decimals: int) -> pl.DataFrame:
    """Add ``difference`` and ``state`` to printed cells.

    Parameters
    ----------
    cells : polars.DataFrame
        ``printed, ours`` and what names the cell; `ours` is null where the data that is needed is not there. A column
        ``error``, where it is not null, is the Monte-Carlo error of a cell that is computed from some of the paper's
        simulations.
    decimals : int
        Decimals of the printed cells.

    Returns
    -------
    polars.DataFrame
        ``difference`` is ours less printed; ``state`` is *open* where there is none of ours, *met* where ours is within
        half a unit of the last printed digit, *within error* where it has a Monte-Carlo error and is off by at most
        three of them beside that half unit, else *differs*.
    """
    difference = pl.col("ours") - pl.col("printed")
    error = pl.col("error") if "error" in cells.columns else pl.lit(None, dtype=pl.Float64)
    half_unit = 0.5 * 10**-decimals + SLACK
    is_met = difference.abs() <= half_unit + ERRORS * error.fill_null(0.0)
    agrees = pl.when(error.is_null()).then(pl.lit("met")).otherwise(pl.lit(WITHIN))
    state = pl.when(pl.col("ours").is_null()).then(pl.lit("open")).when(is_met).then(agrees)
    return cells.with_columns(difference.alias("difference"), state.otherwise(pl.lit("differs")).alias("state"))


def cell_table(cells: pl.DataFrame, names: dict[str, str], decimals: int) -> str:
    """Write every cell as a row: what names it, printed, ours with one digit more, difference, any error, state."""
    has_error = "error" in cells.columns
    rows = [
        [*(str(row[name]) for name in names), _number(row["printed"], decimals), _number(row["ours"], decimals + 1),
         _number(row["difference"], decimals + 1), *([_number(row["error"], decimals + 1)] if has_error else []),
         row["state"]]
        for row in cells.iter_rows(named=True)
    ]  # fmt: skip
    errors = ["Monte-Carlo error"] if has_error else []
    return table([*names.values(), "printed", "ours", "difference", *errors, "state"], rows)


def counts(cells: pl.DataFrame, by: str, title: str) -> str:
    """Count cells by state, one row for each value of a column and one for all."""
    groups = [(str(value), part) for (value,), part in cells.group_by(by, maintain_order=True)]
    rows = [
        [name, str(part.height), *(str(part.filter(state=state).height) for state in STATES)]
        for name, part in [*groups, ("all", cells)]
    ]
    return table([title, "cells", *STATES], rows)


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return ""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
