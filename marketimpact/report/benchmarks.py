"""Name the benchmarks that abnormal returns are measured against."""

from __future__ import annotations

from marketimpact.study.result import StudyResult
from marketimpact.study.summary import peers_text

__all__ = ["benchmark_name", "benchmarks_of", "model_text"]

#: Symbol of an index or fund -> its name.
NAMES = {
    "^GSPC": "S&P 500", "000300.SS": "CSI 300", "^HSI": "Hang Seng", "^TWII": "TAIEX", "^N225": "Nikkei 225",
    "^KS11": "KOSPI", "^AEX": "AEX", "^GDAXI": "DAX", "^FCHI": "CAC 40", "SOXX": "SOXX, US semiconductors",
    "^SOX": "PHLX Semiconductor", "^IXIC": "Nasdaq Composite", "^NDX": "Nasdaq 100",
}  # fmt: skip
#: Benchmarks named in a sentence.
MOST_NAMED = 4
#: Model -> how it is called in a sentence.
MODELS = {
    "market_model": "the market model", "market_adjusted": "the market-adjusted return",
    "mean_adjusted": "the mean-adjusted return", "ff3": "the Fama-French three-factor model",
    "ff5": "the Fama-French five-factor model", "carhart": "the Carhart four-factor model", "capm": "the CAPM",
    "peer_mean": "the market model with the mean of peers",
    "statistical_factors": "the market model with statistical factors of peers",
    "ridge_peers": "the market model with shrunk peers",
}  # fmt: skip


def benchmark_name(symbol: str | None) -> str:
    """Write the name of a benchmark with its symbol.

    Examples
    --------
    >>> benchmark_name("^GSPC"), benchmark_name("MYIDX"), benchmark_name(None)
    ('S&P 500 (^GSPC)', 'MYIDX', 'the market return given')
    """
    if symbol is None:
        return "the market return given"
    return f"{NAMES[symbol]} ({symbol})" if symbol in NAMES else symbol


def benchmarks_of(result: StudyResult) -> list[str]:
    """List the benchmarks that a result's events were measured against by name, the commonest first."""
    known = result.market.securities
    if "benchmark" not in known.columns or known.is_empty():
        return [benchmark_name(None)]
    own = result.events.select("symbol").join(known.select("symbol", "benchmark"), on="symbol", how="inner")
    counted = own.drop_nulls("benchmark")["benchmark"].value_counts(name="n")
    return [
        benchmark_name(symbol) for symbol in counted.sort("n", "benchmark", descending=[True, False])["benchmark"]
    ] or [benchmark_name(None)]


def model_text(result: StudyResult) -> str:
    """Write the model of the normal return with its benchmarks and estimation window."""
    first, last = result.estimation.settings.estimation
    name = result.model.name.partition("(")[0] if result.model.design.donors else result.model.name
    model = MODELS.get(name, name.replace("_", " "))
    names = benchmarks_of(result)
    more = len(names) - MOST_NAMED
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    against = "" if result.model.name in ("mean_adjusted", "comparison_period_mean") else f" against {listed}"
    peers = f" ({peers_text(result)})" if result.model.design.donors else ""
    return f"{model}{against}{peers}, estimated over sessions [{first}, {last}]".replace("-", "−")
