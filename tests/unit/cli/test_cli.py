"""The command line as a user types it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.cli.study_file import read_study
from tests.command import marketimpact
from tests.conftest import ROOT

#: Two firms, one announcement, three days: where the study is not the point.
SMALL = (
    '[study]\nmodel = "mean_adjusted"\nevent_window = [-1, 1]\n'
    '[announcements]\nids = ["2025-08-12-beijing-discourages-h20"]\n'
    '[[groups]]\nname = "Both"\nsymbols = ["NVDA", "688256.SS"]\n'
)


@pytest.fixture(scope="module")
def out(h20_folders) -> Path:
    """What the embedded study wrote."""
    return h20_folders[0]


def test_run_writes_the_report_and_every_table(out):
    names = {
        "events",
        "estimates",
        "abnormal_returns",
        "car",
        "caar",
        "tests",
        "attrition",
        "findings",
        "price_repairs",
        "specifications",
        "specifications_joint",
        "car_by_leg",
    }
    assert {p.stem for p in out.glob("*.csv")} == {p.stem for p in out.glob("*.parquet")} == names
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "SIMULATED" in page
    assert str(ROOT) not in page
    for name in names - {"attrition", "price_repairs"}:
        csv, parquet = (
            pl.read_csv(out / f"{name}.csv", infer_schema_length=None),
            pl.read_parquet(out / f"{name}.parquet"),
        )
        assert csv.shape == parquet.shape
        assert parquet.height > 0


def test_the_same_run_gives_the_same_bytes(h20_folders):
    """By its file and by its name, in two processes with other hash seeds."""
    by_file, by_name = h20_folders
    assert len(list(by_file.iterdir())) == len(list(by_name.iterdir())) > 20
    for file in sorted(by_file.iterdir()):
        assert file.read_bytes() == (by_name / file.name).read_bytes(), file.name


def test_run_on_a_file_of_prices(tmp_path):
    prices = mi.SamplePrices().read(["NVDA", "^GSPC", "688256.SS", "000300.SS"]).frame
    prices.write_csv(tmp_path / "prices.csv")
    (tmp_path / "study.toml").write_text(f'title = "Two firms"\n{SMALL}', encoding="utf-8")
    done = marketimpact("run", "study.toml", "--prices", "prices.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SIMULATED PRICES" in done.stdout  # the prices of the sample are recognised in any file
    assert (tmp_path / "out" / "study" / "report.html").exists()
    assert pl.read_parquet(tmp_path / "out" / "study" / "events.parquet").height == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "nothing.toml"), "There is no study file 'nothing.toml'. Embedded studies: h20. A new one:"),
        (("run", "--prices", "missing.parquet"), "There is no file missing.parquet"),
        (("align", "missing.csv"), "missing.csv"),
        (("align", "--symbols", "NOPE"), "NOPE"),
    ],
)
def test_a_foreseen_error_is_one_message_and_exit_1(words, message, tmp_path):
    done = marketimpact(*words, cwd=tmp_path)
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_prices_and_yahoo_exclude_each_other(tmp_path):
    done = marketimpact("run", "--prices", "x.csv", "--yahoo", cwd=tmp_path)
    assert done.returncode == 2
    assert "give one of --prices, --yahoo and --snapshot" in done.stderr


def test_align_prints_a_table_for_any_file(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "announcement_id,announced_at,stance,headline,targets,time_zone\n"
        "a,2025-08-12T12:45+08:00,restrictive,News,NVDA;688256.SS,\n"
        "b,2025-09-29,restrictive,A date without a clock,NVDA,America/New_York\n",
        encoding="utf-8",
    )
    done = marketimpact("align", "mine.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("lunch_break", "pre_open", "2025-08-12", "assumed", "3 rows"):
        assert word in done.stdout
    done = marketimpact("align", "mine.csv", "--csv", cwd=tmp_path)
    frame = pl.read_csv(done.stdout.encode())
    assert frame.height == 3
    assert frame.filter(pl.col("announcement_id") == "b")["day0_certainty"].item() == "assumed"


@pytest.mark.parametrize("what", ["announcements", "campaigns", "securities", "models", "tests"])
def test_list(what):
    done = marketimpact("list", what)
    assert done.returncode == 0, done.stderr
    assert " rows" in done.stdout
    assert marketimpact("list", what, "--csv").stdout.count("\n") > 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "cannot be read as TOML"),
        ("titel = 'x'", "has no key 'titel' .did you mean 'title'"),
        ("[study]\nmodel = 'garch'", "line 2: .study. model = 'garch'.*it must be one of .*'garch11'"),
        ("[study]\nevent_window = [1, -1]", "is reversed"),
        ("[study]\nfactors = ['sox']", "goes with model = 'factor_model'"),
        ("[study]\nlagged = ['sox']", "lagged goes with model = 'factor_model'"),
        ("[study]\ndonors = ['MSFT']", "donors goes with model = one of 'peer_mean'"),
        ("[study]\nmodel = 'peer_mean'", "line 2: .study. donors is empty"),
        ("[study]\nmodel = 'ridge_peers'\ndonors = ['MSFT', 'MSFT']", "line 3: .study. donors has 'MSFT' twice"),
        ("[study]\nforecast_from = 'estimation_end'", "goes with model = 'garch11' or 'egarch11', not 'market_model'"),
        ("[study]\nmodel = 'garch11'\nforecast_from = 'day0'", "line 3: .*'estimation_end', 'event_window_start'"),
        ("[study]\nmissing = 'zero'", "it must be one of 'available', 'strict', 'trade_to_trade'"),
        ("[report]\nwindows = [1, 2]", "list of pairs"),
        ("[groups]\nname = 'a'", "double brackets"),
        ("[[groups]]\nname = 'a'", "needs a name and symbols"),
        ("[[groups]]\nname = 'a'\nsymbols = 'NVDA'", "list of strings"),
        (
            "[[groups]]\nname = 'a'\nsymbols = ['X']\n[[groups]]\nname = 'b'\nsymbols = ['X']",
            "more than one group",
        ),
    ],
)
def test_a_broken_study_file_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(mi.SpecificationError, match=message):
        read_study(path)


def test_a_study_file_with_donors_loads_their_prices_and_makes_no_events_of_them(tmp_path):
    path = tmp_path / "s.toml"
    text = (
        "[study]\nmodel = 'peer_mean'\ndonors = ['MSFT', 'ORCL', 'AMD']\n"
        "[[groups]]\nname = 'a'\nsymbols = ['NVDA', 'AMD']"
    )
    path.write_text(f"{text}\n[announcements]\nids = ['2025-08-12-beijing-discourages-h20']", encoding="utf-8")
    plan = read_study(path)
    assert {"NVDA", "MSFT", "ORCL", "AMD"} <= set(plan.symbols())
    with pytest.warns(
        mi.errors.MarketImpactWarning, match="no event uses AMD .is the event's own security., of 3 donors"
    ):
        result = plan.run(mi.SamplePrices()).result
    assert result.events["symbol"].to_list() == ["AMD", "NVDA"]
    assert result.donors.filter(pl.col("used")).group_by("symbol").len()["len"].to_list() == [2, 2]
    path.write_text(text.replace("'MSFT'", "'MSTF'"), encoding="utf-8")
    with pytest.raises(mi.SpecificationError, match=r"line 3: .study. donors: the securities do not name 'MSTF'"):
        read_study(path).symbols()


def test_a_study_file_can_ask_for_lagged_factors_and_strict_windows(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        "[study]\nmodel = 'factor_model'\nfactors = ['market']\nlagged = ['sox']\nmissing = 'strict'", encoding="utf-8"
    )
    study = read_study(path).study
    assert study.model == mi.FactorModel(("market",), lagged=("sox",))
    assert study.missing == "strict"


@pytest.mark.parametrize(("name", "model"), [("garch11", mi.Garch), ("egarch11", mi.Egarch)])
def test_a_study_file_says_where_variance_forecasts_start(tmp_path, name, model):
    path = tmp_path / "s.toml"
    path.write_text(f"[study]\nforecast_from = 'event_window_start'\nmodel = '{name}'", encoding="utf-8")
    assert read_study(path).study.model == model(forecast_from="event_window_start")


def test_unknown_names_in_a_study_file_are_refused_with_the_nearest(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[announcements]\nids = ['2025-08-12-beijing-discourages-h21']", encoding="utf-8")
    with pytest.raises(mi.SpecificationError, match="did you mean '2025-08-12-beijing-discourages-h20'"):
        read_study(path).run(mi.SamplePrices())
    path.write_text("[[groups]]\nname = 'a'\nsymbols = ['NVDB']", encoding="utf-8")
    with pytest.raises(mi.SpecificationError, match="did you mean 'NVDA'"):
        read_study(path).run(mi.SamplePrices())


def test_a_snapshot_gives_the_same_bytes_again(tmp_path):
    """A study through the store, and its snapshot from the command line, twice: the same report and tables."""
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    plan = read_study(tmp_path / "small.toml")
    sample = mi.SamplePrices().read(plan.symbols())
    sample.frame.write_parquet(tmp_path / "prices.parquet")
    store = mi.PriceStore(tmp_path / "store")
    source = mi.StoredPrices(mi.FilePrices(tmp_path / "prices.parquet"), store)
    first = plan.run(source).result
    snapshot = store.snapshots()["snapshot"].item()
    assert snapshot in first.record["prices"]
    for name in ("one", "two"):
        words = ("run", "small.toml", "--snapshot", snapshot[:8], "--store", "store", "--out", name)
        done = marketimpact(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    written = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()} == written
    assert snapshot.encode() in written["report.html"]
    pinned = plan.run(mi.StoredPrices(store=store, snapshot=snapshot)).result
    assert pinned.record == first.record
    assert pinned.car(0, 1).equals(first.car(0, 1))


def test_the_store_is_listed_verified_exported_and_pruned(tmp_path):
    frame = mi.SamplePrices().read(["NVDA", "AMD"]).frame
    store = mi.PriceStore(tmp_path / "store")
    mi.StoredPrices(mi.FilePrices(frame), store).read(["NVDA", "AMD"])
    listed = marketimpact("store", "ls", "--store", "store", cwd=tmp_path).stdout
    assert "NVDA" in listed
    assert store.snapshots()["snapshot"].item() in listed
    assert marketimpact("store", "verify", "--store", "store", cwd=tmp_path).returncode == 0
    done = marketimpact("store", "export", "out.csv", "--symbols", "AMD", "--store", "store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        mi.FilePrices(tmp_path / "out.csv").read(["AMD"]).frame.height == frame.filter(pl.col("symbol") == "AMD").height
    )
    assert "files removed: 0" in marketimpact("store", "prune", "--store", "store", cwd=tmp_path).stdout
    next((tmp_path / "store" / "prices").glob("*/*/*.parquet")).write_bytes(b"broken")
    broken = marketimpact("store", "verify", "--store", "store", cwd=tmp_path)
    assert broken.returncode == 1
    assert "does not match its hash" in " ".join(broken.stdout.split())


@pytest.mark.parametrize("words", [("ls",), ("verify",), ("export", "out.csv"), ("prune",)])
def test_a_store_that_is_not_there_is_a_slip_and_none_is_made(tmp_path, words):
    done = marketimpact("store", *words, "--store", "st ore", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "error: There is no price store at st ore. Make one with marketimpact fetch, or name another folder "
        "with --store.\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_snapshot_is_listed_and_dropped(tmp_path):
    store = mi.PriceStore(tmp_path / "store")
    source = mi.StoredPrices(mi.FilePrices(mi.SamplePrices().read(["NVDA", "AMD"]).frame), store)
    one, two = (source.read([symbol]).snapshot for symbol in ("NVDA", "AMD"))
    (store.directory / "snapshots" / f"{one}.json").write_text("{}")
    done = marketimpact("store", "ls", "--store", "store", cwd=tmp_path)
    assert done.returncode == 0
    assert two in done.stdout
    assert f"warning: Snapshot {one} is damaged" in done.stderr
    done = marketimpact("run", "--snapshot", str(one), "--store", "store", cwd=tmp_path)
    assert (done.returncode, "is damaged" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    done = marketimpact("store", "prune", "--forget", str(one), "--store", "store", cwd=tmp_path)
    assert "Snapshots dropped: 1; files removed: 0" in done.stdout
    done = marketimpact("store", "verify", "--store", "store", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Every file is whole. Symbols: 2; snapshots: 1.\n")


def test_run_on_a_folder_of_downloads(tmp_path):
    prices = mi.SamplePrices().read(["NVDA", "^GSPC"]).frame
    (tmp_path / "downloads").mkdir()
    for symbol in ("NVDA", "^GSPC"):
        rows = prices.filter(pl.col("symbol") == symbol)
        columns = dict.fromkeys(("Open", "High", "Low", "Close", "Adj Close"), pl.col("close"))
        rows.select(
            pl.col("date").alias("Date"), *(v.alias(k) for k, v in columns.items()), pl.col("volume").alias("Volume")
        ).write_csv(tmp_path / "downloads" / f"{symbol}.csv")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    done = marketimpact("run", "small.toml", "--prices", "downloads", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(pl.read_parquet(tmp_path / "out" / "car.parquet")["symbol"]) == {"NVDA"}


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "out").write_text("a file")
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    done = marketimpact("run", "small.toml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: out cannot be written (")
    assert "choose another folder" in done.stderr


def test_a_study_file_names_repairs(tmp_path):
    prices = mi.SamplePrices().read(["NVDA", "^GSPC"]).frame
    day = prices.filter(pl.col("symbol") == "NVDA")["date"].sort()[600]
    before = (pl.col("symbol") == "NVDA") & (pl.col("date") < day)
    prices.with_columns(pl.when(before).then(pl.col("close") * 10).otherwise("close").alias("close")).write_parquet(
        tmp_path / "prices.parquet"
    )
    text = '[announcements]\nids = ["2025-08-12-beijing-discourages-h20"]\n'
    (tmp_path / "plain.toml").write_text(text)
    (tmp_path / "mended.toml").write_text(text + '[prices]\nrepair = ["copied_closes", "closed_days", "splits"]\n')
    done = {
        name: marketimpact("run", f"{name}.toml", "--prices", "prices.parquet", "--out", name, cwd=tmp_path)
        for name in ("plain", "mended")
    }
    assert {name: run.returncode for name, run in done.items()} == {"plain": 0, "mended": 0}
    assert "a 10-for-1 split" in done["plain"].stderr
    assert "a 10-for-1 split" not in done["mended"].stderr
    plain, mended = (pl.read_parquet(tmp_path / name / "price_repairs.parquet") for name in ("plain", "mended"))
    assert "splits" not in plain["what"]
    assert mended.filter(pl.col("what") == "splits")["symbol"].unique().to_list() == ["NVDA"]
    assert "a split they were not adjusted for" in (tmp_path / "mended" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "wrong.toml").write_text('[prices]\nrepair = ["everything"]\n')
    with pytest.raises(mi.SpecificationError, match=r"wrong.toml, line 2: .*copied_closes, closed_days"):
        read_study(tmp_path / "wrong.toml")


@pytest.mark.parametrize("accept", ['["NVDA"]', '[["NVDA", "June 10"]]', '[["NVDA", 1]]', '"NVDA"'])
def test_a_study_file_with_an_invalid_accepted_step_is_an_error(tmp_path, accept):
    (tmp_path / "wrong.toml").write_text(f"[prices]\naccept = {accept}\n")
    with pytest.raises(mi.SpecificationError, match=r"wrong.toml, line 2: .*pairs of a symbol and a date"):
        read_study(tmp_path / "wrong.toml")


def test_a_study_file_accepts_steps(tmp_path):
    prices = mi.SamplePrices().read(["NVDA", "^GSPC"]).frame
    day = prices.filter(pl.col("symbol") == "NVDA")["date"].sort()[-60]
    before = (pl.col("symbol") == "NVDA") & (pl.col("date") < day)
    stepped = prices.with_columns(pl.when(before).then(pl.col("close") * 10).otherwise("close").alias("close"))
    (tmp_path / "study.toml").write_text(f'[prices]\naccept = [["NVDA", "{day}"]]\n')
    study = read_study(tmp_path / "study.toml")
    assert study.accept == (("NVDA", str(day)),)
    selected = mi.securities().filter(pl.col("symbol") == "NVDA")
    selected.write_csv(tmp_path / "firms.csv")
    (tmp_path / "study.toml").write_text(
        f'[prices]\naccept = [["NVDA", "{day}"]]\n[securities]\nfile = "firms.csv"\n'
        '[announcements]\nids = ["2025-08-12-beijing-discourages-h20"]\n'
    )
    market = read_study(tmp_path / "study.toml").run(mi.FilePrices(stepped)).result.market
    assert f"accepted as real: NVDA on {day}" in market.notes


def test_fetch_needs_something_to_fetch(tmp_path):
    done = marketimpact("fetch", "--store", "store", cwd=tmp_path)
    assert done.returncode == 1
    assert "Nothing to fetch" in done.stderr
    assert "Traceback" not in done.stderr
