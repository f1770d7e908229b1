"""Two exchanges, five listings, prices whose every move is known: quiet, but for what is planted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

import numpy as np
import polars as pl

import marketimpact as mi
from marketimpact.events import calendars

FIRST, LAST = date(2024, 6, 3), date(2025, 6, 30)
FIRMS = pl.DataFrame(
    {
        "symbol": ["600001.SS", "600002.SS", "NYA", "NYB", "NYD"],
        "mic": ["XSHG", "XSHG", "XNYS", "XNYS", "XNYS"],
        "role": ["foundry", "foundry", "designer", "designer", "other"],
        "benchmark": ["^SH", "^SH", "^NY", "^NY", "^NY"],
        "price_limit": [0.1, 0.1, None, None, None],
        "dual_listing": ["NYD", None, None, None, None],
    }
)
Day = tuple[str, date]


def market(
    folder: Path,
    *,
    planted: Mapping[Day, float] | None = None,
    untraded: tuple[Day, ...] = (),
    calm: tuple[date, ...] = (),
    noise: float = 0.004,
) -> mi.Market:
    """Returns uniform within `noise`; `planted` replaces one, `calm` days have none, `untraded` ones no price."""
    rng = np.random.default_rng(5)
    sessions = calendars.sessions(["XSHG", "XNYS"], FIRST, LAST)
    symbols = [*FIRMS.select("symbol", "mic").iter_rows(), ("^SH", "XSHG"), ("^NY", "XNYS")]
    frames = []
    for symbol, mic in symbols:
        days = sessions.filter(pl.col("mic") == mic)["date"].sort()
        returns = rng.uniform(-noise, noise, len(days))
        for row, day in enumerate(days):
            returns[row] = 0.0 if day in calm else returns[row]
            returns[row] = (planted or {}).get((symbol, day), returns[row])
        close = np.round(1000 * np.cumprod(1 + returns), 2)
        frame = pl.DataFrame({"symbol": symbol, "date": days, "close": close})
        frames.append(frame.filter(~pl.col("date").is_in([day for name, day in untraded if name == symbol])))
    pl.concat(frames).write_parquet(folder / "prices.parquet")
    return mi.Market.load(FIRMS, mi.FilePrices(folder / "prices.parquet"))


def announcements(*rows: Mapping[str, object]) -> pl.DataFrame:
    """Announcements from ``id``, ``at`` (ISO instant), ``targets`` and whatever else is said of them."""
    frame = pl.DataFrame(
        [
            {
                "announcement_id": row["id"],
                "announced_at": datetime.fromisoformat(str(row["at"])),
                "time_precision": row.get("precision", "minute"),
                "time_zone": row.get("zone"),
                "stance": "restrictive",
                "headline": "x",
                "targets": row["targets"],
                "campaign_id": row.get("campaign"),
                "instrument": row.get("instrument", "rule"),
                "is_confounder": row.get("confounder", False),
            }
            for row in rows
        ],
        schema_overrides={"campaign_id": pl.String, "time_zone": pl.String},
        infer_schema_length=None,
    )
    return frame.with_columns(pl.col("announced_at").dt.convert_time_zone("UTC"))
