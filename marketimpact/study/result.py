"""StudyResult: the estimates of a study, and what can be computed from them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from marketimpact.core.arrays import Ints
from marketimpact.core.frames import to_pandas
from marketimpact.core.lazy_matrix import LazyMatrix
from marketimpact.core.own_columns import SUFFIX, keep_own_columns, unknown_column
from marketimpact.errors import MarketImpactWarning, SpecificationError
from marketimpact.estimation.estimates import Estimates
from marketimpact.estimation.windows import check_window
from marketimpact.inference import (
    Alternative,
    EstimationDays,
    PairCorrelations,
    Sample,
    SignificanceTest,
    select_tests,
    tests_frame,
)
from marketimpact.market.market import Market
from marketimpact.models import Model
from marketimpact.study import regressions
from marketimpact.study.accessors import Plot, Show, as_html
from marketimpact.study.donors import donors_frame
from marketimpact.study.event_groups import aligned_residuals, clusters, direction_signs, firm_numbers
from marketimpact.study.event_weights import event_weights, unequal_weights
from marketimpact.study.grouped import Grouped
from marketimpact.study.portfolios import PortfolioEstimates, estimate_portfolios
from marketimpact.study.result_frames import (
    LAST,
    abnormal_returns_frame,
    caar_frame,
    car_frame,
    estimates_frame,
    single_tests_frame,
    true_cars,
)
from marketimpact.study.result_tables import result_tables, write_workbook
from marketimpact.study.samples import estimation_days_of, pairs_of, sample_of
from marketimpact.study.summary import as_lines

__all__ = ["StudyResult"]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """Result of a study: estimates and abnormal returns, keyed by (event_id, tau), and what follows from them.

    Attributes
    ----------
    estimation : Estimates
        Arrays behind the results, for procedures of the package: not part of the public interface.
    attrition : polars.DataFrame
        ``event_id, reason, detail``: the events that could not be used.
    unused : polars.DataFrame
        The same events with their own columns.
    recorded : callable
        Returns `record`, which is computed when it is first read: hashes take time.
    clustered_by : str or None
        Column of the events whose values are the clusters; see `clustered`.
    selected_from : (int, int) or None
        Events of the result that `where` selected from, and for how many of them its condition is empty, so that they
        are left out; None for a result of `EventStudy.run`.
    """

    estimation: Estimates = field(repr=False)
    attrition: pl.DataFrame
    unused: pl.DataFrame = field(repr=False)
    recorded: Callable[[], Mapping[str, str]] = field(repr=False)
    clustered_by: str | None = None
    selected_from: tuple[int, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without cached values: the functions in a `LazyMatrix` cannot be pickled."""
        return {part.name: self.__dict__[part.name] for part in fields(self)}

    @cached_property
    def record(self) -> Mapping[str, str]:
        """Specification, versions of packages and hash of each input. No wall clock."""
        return self.recorded()

    @property
    def model(self) -> Model:
        """Model of the normal return."""
        return self.estimation.model

    @property
    def market(self) -> Market:
        """Returns that the model was estimated on."""
        return self.estimation.market

    @property
    def events(self) -> pl.DataFrame:
        """The usable events, one row each, sorted by `event_id`, with their own columns."""
        return self.estimation.events

    @property
    def estimates(self) -> pl.DataFrame:
        """One row per event: ``alpha``, slopes, ``sigma``, ``n_obs``, ``df``, ``r2``.

        ``alpha`` and ``sigma`` are fractions per session, ``beta`` is the slope on the benchmark,
        ``beta_<factor>`` that on a factor, ``beta_market_lag1`` that on the benchmark a session earlier;
        ``beta_dimson`` is the sum of the benchmark's slopes. GARCH models add ``omega`` (fraction squared;
        null where least squares stands in), ``arch``, ``leverage``, ``garch``, the variance ``h_next`` of
        the session after the estimation window (of the first session of the event window with
        ``forecast_from="event_window_start"``), and ``nll``, the negative log-likelihood of 100 times
        the return. Models with donors add ``n_donors``, those used, and ``n_factors``, how many regressors are made of
        them; ``beta`` is then the slope on the benchmark with the donors' returns held fixed.
        """
        return estimates_frame(self.estimation)

    @property
    def donors(self) -> pl.DataFrame:
        """One row per event and donor: ``event_id, symbol, donor, used, weight, reason``; empty for other models.

        `weight` is the slope of the expected return on the donor's, null for a donor that is not used; `reason` says
        why not. Abnormal returns are effects relative to these peers. ``ar_day0`` is the donor's own abnormal return on
        day 0 by the market model (fraction), ``sar_day0`` the same over its standard error, and ``contribution`` what
        it adds to the event's abnormal return of day 0, -weight times ``ar_day0``: a donor with news of its own moves
        every effect that is measured against it.
        """
        return donors_frame(self.estimation)

    @property
    def abnormal_returns(self) -> pl.DataFrame:
        """Long frame ``event_id, symbol, date, tau, ret, expected, ar, se, sar``, by (event_id, tau).

        Fractions per session; `se` is the forecast standard error of `ar`, `sar` their ratio, t(df)
        under normality. A session without a return has nulls; tau outside the calendar has no row.
        """
        return abnormal_returns_frame(self.estimation)

    def car(self, first: int, last: int, *, past_limits: bool = False) -> pl.DataFrame:
        """Compute the cumulative abnormal return of every event over sessions `first` to `last`.

        Parameters
        ----------
        first, last : int
            The window.
        past_limits : bool
            Whether an event that closes at its daily price limit on `last` is followed to its first free
            close (or the end of the event window); ``last`` then says how far.

        Returns
        -------
        polars.DataFrame
            ``event_id, symbol, n_days, car, se, t, df, p, mde, scar, bhar, variance_ratio, se_filtered, p_filtered,
            ci_low_filtered, ci_high_filtered, flags`` and the events' own columns.
            `car` and `bhar` are fractions over the days that have a return (`n_days` of them), `se`
            is the exact forecast standard error, `p` two-sided from t(df): exact only under normality. `mde` is the
            smallest effect that this test would detect in 80 of 100 samples at the 5% level: with a smaller one
            *not significant* is to be expected. `flags` names sessions without a return and those that closed at
            a price limit, where the abnormal return is a lower bound of the reaction. `bhar` is null unless returns
            are simple.

            The others allow for the volatility known the evening before the window or day 0, whichever is earlier
            (docs/tests/filtered_placebo_t.md): `variance_ratio` is its square over that of the estimation window,
            `se_filtered` the standard error, `p_filtered` from Student's t, with its 95% interval. Where the ratio is
            far from 1, `se` and `p` are not valid. Null where too many of the last sessions have no return, or fewer
            than 30 blocks of the estimation window follow six sessions with returns.

            On simulated prices ``true_car`` is the simulated effect.

        Raises
        ------
        SpecificationError
            For a window outside the study's `event_window`.
        """
        columns = self._columns(first, last)
        frame = car_frame(self.estimation, columns, past_limits=past_limits)
        if self.market.truth is not None:
            frame = frame.with_columns(true_cars(self.estimation, self.market.truth, columns))
        own = self.events.drop("event_id", "symbol").rename({LAST: f"{LAST}{SUFFIX}"}, strict=False)
        return pl.concat([frame, own], how="horizontal")  # both event by event

    def caar(
        self,
        first: int | None = None,
        last: int | None = None,
        *,
        level: float = 0.95,
        base: int | None = None,
        weights: str | None = None,
    ) -> pl.DataFrame:
        """Compute the average abnormal return and its cumulation, session by session, with a band.

        Parameters
        ----------
        first, last : int, optional
            The path starts to cumulate at `first`; the study's event window by default.
        level : float
            Confidence level of the band.
        base : int, optional
            A session of the path at whose close it is 0, such as -1: later sessions cumulate from it, earlier ones up
            to it with the opposite sign. None: the path is 0 before `first`.
        weights : str, optional
            Column of the events to weight them by, such as their market value on the day before the event window:
            ``sum w_i CAR_i / sum w_i``. Use a value known before the event, since a later one contains the reaction.
            Events of weight 0 are left out. Equal weights give the numbers of no weights.

        Returns
        -------
        polars.DataFrame
            ``tau, aar, caar, se, ci_low, ci_high, mde, n_events, band``. `mde` is the smallest mean effect found in
            80 of 100 samples at the 5% level with this standard error. `caar` is the mean over events of
            their CAR from `first` to `tau`. `band` names the standard error, which is that of the primary test for
            the whole window (see `test`), about `caar`: *spread over dates*, *forecast error of portfolios* (it
            includes the covariance of every two events), the same *scaled by the spread of SCARs*, or *forecast error*
            of a single event. With `weights` all are of the weighted mean, and ``n_effective`` is the effective number
            of events, ``(sum w)^2 / sum w^2``: near 1 the mean is the return of one firm.

        Raises
        ------
        SpecificationError
            For a window outside the study's `event_window`, a level outside 0 to 1, and weights that are no column of
            numbers.
        DataError
            For weights that are empty, negative or not finite, with the events in `rows`, and where all are zero.

        Notes
        -----
        With weights the spread over dates is that of their weighted means, each counted by its weight, with the
        standard error and degrees of freedom of Bell and McCaffrey (2002). Over dates of unequal size the band without
        weights belongs to the mean of date means.
        """
        event_first, event_last = self.estimation.settings.event
        first = event_first if first is None else first
        last = event_last if last is None else last
        self._columns(first, last)
        if not 0 < level < 1:
            raise SpecificationError(f"level={level} must lie between 0 and 1, such as 0.95.")
        if base is not None and not first <= base <= last:
            raise SpecificationError(
                f"base={base} is not a session of the path from {first} to {last}. Give one of these, or none to "
                f"cumulate from {first}."
            )
        if weights is None:
            return caar_frame(self.estimation, self.sample, (first, last), level, base=base)
        weighed = self._with_weight(weights)
        sample_at = partial(weighed.sample, weights=weights)
        own = event_weights(weighed.events, weights)
        return caar_frame(weighed.estimation, sample_at, (first, last), level, base=base, weights=own)

    def test(
        self,
        first: int,
        last: int,
        *,
        tests: Sequence[str | SignificanceTest] | Literal["all"] | None = None,
        alternative: Alternative = "two-sided",
        weights: str | None = None,
    ) -> pl.DataFrame:
        """Test the mean abnormal return over sessions `first` to `last`.

        Parameters
        ----------
        first, last : int
            The window.
        tests : sequence of str or SignificanceTest, or "all", optional
            Which ones; names as in `marketimpact.TESTS`. A dozen by default; "all" leaves out only those
            that run only by name (`marketimpact.inference.ON_REQUEST`).
        alternative : {"two-sided", "greater", "less"}
            Whether a p-value counts deviations in both directions, or only abnormal returns above or below
            zero. Choose before looking at the data: a direction chosen afterwards halves the p-value without reason.
        weights : str, optional
            Column of the events to weight them by, as in `caar`. Tests whose statistic counts events alike, such as
            ranks and signs, take no weights: they are undefined then, and `note` says so. Tests of SCARs take the
            mean of SCARs with these weights.

        Returns
        -------
        polars.DataFrame
            ``test, null, estimate, se, statistic, df, p_value, mde, n_events, valid, note, role, effect, ci_low,
            ci_high, effect_mde``: one row per test; the primary one first, then valid ones, then the others.

            * `role` is *primary* for the test that a written rule chooses from dates, firms, windows and estimation
              windows, without looking at the events' abnormal returns (docs/primary_test.md); *robustness* for tests
              with other assumptions, to report beside it; *other* for the rest.
            * `valid` says whether the test keeps its size for these events: whether they share days, raised the
              variance, and meet each assumption of the test. `note` says why not, and what was assumed. The primary
              test can be not valid: then no test here answers, and its p-value is no evidence.
            * `mde` is the smallest effect, in the unit of `estimate` and the direction of `alternative`, that the test
              finds in 80 of 100 samples at the 5% level.
            * `effect` (a fraction), its 95% interval `ci_low` to `ci_high` and `effect_mde` belong to the same test as
              `p_value`: the interval excludes zero exactly where p is below 0.05. For a test of SCARs `effect` is the
              mean CAR weighted by ``1 / se``. A one-sided test leaves one end of the interval empty, a test without a
              standard error all four, unless it has a two-sided interval of its own.

            An undefined test has ``statistic`` nan.
        """
        if alternative not in ("two-sided", "greater", "less"):
            raise SpecificationError(f"alternative={alternative!r}: choose 'two-sided', 'greater' or 'less'.")
        return tests_frame(select_tests(tests), self.sample(first, last, weights=weights), alternative)

    def single_tests(self, first: int, last: int) -> pl.DataFrame:
        """Test every event by itself, with p-values adjusted for the number of events.

        Returns
        -------
        polars.DataFrame
            One row per event with a return in the window: ``event_id, symbol, car, scar, p, sq_p, n_blocks,
            p_holm, p_bh, p_by, p_romano_wolf``; as in `car`, ``variance_ratio, se_filtered, p_filtered,
            ci_low_filtered, ci_high_filtered``; ``p_romano_wolf_filtered``; ``valid_t, valid_adjusted, valid_sq,
            valid_romano_wolf, valid_filtered, valid_romano_wolf_filtered, note``. `p` is
            from t(df), exact only under normality of the window's returns; `sq_p` from the position of the CAR among
            the event's own placebo sums (Gelbach, Helland and Klick 2013), exact for one day if days are
            exchangeable, of which there are `n_blocks`. The next four treat these events as one family: Holm,
            Benjamini-Hochberg and Benjamini-Yekutieli of `p`, and Romano-Wolf's step-down of SCARs with joint placebo
            blocks, which uses their correlation. `valid_t` says whether `p` keeps its size at 5%, `valid_adjusted`
            whether those of Holm, Benjamini-Hochberg and Benjamini-Yekutieli do, `valid_sq` and `valid_romano_wolf`
            the same of theirs, `valid_filtered` of `p_filtered` and `valid_romano_wolf_filtered` of
            `p_romano_wolf_filtered`, the step-down of CARs over `se_filtered`; `note` says why not.

        Notes
        -----
        But for the two filtered ones, no p is valid where the recent variance (40 sessions before the window, later
        ones with more weight) is more than 1.5 times that of the estimation window, or less than two thirds of it, and
        its root differs by more than two standard errors: the event's own or the mean over its announcement. For a
        model with changing variance this does not count against `p`.
        `p` is not valid over several sessions if autocorrelated residuals raise the variance of a CAR by a quarter.
        The sample quantile and Romano-Wolf need an estimation window 20 times as long as the window. Adjusted
        p-values lie in the tails, where fat tails matter: they are not valid where a Student t with the kurtosis of
        the residuals' sums would give an error in more than 7.5 of 100 families at 5%. A variance that rises with the
        event itself cannot be seen for a single event.
        """
        columns = ("event_id", "symbol", "car", "scar", "p")
        cars = self.car(first, last).drop_nulls("car").select(columns)
        return single_tests_frame(self.sample(first, last), cars)

    def sample(self, first: int, last: int, *, weights: str | None = None) -> Sample:
        """Return the input of the significance tests: one row per event with an abnormal return in the window.

        With `weights`, a column of the events, those of weight 0 are left out.
        """
        if weights is not None and (weighed := self._with_weight(weights)) is not self:
            return weighed.sample(first, last, weights=weights)
        return sample_of(
            self.estimation,
            (first, last),
            rows=self.estimation.rows_with_car(self._columns(first, last)),
            days=self._estimation_days,
            placebo=self._placebo,
            pairs=self._pairs,
            firm=self._firms,
            portfolio_estimates=lambda: self._portfolios(weights),
            announcement=self._announcements,
            cluster=self._clusters,
            clustered_by=self.clustered_by,
            weights=unequal_weights(self.events, weights),
            weighted_by=weights or "",
        )

    def _with_weight(self, column: str) -> StudyResult:
        """Leave out the events of weight 0."""
        has_weight = event_weights(self.events, column) > 0
        return self if has_weight.all() else self.where(pl.col(column) > 0)

    def clustered(self, column: str) -> StudyResult:
        """Return the same result with other clusters, which tests over dates take as independent draws.

        Parameters
        ----------
        column : str
            A column of the events, such as ``"campaign_id"``, ``"date"`` or one of your own. Events for which
            it is empty are clustered by announcement (announcements whose windows share days are one
            cluster), or by day 0 where they have none, as all are
            by default.

        Raises
        ------
        SpecificationError
            For a column that the events do not have.
        """
        if column not in self.events.columns:
            raise unknown_column(f"clustered({column!r})", column, self.events.columns)
        return replace(self, clustered_by=column)

    @cached_property
    def _pairs(self) -> PairCorrelations:
        """Correlation of residuals of pairs of events; the same for all windows."""
        return pairs_of(self.estimation, self._estimation_days)

    @cached_property
    def _estimation_days(self) -> EstimationDays:
        """Estimation days of every event; the same for all windows."""
        return estimation_days_of(self.estimation)

    @cached_property
    def _firms(self) -> Ints:
        """Code of each event's firm; the same for all windows."""
        return firm_numbers(self.estimation.positions.security, self.market)

    @cached_property
    def _announcements(self) -> Ints:
        """Code of each event's announcement; the same for all windows."""
        return clusters(self.events)

    @cached_property
    def _clusters(self) -> Ints:
        """Code of each event's cluster; the same for all windows."""
        return self._announcements if self.clustered_by is None else clusters(self.events, self.clustered_by)

    def _portfolios(self, weights: str | None) -> PortfolioEstimates:
        """Estimate the portfolios of each date, with the weights of a column; the same for all windows."""
        own = unequal_weights(self.events, weights)
        weights = None if own is None else weights
        if weights not in self._portfolio_estimates:
            rows = self._pairs.rows
            self._portfolio_estimates[weights] = estimate_portfolios(
                self.estimation, exchange=rows.exchange, clocks=rows.clocks, weights=own
            )
        return self._portfolio_estimates[weights]

    @cached_property
    def _portfolio_estimates(self) -> dict[str | None, PortfolioEstimates]:
        """Regressions of the portfolios of each date, by the column of their weights."""
        return {}

    @cached_property
    def _placebo(self) -> LazyMatrix:
        return aligned_residuals(self.estimation)

    def where(self, predicate: pl.Expr) -> StudyResult:
        """Return the same result for the events that meet a condition on the events' columns.

        `attrition` keeps the unused events that meet it too, and `selected_from` how many events were selected from. A
        column that only used events have, such as ``direction`` of `signed`, is empty for them.

        Raises
        ------
        SpecificationError
            For a column that the events do not have.
        """
        try:
            rows = self.estimation.rows_where(predicate)
        except pl.exceptions.ColumnNotFoundError as error:
            unknown = next(name for name in predicate.meta.root_names() if name not in self.events.columns)
            raise unknown_column(f"where({unknown!r})", unknown, self.events.columns) from error
        absent = [pl.lit(None, kind).alias(c) for c, kind in self.events.schema.items() if c not in self.unused.columns]
        # with the used ones, so that a condition on all of them, such as a median, means the same for both
        every = pl.concat([self.events, self.unused.with_columns(absent)], how="diagonal_relaxed")
        unused = every.filter(predicate).join(self.unused.select("event_id"), on="event_id", how="semi")
        attrition = self.attrition.join(unused, on="event_id", how="semi", maintain_order="left")
        undecided = int(self.events.select(predicate.is_null()).to_series().sum())
        return replace(
            self,
            estimation=self.estimation.take(rows),
            attrition=attrition,
            unused=unused,
            selected_from=(self.events.height, undecided),
        )

    def signed(self, directions: Mapping[str, int], *, by: str = "stance") -> StudyResult:
        """Return the same result with the abnormal returns of some events multiplied by -1.

        Pools restrictive and permissive announcements of one kind: the mean is then the effect of a step in
        the direction counted +1, if steps back have the opposite effect of the same size.

        Parameters
        ----------
        directions : dict of str to {1, -1}
            Value of the column `by` -> direction, such as ``{"restrictive": 1, "permissive": -1}``.
        by : str
            Column of the events.

        Returns
        -------
        StudyResult
            With ``direction`` in its events. Returns, expectations, coefficients and residuals change
            sign alike, as if the security were sold short; `bhar` is null where they do. Use `where` and `by` on it
            to compare the size of the two directions.

        Raises
        ------
        SpecificationError
            For a direction that is not 1 or -1, and for events whose value `directions` does not name.
        """
        sign = direction_signs(self.events, directions, by)
        signed = self.estimation.with_signs(sign.to_numpy().astype(np.float64))
        # the direction of an earlier signing is no column of the user's own
        is_ours = (
            self.events.schema.get("direction") == pl.Int64
            and (self.events["direction"].to_numpy() == self.estimation.sign).all()
        )
        events = self.events if is_ours else keep_own_columns(self.events, {"direction"}, "events")
        estimation = replace(signed, events=events.with_columns(sign.alias("direction")))
        return replace(
            self, estimation=estimation, unused=self.unused.rename({"direction": "direction_event"}, strict=False)
        )

    def by(self, *columns: str) -> Grouped[StudyResult]:
        """Group the events: the same methods, computed for every group."""
        unknown = [c for c in columns if c not in self.events.columns]
        if unknown or not columns:
            raise unknown_column(f"by({', '.join(map(repr, columns))})", "".join(unknown[:1]), self.events.columns)
        return Grouped(self, columns)

    def inspect(self, event_id: str) -> Any:
        """Show one event's regression, as statsmodels does.

        Returns
        -------
        statsmodels.regression.linear_model.RegressionResultsWrapper
            Ordinary least squares on the event's estimation window; for a model whose slopes are
            imposed, the difference on a constant. For a model with donors ``peers`` is the return of a portfolio of
            them with the fitted weights, in absolute value adding up to one: coefficients are the model's, and its own
            standard errors count that weights were estimated (`PeerMean` estimates none).
        """
        row = self._row_of(event_id)
        return regressions.of_event(self.estimation.take(np.array([row])))

    def regress(
        self,
        formula: str,
        window: tuple[int, int],
        *,
        cluster: str | Sequence[str] = "announcement_id",
        weights: Literal["precision"] | None = None,
    ) -> Any:
        """Regress CARs on the events' columns; ``show.regress`` sets several such models side by side.

        Parameters
        ----------
        formula : str
            Such as ``"car ~ stance + log_size"``; names are columns of `car`. A column of your own that is named like
            one of `car` has ``_event`` after its name.
        window : tuple of int
            Over which CARs are taken.
        cluster : str or two of them
            Column whose groups may be correlated; two for two-way clustering, such as
            ``("announcement_id", "symbol")``.
        weights : "precision", optional
            Weigh every event by one over its squared `se`.

        Returns
        -------
        statsmodels.regression.linear_model.RegressionResultsWrapper
            With cluster-robust covariance (CR1): clustered in one way with p-values from t(G - 1), G the number of
            clusters. Clustered in two ways the covariance is the sum of both less that of their intersection, each
            with the small-sample factor of its own number of clusters, and p-values are from t(min(G1, G2) - 1): the
            smaller number of clusters counts, which is the usual convention.

        Warns
        -----
        MarketImpactWarning
            With few clusters, or few in which a regressor varies, whose numbers it names: use
            `marketimpact.wild_cluster_bootstrap`, unless it says that even this cannot help. And when events are left
            out since a value of the formula is empty.
        """
        frame = self.car(*check_window(window, "window"))
        fitted, messages = regressions.across_events(formula, frame, cluster, weights)
        for message in messages:
            warnings.warn(message, MarketImpactWarning, stacklevel=2)
        return fitted

    def to_excel(self, path: str | Path, *, windows: Sequence[tuple[int, int]] | None = None) -> Path:
        """Write all tables of this result as one workbook, a sheet each.

        Parameters
        ----------
        path : str or pathlib.Path
            An ``.xlsx`` file, written over if it is there.
        windows : sequence of (int, int), optional
            Windows of the sheets *car* and *tests*; by default day 0 and the primary window.

        Returns
        -------
        pathlib.Path
            The file.

        Notes
        -----
        The sheets are *about* (the record of the run, and notes on the data), *tests*, *car*, *caar*, *estimates*,
        *abnormal_returns*, *events*, *attrition*, *findings* and *price_repairs*. No cell is computed as a formula:
        text that begins like one has an apostrophe before it. Instants are text in UTC. On simulated prices every sheet
        says so.

        Raises
        ------
        SpecificationError
            For a window outside the study's `event_window`, another kind of file, and where the package xlsxwriter is
            not installed (``pip install 'marketimpact[excel]'``).
        DataError
            For a table larger than a sheet can be (1,048,575 rows), or a file that cannot be written.
        """
        return write_workbook(self, path, windows)

    def to_pandas(self, *, windows: Sequence[tuple[int, int]] | None = None) -> dict[str, Any]:
        """Return all tables of this result as pandas frames, by the names of `to_excel`; pyarrow is not needed.

        Parameters
        ----------
        windows : sequence of (int, int), optional
            As in `to_excel`.

        Returns
        -------
        dict of str to pandas.DataFrame
            Dates are midnights; missing numbers are NaN, missing whole numbers ``<NA>``.

        Notes
        -----
        A single frame of polars, such as ``result.car(0, 1)``, has a ``to_pandas()`` of its own, which needs pyarrow.

        Examples
        --------
        >>> import marketimpact as mi
        >>> market = mi.Market.load(mi.securities(), mi.SamplePrices())
        >>> h20 = mi.announcements().filter(pl.col("announcement_id") == "2025-08-12-beijing-discourages-h20")
        >>> tables = mi.EventStudy().run(mi.align(h20, market), market).to_pandas(windows=[(0, 1)])
        >>> tables["car"].columns[:4].to_list()
        ['first', 'last', 'event_id', 'symbol']
        """
        return {name: to_pandas(table) for name, table in result_tables(self, windows).items()}

    @property
    def show(self) -> Show:
        """Results as tables to read: ``result.show.test(0, 1)``; ``result.show(frame)`` shows any frame."""
        return Show(self, self)

    @property
    def plot(self) -> Plot:
        """Altair charts: ``result.plot()`` of the mean path, ``result.plot.firms(0, 1)`` of the events."""
        return Plot(self)

    def __repr__(self) -> str:
        """Summarise the result in a few lines."""
        return "\n".join(as_lines(self))

    def _repr_html_(self) -> str:
        return as_html(self)

    def _columns(self, first: int, last: int) -> slice:
        first, last = check_window((first, last), "window")
        event_first, event_last = self.estimation.settings.event
        if first < event_first or last > event_last:
            raise SpecificationError(
                f"window ({first}, {last}) reaches outside the study's event_window "
                f"({event_first}, {event_last}). "
                "Run the study again with a wider one: study.but(event_window=...)."
            )
        return self.estimation.columns_of((first, last))

    def _row_of(self, event_id: str) -> int:
        row = self.events["event_id"].index_of(event_id)
        if row is not None:
            return int(row)
        gone = self.attrition.filter(pl.col("event_id") == event_id)
        if gone.height:
            why = gone.row(0, named=True)
            raise SpecificationError(f"{event_id!r} was not used: {why['reason']} ({why['detail']}).")
        known = ", ".join(self.events["event_id"].head(3))
        raise SpecificationError(f"No event {event_id!r}. Events are named like {known}.")
