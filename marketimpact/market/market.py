"""Define `Market`: returns, benchmarks and factors on each exchange's own sessions."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from marketimpact.core.arrays import Floats, Ints
from marketimpact.core.frames import FrameLike, to_polars
from marketimpact.core.layouts import SHARES
from marketimpact.core.text import did_you_mean, listed
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.events import session_overrides
from marketimpact.events.dual_listings import firms
from marketimpact.events.exchange_clocks import ExchangeClock
from marketimpact.events.funds import find_funds, funds_by_security
from marketimpact.market import benchmark_currency, checks, conversions, frames, legs, parquet_panel, trading_rules
from marketimpact.market.exchange_rates import check_rates, rate_doubts
from marketimpact.market.factors import check_factors, foreign_factor
from marketimpact.market.from_prices import combined_fingerprint, fields_from_prices
from marketimpact.market.from_returns import fields_from_returns
from marketimpact.market.implausible import check_accept, implausible_factor, no_implausible
from marketimpact.market.legs import DAY_RETURN, Leg, no_benchmark_legs
from marketimpact.market.panel import FramePanel, ReturnPanel
from marketimpact.market.repairs import DEFAULT, REPAIRED, check_repairs
from marketimpact.market.session_groups import FROM_RETURNS
from marketimpact.market.session_returns import SINCE_TRADE, since_trade
from marketimpact.sources.french.factors import FrenchFactors
from marketimpact.sources.protocol import PriceSource

__all__ = ["FROM_RETURNS", "Market"]

#: Why a leg cannot be converted to another currency.
RATES_OF_CLOSES = "exchange rates at the open are not known: convert whole sessions"


@dataclass(frozen=True, eq=False, kw_only=True)
class Market:
    """Returns of securities, of their benchmarks and of factors, session by session.

    Make one with `Market.load` (prices) or `Market.from_returns` (returns); `to_dataset` and `Market.scan` keep
    the panel of a market larger than memory on disk.

    Attributes
    ----------
    return_panel : ReturnPanel
        The returns, in memory or on disk; `panel` is the same as a frame.
    securities : polars.DataFrame
        The securities with prices.
    sessions : polars.DataFrame
        ``mic, date, open, break_start, break_end, close, exchange_time_zone`` after repairs.
    repairs : polars.DataFrame
        ``mic, date, action, detail``: where the sessions differ from the calendar of exchange_calendars, by the prices
        or by the embedded `calendar_overrides` (*closed*, *opened*), and prices on days without a session
        (*ignored_prices*).
    unpriced_sessions : polars.DataFrame
        ``mic, date``: days that the calendar or the embedded `calendar_overrides` list, on which no security of the
        exchange has a price, and that are not rows of `repairs`.
    spans : polars.DataFrame
        ``symbol, first, last``: dates of each security's first and last price or return.
    missing : tuple of str
        Requested securities and benchmarks that have no prices.
    factors : tuple of str
        Names of the factor columns.
    source : str
        Where the prices come from.
    simulated : bool
        Whether the prices are simulated.
    notes : tuple of str
        What a reader of results should know about the data.
    truth : polars.DataFrame or None
        ``symbol, date, abnormal_return`` and perhaps ``abnormal_overnight``, the part of it before the open: what was
        put into simulated prices.
    fills : polars.DataFrame
        ``symbol, date, close``: closes emptied because volume is zero and the close repeats the one before.
    findings : polars.DataFrame
        ``symbol, date, finding, severity, value, detail``: what `check_prices` found, worst first.
    price_repairs : polars.DataFrame
        ``symbol, date, what, before, after``: every close that a repair removed, and the last close before each
        split or stated dividend that closes were adjusted for.
    implausible : polars.DataFrame
        ``symbol, date, ret``: returns above 200% or below -66.7% in one session (simple, as computed from the
        prices) that are neither repaired nor accepted: events that they touch go to attrition. Of a benchmark
        made from returns the symbol is ``benchmark``, of a factor its name.
    unit : {"simple", "log", "log volume", "log variance"}
        Unit of `ret` and `market`.
    traded : polars.DataFrame
        ``symbol, date, unadjusted_close``: closes not adjusted for dividends, where the source has them.
    leg : {"overnight", "day", "session"} or None
        Which part of a session `ret` and `market` are, for a market made by `legs`.
    benchmark_legs : polars.DataFrame
        ``benchmark, mic, date, ret, ret_day``: returns of benchmarks and of the funds in ``leg_benchmark``, and their
        day legs, where the source has opens.
    fingerprint : str
        sha256 of the content.
    """

    return_panel: ReturnPanel = field(repr=False)
    securities: pl.DataFrame = field(default_factory=frames.no_securities)
    sessions: pl.DataFrame = field(default_factory=frames.no_sessions)
    repairs: pl.DataFrame = field(default_factory=frames.no_calendar_repairs)
    unpriced_sessions: pl.DataFrame = field(default_factory=frames.no_unpriced_sessions, repr=False)
    spans: pl.DataFrame = field(default_factory=frames.no_spans)
    missing: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()
    source: str
    simulated: bool
    fingerprint: str
    notes: tuple[str, ...] = ()
    truth: pl.DataFrame | None = field(default=None, repr=False)
    fills: pl.DataFrame = field(default_factory=frames.no_fills, repr=False)
    unit: Literal["simple", "log", "log volume", "log variance"] = "simple"
    traded: pl.DataFrame = field(default_factory=frames.no_traded, repr=False)
    findings: pl.DataFrame = field(default_factory=checks.no_findings, repr=False)
    price_repairs: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REPAIRED), repr=False)
    implausible: pl.DataFrame = field(default_factory=no_implausible, repr=False)
    leg: Leg | None = None
    benchmark_legs: pl.DataFrame = field(default_factory=no_benchmark_legs, repr=False)

    @classmethod
    def load(
        cls,
        securities: FrameLike,
        source: PriceSource,
        *,
        factors: FrameLike | FrenchFactors | None = None,
        benchmark: Literal["benchmark", "sector_proxy"] = "benchmark",
        first: date | None = None,
        last: date | None = None,
        repair: Collection[str] = DEFAULT,
        accept: Iterable[tuple[str, date | str]] = (),
        calendar_overrides: FrameLike | None = None,
    ) -> Market:
        """Read prices and compute returns on each exchange's sessions.

        Parameters
        ----------
        securities : FrameLike
            ``symbol``, ``mic`` and a column of benchmark symbols; see `marketimpact.securities`.
        source : PriceSource
            `SamplePrices`, `FilePrices`, `YahooPrices` or anything with their ``read``.
        factors : FrameLike or FrenchFactors, optional
            ``date`` and one decimal column per factor; joined by date. Factors that know their region are
            warned about when securities trade outside it.
        benchmark : {"benchmark", "sector_proxy"}
            Which column of `securities` names the benchmark. Against a sector proxy an abnormal
            return is one relative to the sector.
        first, last : datetime.date, optional
            Span to read; everything the source has by default.
        repair : collection of str
            Repairs by name; every change is a row of `price_repairs`. *copied_closes*: empty closes
            without volume that repeat the one before. *closed_days*: leave out prices on days the exchange
            was shut, which are an error otherwise. *splits*: rescale closes before a split they were not
            adjusted for, stated or looking like one. *duplicates*: keep one of several identical rows (files).
            The first two by default; ``()`` repairs nothing.
        accept : iterable of (str, datetime.date or str)
            Symbol and date (or ISO text) of steps in prices that are real: their findings become notes, they are
            not rescaled, and events that they touch stay.
        calendar_overrides : FrameLike, optional
            Sessions, closures and local trading hours of your own: ``mic, date`` and any of ``is_session, open,
            close, source``, as `marketimpact.calendar_overrides` describes them. They win over the calendar, over
            the embedded overrides and over what the prices show.

        Raises
        ------
        DataError
            For broken securities, overrides or prices, an unknown exchange, broken factors, or prices that are
            certainly wrong: the findings of severity *error* of `check_prices`, in its `rows`.
        SourceError
            When the source has none of the prices.
        SpecificationError
            For a repair that does not exist, or an accepted pair at which the prices have no step.

        Notes
        -----
        Of a symbol without an adjusted close, stated dividends and splits make total returns: on the ex-day
        ``(close + dividend) / close before - 1``, in shares of that day where the closes step by a stated split.
        Each is a finding, a row of `price_repairs` and part of a note.

        Sessions are those of exchange_calendars and of the embedded `marketimpact.calendar_overrides`. A session is
        taken for a closure when no security of the exchange has a price, its benchmark no new one, and two of them
        at least should have had one. A day that is not listed, or lies after the calendar's end, is taken for a
        session when two securities of the exchange and their benchmark have new closes. Both are rows of `repairs`.
        """
        repair = check_repairs(repair)
        overrides = None if calendar_overrides is None else session_overrides.calendar_overrides(calendar_overrides)
        return cls(
            **fields_from_prices(
                securities, source, factors, benchmark=benchmark, first=first, last=last, repair=repair, accept=accept,
                calendar_overrides=overrides,
            )
        )  # fmt: skip

    @classmethod
    def from_returns(
        cls,
        returns: FrameLike,
        benchmark: FrameLike,
        factors: FrameLike | None = None,
        *,
        accept: Iterable[tuple[str, date | str]] = (),
        allow_missing_sessions: bool = False,
    ) -> Market:
        """Build a market from returns; the sessions of a security are its benchmark's dates.

        Parameters
        ----------
        returns : FrameLike
            ``date, symbol, ret``: simple returns, decimals per session (0.01 for 1%); absent rows and empty cells are
            missing returns. -1 is a total loss. Of pandas also a matrix, dates as index and symbols as columns.
        benchmark : FrameLike
            ``date, ret``. For several calendars also ``mic`` or ``symbol``, or both: every value (or pair) is a
            benchmark with sessions of its own. Benchmarks of one `mic` share its sessions, the dates of all of them.
            `returns` then has the column ``mic`` (for the benchmark's `mic`) or ``benchmark`` (for its `symbol`), one
            value per symbol, or both where one alone leaves a choice; none is needed where there is one benchmark.
        factors : FrameLike, optional
            ``date`` and one decimal column per factor (``mktrf smb hml rmw cma mom rf``, others free), joined by date.
        accept : iterable of (str, datetime.date or str)
            Symbol (``benchmark`` for a benchmark without one) and date of returns above 200% or below -66.7% that are
            real: events that others touch go to attrition. Neither a return of exactly -1 is one, nor a fall with
            which the returns of a security end before the benchmark's do.
        allow_missing_sessions : bool
            Accept securities that lack more than 2% of their benchmark's sessions between their first and last
            return. Rows with an empty `ret` are stated missing returns and do not count, nor do ten or more absent
            sessions in a row (a suspension), two absent sessions, or lives of less than ten sessions.

        Raises
        ------
        DataError
            For a broken frame; returns on dates the benchmark does not have, of a security without a benchmark or
            with more than one; numbers that cannot be decimals per session (percent, price levels, an annual rate);
            and securities that lack too many sessions, which as a rule trade on another calendar.
        SpecificationError
            For an accepted pair at which there is no such return.

        Warns
        -----
        MarketImpactWarning
            Of numbers that are unusual for returns, also in `notes`.

        Notes
        -----
        `findings` has what is doubtful about the returns: zeros in place of missing ones, a benchmark made of the
        sample, returns after a total loss (docs/data_checks.md). A benchmark without returns is left out, with a note.
        Sessions have no opening hours: between several calendars they are matched by date.
        """
        fields = fields_from_returns(
            returns, benchmark, factors, accept=accept, allow_missing_sessions=allow_missing_sessions
        )
        return cls(**fields)

    @classmethod
    def scan(cls, folder: str | Path) -> Market:
        """Open a market whose panel stays on disk, in a folder that `to_dataset` wrote.

        `EventStudy.run` reads the securities of one chunk of events at a time, in the workers where there is an
        `executor`. What needs the whole panel, such as `panel` itself, reads all of it.

        Raises
        ------
        DataError
            For a folder that holds no market, or parts that do not fit together.
        """
        return cls(**parquet_panel.scan_market_fields(Path(folder)))

    def to_dataset(self, folder: str | Path, *, append: bool = False) -> Market:
        """Write this market as a Parquet dataset partitioned by symbol, and return the market over it.

        Parameters
        ----------
        folder : str or pathlib.Path
            Empty or new.
        append : bool
            Whether to add these securities to a market that is there: how to write a panel larger than memory,
            some securities at a time.

        Raises
        ------
        DataError
            For a folder in use, and for a market that does not fit the one that is there.
        """
        parquet_panel.write_panel(Path(folder), self, append=append)
        return self.scan(folder)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that a model can use as regressors; a leg has no trade-to-trade returns."""
        if self.leg in ("overnight", "day"):
            return ("market", *self.factors)
        return ("market", *self.factors, *(c for c in SINCE_TRADE if c != "ret_since_trade"))

    @cached_property
    def quality(self) -> pl.DataFrame:
        """Trading of each security between its first and last price, the least traded first.

        ``symbol, sessions, untraded, zero_volume, filled, longest_unchanged, untraded_share, thin``: sessions
        of the exchange; those without a price; those with a price and no volume; closes a vendor had
        copied (`fills`); the longest run of one and the same close; `thin` where more than a fifth of the
        sessions have no trade, so that `TradeToTrade` is the better model.
        """
        if "close" not in self.panel_columns:
            raise SpecificationError("This market was made from returns, which show no trading. Use Market.load.")
        return trading_rules.quality(self.panel, self.spans, self.fills)

    @cached_property
    def limit_hits(self) -> pl.DataFrame:
        """``symbol, date, side, band``: closes at the upper or lower daily price limit.

        Prices are compared with the last close times one plus or minus the band, one tick allowed, by the
        securities' ``price_limit`` and the bands that held before it (ChiNext 10% before 2020-08-24,
        Taiwan 7% and Korea 15% before June 2015). Empty for a market made from returns. Prices that the source
        adjusted for a later dividend or split are off by a fraction of a tick, which may miss or add a hit; where
        `Market.load` counts stated dividends, closes are compared as they were traded. Of an overnight leg these are
        the opens at the limit.
        """
        if self.return_panel.limit_hits is not None:
            return self.return_panel.limit_hits
        return self._find_limit_hits(at_open=False)

    def _find_limit_hits(self, *, at_open: bool) -> pl.DataFrame:
        """Find closes, or opens, at the daily price limit; see `limit_hits`."""
        has_prices = "close" in self.panel_columns and "price_limit" in self.securities.columns
        limited = self.securities.filter(pl.col("price_limit").is_not_null() if has_prices else pl.lit(value=False))
        index = self.panel_securities["symbol"].is_in(limited["symbol"].implode()).arg_true().to_numpy()
        if not len(index):
            return trading_rules.no_limit_hits()
        columns = ("date", "close", *([DAY_RETURN] if at_open else []))
        panel = self.return_panel.take(index.astype(np.int64), columns)
        paid = self.price_repairs.filter(pl.col("what") == "dividends")["symbol"].unique()
        traded = self.traded.filter(pl.col("symbol").is_in(paid.implode()))
        prices = panel.to_frame(("symbol", "mic", "session", *columns))
        return trading_rules.limit_hits(prices, limited, self.spans, traded, at_open=at_open)

    def legs(
        self,
        leg: Leg,
        *,
        benchmark: Literal["leg_benchmark", "benchmark"] = "leg_benchmark",
        factors: FrameLike | None = None,
        accept: Iterable[tuple[str, date | str]] = (),
    ) -> Market:
        """Return the market of one leg of each session: overnight (previous close to open) or day (open to close).

        Parameters
        ----------
        leg : {"overnight", "day", "session"}
            *session* is the whole return against the same benchmarks, to compare the legs with.
        benchmark : {"leg_benchmark", "benchmark"}
            Column of `securities` that names the benchmark. By default the traded fund in ``leg_benchmark``, where
            one is named and has opens on most sessions from its first open on, and on half of all; elsewhere the
            benchmark, with a note. The open of an index is computed from last prices of members that have not traded
            yet, so its overnight leg is too small and its day leg has the rest.
        factors : FrameLike, optional
            ``date`` and one decimal column per factor, returns of this leg. Without them a leg has no factors, since
            published factors are those of whole sessions; *session* keeps those of the market.
        accept : iterable of (str, datetime.date or str)
            Symbol and date (or ISO text) of legs above 200% or below -66.7% that are real; those of sessions accepted
            in `load` are.

        Returns
        -------
        Market
            The same sessions and securities; `ret` and `market` (fractions) are the leg's.

        Notes
        -----
        The day leg is close over open minus one, on prices of one session, which need no adjustment. The overnight leg
        is the rest of the total return: ``(1 + overnight)(1 + day) - 1 = ret``; dividends and splits are in it.
        Without an open both are missing; without the close before, the overnight leg is. `limit_hits` of the overnight
        leg are opens at the limit.

        Raises
        ------
        SpecificationError
            For a market without opens, of log returns, of volumes, in a converted currency or of one leg already, for
            another leg or column, and for an accepted pair without such a step.

        Warns
        -----
        MarketImpactWarning
            Of benchmarks without opens, whose events models that need them cannot use.

        Examples
        --------
        >>> import numpy as np
        >>> import marketimpact as mi
        >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
        >>> night, day = market.legs("overnight"), market.legs("day")
        >>> both = (1 + night.column("ret")) * (1 + day.column("ret")) - 1
        >>> bool(np.nanmax(abs(both - market.column("ret"))) < 1e-12)
        True
        """
        legs.check_leg(leg)
        self._must_have_legs()
        chosen = legs.choose_benchmarks(self.securities, self.benchmark_legs, benchmark)
        if message := legs.lacking_opens(chosen, self.source):
            warnings.warn(message, MarketImpactWarning, stacklevel=2)
        hits = self._find_limit_hits(at_open=True) if leg == "overnight" else self.limit_hits
        fields = legs.fields_of_leg(
            self, leg, chosen, factors=check_factors(factors), accepted=check_accept(accept), limit_hits=hits
        )
        return replace(self, **fields, fingerprint=combined_fingerprint(fields["return_panel"].to_frame()))

    def _must_have_legs(self) -> None:
        """Raise SpecificationError for a market whose sessions cannot be split."""
        self._must_be_simple("legs")
        if self.leg is not None:
            raise SpecificationError(
                f"This market is the {self.leg} leg already. Call legs of the market it was made from."
            )
        if DAY_RETURN not in self.panel_columns:
            what = (
                f"{self.source} has no opens"
                if "close" in self.panel_columns
                else "This market was made from returns, which have no opens"
            )
            raise SpecificationError(
                f"{what}, so sessions cannot be split into legs. Load prices with a column 'open', or give returns of "
                "each leg, with those of its benchmark, to Market.from_returns."
            )
        if self.benchmark_legs.is_empty():
            raise SpecificationError(
                "Returns or benchmarks of this market were converted to another currency, and exchange rates at the "
                "open are not known. Call legs of the market before that."
            )

    def in_currency(self, currency: str, rates: FrameLike | str | Path) -> Market:
        """Convert returns and benchmark returns to one currency.

        Parameters
        ----------
        currency : str
            Such as ``"USD"``.
        rates : FrameLike, str or pathlib.Path
            ``date, currency, rate``: units of `currency` for one unit of the row's currency, at the
            exchange's close; up to five days old where the currency market had a holiday. A frame, or a CSV or
            Parquet file.

        Notes
        -----
        ``R = (1 + R_local)(1 + R_fx) - 1``. Benchmarks are taken to be in the currency of their security.
        A regression on a benchmark in the same currency is nearly free of the exchange rate, so abnormal
        returns hardly differ; raw returns do. For one currency of stock and another of index, `convert_benchmarks`
        comes first.

        Raises
        ------
        DataError
            When a currency or its rates are missing; for two rates of one currency and day, a rate that is not above
            zero and finite, one of `currency` itself that is not 1, and a step between neighbouring quotes by a
            factor beyond 3, which is another unit and no devaluation.
        SpecificationError
            For log returns or volumes, and where the securities' column ``benchmark_currency`` is not their own.

        Warns
        -----
        MarketImpactWarning
            Of steps beyond a factor of 1.5, also in `notes`.
        """
        self._must_be_sessions("in_currency", RATES_OF_CLOSES)
        quoted = check_rates(rates, currency)
        panel = conversions.panel_in_currency(self.return_panel, self.securities, quoted, currency)
        without_rate = int(np.isnan(panel.values("ret")).sum() - np.isnan(self.column("ret")).sum())
        notes = [f"returns converted to {currency}", *rate_doubts(quoted)]
        if without_rate:
            notes.append(f"{without_rate} returns are missing for lack of an exchange rate at most five days old")
        return replace(
            self,
            return_panel=panel,
            securities=conversions.convert_currency(self.securities, currency),
            benchmark_legs=no_benchmark_legs(),
            notes=(*self.notes, *notes),
            fingerprint=combined_fingerprint(self.panel, quoted),
        )

    def convert_benchmarks(
        self,
        rates: pl.DataFrame | str | Path,
        currency: str | Mapping[str, str] | None = None,
        *,
        quote: str | None = None,
        max_age_days: int = 0,
    ) -> Market:
        """Convert benchmark returns to the currency of each security; returns of securities stay as they are.

        For a world index in dollars beside securities in local currencies, for example.

        Parameters
        ----------
        rates : polars.DataFrame, str or pathlib.Path
            ``date, currency, rate``: units of `quote` for one unit of the row's currency. A frame, or a CSV, Parquet or
            Excel file.
        currency : str or mapping, optional
            Currency of the benchmarks' prices, such as ``"USD"``, or by benchmark: ``{"ACWI": "USD"}``. By default
            the securities' column ``benchmark_currency``.
        quote : str, optional
            Currency that the rates are in; `currency` where that is one for all.
        max_age_days : int
            How old a rate can be; 0 asks for one of the session itself.

        Returns
        -------
        Market
            Its securities have ``benchmark_currency``, now their own.

        Notes
        -----
        ``R = (1 + R_benchmark)(1 + R_fx) - 1``, R_fx the change of the benchmark's currency in units of the security's
        from the session before to this one, on the dates of the security's exchange. Give rates of the hour at which
        that exchange closes: one fixed hours away brings the currency's move between the two hours into abnormal
        returns of this session, with the other sign into those of the next.

        Raises
        ------
        DataError
            When a session with a benchmark return, or the session before, has no rate: the message names currencies
            and days. For rates that `in_currency` refuses, too.
        SpecificationError
            For log returns or volumes, a market without currencies, a benchmark whose currency is not given, or was
            converted already.

        Warns
        -----
        MarketImpactWarning
            When every benchmark is in the currency of its security, so that nothing is converted; of steps in rates
            beyond a factor of 1.5.
        """
        self._must_be_sessions("convert_benchmarks", RATES_OF_CLOSES)
        quote = quote or (currency if isinstance(currency, str) else None)
        if quote is None:
            raise SpecificationError(
                "convert_benchmarks: quote= says which currency the rates are in, such as quote='USD'. It may be left "
                "out only where currency= is one for all benchmarks."
            )
        if not isinstance(max_age_days, int) or isinstance(max_age_days, bool) or max_age_days < 0:
            raise SpecificationError(f"max_age_days={max_age_days!r} must be a whole number of days, 0 or more.")
        currencies = benchmark_currency.benchmark_currencies(self.securities, currency)
        foreign = benchmark_currency.foreign_benchmarks(currencies)
        if foreign.is_empty():
            message = "convert_benchmarks: every benchmark is in the currency of its security, so nothing is converted."
            warnings.warn(message, MarketImpactWarning, stacklevel=2)
            return self
        quoted = check_rates(rates, quote)
        panel = benchmark_currency.panel_with_local_benchmarks(
            self.return_panel, currencies, quoted, quote, max_age_days
        )
        pairs = foreign.select(pl.format("{} from {} to {}", "benchmark", benchmark_currency.COLUMN, "currency"))
        names = listed(pairs.to_series().unique().sort().to_list(), quoted=False)
        own = pl.when(pl.col("benchmark").is_not_null()).then("currency").alias(benchmark_currency.COLUMN)
        return replace(
            self,
            return_panel=panel,
            securities=self.securities.with_columns(own),
            benchmark_legs=no_benchmark_legs(),
            notes=(
                *self.notes,
                f"benchmark returns converted to the security's currency: {names}",
                *rate_doubts(quoted),
            ),
            fingerprint=combined_fingerprint(panel.to_frame(), quoted),
        )

    def in_logs(self) -> Market:
        """Convert returns to continuously compounded returns, which add up over time.

        For trade-to-trade returns and long windows. Mean log returns are lower by half the variance;
        models of excess returns refuse them, since factors are simple returns; `bhar` is empty.

        Raises
        ------
        DataError
            For a total loss (a return of -1), which has no finite log return.
        """
        self._must_be_simple("in_logs")
        panel = conversions.panel_in_logs(self.return_panel)
        return replace(self, return_panel=panel, unit="log", notes=(*self.notes, "log returns"))

    def volumes(self, shares: FrameLike | None = None) -> Market:
        """Put log trading volume in place of returns, to estimate abnormal volume.

        Parameters
        ----------
        shares : FrameLike, optional
            ``symbol, shares`` (and ``date``, if they change): shares outstanding.

        Returns
        -------
        Market
            `ret` is ``ln(100 volume / shares + 0.000255)`` (Campbell and Wasley 1996), or ``ln(volume)``
            without `shares`; `market` its mean over the other securities of the exchange.

        Notes
        -----
        `MeanAdjusted` or `MarketModel` then give abnormal volume, in log points. Volume is autocorrelated,
        which understates the variance of sums: use ``EventStudy(serial_correlation=True)``, or rank and
        placebo tests, for windows of several sessions. Ajinkya and Jain (1989).
        """
        self._must_be_sessions("volumes", "volumes are of whole sessions: use the market that it was made from")
        counts = None if shares is None else to_polars(shares, "shares", SHARES)
        return replace(
            self,
            return_panel=conversions.volume_panel(self.return_panel, counts),
            unit="log volume",
            truth=None,
            implausible=no_implausible(),
            notes=(*self.notes, "log trading volume in place of returns"),
            fingerprint=combined_fingerprint(self.panel, counts),
        )

    def with_factor(self, name: str, source: str | FrameLike, *, mic: str | None = None) -> Market:
        """Add another exchange's returns as a factor, matched by the clocks.

        Parameters
        ----------
        name : str
            Of the factor, for `FactorModel`.
        source : str or FrameLike
            Symbol of a security or benchmark of this market, or a frame ``date, ret`` of simple returns.
        mic : str, optional
            Exchange on whose sessions the source trades; needed for a frame.

        Returns
        -------
        Market
            On each session of each security the factor is the source's return over those of its sessions
            that closed after the security's close before and no later than its own close. For Shanghai and a
            New York factor that is New York's day before; for New York and a Taipei factor the same
            date; after a holiday all that was missed; 0 where the source did not trade. What closes
            after the security's session is never in it, so write it unlagged.

        Raises
        ------
        SpecificationError
            For an unknown source, a name already taken, or a market without clocks.
        DataError
            For returns on dates that are no sessions of their exchange, or that cannot be decimals per session.

        Examples
        --------
        >>> import marketimpact as mi
        >>> market = mi.Market.load(mi.securities(), mi.SamplePrices()).with_factor("new_york", "^GSPC", mic="XNYS")
        >>> mi.FactorModel(("market", "new_york")).name
        'factor_model(market new_york)'
        """
        self._must_be_sessions("with_factor", "clocks match whole sessions: give legs(..., factors=) the leg's factors")
        if self.sessions["close"].null_count():
            raise SpecificationError("This market was made from returns and has no clocks: join factors by date.")
        if name in self.panel_columns or name in self.columns:
            raise SpecificationError(f"The market has a column {name!r} already; choose another name.")
        values, exchange, notes = foreign_factor(self.return_panel, self.securities, self.sessions, source, mic)
        panel = self.panel.with_columns(values.alias(name))
        origin = source if isinstance(source, str) else "returns handed in"
        steps = implausible_factor(panel, name)
        return replace(
            self,
            return_panel=FramePanel(panel, self.panel_securities),
            factors=(*self.factors, name),
            implausible=pl.concat([self.implausible, steps]),
            notes=(*self.notes, f"factor {name}: {origin} on {exchange}, matched by the clocks", *notes),
            fingerprint=combined_fingerprint(panel),
        )

    def take(self, securities: Ints, columns: Sequence[str]) -> Market:
        """Return the market of some securities with at least these columns of numbers, to send to a worker.

        Parameters
        ----------
        securities : (K,) array of int
            Rows of `panel_securities`.
        columns : sequence of str
            Columns of `panel`.

        Returns
        -------
        Market
            `source`, `notes` and `fingerprint` are those of the whole market. Sessions, findings and records of
            repairs are left out: a worker does not need them. A panel on disk stays there, unread.
        """
        panel = self.return_panel.take(securities, columns)
        symbols = panel.securities["symbol"].implode()
        return Market(
            return_panel=panel,
            securities=self.securities.filter(pl.col("symbol").is_in(symbols)),
            spans=self.spans.filter(pl.col("symbol").is_in(symbols)),
            factors=tuple(name for name in self.factors if name in panel.columns),
            source=self.source,
            simulated=self.simulated,
            notes=self.notes,
            unit=self.unit,
            leg=self.leg,
            fingerprint=self.fingerprint,
        )

    def _must_be_simple(self, what: str) -> None:
        if self.unit != "simple":
            raise SpecificationError(f"{what} starts from simple returns; this market holds {self.unit} returns.")

    def _must_be_sessions(self, what: str, why: str) -> None:
        self._must_be_simple(what)
        if self.leg is not None:
            raise SpecificationError(f"{what}: this market is the {self.leg} leg of its sessions, and {why}.")

    @cached_property
    def clocks(self) -> dict[str, ExchangeClock]:
        """Exchange (MIC) -> its sessions as dates and closing instants."""
        return frames.exchange_clocks(self.sessions)

    @cached_property
    def firms(self) -> dict[str, str]:
        """Security with a ``dual_listing`` -> its firm, named by the first of the two symbols."""
        return firms(self.securities)

    @cached_property
    def own_funds(self) -> dict[str, tuple[str, ...]]:
        """Security -> its benchmark and its funds."""
        return funds_by_security(self.securities)

    @cached_property
    def funds(self) -> frozenset[str]:
        """Funds and indices: named by securities of the market or of `mi.securities()`, called so, or widely held."""
        return find_funds(self.securities)

    @property
    def panel(self) -> pl.DataFrame:
        """The return panel as a frame.

        ``symbol, mic, session, date, ret, market`` and one column per factor: one row per security
        and session of its exchange. `session` counts the exchange's sessions, `ret` and `market`
        are simple returns (fraction per session), null where a price is missing on the day or the
        session before. A market loaded from prices has ``ret_since_trade, close, volume`` too. Sorted by
        (symbol, session). A panel on disk is read anew each time.
        """
        return self.return_panel.to_frame()

    @property
    def panel_columns(self) -> tuple[str, ...]:
        """Names of the panel's columns."""
        return self.return_panel.columns

    @property
    def panel_securities(self) -> pl.DataFrame:
        """``symbol, mic, first_row, first_session, n_sessions, ...``: where the rows of each security begin."""
        return self.return_panel.securities

    @property
    def session_numbers(self) -> pl.DataFrame:
        """``mic, session, date``: the sessions in `panel`, by date."""
        return self.return_panel.sessions

    def select(self, *columns: str) -> pl.DataFrame:
        """Return some columns of `panel`; no others are made or read.

        Raises
        ------
        SpecificationError
            For what is no name of a column, such as an expression.
        """
        known = list(self.panel_columns)
        for name in columns:
            if not isinstance(name, str) or name not in known:
                raise SpecificationError(
                    f"select: {name!s} is no name of a column of the panel.{did_you_mean(str(name), known)} There are "
                    f"{listed(known, limit=20)}; for expressions use market.panel.select()."
                )
        return self.return_panel.to_frame(columns)

    def column(self, name: str) -> Floats:
        """Return a column of `panel` or of `since_trade` as numbers; NaN where missing."""
        if name not in self._columns:
            in_panel = name in self.return_panel.columns
            self._columns[name] = (
                self.return_panel.values(name) if in_panel else self.since_trade[name].cast(pl.Float64).to_numpy()
            )
        return self._columns[name]

    def series(self, name: str) -> tuple[Floats, Ints]:
        """Return the numbers of a benchmark or factor, and where those of each security of `panel_securities` begin.

        Securities of one benchmark share one copy: it stays in the processor's cache.
        """
        if name not in self._series:
            in_panel = name in self.return_panel.columns
            own = self.return_panel.securities["first_row"]
            self._series[name] = self.return_panel.series(name) if in_panel else (self.column(name), own.to_numpy())
        return self._series[name]

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def _series(self) -> dict[str, tuple[Floats, Ints]]:
        return {}

    @cached_property
    def dates(self) -> tuple[Ints, Ints]:
        """Sessions as days since 1970-01-01, and where those of each security of `panel_securities` begin."""
        return self.return_panel.dates()

    @cached_property
    def days(self) -> Ints:
        """Date of every row of `panel` as days since 1970-01-01."""
        return self.select("date")["date"].to_physical().to_numpy().astype(np.int64)

    @cached_property
    def since_trade(self) -> pl.DataFrame:
        """``ret_since_trade, sessions_since_trade, market_since_trade``: trade-to-trade returns.

        Row for row beside `panel`; null on sessions without a trade. The first return of a security
        counts one session; `market_since_trade` is the sum of the benchmark's returns over the gap.
        """
        needed = ("symbol", "session", "ret", "market", "ret_since_trade")
        return since_trade(self.select(*(name for name in needed if name in self.panel_columns)))

    def __repr__(self) -> str:
        """Summarise the market in a few lines, and whether it is simulated."""
        span = f"{self.spans['first'].min()!s} to {self.spans['last'].max()!s}"
        lines = [
            f"Market: {self.spans.height} securities on {self.panel_securities['mic'].n_unique()} exchanges, {span}",
            f"  source: {self.source}" + ("  [SIMULATED PRICES]" if self.simulated else ""),
        ]
        if self.leg:
            lines.append(f"  leg: {self.leg} (see .notes for its benchmarks)")
        if self.factors:
            lines.append(f"  factors: {', '.join(self.factors)}")
        if self.missing:
            lines.append(f"  without prices ({len(self.missing)}): {listed(self.missing, quoted=False)}")
        if self.repairs.height:
            lines.append(f"  calendar repairs: {self.repairs.height} (see .repairs)")
        if warned := self.findings.filter(pl.col("severity") == checks.WARNING).height:
            lines.append(f"  warnings about prices: {warned} (see .findings)")
        return "\n".join(lines)
