"""Find rows of a chronology that say too little about where they come from."""

from __future__ import annotations

import polars as pl

__all__ = ["from_memory", "lacking"]


def lacking(announcements: pl.DataFrame) -> pl.DataFrame:
    """List the rows without a source, a zone or evidence.

    Parameters
    ----------
    announcements : polars.DataFrame
        As `marketimpact.announcements` returns them.

    Returns
    -------
    polars.DataFrame
        ``announcement_id, lacks``: what is missing, in words; one row per row at fault, in the order of the input.
    """
    is_read = pl.col("verification").is_not_null() & (pl.col("verification") != "recalled")
    has_clock = (pl.col("time_precision") != "day") | pl.any_horizontal(pl.col("not_before", "not_after").is_not_null())
    rules = {
        "source_title (the page behind the row)": pl.col("source_title").is_null(),
        "source_publisher (whose page it is)": pl.col("source_publisher").is_null(),
        "source_url (the page's address)": is_read & pl.col("source_url").is_null(),
        "source_url (an address such as https://www.bis.gov/page)": ~pl.col("source_url").str.contains(
            r"^https?://[^/\s.]+\.[^/\s]"
        ),
        "verification (a title that begins with recalled: is no page that was read)": is_read
        & pl.col("source_title").str.starts_with("recalled:"),
        "first_reported_at (not later than announced_at)": pl.col("first_reported_at") > pl.col("announced_at"),
        "time_zone (the zone whose date the announcement carries)": pl.col("time_zone").is_null(),
        "verification (seen, partly_seen or recalled)": pl.col("verification").is_null(),
        "confidence (high, medium or low)": pl.col("confidence").is_null(),
        "notes (where the clock or the bound comes from)": has_clock & pl.col("notes").is_null(),
    }
    missing = [pl.when(is_missing).then(pl.lit(what)) for what, is_missing in rules.items()]
    return announcements.select(
        "announcement_id", pl.concat_str(missing, separator=", ", ignore_nulls=True).alias("lacks")
    ).filter(pl.col("lacks") != "")


def from_memory(announcements: pl.DataFrame) -> list[str]:
    """List the identifiers of rows for which no page was read."""
    return announcements.filter(pl.col("verification") == "recalled")["announcement_id"].to_list()
