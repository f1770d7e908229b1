"""Compute the tables of incerti.md: CARs around sudden changes of regime in 20 countries."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

import marketimpact as mi
from docs.replications.printed import cell_table, compared, counts

FOLDER = "incerti"
TABLES = {
    "artable-ass-car.txt": "assassinations", "artable-coups-car.txt": "coups", "artable-res-car.txt": "resignations",
}  # fmt: skip
MEANS = "artable-coups-car-mean.txt"
#: Event windows in the order of the printed columns.
WINDOWS = ((0, 0), (0, 6), (0, 19), (-7, -1), (-20, -1))
#: The country with the fewest returns in the estimation window has 14.
STUDY = mi.EventStudy(
    model=mi.MeanAdjusted(), estimation_window=(-200, -21), event_window=(-20, 19), min_observations=14
)
DECIMALS = 3
NAMES = {"event": "event", "window": "window", "what": "cell"}


def remake(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Compute the tables of the page, and no figures."""
    cells = compared(replicated(folder / FOLDER), DECIMALS)
    return {"counts": counts(cells, "table", "table"), "cells": cell_table(cells, NAMES, DECIMALS)}, {}


def replicated(folder: Path) -> pl.DataFrame:
    """Return every printed cell beside ours: ``table, event, window, what, printed, ours``, in percent."""
    result = run(folder)
    ours = pl.concat([_cars(result, window) for window in WINDOWS])
    means = _means(ours.filter(pl.col("table") == "coups"))
    cells = pl.concat([ours, means]).unpivot(
        ["CAR", "standard error"], index=["event", "window"], variable_name="what", value_name="ours"
    )
    keys = ["event", "window", "what"]
    return printed(folder).join(cells, on=keys, how="left", validate="1:1", maintain_order="left")


def run(folder: Path) -> mi.StudyResult:
    """Run the study of the paper: each country is a market of its own, on its own sessions."""
    returns = pl.read_parquet(folder / "returns.parquet").sort("symbol", "date").with_columns(benchmark="symbol")
    events = pl.read_csv(folder / "events.csv", try_parse_dates=True)
    # the model needs no benchmark; a country's own index gives it its sessions
    market = mi.Market.from_returns(returns, returns.select("symbol", "date", "ret"))
    return STUDY.run(events.select("event_id", "symbol", "date", "type"), market)


def _cars(result: mi.StudyResult, window: tuple[int, int]) -> pl.DataFrame:
    """Return CARs of a window in percent, and their standard errors without the error of the estimated mean."""
    length = window[1] - window[0] + 1
    forecast = (1 + length / pl.col("n_obs")).sqrt()
    cars = result.car(*window).join(
        result.estimates.select("event_id", "n_obs"), on="event_id", how="left", validate="1:1"
    )
    kind = pl.col("type").replace_strict({"Assassination": "assassinations", "Coup": "coups"}, default="resignations")
    return cars.select(
        kind.alias("table"),
        pl.col("event_id").alias("event"),
        pl.lit(f"[{window[0]}, {window[1]}]").alias("window"),
        (100 * pl.col("car")).alias("CAR"),
        (100 * pl.col("se") / forecast).alias("standard error"),
    )


def _means(coups: pl.DataFrame) -> pl.DataFrame:
    """Average coups by window; countries count as independent, as in the paper."""
    independent = (pl.col("standard error") ** 2).sum().sqrt() / pl.len()
    return coups.group_by("table", pl.lit("mean of coups").alias("event"), "window", maintain_order=True).agg(
        pl.col("CAR").mean(), independent.alias("standard error")
    )


def printed(folder: Path) -> pl.DataFrame:
    """Read the authors' printed tables: ``table, event, window, what, printed``, in percent."""
    rows = []
    for name, title in TABLES.items():
        lines = _rows(folder / name)
        for cars, errors in zip(lines[::2], lines[1::2], strict=True):
            month, day, year = cars[1].split("/")
            rows += _cells(title, f"{cars[0]}_{year}-{month}-{day}", cars[2:], errors[2:])
    cars, errors = _rows(folder / MEANS)
    rows += _cells("coups", "mean of coups", cars[1:], errors[1:])
    schema = ["table", "event", "window", "what", "printed"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _cells(title: str, event: str, cars: list[str], errors: list[str]) -> list[tuple[str, str, str, str, float]]:
    windows = [f"[{first}, {last}]" for first, last in WINDOWS]
    return [
        (title, event, window, what, float(cell.strip("()")))
        for what, cells in (("CAR", cars), ("standard error", errors))
        for window, cell in zip(windows, cells, strict=False)  # the last column is the days to recovery
    ]


def _rows(path: Path) -> list[list[str]]:
    """Split the lines of a LaTeX table into cells."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "&" in line]
    return [[cell.strip() for cell in re.sub(r"\\\\\s*$", "", line.strip()).split("&")] for line in lines]
