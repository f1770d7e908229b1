"""Compare printed cells of a paper with ours: met, differing or open, to the digits that were printed."""

from __future__ import annotations

import polars as pl

from docs.findings.cells import table

#: Half a unit of the last printed digit, and a little for the rounding of decimals in binary.
SLACK = 1e-9


def compared(cells: pl.DataFrame, decimals: int) -> pl.DataFrame:
    """Add ``difference`` and ``state`` to printed cells.

    Parameters
    ----------
    cells : polars.DataFrame
        ``printed, ours`` and what names the cell; `ours` is null where the data that is needed is not there.
    decimals : int
        Decimals of the printed cells.

    Returns
    -------
    polars.DataFrame
        ``difference`` is ours less printed; ``state`` is *met* where ours is within half a unit of the last printed
        digit, *open* where there is none of ours, else *differs*.
    """
    difference = pl.col("ours") - pl.col("printed")
    is_met = difference.abs() <= 0.5 * 10**-decimals + SLACK
    state = pl.when(pl.col("ours").is_null()).then(pl.lit("open")).when(is_met).then(pl.lit("met"))
    return cells.with_columns(difference.alias("difference"), state.otherwise(pl.lit("differs")).alias("state"))


def cell_table(cells: pl.DataFrame, names: dict[str, str], decimals: int) -> str:
    """Write every cell as a row: what names it, printed, ours with one digit more, difference, state."""
    rows = [
        [*(str(row[name]) for name in names), _number(row["printed"], decimals), _number(row["ours"], decimals + 1),
         _number(row["difference"], decimals + 1), row["state"]]
        for row in cells.iter_rows(named=True)
    ]  # fmt: skip
    return table([*names.values(), "printed", "ours", "difference", "state"], rows)


def counts(cells: pl.DataFrame, by: str, title: str) -> str:
    """Count cells by state, one row for each value of a column and one for all."""
    groups = [(str(value), part) for (value,), part in cells.group_by(by, maintain_order=True)]
    states = ("met", "differs", "open")
    rows = [
        [name, str(part.height), *(str(part.filter(state=state).height) for state in states)]
        for name, part in [*groups, ("all", cells)]
    ]
    return table([title, "cells", *states], rows)


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return ""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text
