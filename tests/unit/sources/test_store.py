"""The price store: stored rows, later fetches, snapshots and faults."""

import errno
import hashlib
import json
import os
import warnings
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import platformdirs
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import marketimpact as mi
from marketimpact.sources.protocol import BARS, price_table, within
from marketimpact.sources.store import stored_prices as stored
from marketimpact.sources.store.files import safe_name
from marketimpact.sources.store.index import Update, dump_index, dump_parquet
from marketimpact.sources.store.layout import FORMAT

DAYS = [date(2024, 1, 1) + timedelta(days=i) for i in range(90) if (date(2024, 1, 1) + timedelta(days=i)).weekday() < 5]
NOW = datetime(2024, 4, 1, 12, tzinfo=UTC)


class Vendor:
    """A source with fixed prices that counts its questions; `failing` symbols have none."""

    start = DAYS[0]

    def __init__(self, symbols=("AMD", "NVDA"), *, scale=1.0, until=DAYS[-1], dividend_on=None, failing=()):
        self.asked, self.failing = [], failing
        rows = [
            (s, d, scale * (100.0 + i + 10 * k), 1e6 + i, 101.0 + i + 10 * k, 0.5 if d == dividend_on else None)
            for k, s in enumerate(symbols)
            for i, d in enumerate(DAYS)
            if d <= until
        ]
        names = ["symbol", "date", "close", "volume", "unadjusted_close", "dividend"]
        self.frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
            pl.col("dividend").cast(pl.Float64), pl.lit(None, pl.Float64).alias("split")
        )

    def read(self, symbols, first=None, last=None):
        self.asked.append((tuple(symbols), first, last))
        held = self.frame.filter(pl.col("symbol").is_in([s for s in symbols if s not in self.failing]))
        listings = pl.DataFrame({"symbol": list(symbols), "currency": "USD", "time_zone": "America/New_York"})
        return price_table(
            within(held, first, last), requested=symbols, source="Vendor()", notes=["A note."], listings=listings
        )


@pytest.fixture(autouse=True)
def today(monkeypatch):
    monkeypatch.setattr(stored, "_now", lambda: NOW)


@pytest.fixture
def store(tmp_path):
    return mi.PriceStore(tmp_path / "prices")


def through(store, vendor, **options):
    return mi.StoredPrices(vendor, store, **options)


def test_what_was_fetched_is_not_requested_again(store):
    vendor = Vendor()
    once = through(store, vendor).read(["NVDA", "AMD"])
    assert vendor.asked == [(("NVDA", "AMD"), DAYS[0], None)]
    again = through(store, vendor).read(["NVDA", "AMD"])
    assert len(vendor.asked) == 1
    assert again.frame.equals(once.frame)
    assert once.frame.equals(vendor.read(["NVDA", "AMD"]).frame)
    assert once.listings.rows() == [("AMD", "USD", "America/New_York"), ("NVDA", "USD", "America/New_York")]
    assert once.outcomes["outcome"].to_list() == ["rows", "rows"]


def test_only_later_sessions_are_requested_with_some_before(store, monkeypatch):
    monkeypatch.setattr(stored, "_now", lambda: datetime(2024, 2, 1, 12, tzinfo=UTC))
    through(store, Vendor(until=date(2024, 1, 31))).read(["NVDA"])
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    vendor = Vendor()
    table = through(store, vendor).read(["NVDA"])
    # five sessions before the end of what was held
    assert vendor.asked == [(("NVDA",), date(2024, 1, 25), None)]
    assert table.frame.equals(Vendor().read(["NVDA"]).frame)


def test_the_current_day_of_the_exchange_is_never_held(store, monkeypatch):
    # two in the morning of the 31st in London is still the 30th in New York
    monkeypatch.setattr(stored, "_now", lambda: datetime(2024, 1, 31, 2, tzinfo=UTC))
    through(store, Vendor(until=date(2024, 1, 29))).read(["NVDA"])
    assert store.symbols()["covered_to"].to_list() == [date(2024, 1, 29)]


@pytest.mark.parametrize("what", ["closes", "dividend"])
def test_adjusted_history_is_fetched_whole(store, monkeypatch, what):
    monkeypatch.setattr(stored, "_now", lambda: datetime(2024, 2, 1, 12, tzinfo=UTC))
    through(store, Vendor(until=date(2024, 1, 31))).read(["NVDA", "AMD"])
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    vendor = Vendor(scale=0.99) if what == "closes" else Vendor(dividend_on=date(2024, 3, 15))
    table = through(store, vendor).read(["NVDA", "AMD"])
    assert vendor.asked[-1] == (("NVDA", "AMD"), DAYS[0], None)
    assert table.frame.equals(vendor.read(["NVDA", "AMD"]).frame)
    assert "NVDA was fetched again: its history has been readjusted since the last fetch." in table.notes


def with_bars(vendor):
    """Give a vendor opens, highs and lows."""
    basis = pl.col("unadjusted_close")
    vendor.frame = vendor.frame.with_columns(open=basis + 1.0, high=basis + 2.0, low=basis - 1.0)
    return vendor


def as_first_format(store):
    """Rewrite a store as the first version of this package wrote it: without opens, highs and lows."""
    entries = []
    for entry in store.index().values():
        path = store.directory / entry.file
        metadata = {k: v for k, v in pl.read_parquet_metadata(path).items() if k != "ARROW:schema"}
        content = dump_parquet(pl.read_parquet(path).drop(BARS), metadata)
        file = path.with_name(f"{hashlib.sha256(content).hexdigest()}.parquet")
        file.write_bytes(content)
        path.unlink()
        entries.append(replace(entry, file=file.relative_to(store.directory).as_posix()))
    (store.directory / "index.json").write_bytes(dump_index(entries))
    (store.directory / "format.json").write_bytes(b'{\n "format": 1\n}')
    for path in (store.directory / "snapshots").iterdir():
        path.unlink()


def test_opens_are_stored_and_exported(store, tmp_path):
    vendor = with_bars(Vendor())
    once = through(store, vendor).read(["NVDA", "AMD"])
    assert once.frame.equals(vendor.read(["NVDA", "AMD"]).frame)
    assert through(store, vendor).read(["NVDA", "AMD"]).frame.equals(once.frame)
    exported = mi.FilePrices(store.export(tmp_path / "prices.csv")).read(["NVDA", "AMD"]).frame
    assert exported.select(once.frame.columns[:5]).equals(once.frame.select(once.frame.columns[:5]))
    assert exported.select(BARS).equals(once.frame.select(BARS))


def test_a_store_of_the_first_format_reads_as_before(store, recwarn):
    before = through(store, Vendor()).read(["NVDA", "AMD"])
    as_first_format(store)
    for source in (None, Vendor()):
        table = mi.StoredPrices(source, store, vendor="Vendor").read(["NVDA", "AMD"])
        assert table.fingerprint == before.fingerprint
        assert table.frame.columns == before.frame.columns
    assert store.verify().is_empty()
    assert json.loads((store.directory / "format.json").read_text())["format"] == FORMAT
    assert not (store.directory / "set_aside").exists()
    assert not recwarn.list


def test_rows_stored_without_opens_are_fetched_again_once_the_source_has_them(store, monkeypatch):
    monkeypatch.setattr(stored, "_now", lambda: datetime(2024, 2, 1, 12, tzinfo=UTC))
    through(store, Vendor(until=date(2024, 1, 31))).read(["NVDA", "AMD"])
    as_first_format(store)
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    vendor = with_bars(Vendor())
    table = through(store, vendor).read(["NVDA", "AMD"])
    assert vendor.asked[-1] == (("NVDA", "AMD"), DAYS[0], None)
    assert table.frame.equals(vendor.read(["NVDA", "AMD"]).frame)
    assert "AMD was fetched again: its stored rows have no opens." in table.notes


def test_earlier_dates_fetch_the_whole_symbol(store):
    vendor = Vendor()
    through(store, vendor).read(["NVDA"], date(2024, 2, 1), date(2024, 2, 10))
    table = through(store, vendor).read(["NVDA"], date(2024, 1, 10), date(2024, 1, 20))
    assert vendor.asked[-1] == (("NVDA",), date(2024, 1, 10), date(2024, 2, 10))
    assert table.frame["date"].min() == date(2024, 1, 10)
    assert table.frame["date"].max() == date(2024, 1, 19)


def test_a_snapshot_gives_the_same_rows_whatever_came_later(store, monkeypatch):
    monkeypatch.setattr(stored, "_now", lambda: datetime(2024, 2, 1, 12, tzinfo=UTC))
    before = through(store, Vendor(until=date(2024, 1, 31))).read(["NVDA", "AMD"])
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    after = through(store, Vendor(scale=0.98)).read(["NVDA", "AMD"])
    pinned = mi.StoredPrices(store=store, snapshot=before.snapshot[:6]).read(["NVDA", "AMD"])
    assert after.snapshot != before.snapshot
    for name in ("fingerprint", "source", "notes", "missing", "snapshot"):
        assert getattr(pinned, name) == getattr(before, name)
    assert pinned.frame.equals(before.frame)
    assert f"snapshot {before.snapshot}" in before.source
    assert store.snapshots()["snapshot"].to_list() == sorted([before.snapshot, after.snapshot])


def test_a_snapshot_says_what_it_does_not_hold(store):
    made = through(store, Vendor()).read(["NVDA"], date(2024, 1, 10), date(2024, 1, 20))
    pinned = mi.StoredPrices(store=store, snapshot=made.snapshot)
    wider = pinned.read(["NVDA", "AMD"])
    assert wider.missing == ("AMD",)
    assert "Not in the snapshot: 'AMD'." in wider.notes
    assert any("2024-01-10 to 2024-01-20" in note for note in wider.notes)
    with pytest.raises(mi.SourceError, match="holds no prices of 'AMD'; it holds 'NVDA'"):
        pinned.read(["AMD"])
    with pytest.raises(mi.SpecificationError, match="no snapshot is called 'ffffffff'"):
        mi.StoredPrices(store=store, snapshot="ffffffff").read(["NVDA"])
    with pytest.raises(mi.SpecificationError, match=r"no snapshot is called '\.\./x'"):
        mi.StoredPrices(store=store, snapshot="../x").read(["NVDA"])
    with pytest.raises(mi.SpecificationError, match="reads stored prices only"):
        mi.StoredPrices(Vendor(), store, snapshot=made.snapshot)


def test_failures_are_reported_and_stored_prices_used(store, monkeypatch):
    monkeypatch.setattr(stored, "_now", lambda: datetime(2024, 2, 1, 12, tzinfo=UTC))
    through(store, Vendor(until=date(2024, 1, 31))).read(["NVDA", "AMD"])
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    table = through(store, Vendor(failing=["NVDA"])).read(["NVDA", "AMD", "XYZ"])
    assert table.missing == ("XYZ",)
    assert "Could not be updated, so as stored: 'NVDA'." in table.notes
    assert table.frame.filter(pl.col("symbol") == "NVDA")["date"].max() == date(2024, 1, 31)
    assert table.frame.filter(pl.col("symbol") == "AMD")["date"].max() == DAYS[-1]
    assert dict(table.outcomes.select("symbol", "outcome").iter_rows()) == {
        "NVDA": "none",
        "AMD": "rows",
        "XYZ": "none",
    }


def test_offline_there_is_what_was_fetched(store):
    with pytest.raises(mi.SourceError, match="holds no prices of 'NVDA' from Vendor"):
        mi.StoredPrices(store=store, vendor="Vendor").read(["NVDA"])
    through(store, Vendor()).read(["NVDA"])
    assert mi.StoredPrices(store=store, vendor="Vendor").read(["NVDA"], last=date(2024, 3, 1)).frame.height == 45
    assert (
        "Stored only up to a day before 2024-12-31: 'NVDA'."
        in mi.StoredPrices(store=store, vendor="Vendor").read(["NVDA"], last=date(2024, 12, 31)).notes
    )


def test_vendors_are_kept_apart(store):
    class Other(Vendor):
        pass

    through(store, Vendor()).read(["NVDA"])
    other = Other(scale=2.0)
    table = through(store, other).read(["NVDA"])
    assert other.asked
    assert table.frame["close"].to_list() == [2 * close for close in Vendor().read(["NVDA"]).frame["close"]]
    with pytest.raises(mi.DataError, match="More than one vendor"):
        store.export(store.directory / "all.parquet")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_is_read_by_file_prices(store, tmp_path, ending):
    table = through(store, Vendor(dividend_on=DAYS[5])).read(["NVDA", "AMD"])
    path = store.export(tmp_path / f"prices.{ending}")
    read = mi.FilePrices(path).read(["NVDA", "AMD"])
    assert read.frame.select("symbol", "date", "close", "volume").equals(
        table.frame.select("symbol", "date", "close", "volume")
    )
    with pytest.raises(mi.DataError, match="holds no prices of 'XYZ'"):
        store.export(tmp_path / "x.csv", ["XYZ"])


def test_prune_keeps_what_a_snapshot_needs(store):
    first = through(store, Vendor()).read(["NVDA"])
    store.commit("Vendor", [changed(Vendor(scale=3.0))])
    assert store.prune() == 0
    assert store.verify().is_empty()
    store.forget(first.snapshot)
    assert store.prune() == 1
    assert store.symbols()["symbol"].to_list() == ["NVDA"]


def changed(vendor, symbol="NVDA"):
    rows = stored._store_rows(vendor.read([symbol]))
    return Update(symbol, rows, DAYS[0], DAYS[-1], replaces=True)


# --- damage -----------------------------------------------------------------------------------------


def only_file(store):
    return next((store.directory / "prices").glob("*/*/*.parquet"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_cut_file_is_set_aside_and_fetched_again(store, share):
    whole = through(store, Vendor()).read(["NVDA"])
    path = only_file(store)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert store.verify().row(0)[:2] == ("current", "NVDA")
    vendor = Vendor()
    with pytest.warns(mi.MarketImpactWarning, match="stored prices of NVDA are damaged.*set aside"):
        again = through(store, vendor).read(["NVDA"])
    assert vendor.asked
    assert again.frame.equals(whole.frame)
    assert len(list((store.directory / "set_aside").iterdir())) == 1


@pytest.mark.parametrize("at", [0, 4, 100, 500, -5, -1])
def test_a_flipped_bit_is_never_used(store, at):
    through(store, Vendor()).read(["NVDA"])
    path = only_file(store)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(mi.DataError, match="damaged"):
        mi.StoredPrices(store=store, vendor="Vendor").read(["NVDA"])


def test_a_file_that_is_gone_is_fetched_again(store):
    through(store, Vendor()).read(["NVDA"])
    only_file(store).unlink()
    assert store.verify()["problem"].to_list()[0].startswith("are gone")
    vendor = Vendor()
    with pytest.warns(mi.MarketImpactWarning, match="are gone"):
        through(store, vendor).read(["NVDA"])
    assert vendor.asked


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"series": [{"symbol": 1}]}', b"\x00\xff"])
def test_a_damaged_index_is_made_anew_from_the_files(store, content):
    whole = through(store, Vendor()).read(["NVDA", "AMD"])
    held = store.symbols()
    (store.directory / "index.json").write_bytes(content)
    with pytest.warns(mi.MarketImpactWarning, match="index of the price store was damaged"):
        assert store.symbols().equals(held)
    vendor = Vendor()
    assert through(store, vendor).read(["NVDA", "AMD"]).frame.equals(whole.frame)
    assert not vendor.asked


def test_a_damaged_snapshot_is_refused(store):
    made = through(store, Vendor()).read(["NVDA"])
    path = store.directory / "snapshots" / f"{made.snapshot}.json"
    path.write_text(path.read_text().replace("NVDA", "NVDB"))
    with pytest.raises(mi.DataError, match="does not match its name"):
        mi.StoredPrices(store=store, snapshot=made.snapshot).read(["NVDA"])
    assert store.verify()["what"].to_list() == ["snapshot"]


def test_a_store_of_a_newer_version_is_refused_with_advice(store):
    through(store, Vendor()).read(["NVDA"])
    (store.directory / "format.json").write_text(json.dumps({"format": FORMAT + 1}))
    for ask in (lambda: through(store, Vendor()).read(["NVDA"]), store.symbols, store.verify, store.prune):
        with pytest.raises(mi.DataError, match=r"newer version.*Upgrade marketimpact"):
            ask()


def test_a_store_of_a_newer_version_gives_no_snapshot_either(store):
    name = through(store, Vendor()).read(["NVDA"]).snapshot
    (store.directory / "format.json").write_text(json.dumps({"format": FORMAT + 1}))
    for ask in (lambda: mi.StoredPrices(store=store, snapshot=name).read(["NVDA"]), store.snapshots):
        with pytest.raises(mi.DataError, match=r"newer version.*Upgrade marketimpact"):
            ask()


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'{"format": "one"}', b"\xff"])
def test_a_damaged_format_is_set_aside_and_made_anew(store, content):
    through(store, Vendor()).read(["NVDA"])
    path = store.directory / "format.json"
    path.write_bytes(content)
    assert store.verify()["what"].to_list() == ["format"]
    with pytest.warns(mi.MarketImpactWarning, match=r"format\.json .* set aside"):
        through(store, Vendor()).read(["NVDA"])
    assert json.loads(path.read_bytes()) == {"format": FORMAT}
    assert store.verify().is_empty()
    assert [p.read_bytes() for p in (store.directory / "set_aside").iterdir()] == [content]


def test_an_index_that_is_json_but_not_ours_is_not_believed(store):
    """A date changed in place: all would count as held for seventy years."""
    through(store, Vendor()).read(["NVDA"])
    index = store.directory / "index.json"
    index.write_bytes(index.read_bytes().replace(b"2024-03", b"2094-03"))
    assert store.verify()["what"].to_list() == ["index"]
    with pytest.warns(mi.MarketImpactWarning, match="index of the price store was damaged"):
        assert store.symbols()["covered_to"].item().year == 2024


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_bit_of_any_file_never_gives_other_prices(tmp_path_factory, data):
    store, vendor = mi.PriceStore(tmp_path_factory.mktemp("bits") / "prices"), Vendor()
    good = through(store, vendor).read(["AMD", "NVDA"])
    files = sorted(p for p in store.directory.rglob("*") if p.is_file() and p.name != "lock")
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        for source in (
            mi.StoredPrices(store=store, snapshot=good.snapshot),
            mi.StoredPrices(store=store, vendor="Vendor"),
            through(store, vendor),
        ):
            try:
                got = source.read(["AMD", "NVDA"])
            except (mi.DataError, mi.SourceError, mi.SpecificationError) as error:
                assert str(error)
            else:
                assert got.frame.equals(good.frame)


def test_a_damaged_snapshot_does_not_hide_the_others_and_can_be_dropped(store):
    one, two = (through(store, Vendor()).read([symbol]).snapshot for symbol in ("NVDA", "AMD"))
    (store.directory / "snapshots" / f"{one}.json").write_text("{}")
    with pytest.warns(mi.MarketImpactWarning, match=f"{one} is damaged"):
        listed = store.snapshots()
    assert set(listed["snapshot"]) == {one, two}
    assert listed.filter(pl.col("snapshot") == one)["vendor"].item() is None
    with pytest.raises(mi.DataError, match=f"prune --forget {one}"):
        store.prune()
    store.forget(one)
    assert store.prune() == 0
    assert store.verify().is_empty()


def test_a_damaged_snapshot_is_made_again_by_the_same_reading(store):
    name = through(store, Vendor()).read(["NVDA"]).snapshot
    path = store.directory / "snapshots" / f"{name}.json"
    path.write_text("{}")
    with pytest.warns(mi.MarketImpactWarning, match="written again"):
        assert through(store, Vendor()).read(["NVDA"]).snapshot == name
    assert mi.StoredPrices(store=store, snapshot=name).read(["NVDA"]).snapshot == name


@pytest.mark.parametrize("name", ["index.json", "format.json"])
def test_what_cannot_be_read_is_an_error_that_says_so(store, name):
    through(store, Vendor()).read(["NVDA"])
    (store.directory / name).unlink()
    (store.directory / name).mkdir()
    for ask in (store.symbols, store.verify, lambda: through(store, Vendor()).read(["NVDA"])):
        with pytest.raises(mi.DataError, match=f"{name} cannot be read"):
            ask()


def test_a_store_that_is_a_file_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("mine")
    store = mi.PriceStore(tmp_path / "file")
    for ask in (store.symbols, store.verify, lambda: through(store, Vendor()).read(["NVDA"])):
        with pytest.raises(mi.DataError, match=r"cannot be (read|locked)"):
            ask()
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["index.json", "prices.csv"])
def test_a_folder_of_other_files_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    for ask in (mi.PriceStore(tmp_path).symbols, lambda: through(mi.PriceStore(tmp_path), Vendor()).read(["NVDA"])):
        with pytest.raises(mi.DataError, match="no price store"):
            ask()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine")]


def test_an_index_that_names_files_outside_moves_nothing(store, tmp_path):
    """A store from somebody else, made so that reading it would move a file of the reader's."""
    through(store, Vendor()).read(["NVDA"])
    mine = tmp_path / f"{'0' * 64}.parquet"
    mine.write_text("mine")
    entry = replace(next(iter(store.index().values())), file=f"prices/../../{mine.name}")
    (store.directory / "index.json").write_bytes(dump_index([entry]))
    with pytest.warns(mi.MarketImpactWarning, match="names a file outside"):
        through(store, Vendor()).read(["NVDA"])
    assert mine.read_text() == "mine"
    manifest = {"vendor": "Vendor", "asked": ["NVDA"], "files": {"NVDA": entry.file}, "missing": [], "notes": [],
                "first": None, "last": None}  # fmt: skip
    with pytest.raises(mi.DataError, match="not where the store keeps its files"):
        mi.StoredPrices(store=store, snapshot=store.pin(manifest)).read(["NVDA"])


def test_a_snapshot_is_read_from_a_folder_that_cannot_be_written(store, monkeypatch):
    good = through(store, Vendor()).read(["NVDA"])

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    for place in ("filelock.FileLock.acquire", "pathlib.Path.mkdir", "pathlib.Path.replace"):
        monkeypatch.setattr(place, refused)
    assert mi.StoredPrices(store=store, snapshot=good.snapshot).read(["NVDA"]).frame.equals(good.frame)
    assert store.verify().is_empty()
    with pytest.raises(mi.DataError, match="cannot be locked"):
        through(store, Vendor()).read(["AMD"])


# --- clocks -----------------------------------------------------------------------------------------


def test_prices_fetched_by_a_clock_that_was_ahead_are_fetched_again(store, monkeypatch):
    """A year ahead: all would count as held until then, and its rows as the later ones."""
    monkeypatch.setattr(stored, "_now", lambda: NOW + timedelta(days=365))
    through(store, Vendor(until=DAYS[40])).read(["NVDA"])
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    right = Vendor(scale=0.5)
    table = through(store, right).read(["NVDA"])
    assert table.frame.equals(Vendor(scale=0.5).read(["NVDA"]).frame)
    assert any("fetch time is later than now" in note for note in table.notes)
    assert store.symbols()["fetched_at"].item() == NOW
    through(store, right).read(["NVDA"])
    assert len(right.asked) == 1


def test_a_clock_that_goes_back_a_little_changes_no_order(store, monkeypatch):
    """Adjusted history fetched a minute "before" what is held still replaces it, and a tail joins it."""
    through(store, Vendor(until=DAYS[40])).read(["NVDA"], DAYS[0], DAYS[40])
    monkeypatch.setattr(stored, "_now", lambda: NOW - timedelta(minutes=1))
    table = through(store, Vendor(scale=0.5)).read(["NVDA"], DAYS[0], DAYS[-1])
    assert table.frame.equals(Vendor(scale=0.5).read(["NVDA"]).frame)


def test_of_two_writers_at_once_the_later_fetch_wins(store):
    """Both fetched when the same file was stored; the first to fetch commits last."""
    through(store, Vendor(until=DAYS[40])).read(["NVDA"], DAYS[0], DAYS[40])
    base = store.symbols()["file"].item()
    early = stored._store_rows(Vendor().read(["NVDA"])).with_columns(fetched_at=pl.lit(NOW + timedelta(seconds=1)))
    late = stored._store_rows(Vendor(scale=0.5).read(["NVDA"])).with_columns(
        fetched_at=pl.lit(NOW + timedelta(seconds=2))
    )
    for rows in (late, early):
        store.commit("Vendor", [Update("NVDA", rows, DAYS[0], DAYS[-1], replaces=True, base=base)])
    closes = store.series(store.symbols()["file"].item())["close"]
    assert closes.equals(Vendor(scale=0.5).read(["NVDA"]).frame["close"])


@pytest.mark.parametrize(
    ("until", "covered"),
    [
        (date(2024, 3, 29), date(2024, 3, 31)),  # Friday's close is there; Saturday and Sunday have none
        (date(2024, 3, 28), date(2024, 3, 28)),  # Friday's is late
        (date(2024, 3, 27), date(2024, 3, 27)),
        (date(2024, 3, 15), date(2024, 3, 31)),  # no close for two weeks: a suspension, not a delay
    ],
)
def test_a_late_close_is_requested_again(store, until, covered):
    vendor = Vendor(until=until)
    through(store, vendor).read(["NVDA"])
    assert store.symbols()["covered_to"].item() == covered
    through(store, vendor).read(["NVDA"])
    assert len(vendor.asked) == (1 if covered == date(2024, 3, 31) else 2)
    complete = through(store, Vendor()).read(["NVDA"]).frame["date"].max()
    assert complete == (until if covered == date(2024, 3, 31) else date(2024, 3, 29))


def test_a_reading_that_gives_nothing_leaves_no_snapshot(store):
    through(store, Vendor()).read(["NVDA"])
    before = store.snapshots()
    with pytest.raises(mi.SourceError, match="on the requested dates"):
        through(store, Vendor()).read(["NVDA"], date(2030, 1, 1))
    assert store.snapshots().equals(before)


def test_a_full_disk_is_not_kept_full(store, monkeypatch):
    """Files of a write that failed half-way are taken back."""
    through(store, Vendor()).read(["NVDA"])
    before = sorted(store.directory.rglob("*.parquet"))
    refuse(monkeypatch, "write", 3)
    with pytest.raises(mi.DataError, match="No space left"):
        through(store, Vendor(("NVDA", "AMD", "INTC", "MU"))).read(["AMD", "INTC", "MU"])
    assert sorted(store.directory.rglob("*.parquet")) == before


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir"])
@pytest.mark.parametrize("nth", [1, 2, 3, 5])
def test_a_full_disk_leaves_the_store_as_it_was(store, monkeypatch, call, nth):
    """Every step of a write refuses in turn, as a full disk does."""
    through(store, Vendor()).read(["NVDA"])
    before = store.symbols()
    refuse(monkeypatch, call, nth)
    try:
        through(store, Vendor(("NVDA", "AMD", "INTC", "MU"))).read(["AMD", "INTC", "MU"])
    except mi.DataError as error:
        assert "No space left" in str(error)
        assert "intact" in str(error)
    monkeypatch.undo()
    monkeypatch.setattr(stored, "_now", lambda: NOW)
    assert store.verify().is_empty()
    now = store.symbols()
    assert set(before["file"]) <= set(now["file"])
    assert not list(store.directory.rglob(".*unfinished"))
    table = through(store, Vendor(("NVDA", "AMD", "INTC", "MU"))).read(["NVDA", "AMD", "INTC", "MU"])
    assert table.frame["symbol"].n_unique() == 4


def refuse(monkeypatch, call, nth):
    """Make the nth call of one kind fail with ENOSPC."""
    count = [0]

    def full(original):
        def wrapped(*args, **options):
            count[0] += 1
            if count[0] == nth:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args, **options)

        return wrapped

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full(os.fsync))
    elif call == "rename":
        monkeypatch.setattr(Path, "replace", full(Path.replace))
    elif call == "mkdir":
        monkeypatch.setattr("marketimpact.sources.store.files._sync_directory", full(lambda _: None))
    else:
        original = Path.open

        def opened(self, mode="r", *args, **options):
            file = original(self, mode, *args, **options)
            if mode == "wb":
                file_write = file.write

                class Full:
                    def __enter__(self):
                        return self

                    def __exit__(self, *_):
                        file.close()

                    write = staticmethod(full(file_write))
                    flush = staticmethod(file.flush)
                    fileno = staticmethod(file.fileno)

                return Full()
            return file

        monkeypatch.setattr(Path, "open", opened)


# --- names ------------------------------------------------------------------------------------------

NAMES = [
    "../../x",
    "..",
    ".",
    "a/b",
    "a\\b",
    "CON",
    "x" * 500,
    "a\0b",
    "ÄÖ中",
    "AbC",
    "ABC",
    "abc",
    " ",
    "-rf",
    "~",
    "\ud800",
]


def test_names_stay_inside_the_directory_and_apart(tmp_path):
    names = [safe_name(name) for name in NAMES]
    assert len({name.lower() for name in names}) == len(NAMES)
    for name in names:
        path = (tmp_path / name).resolve()
        assert path.parent == tmp_path.resolve()
        path.write_text("x")
        assert len(name) < 100


@pytest.mark.parametrize("name", ["../../x", "a/b", "CON", "x" * 500, "ÄÖ中", "a\0b", "<script>"])
def test_any_symbol_can_be_kept(store, tmp_path, name):
    table = through(store, Vendor((name, "NVDA"))).read([name, "NVDA"])
    assert table.missing == ()
    assert set(store.symbols()["symbol"]) == {name, "NVDA"}
    assert {p.name for p in tmp_path.iterdir()} == {"prices"}
    assert store.verify().is_empty()


# --- laws -------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asks=st.lists(
        st.tuples(st.sets(st.sampled_from(["AMD", "NVDA"]), min_size=1), st.integers(0, 60), st.integers(0, 60)),
        min_size=1,
        max_size=6,
    )
)
def test_any_order_of_asking_gives_what_the_vendor_has(tmp_path_factory, asks):
    store, vendor = mi.PriceStore(tmp_path_factory.mktemp("store")), Vendor()
    for symbols, a, b in asks:
        first, last = DAYS[min(a, b)], DAYS[max(a, b)]
        got = through(store, vendor).read(sorted(symbols), first, last)
        assert got.frame.equals(Vendor().read(sorted(symbols), first, last).frame)
    assert store.verify().is_empty()


def test_rows_of_two_writers_are_united(store):
    early = stored._store_rows(Vendor(until=DAYS[30]).read(["NVDA"]))
    late = stored._store_rows(Vendor().read(["NVDA"], DAYS[25], DAYS[50]))
    store.commit("Vendor", [Update("NVDA", early, DAYS[0], DAYS[30], replaces=True)])
    store.commit("Vendor", [Update("NVDA", late, DAYS[25], DAYS[50], replaces=False)])
    row = store.symbols().row(0, named=True)
    assert (row["rows"], row["covered_from"], row["covered_to"]) == (51, DAYS[0], DAYS[50])


def test_the_default_place_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / name)
    store = mi.PriceStore()
    assert store.directory == tmp_path / "marketimpact" / "prices"
    assert store.symbols().is_empty()
    assert repr(store) == "PriceStore()"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.verify().is_empty()


def test_simulated_prices_are_not_kept_among_real_ones(store):
    with pytest.raises(mi.SpecificationError, match="simulated prices"):
        through(store, mi.SamplePrices()).read(["NVDA"])


# --- what stays of several files, stretches and notes --------------------------------------------------


def closes_at(store):
    return store.series(store.symbols()["file"].item())["close"].to_list()


def test_an_index_made_anew_takes_the_later_fetch_not_the_longer_history(store, monkeypatch):
    """A snapshot keeps the older, longer file beside the newer one, in whichever order the files come."""
    for hours in (1, 2, 3, 4):  # names of files are hashes: of several pairs some are sorted either way
        own = mi.PriceStore(store.directory / str(hours))
        monkeypatch.setattr(stored, "_now", lambda hours=hours: NOW - timedelta(hours=hours))
        through(own, Vendor()).read(["NVDA"])
        base = own.symbols()["file"].item()
        monkeypatch.setattr(stored, "_now", lambda: NOW)
        newer = stored._store_rows(Vendor(scale=0.5, until=DAYS[20]).read(["NVDA"]))
        own.commit("Vendor", [Update("NVDA", newer, DAYS[0], DAYS[20], replaces=True, base=base)])
        held, file = closes_at(own), own.symbols()["file"].item()
        assert file != base
        assert len(held) == 21
        assert len(list((own.directory / "prices").glob("*/*/*.parquet"))) == 2
        (own.directory / "index.json").write_bytes(b"{")
        with pytest.warns(mi.MarketImpactWarning, match="index of the price store was damaged"):
            assert own.symbols()["file"].item() == file
        assert closes_at(own) == held


def test_of_files_fetched_at_once_the_longer_one_is_taken(store):
    through(store, Vendor()).read(["NVDA"], DAYS[30], DAYS[40])
    through(store, Vendor()).read(["NVDA"], DAYS[10], DAYS[40])
    file = store.symbols()["file"].item()
    assert len(list((store.directory / "prices").glob("*/*/*.parquet"))) == 2
    (store.directory / "index.json").write_bytes(b"")
    with pytest.warns(mi.MarketImpactWarning, match="index of the price store was damaged"):
        assert store.symbols()["file"].item() == file


@pytest.mark.parametrize("replaces", [True, False])
def test_notes_of_rows_that_no_longer_hold_go_with_them(store, replaces):
    rows = stored._store_rows(Vendor().read(["NVDA"]))
    store.commit("Vendor", [Update("NVDA", rows, DAYS[0], DAYS[-1], replaces=False, notes=("old", "both"))])
    store.commit("Vendor", [Update("NVDA", rows, DAYS[0], DAYS[-1], replaces=replaces, notes=("both", "new"))])
    (entry,) = store.index().values()
    assert entry.notes == (("both", "new") if replaces else ("old", "both", "new"))


@pytest.mark.parametrize(
    ("held", "new", "covered"),
    [
        ((1, 10), (20, 30), (20, 30)),
        ((20, 30), (1, 10), (20, 30)),
        ((1, 10), (12, 20), (12, 20)),
        ((1, 10), (11, 20), (1, 20)),
        ((11, 20), (1, 10), (1, 20)),
        ((1, 20), (5, 10), (1, 20)),
        ((5, 10), (1, 20), (1, 20)),
    ],
)
@pytest.mark.parametrize("replaces", [False, True])
def test_covered_is_one_stretch_and_of_two_the_later(store, held, new, covered, replaces):
    """Days of January 2024: stretches that meet are one, of two with a day between them the later one counts."""
    rows = stored._store_rows(Vendor().read(["NVDA"]))
    for (first, last), anew in ((held, False), (new, replaces)):
        begin, end = date(2024, 1, first), date(2024, 1, last)
        part = rows.filter(pl.col("date").is_between(begin, end))
        store.commit("Vendor", [Update("NVDA", part, begin, end, replaces=anew)])
    want = new if replaces else covered
    assert store.symbols().select("covered_from", "covered_to").row(0) == tuple(date(2024, 1, day) for day in want)
