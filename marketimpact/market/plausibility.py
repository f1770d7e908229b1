"""Check the unit of series of returns: a decimal return per session, no percent, price level or annual rate.

Judged by the median of the absolute values that are not zero, so that one wild day or an empty cell does not matter.
What no series of daily returns can be is refused; what is unusual is a doubt, a sentence for a warning and the notes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, row_parts
from marketimpact.core.schema.vocabulary import LARGEST_RETURN
from marketimpact.core.text import listed
from marketimpact.errors import DataError, MarketImpactWarning

__all__ = [
    "HIGHEST",
    "LARGEST_FACTOR",
    "LOWEST",
    "Scale",
    "check_benchmark",
    "check_factor_columns",
    "check_returns",
    "factor_doubts",
    "warn_of",
]

#: Values, not zero, from which the median says what is usual, and from which it does so whatever the week was like.
FEW_VALUES, MANY_VALUES = 20, 60
#: Values, all above zero, that are a level.
MIN_LEVELS = 3
#: Median of such values from which they are a level: no price rises by half session after session.
LEVEL = 0.5
#: Median absolute return that no benchmark has, of many and of few values: the VIX has 0.04, 0.13 in its wildest month.
BENCHMARK_LIMIT, BENCHMARK_LIMIT_OF_FEW = 0.1, 0.2
#: Median absolute return from which a benchmark is doubtful: of many values, of few, and of fewer still.
BENCHMARK_DOUBT, BENCHMARK_DOUBT_OF_FEW, BENCHMARK_DOUBT_OF_FEWER = 0.06, 0.12, 0.3
#: Median absolute return from which a security is doubtful: shares have 0.005 to 0.03, coins up to 0.06.
SECURITY_DOUBT = 0.15
FACTOR_DOUBT = 0.1
#: Returns beyond these are implausible: a rise to three times, a fall to a third.
HIGHEST, LOWEST = 2.0, -2.0 / 3.0
#: A value this many times as large as the usual ones is a code, such as -999 for missing.
CODE_RATIO = 1e4
#: Share of its price that no security is left with after moves of which half are beyond `SECURITY_DOUBT`.
LEAST_LEFT = 1e-4
#: Risk-free rate per session that no country has: 150% a year. Argentina had 133% in 2023.
RATE_LIMIT = 0.006
#: Risk-free rate of a single session that no country has.
LARGEST_RATE = 0.02
#: Risk-free rate per session from which it is doubtful: 18% a year.
RATE_DOUBT = 0.0007
#: Products of a few such numbers still fit a float; market values and volumes do not reach it.
LARGEST_FACTOR = 1e20


@dataclass(frozen=True, slots=True)
class Scale:
    """Size of the values of one series that are neither missing nor zero.

    Attributes
    ----------
    count : int
        How many there are.
    median : float
        Median of their absolute values; 0 without any.
    least : float
        The smallest of them.
    left : float
        Share of one unit that is left after compounding them; nan where one is below -1.
    """

    count: int
    median: float
    least: float
    left: float

    @classmethod
    def of(cls, values: Floats) -> Scale:
        """Measure some values, NaN where missing."""
        used = values[np.isfinite(values) & (values != 0.0)]
        if not len(used):
            return cls(0, 0.0, 0.0, 1.0)
        with np.errstate(all="ignore"):
            left = float(np.exp(np.log1p(used).sum()))
        return cls(len(used), float(np.median(np.abs(used))), float(used.min()), left)

    @property
    def is_level(self) -> bool:
        """Return whether the values never fall and are as large as prices, rates or log volumes are."""
        return self.count >= MIN_LEVELS and self.least > 0.0 and self.median > LEVEL

    @property
    def leaves_nothing(self) -> bool:
        """Return whether moves this large would have left nothing of a price, as returns in percent do."""
        is_large = self.count >= FEW_VALUES and self.median > SECURITY_DOUBT
        return is_large and self.least > -1.0 and self.left < LEAST_LEFT


def check_returns(symbols: Sequence[str], ret: Floats) -> list[str]:
    """Refuse returns of securities, (S, T), that cannot be decimal returns per session; return the doubts.

    Raises
    ------
    DataError
        With ``symbol, median`` of the securities as `rows`.
    """
    scales = {symbols[row]: Scale.of(ret[row]) for row in _rows_of_large_values(ret)}
    _refuse(
        {name: scale for name, scale in scales.items() if scale.is_level}, "no price rises by half on every session"
    )
    _refuse(
        {name: scale for name, scale in scales.items() if scale.leaves_nothing},
        "such moves would leave nothing of a price",
    )
    large = {name: s for name, s in scales.items() if s.count >= FEW_VALUES and s.median > SECURITY_DOUBT}
    if not large:
        return []
    return [
        f"returns of {_named(large)}: shares have 0.005 to 0.03. Are they in percent? marketimpact wants decimals per "
        "session (0.01 for 1%)."
    ]


def check_benchmark(label: str, ret: Floats) -> list[str]:
    """Refuse a benchmark, (T,), that cannot be decimal returns per session; return the doubts."""
    scale = Scale.of(ret)
    given = f"{label} has a median absolute value of {scale.median:.4g} ({scale.count} values that are not zero)"
    if scale.is_level:
        raise DataError(
            f"{given} and never falls, which returns per session do not do. Of prices or index levels take "
            ".pct_change(); of growth factors subtract 1."
        )
    is_many, is_few = scale.count >= MANY_VALUES, scale.count >= FEW_VALUES
    if is_few and scale.median > (BENCHMARK_LIMIT if is_many else BENCHMARK_LIMIT_OF_FEW):
        raise DataError(
            f"{given}; the most restless index has 0.04, so it is no decimal return per session. Divide percent by "
            "100 (0.01 for 1%)."
        )
    _refuse_codes(label, ret, scale)
    of_few = BENCHMARK_DOUBT_OF_FEW if is_few else BENCHMARK_DOUBT_OF_FEWER
    if scale.count >= MIN_LEVELS and scale.median > (BENCHMARK_DOUBT if is_many else of_few):
        return [
            f"{given}; stock indices have 0.003 to 0.02. Is it in percent? marketimpact wants decimals per session "
            "(0.01 for 1%)."
        ]
    return _wild_days(label, ret, scale)


def check_factor_columns(factors: pl.DataFrame) -> None:
    """Refuse factor columns with infinite or enormous numbers, and a risk-free rate that is not one per session.

    Raises
    ------
    DataError
        With the rows at fault where these are some of them.
    """
    names = [c for c in factors.columns if c != "date"]
    for name in names:
        limit = LARGEST_RETURN if name == "rf" else LARGEST_FACTOR
        wrong = factors.filter(pl.col(name).abs() > limit).select("date", name)
        _refuse_rows(wrong, ". Expectations made of it have no meaning. Leave the cell empty, or correct it.")
        _refuse_codes(f"factors: {name}", factors[name].to_numpy(), Scale.of(factors[name].to_numpy()))
    _check_rate(factors, names)


def _check_rate(factors: pl.DataFrame, names: Sequence[str]) -> None:
    """Refuse a risk-free rate that is not one per session, as a whole or on single ones."""
    rate = Scale.of(factors["rf"].to_numpy()) if "rf" in names else Scale(0, 0.0, 0.0, 1.0)
    if rate.count >= MIN_LEVELS and rate.median > RATE_LIMIT:
        raise DataError(
            f"factors: rf has a median absolute value of {rate.median:.4g}, which as a decimal rate per session is "
            f"{252 * rate.median:.0%} a year. Divide percent by 100, and an annual rate by 252."
        )
    wild = factors.filter(pl.col("rf").abs() > LARGEST_RATE).select("date", "rf") if "rf" in names else factors.clear()
    _refuse_rows(
        wild,
        ", which no rate of one session is. Leave a code for missing empty; divide percent by 100, and an annual rate "
        "by 252.",
    )


def _refuse_rows(wrong: pl.DataFrame, reason: str) -> None:
    """Refuse rows (date, value) of factors at fault, if any; `reason` ends the sentence that names the first."""
    if wrong.height:
        date, value = wrong.row(0)
        raise DataError(
            f"factors: {wrong.columns[1]} is {value} on {date} ({wrong.height} such rows){reason}", rows=wrong
        )


def factor_doubts(factors: pl.DataFrame | None) -> tuple[str, ...]:
    """Write what is doubtful about the units of checked factors: sentences for warnings and notes."""
    return () if factors is None else tuple(_factor_doubts(factors))


def _factor_doubts(factors: pl.DataFrame) -> Iterator[str]:
    scales = {c: Scale.of(factors[c].to_numpy()) for c in factors.columns if c != "date"}
    rate = scales.pop("rf", None)
    large = [name for name, scale in scales.items() if scale.median > FACTOR_DOUBT]
    if large:
        medians = ", ".join(f"{name} {scales[name].median:.3g}" for name in large[:5])
        yield (
            f"factors {listed(large, quoted=False)} have large values (median absolute value: {medians}): "
            "are they in percent? marketimpact wants decimals per session (0.01 for 1%)."
        )
    if rate is not None and rate.median > RATE_DOUBT:
        yield (
            f"factors: rf has a median of {rate.median:.4g} per session, {252 * rate.median:.0%} a year: is it an "
            "annual rate, or in percent? Divide an annual rate by 252, percent by 100."
        )
    for name, scale in scales.items():
        if name not in large:
            yield from _wild_days(f"factor {name}", factors[name].to_numpy(), scale)


def warn_of(doubts: Sequence[str], *, stacklevel: int) -> None:
    """Warn of each doubt, `stacklevel` frames above the caller."""
    for doubt in doubts:
        warnings.warn(doubt, MarketImpactWarning, stacklevel=stacklevel + 1)


def _wild_days(label: str, values: Floats, scale: Scale) -> list[str]:
    """Write of values beyond 200% in a series whose usual ones are small."""
    wild = int(((values > HIGHEST) | ((values < LOWEST) & (values != -1.0))).sum())
    if not wild or scale.count < FEW_VALUES:
        return []
    return [
        f"{label} has {wild} values above 200% or below -67% among usual ones of {scale.median:.2%}: a code for "
        "missing, such as -99.99, or percent among decimals? Leave them empty, or correct them."
    ]


def _refuse_codes(label: str, values: Floats, scale: Scale) -> None:
    """Stop at values that are no numbers of the series but codes."""
    limit = max(CODE_RATIO * scale.median, 1.0)
    wrong = values[np.abs(values) > limit]
    if scale.count >= FEW_VALUES and len(wrong):
        raise DataError(
            f"{label} has {len(wrong)} values such as {wrong[0]:g} among usual ones of {scale.median:.3g}: they look "
            "like a code for missing. Leave these cells empty, or correct them."
        )


def _rows_of_large_values(ret: Floats) -> Iterator[int]:
    """Yield the rows of returns, (S, T), of whose values that are not zero half or more are beyond `SECURITY_DOUBT`."""
    for start, part in row_parts(ret):
        large = (part > SECURITY_DOUBT).sum(axis=1) + (part < -SECURITY_DOUBT).sum(axis=1)
        used = (part > 0.0).sum(axis=1) + (part < 0.0).sum(axis=1)
        yield from (start + np.flatnonzero((2 * large >= used) & (used > 0))).tolist()


def _refuse(scales: Mapping[str, Scale], reason: str) -> None:
    """Stop at securities whose returns cannot be decimals per session."""
    if scales:
        raise DataError(
            f"returns of {_named(scales)}: {reason}, so they are no decimal returns per session. Divide percent by "
            "100; of prices or index levels take .pct_change().",
            rows=pl.DataFrame({"symbol": list(scales), "median": [scale.median for scale in scales.values()]}),
        )


def _named(scales: Mapping[str, Scale]) -> str:
    """Name securities, the largest medians first, with the largest one."""
    names = sorted(scales, key=lambda name: (-scales[name].median, name))
    return f"{listed(names, quoted=False)} (median absolute value up to {scales[names[0]].median:.4g})"
