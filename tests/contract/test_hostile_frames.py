"""A frame of any content gives an error of this package, or a right answer, at every door that takes one.

Each door is given its own good frame with one column of another type or value, and things that are no polars frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import marketimpact as mi
from tests.contract.frame_doors import DOORS, SLOW, Door, build_doors


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Door]:
    return build_doors(tmp_path_factory.mktemp("hostile"))


#: Columns that the package reads; of a frame's other columns only some are tried, since they are carried along.
READ = {
    "event_id", "symbol", "date", "mic", "announcement_id", "campaign_id", "align_reason", "align_detail", "ret",
    "close", "volume", "rate", "currency", "shares", "benchmark", "price_limit", "board", "listed_on", "dual_listing",
    "announced_at", "time_precision", "time_zone", "not_before", "targets", "stance", "headline", "source_date",
    "day0_earliest", "day0_latest", "is_session", "open", "where", "rf", "mktrf", "role",
    "minute", "at", "starts_at", "ar", "band_low", "band_high", "p_value",
    "permno", "prc", "dlret", "vwretd", "gvkey", "iid", "datadate", "prccd", "ajexdi", "trfd", "日期", "收盘", "成交量",
}  # fmt: skip


def no_frames(good: pl.DataFrame) -> Iterator[tuple[str, Any]]:
    plain = good.select(c for c, kind in good.schema.items() if not kind.is_nested())
    yield from {
        "None": None, "a number": 5, "a file that is not there": "none.csv", "a dict": {"a": 1}, "a list": [1, 2],
        "an array": np.zeros((2, 2)), "pandas": pd.DataFrame({c: plain[c].to_list() for c in plain.columns}),
        "no rows": good.head(0), "no columns": pl.DataFrame(), "other columns": pl.DataFrame({"a": [1]}),
        "lazy": good.lazy(), "twice": pl.concat([good, good]),
        "working columns": good.with_columns(pl.lit(1).alias(c) for c in ("_row", "_day", "_order", "rank", "_firm")),
    }.items()  # fmt: skip


def changed_columns(good: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    others: dict[str, pl.Expr] = {
        "empty": pl.lit(None), "list": pl.concat_list(pl.lit(1)), "struct": pl.struct(pl.lit(1).alias("q")),
        "number": pl.lit(20240603), "text": pl.lit("x"), "true": pl.lit(value=True), "bytes": pl.lit(b"x"),
        "category": pl.lit("x", dtype=pl.Categorical),
        "instant": pl.lit(datetime(2024, 6, 3, 16, 20)).dt.replace_time_zone("UTC"),
    }  # fmt: skip
    for name in READ.intersection(good.columns):
        yield f"{name}: absent", good.drop(name)
        values = others | _values(good, name)
        for what, value in values.items():
            yield f"{name}: {what}", good.with_columns(value.alias(name))
        odd = pl.Series(name, [object()] * good.height, dtype=pl.Object)
        yield f"{name}: object", good.with_columns(odd)


def _values(good: pl.DataFrame, name: str) -> dict[str, pl.Expr]:
    """Values of the column's own type at which arithmetic or calendars end, in all rows or in one."""
    kind, row = good.schema[name], pl.int_range(pl.len())
    values: list[pl.Expr] = []
    if kind.is_numeric():
        values = [pl.lit(v) for v in (np.inf, -np.inf, np.nan, 1e308, 5e-324, 0.0, -1.0)]
    elif kind == pl.String:
        values = [pl.lit(""), pl.col(name) + "\x0b", pl.col(name) + "\u2028"]
    elif kind == pl.Date:
        values = [pl.lit(date(year, 6, 3)) for year in (1, 1600, 2300, 9999)]
    elif isinstance(kind, pl.Datetime):
        values = [pl.lit(datetime(year, 6, 3)).dt.replace_time_zone("UTC") for year in (1, 1600, 2300, 9999)]
    whole = {f"value {k}": value for k, value in enumerate(values)}
    return whole | {
        f"one {what}": pl.when(row == 1).then(value).otherwise(pl.col(name)) for what, value in whole.items()
    }


@pytest.mark.parametrize("door", [pytest.param(d, marks=[pytest.mark.slow] * (d in SLOW)) for d in DOORS])
def test_every_frame_gives_an_error_of_ours_or_an_answer(door: str, doors: dict[str, Door]) -> None:
    assert set(DOORS) == set(doors)
    good, use = doors[door]
    raw, long = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, frame in [*no_frames(good), *changed_columns(good)]:
            try:
                use(frame)
            except mi.MarketImpactError as error:
                if len(str(error)) > 3000:
                    long.append((what, len(str(error))))
            except Exception as error:  # noqa: BLE001  # any other error is what this test looks for
                raw.append((what, f"{type(error).__name__}: {error}"[:100]))
    assert not raw
    assert not long
