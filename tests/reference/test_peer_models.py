"""Models of peers against statsmodels, a singular value decomposition and augmented least squares."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

import marketimpact as mi
from tests.reference.peer_data import DONOR_NAMES, EVENTS, STUDY, events, market_of, returns, rows_of

MARKET, FIRM_RETURNS, DONOR_RETURNS = returns()


@pytest.fixture(scope="module")
def market() -> mi.Market:
    return market_of(MARKET, FIRM_RETURNS, DONOR_RETURNS)


def run(model: mi.models.Model, market: mi.Market) -> mi.StudyResult:
    result = STUDY.but(model=model).run(events(), market)
    assert result.attrition.is_empty()
    return result


def of_event(result: mi.StudyResult, name: str, column: str) -> np.ndarray:
    return result.abnormal_returns.filter(pl.col("event_id") == name)[column].to_numpy()


def forecast_errors(y: np.ndarray, g: np.ndarray, penalty: np.ndarray, y1: np.ndarray, g1: np.ndarray) -> tuple:
    """Errors and their variance in units of sigma squared, of a regression with a constant that is not shrunk."""
    centre = g.mean(axis=0)
    whole = (g - centre).T @ (g - centre) + np.diag(penalty)
    coefficients = np.linalg.solve(whole, (g - centre).T @ (y - y.mean()))
    errors = y1 - y.mean() - (g1 - centre) @ coefficients
    influence = (g1 - centre) @ np.linalg.solve(whole, (g - centre).T)
    return errors, 1.0 + 1.0 / len(y) + (influence**2).sum(axis=1)


def residual_returns(rows: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Donors' residuals of the market model, fitted on `rows`, on the sessions `of`; and their sd on `rows`."""
    fits = [sm.OLS(donor[rows], sm.add_constant(MARKET[rows])).fit() for donor in DONOR_RETURNS.T]
    out = np.column_stack(
        [d[of] - fit.predict(sm.add_constant(MARKET[of])) for d, fit in zip(DONOR_RETURNS.T, fits, strict=True)]
    )
    own = np.column_stack([fit.resid for fit in fits])
    return out, np.sqrt((own**2).mean(axis=0))


def components(rows: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    own, spread = residual_returns(rows, rows)
    _, _, directions = np.linalg.svd(own / spread, full_matrices=False)
    return np.column_stack([MARKET[of], residual_returns(rows, of)[0] / spread @ directions[:count].T])


def shrunk(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
    out, spread = residual_returns(rows, of)
    return np.column_stack([MARKET[of], out / spread])


def cross_validated_sigma(y: np.ndarray, rows: np.ndarray, make, penalty) -> float:
    """Root mean square of the errors of left-out fifths, each over the root of its variance factor."""
    scaled = []
    for fold in np.array_split(np.arange(len(rows)), 5):
        kept = np.delete(np.arange(len(rows)), fold)
        g, g1 = make(rows[kept], rows[kept]), make(rows[kept], rows[fold])
        errors, factor = forecast_errors(y[kept], g, penalty(len(kept), g.shape[1]), y[fold], g1)
        scaled.append(errors**2 / factor)
    return float(np.sqrt(np.concatenate(scaled).mean()))


def test_peer_mean_equals_statsmodels(market):
    """``peer_mean``: coefficients, forecast errors and degrees of freedom of ordinary least squares."""
    result = run(mi.PeerMean(DONOR_NAMES), market)
    for name in EVENTS:
        firm, rows, window = rows_of(name)
        g = np.column_stack([MARKET, DONOR_RETURNS.mean(axis=1)])
        fit = sm.OLS(FIRM_RETURNS[rows, firm], sm.add_constant(g[rows])).fit()
        prediction = fit.get_prediction(sm.add_constant(g[window]))
        np.testing.assert_allclose(
            of_event(result, name, "ar"), FIRM_RETURNS[window, firm] - prediction.predicted_mean, rtol=1e-9
        )
        np.testing.assert_allclose(of_event(result, name, "se"), prediction.se_obs, rtol=1e-9)
        row = result.estimates.filter(pl.col("event_id") == name).row(0, named=True)
        assert (row["df"], row["n_donors"], row["n_factors"]) == (fit.df_resid, len(DONOR_NAMES), 1)
        np.testing.assert_allclose([row["alpha"], row["beta"], row["r2"]], [*fit.params[:2], fit.rsquared], rtol=1e-9)
        weights = result.donors.filter(pl.col("event_id") == name)["weight"].to_numpy()
        np.testing.assert_allclose(weights, fit.params[2] / len(DONOR_NAMES), rtol=1e-9)
        np.testing.assert_allclose(result.inspect(name).params, fit.params, rtol=1e-9)


def test_statistical_factors_by_a_singular_value_decomposition(market):
    """``statistical_factors``: components by another way, and the cross-validated scale by a plain loop."""
    result = run(mi.StatisticalFactors(DONOR_NAMES, components=2), market)
    for name in EVENTS:
        firm, rows, window = rows_of(name)
        y = FIRM_RETURNS[:, firm]
        errors, factor = forecast_errors(
            y[rows], components(rows, rows, 2), np.zeros(3), y[window], components(rows, window, 2)
        )
        sigma = cross_validated_sigma(y[rows], rows, lambda a, b: components(a, b, 2), lambda n, k: np.zeros(k))
        np.testing.assert_allclose(of_event(result, name, "ar"), errors, rtol=1e-8)
        np.testing.assert_allclose(of_event(result, name, "se"), sigma * np.sqrt(factor), rtol=1e-8)
        row = result.estimates.filter(pl.col("event_id") == name).row(0, named=True)
        assert (row["df"], row["n_factors"]) == (len(rows) - 4, 2)


def test_ridge_peers_by_augmented_least_squares(market):
    """``ridge_peers``: the penalty as further observations of least squares, and the scale by a plain loop."""
    result = run(mi.RidgePeers(DONOR_NAMES, penalty=0.3), market)
    n_donors = len(DONOR_NAMES)
    for name in EVENTS:
        firm, rows, window = rows_of(name)
        y, g, g1 = FIRM_RETURNS[:, firm], shrunk(rows, rows), shrunk(rows, window)
        extra = np.hstack([np.zeros((n_donors, 2)), np.sqrt(0.3 * len(rows)) * np.eye(n_donors)])
        stacked = np.vstack([np.column_stack([np.ones(len(rows)), g]), extra])
        # residual returns have mean zero, so the constant and the market are as without the donors
        coefficients = np.linalg.lstsq(stacked, np.append(y[rows], np.zeros(n_donors)), rcond=None)[0]
        expected = np.column_stack([np.ones(len(window)), g1]) @ coefficients
        np.testing.assert_allclose(of_event(result, name, "ar"), y[window] - expected, rtol=1e-8)
        penalty = np.append(0.0, np.full(n_donors, 0.3 * len(rows)))
        _, factor = forecast_errors(y[rows], g, penalty, y[window], g1)
        sigma = cross_validated_sigma(y[rows], rows, shrunk, lambda n, k: np.append(0.0, np.full(k - 1, 0.3 * n)))
        np.testing.assert_allclose(of_event(result, name, "se"), sigma * np.sqrt(factor), rtol=1e-8)


def test_cross_validation_takes_the_components_with_the_least_forecast_error(market):
    result = run(mi.StatisticalFactors(DONOR_NAMES), market)
    for name in EVENTS:
        firm, rows, _ = rows_of(name)
        y, totals = FIRM_RETURNS[:, firm], []
        for count in range(1, len(DONOR_NAMES) + 1):
            total = 0.0
            for fold in np.array_split(np.arange(len(rows)), 5):
                kept = rows[np.delete(np.arange(len(rows)), fold)]
                g, g1 = components(kept, kept, count), components(kept, rows[fold], count)
                total += (forecast_errors(y[kept], g, np.zeros(count + 1), y[rows[fold]], g1)[0] ** 2).sum()
            totals.append(total)
        chosen = result.estimates.filter(pl.col("event_id") == name)["n_factors"].item()
        assert chosen == int(np.argmin(totals)) + 1


def test_peers_explain_what_the_market_does_not(market):
    """The mean peer carries the unnamed factor: residual variance falls by more than a third."""
    plain = run(mi.MarketModel(), market).estimates["sigma"].mean()
    for model in (mi.PeerMean(DONOR_NAMES), mi.StatisticalFactors(DONOR_NAMES), mi.RidgePeers(DONOR_NAMES)):
        assert run(model, market).estimates["sigma"].mean() < 0.8 * plain


def test_a_root_with_rows_of_zeros_gives_the_leverage_that_is_written_down():
    """Some events have rows that others do not; a day with a missing regressor has no leverage."""
    rng = np.random.default_rng(8)
    n, days, p = 3, 4, 5
    root = rng.normal(size=(n, p, p))
    root[:, 3:], root[1, 2] = 0.0, 0.0
    x, centre, slopes = rng.normal(size=(n, days, p)), rng.normal(size=(n, p)), rng.normal(size=(n, p))
    x[2, 1, 4] = np.nan
    alpha, mean_leverage = rng.normal(size=n), np.full(n, 1 / 120)
    counts = np.full(n, 120)
    fit = mi.models.linear.Fit(
        alpha=alpha, slopes=slopes, sigma=alpha, n_obs=counts, df=counts, r2=alpha, centre=centre, leverage_root=root,
        mean_leverage=mean_leverage, singular=counts < 0, state=np.empty((n, 0)), rho=alpha,
    )  # fmt: skip
    expected, loading = mi.models.forecast(fit, x)
    distance = x - centre[:, None, :]
    assert expected == pytest.approx(alpha[:, None] + np.einsum("ndp,np->nd", x, slopes), nan_ok=True)
    assert loading[:, :, 0] == pytest.approx(np.sqrt(mean_leverage)[:, None].repeat(days, axis=1))
    assert loading[:, :, 1:] == pytest.approx(np.einsum("ndp,nrp->ndr", distance, root), nan_ok=True)
    assert np.isnan(loading[2, 1, 1:]).all()
