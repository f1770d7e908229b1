"""Models with donors in study files: their options, prices of donors outside the groups, and what is refused."""

from __future__ import annotations

import tomllib
from datetime import date

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.cli.registration import declaration, registration_text
from marketimpact.cli.study_file import read_study
from marketimpact.errors import MarketImpactWarning
from tests.command import marketimpact

#: Two firms at two announcements: firms and dates repeat.
STUDY = """[study]
{study}
estimation_window = [-120, -11]
event_window = [-1, 1]
[announcements]
ids = ["2025-07-14-h20-resumption", "2025-08-12-beijing-discourages-h20"]
[report]
windows = [[0, 1]]
[registration]
smallest_effect = 0.02
[[groups]]
name = "Designers"
symbols = ["NVDA", "AMD"]
"""
DAY0 = date(2025, 8, 12)
OUTSIDE = ["MSFT", "ORCL", "DELL", "TXN"]


class WithoutDay0:
    """The sample's simulated prices, without those of some symbols on 12 August 2025."""

    def __init__(self, *symbols: str) -> None:
        self.symbols = symbols

    def read(self, symbols, first=None, last=None):
        rows = mi.SamplePrices().read(symbols, first, last).frame
        lacking = pl.col("symbol").is_in(list(self.symbols)) & (pl.col("date") == DAY0)
        kept = rows.filter(~lacking).select("symbol", "date", "close")
        return mi.FilePrices(kept).read(symbols, first, last)


def plan(tmp_path, study: str):
    (tmp_path / "s.toml").write_text(STUDY.format(study=study), encoding="utf-8")
    return read_study(tmp_path / "s.toml")


def donors(*symbols: str) -> str:
    return f"donors = {list(symbols)}"


@pytest.mark.parametrize(
    ("study", "model"),
    [
        (f'model = "statistical_factors"\n{donors(*OUTSIDE)}\ncomponents = 2',
         mi.StatisticalFactors(OUTSIDE, components=2)),
        (f'model = "statistical_factors"\n{donors(*OUTSIDE)}\ncomponents = "cv"', mi.StatisticalFactors(OUTSIDE)),
        (f'model = "ridge_peers"\n{donors(*OUTSIDE)}\npenalty = 0.5\nallow = ["TXN"]',
         mi.RidgePeers(OUTSIDE, penalty=0.5, allow=["TXN"])),
        (f'model = "peer_mean"\n{donors(*OUTSIDE)}', mi.PeerMean(OUTSIDE)),
        (f'model = "peer_mean"\n{donors(*OUTSIDE)}\nmatch_sessions = true', mi.PeerMean(OUTSIDE, match_sessions=True)),
    ],
)  # fmt: skip
def test_options_of_the_models_are_read(tmp_path, study, model):
    assert plan(tmp_path, study).study.model == model


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ('model = "peer_mean"\ndonors = ["MSFT"]\ncomponents = 2',
         r"line 4: \[study\] components goes with model = 'statistical_factors', not 'peer_mean'"),
        ('model = "statistical_factors"\ndonors = ["MSFT"]\npenalty = 1.0',
         r"line 4: \[study\] penalty goes with model = 'ridge_peers', not 'statistical_factors'"),
        ("match_sessions = true", r"match_sessions goes with model = one of 'peer_mean'"),
        ('model = "peer_mean"\ndonors = ["MSFT"]\nmatch_sessions = 1', r"match_sessions = 1: it must be true or false"),
        ("penalty = 1.0", r"penalty goes with model = 'ridge_peers', not 'market_model'"),
        ('model = "statistical_factors"\ndonors = ["MSFT"]\ncomponents = 0',
         r"line 4: \[study\] components = 0: it must be a whole number of at least 1, or 'cv'"),
        ('model = "statistical_factors"\ndonors = ["MSFT"]\ncomponents = "two"', r"components = 'two': it must be"),
        ('model = "ridge_peers"\ndonors = ["MSFT"]\npenalty = -1',
         r"penalty = -1: it must be a number above 0, or 'cv'"),
        ('model = "ridge_peers"\ndonors = ["MSFT"]\npenalty = nan', r"penalty=nan: give a number above zero, or 'cv'"),
        ('model = "statistical_factors"\ndonors = ["MSFT", "ORCL"]\ncomponents = 3',
         r"components=3 of 2 donors: there are no more components than donors"),
        ('model = "statistical_factors"\ndonors = ["MSFT"]\ncomponent = 1',
         r"no key 'component' .did you mean 'components'"),
        (f'model = "statistical_factors"\n{donors(*(f"D{n}" for n in range(130)))}\ncomponents = 120',
         r"needs \d+ sessions, and estimation_window=\(-120, -11\) has 110. Take fewer"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_refused_with_its_line(tmp_path, study, message):
    with pytest.raises(mi.SpecificationError, match=message):
        plan(tmp_path, study)


def test_donors_outside_the_groups_are_loaded_and_give_the_result_of_python(tmp_path):
    study = plan(tmp_path, f'model = "statistical_factors"\n{donors(*OUTSIDE)}\ncomponents = 2')
    assert set(OUTSIDE) <= set(study.symbols())
    result = study.run(mi.SamplePrices()).result
    assert result.events["symbol"].to_list() == ["AMD", "NVDA"] * 2
    assert result.donors["used"].all()
    firms = mi.securities().filter(pl.col("symbol").is_in(["NVDA", "AMD", *OUTSIDE]))
    market = mi.Market.load(firms, mi.SamplePrices())
    news = mi.announcements().filter(pl.col("announcement_id").is_in(list(study.ids)))
    own = mi.EventStudy(mi.StatisticalFactors(OUTSIDE, components=2), (-120, -11), (-1, 1))
    theirs = own.run(mi.align(news, market, symbols=["NVDA", "AMD"]), market)
    assert result.car(0, 1)["car"].to_list() == theirs.car(0, 1)["car"].to_list()


def test_a_run_prints_that_effects_are_relative_to_peers_and_writes_the_donors(tmp_path):
    study = plan(tmp_path, f'model = "peer_mean"\n{donors(*OUTSIDE)}')
    done = marketimpact("run", "s.toml", "--out", "out", "--format", "md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sentence = "effects are relative to the peers: 4 of 4 donors used by each event"
    result = study.run(mi.SamplePrices()).result
    printed = " ".join(done.stdout.split())
    assert f"{sentence.capitalize()}; see donors.csv." in printed
    few = "Donors: with fewer than 10 donors intervals are too narrow"
    assert printed.count(few) == 1
    assert few in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert sentence in mi.brief(result).source
    assert pl.read_parquet(tmp_path / "out" / "donors.parquet").equals(result.donors)
    assert pl.read_csv(tmp_path / "out" / "donors.csv").shape == result.donors.shape


def test_a_registration_declares_the_donors_and_their_options(tmp_path):
    study = plan(tmp_path, f'model = "ridge_peers"\n{donors(*OUTSIDE)}\npenalty = 0.5')
    record = tomllib.loads(registration_text(study, mi.SamplePrices(), date(2025, 6, 1)))
    declared = record["declared"]["study"]["study"]
    assert (declared["donors"], declared["penalty"]) == (OUTSIDE, 0.5)
    assert record["declared"] == declaration(study)
    assert [row["n_used"] for row in record["power"]] == [2, 2]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["NVDA", "AMD"], "is treated by this event"),
        (["0700.HK", "005930.KS"], "trades at other hours than the event's exchange"),
    ],
)
def test_donors_that_no_event_can_use_stop_the_run_with_the_reason(tmp_path, names, reason):
    study = plan(tmp_path, f'model = "peer_mean"\n{donors(*names)}')
    message = rf"s.toml, line 3: \[study\] donors: no event can be compared with them.*0 of 2 donors.*{reason}"
    with pytest.raises(mi.SpecificationError, match=message):
        study.run(mi.SamplePrices())


def test_donors_of_other_hours_can_be_matched_by_the_clock(tmp_path):
    study = plan(tmp_path, 'model = "peer_mean"\ndonors = ["005930.KS", "000660.KS"]\nmatch_sessions = true')
    result = study.run(mi.SamplePrices()).result
    assert result.events.height == 4
    assert result.donors.filter(donor="005930.KS")["used"].all()


def test_a_donor_without_a_price_on_day_0_is_attrition_where_it_is_the_only_one(tmp_path):
    study = plan(tmp_path, 'model = "peer_mean"\ndonors = ["MSFT"]')
    result = study.run(WithoutDay0("MSFT")).result
    assert set(result.events["announcement_id"]) == {"2025-07-14-h20-resumption"}
    lost = result.attrition.filter(reason="no_donors")
    assert lost.height == 2
    assert lost["detail"].str.contains("has no return on day 0").all()
    both = plan(tmp_path, 'model = "peer_mean"\ndonors = ["MSFT", "ORCL"]').run(WithoutDay0("MSFT")).result
    reasons = both.donors.filter(~pl.col("used")).select("donor", "reason").unique().rows()
    assert reasons == [("MSFT", "has no return on day 0")]


def test_a_donor_that_no_event_uses_is_a_warning(tmp_path):
    study = plan(tmp_path, 'model = "peer_mean"\ndonors = ["MSFT", "005930.KS"]')
    with pytest.warns(
        MarketImpactWarning, match=r"s.toml: no event uses 005930.KS \(trades at other hours.*of 2 donors"
    ):
        study.run(mi.SamplePrices())


def test_a_registration_whose_donors_cannot_be_used_says_so(tmp_path):
    study = plan(tmp_path, 'model = "peer_mean"\ndonors = ["005930.KS"]')
    with pytest.raises(mi.DataError, match="none of the donors can be used"):
        registration_text(study, mi.SamplePrices(), date(2025, 6, 1))
