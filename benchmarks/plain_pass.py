"""Read a price file and make returns beside the benchmark's: the least that any program does with such a file.

python -m benchmarks.plain_pass FILE BENCHMARK     # once, for the time of a fresh interpreter
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def plain_pass(file: Path, benchmark: str) -> pl.DataFrame:
    """Scan, sort by symbol and date, compute simple returns, join the benchmark's on date, collect; check nothing."""
    change = pl.col("close") / pl.col("close").shift(1).over("symbol") - 1
    prices = pl.scan_parquet(file).sort("symbol", "date").with_columns(ret=change)
    market = prices.filter(pl.col("symbol") == benchmark).select("date", market=pl.col("ret"))
    return prices.join(market, on="date", how="left").collect()


if __name__ == "__main__":
    plain_pass(Path(sys.argv[1]), sys.argv[2])
