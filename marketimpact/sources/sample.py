"""Read the embedded sample: simulated prices with known effects, so that every example runs offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import polars as pl

from marketimpact.core.resources import resource
from marketimpact.core.symbol_rows import of_symbols
from marketimpact.core.text import listed
from marketimpact.errors import DataError, SourceError
from marketimpact.sources.protocol import PriceTable, check_range, check_symbols, price_table, within

__all__ = ["NOTE", "SamplePrices", "are_sample_prices"]

SOURCE = "SamplePrices() (simulated)"
NOTE = "These prices are simulated: what they show says nothing about any company."
#: Days that a series must share with the sample before it is compared, and the share that must have the same close.
LEAST_SHARED, SHARE_SAME = 20, 0.9
#: Relative difference of closes that a file may have rounded.
SAME = 1e-6
TRUTH_COLUMNS = ("symbol", "date", "abnormal_return", "abnormal_overnight")


@dataclass(frozen=True, slots=True, repr=False)
class SamplePrices:
    """Simulated prices of the embedded securities, with known effects.

    They are for learning and testing. Do not report a result from them.

    Examples
    --------
    >>> SamplePrices()
    SamplePrices() (simulated)
    """

    def __repr__(self) -> str:
        return SOURCE

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> PriceTable:
        """Read simulated prices of `symbols`, opens included, with the true abnormal returns in `truth`.

        Parameters
        ----------
        symbols : sequence of str
            Yahoo-style symbols.
        first, last : datetime.date, optional
            Bounds, both included.

        Returns
        -------
        PriceTable
            With `simulated=True`.

        Raises
        ------
        SpecificationError
            If no symbol is requested, or the bounds are not in order.
        SourceError
            If the sample has none of the symbols, or nothing between the bounds.
        """
        requested = check_symbols(symbols)
        check_range(first, last)
        prices, truth = _embedded("prices.parquet"), _embedded("truth.parquet")
        if absent := [name for name in TRUTH_COLUMNS if name not in truth.columns]:
            raise DataError(f"The embedded truth.parquet lacks {listed(absent)}. Reinstall marketimpact.")
        requested_rows = prices.filter(pl.col("symbol").is_in(requested))
        if requested_rows.is_empty():
            known = prices["symbol"].unique().sort().to_list()
            raise SourceError(
                f"The sample has none of the requested symbols: {listed(requested)}. It has {len(known)}: "
                f"{listed(known)}. Real prices come from FilePrices(...) or YahooPrices().",
                source=SOURCE,
                symbols=requested,
                retryable=False,
            )
        chosen = truth.select(TRUTH_COLUMNS).filter(pl.col("symbol").is_in(requested)).sort("symbol", "date")
        return price_table(
            within(requested_rows, first, last),
            requested=requested,
            source=SOURCE,
            notes=(NOTE,),
            simulated=True,
            truth=within(chosen, first, last),
        )


def are_sample_prices(closes: pl.DataFrame) -> bool:
    """Check whether closes are those of the embedded sample, whatever file or database they come from.

    Parameters
    ----------
    closes : polars.DataFrame
        ``symbol, date, close``.

    Returns
    -------
    bool
        Whether at least one symbol has `LEAST_SHARED` days or more in common with the sample, nearly all of which have
        the sample's close. Prices of the real firms differ from it on every day.
    """
    sample = _embedded("prices.parquet").select("symbol", "date", pl.col("close").alias("_sample"))
    own = of_symbols(closes.select("symbol", "date", "close"), sample["symbol"])
    both = own.join(sample, on=["symbol", "date"], how="inner", validate="m:1")
    same = (pl.col("close") - pl.col("_sample")).abs() <= SAME * pl.col("_sample")
    counted = both.group_by("symbol").agg(pl.len().alias("n"), same.mean().alias("share"))
    return counted.filter(pl.col("n") >= LEAST_SHARED, pl.col("share") >= SHARE_SAME).height > 0


def _embedded(name: str) -> pl.DataFrame:
    """Read a Parquet file of the embedded sample."""
    return _read(resource("data", "sample", name))


@cache  # every market made from prices is compared with the sample
def _read(path: Path) -> pl.DataFrame:
    """Read a Parquet file once in a process."""
    with path.open("rb") as file:
        return pl.read_parquet(file)
