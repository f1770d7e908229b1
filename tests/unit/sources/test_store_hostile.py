"""A price store from elsewhere: JSON of every type, links, pipes, folders and names that are not its own."""

import hashlib
import io
import json
import os
import threading
import warnings
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from typer.testing import CliRunner

import marketimpact as mi
from marketimpact.cli import app
from marketimpact.sources.protocol import price_table, within
from marketimpact.sources.store import stored_prices as stored
from marketimpact.sources.store.index import SERIES, Update

DAYS = [date(2024, 1, 1) + timedelta(days=day) for day in range(30)]
HOSTILE = [None, True, 0, -1, 1.5, 1e400, 10**30, "", "x", "\ud800", "a\0b", "../../x", "2024-13-01", "20240101",
           "9999-12-31", "Mars/Base", "America", [], [1], ["x"], [["x"]], {}, {"a": 1}]  # fmt: skip


class Vendor:
    """Two symbols with a close on each of thirty days."""

    def __init__(self):
        rows = [(symbol, day, 100.0 + day.day) for symbol in ("AMD", "NVDA") for day in DAYS]
        self.frame = pl.DataFrame(rows, schema=["symbol", "date", "close"], orient="row")
        self.frame = self.frame.with_columns(pl.lit(None, pl.Float64).alias("volume"))

    def read(self, symbols, first=None, last=None):
        rows = within(self.frame.filter(pl.col("symbol").is_in(list(symbols))), first, last)
        listings = pl.DataFrame({"symbol": list(symbols), "currency": "USD", "time_zone": "America/New_York"})
        return price_table(rows, requested=symbols, source="Vendor()", listings=listings)


@pytest.fixture
def store(tmp_path):
    return mi.PriceStore(tmp_path / "store")


@pytest.fixture
def snapshot(store):
    return mi.StoredPrices(Vendor(), store).read(["NVDA", "AMD"], DAYS[0], DAYS[-1]).snapshot


def doors(store, snapshot, folder):
    """Every way to use a store."""
    return [
        store.symbols,
        store.snapshots,
        store.verify,
        lambda: store.export(folder / "out.csv"),
        lambda: store.manifest(snapshot),
        lambda: mi.StoredPrices(store=store, snapshot=snapshot).read(["NVDA"]),
        lambda: mi.StoredPrices(store=store, vendor="Vendor").read(["NVDA", "AMD"], DAYS[0], DAYS[-1]),
        lambda: mi.StoredPrices(Vendor(), store).read(["NVDA", "AMD"], DAYS[0], DAYS[-1]),
        store.prune,
        lambda: store.forget(snapshot),
    ]


def walk(store, snapshot, folder):
    """Go through every door: an answer with the right closes, a warning, or an error of the package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mi.MarketImpactWarning)
        for door in doors(store, snapshot, folder):
            try:
                answer = door()
            except (mi.DataError, mi.SourceError, mi.SpecificationError) as error:
                assert str(error)
                continue
            if isinstance(answer, mi.sources.PriceTable):
                assert answer.frame.select(pl.col("close") - pl.col("date").dt.day() == 100.0).to_series().all()


def places(content, path=()):
    """Every place in JSON, as keys from the top."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs):
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(content, path, value):
    copy = deepcopy(content)
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copy


def as_written(content):
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_an_index_with_a_right_hash_and_wrong_types_costs_no_prices(store, snapshot, tmp_path):
    path = store.directory / "index.json"
    first, *others = json.loads(path.read_bytes())["series"]
    for place in places({"first": first}):
        for value in HOSTILE:
            series = [changed({"first": first}, place, value)["first"], *others]
            path.write_bytes(as_written({"series": series, "sha256": sha(as_written(series))}))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", mi.MarketImpactWarning)
                assert store.symbols().height == 2, (place, value)
    assert mi.StoredPrices(Vendor(), store).read(["NVDA", "AMD"], DAYS[0], DAYS[-1]).frame.height == 60


@pytest.mark.parametrize(
    "place", ["symbol", "vendor", "file", "covered_to", "fetched_at", "time_zone", "rows", "notes"]
)
def test_an_index_with_a_wrong_field_costs_no_prices(store, snapshot, place):
    path = store.directory / "index.json"
    first, *others = json.loads(path.read_bytes())["series"]
    for value in HOSTILE:
        series = [first | {place: value}, *others]
        path.write_bytes(as_written({"series": series, "sha256": sha(as_written(series))}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mi.MarketImpactWarning)
            table = mi.StoredPrices(Vendor(), store).read(["NVDA", "AMD"], DAYS[0], DAYS[-1])
        assert table.frame.height == 60, value


@pytest.mark.parametrize("value", HOSTILE)
def test_an_index_of_any_type_is_made_anew(store, snapshot, tmp_path, value):
    for content in (value, {"series": value, "sha256": sha(as_written(value))}, {"sha256": value, "series": []}):
        (store.directory / "index.json").write_bytes(as_written(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mi.MarketImpactWarning)
            assert store.symbols().height in {0, 2}
    walk(store, snapshot, tmp_path)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_snapshot_with_a_right_name_and_wrong_types_is_refused_or_right(store, snapshot, tmp_path, value):
    good = store.manifest(snapshot)
    contents = [value, {}, *(changed(good, place, value) for place in places(good))]
    for content in contents:
        written = as_written(content)
        name = sha(written)[:16]
        (store.directory / "snapshots" / f"{name}.json").write_bytes(written)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mi.MarketImpactWarning)
            assert name in store.snapshots()["snapshot"]
            store.verify()
            for door in (mi.StoredPrices(store=store, snapshot=name).read, lambda _: store.prune()):
                try:
                    door(["NVDA"])
                except (mi.DataError, mi.SourceError) as error:
                    assert str(error)
            mi.StoredPrices(Vendor(), store).read(["NVDA"], DAYS[0], DAYS[-1])
        store.forget(name)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_format_of_any_type_is_written_again_or_refused(store, snapshot, tmp_path, value):
    for content in (value, {"format": value}):
        (store.directory / "format.json").write_bytes(as_written(content))
        walk(store, snapshot, tmp_path)
        mi.PriceStore(store.directory)


@pytest.mark.parametrize("name", ["index.json", "format.json"])
def test_json_nested_without_end_is_damaged(store, snapshot, tmp_path, name):
    (store.directory / name).write_bytes(b"[" * 99_999)
    walk(store, snapshot, tmp_path)


def test_a_data_file_with_a_right_hash_and_other_content_is_fetched_again(store, snapshot):
    rows = pl.read_parquet(next(iter(store.directory.glob("prices/*/NVDA-*/*.parquet"))))
    other = io.BytesIO()
    rows.drop("close").write_parquet(other)
    for content in (b"", b"PAR1", b"PAR1" * 9, b"text", other.getvalue()):
        entry = json.loads((store.directory / "index.json").read_bytes())["series"][0]
        file = f"{entry['file'].rpartition('/')[0]}/{sha(content)}.parquet"
        (store.directory / file).write_bytes(content)
        series = [entry | {"file": file}]
        (store.directory / "index.json").write_bytes(as_written({"series": series, "sha256": sha(as_written(series))}))
        assert store.verify().height == 1
        with pytest.warns(mi.MarketImpactWarning, match="not as this package writes them"):
            assert mi.StoredPrices(Vendor(), store).read(["AMD"], DAYS[0], DAYS[-1]).frame.height == 30


@pytest.mark.parametrize("zone", ["Mars/Base", "", "America", "\0", "../../etc"])
def test_a_time_zone_that_is_none_stops_no_fetch(store, zone):
    class Source(Vendor):
        def read(self, symbols, first=None, last=None):
            table = super().read(symbols, first, last)
            return price_table(
                table.frame, requested=symbols, source="S", listings=table.listings.with_columns(time_zone=pl.lit(zone))
            )

    for last in (DAYS[9], DAYS[-1]):
        assert mi.StoredPrices(Source(), store).read(["NVDA"], DAYS[0], last).frame["date"].max() == last


OUTSIDE = ["prices", "snapshots", "index.json", "format.json", "set_aside", "lock", "prices/*", "prices/*/*",
           "prices/*/*/*", "snapshots/*"]  # fmt: skip


@pytest.mark.parametrize("pattern", OUTSIDE)
@pytest.mark.parametrize("kind", ["link", "dead link", "folder", "pipe", "file"])
def test_what_stands_in_the_place_of_a_file_of_the_store_is_not_touched(store, snapshot, tmp_path, pattern, kind):
    outside = tmp_path / "outside"
    path = sorted(store.directory.glob(pattern))[0] if "*" in pattern else store.directory / pattern
    content = path.rename(outside) if path.exists() else outside
    if not content.exists():
        content.mkdir()
    before = {file: file.read_bytes() for file in [outside, *outside.rglob("*")] if file.is_file()}
    {
        "link": lambda: path.symlink_to(outside),
        "dead link": lambda: path.symlink_to(tmp_path / "nothing"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "file": lambda: path.write_bytes(b"mine"),
    }[kind]()
    walk(store, snapshot, tmp_path)
    assert {file: file.read_bytes() for file in before} == before
    assert not (tmp_path / "nothing").exists()


def test_prune_removes_only_its_own_names_and_follows_no_link(store, snapshot, tmp_path):
    other = store.directory / "prices" / "mine"
    names = ["a\nb.json", f"{'0' * 16}.json\n", "notes.json", f"{'0' * 15}g.json"]
    mine = [store.directory / "snapshots" / name for name in names]
    mine += [other / "x" / f"{'0' * 64}.parquet", store.directory / ".x.unfinished", other / ".y.00000000.unfinished"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / f"{'1' * 64}.parquet").write_text("mine")
    (outside / ".z.00000000.unfinished").write_text("mine")
    symbol = next(store.directory.glob("prices/*/NVDA-*"))
    (symbol.parent / f"AMD-{'0' * 12}").symlink_to(outside)
    (symbol / f"{'2' * 64}.parquet").symlink_to(outside / f"{'1' * 64}.parquet")
    (symbol / f"{'3' * 64}.parquet").mkdir()
    (store.directory / "snapshots" / f"{'4' * 16}.json").symlink_to(mine[0])
    (symbol / f"{'5' * 64}.parquet").write_text("unused")
    assert store.prune() == 1
    assert all(path.read_text() == "mine" for path in [*mine, *outside.iterdir()])
    assert store.snapshots()["snapshot"].to_list() == [snapshot]
    assert set(store.verify()["what"]) == {"link"}
    with pytest.raises(mi.SpecificationError, match="no snapshot is called"):
        store.forget("4" * 16)


@pytest.mark.parametrize("command", [["ls"], ["verify"], ["prune"], ["prune", "--forget", "ab"], ["export", "x.csv"]])
def test_commands_leave_a_folder_of_other_files_as_it_is(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    answer = CliRunner().invoke(app, ["store", *command, "--store", str(folder)])
    assert answer.exit_code != 0
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("directory", [3, None, b"x", "a\0b", "~nobody-of-this-name/x"])
def test_a_folder_that_cannot_be_one_is_a_wrong_specification(directory):
    with pytest.raises(mi.SpecificationError, match="directory="):
        mi.PriceStore(directory)


@pytest.mark.parametrize(
    "options", [{"snapshot": 3}, {"snapshot": b"ab"}, {"vendor": 3}, {"source": object()}, {"store": "folder"}]
)
def test_options_of_stored_prices_of_other_types_are_refused(options):
    with pytest.raises(mi.SpecificationError, match="Give"):
        mi.StoredPrices(**options)


# --- several readers at once ---------------------------------------------------------------------------


def rows_of(first, last):
    """Rows of another process that were fetched later than ours, of fewer days."""
    at = datetime.now(UTC) + timedelta(minutes=9)
    rows = [("NVDA", day, 100.0 + day.day, None, None, None, None, "USD", "America/New_York", at, "Vendor()",
             *[None] * 3) for day in DAYS[first : last + 1]]  # fmt: skip
    return Update("NVDA", pl.DataFrame(rows, schema=dict(SERIES), orient="row"), DAYS[first], DAYS[last], replaces=True)


def test_a_reading_holds_its_own_rows_though_another_replaces_them(store):
    """The other began before this one had written, and writes fewer days as soon as it can."""
    mi.StoredPrices(Vendor(), store).read(["NVDA"], DAYS[9], DAYS[19])
    planned, written = threading.Event(), threading.Event()

    class Slow(Vendor):
        def read(self, *question):
            planned.set()
            written.wait(20)
            return super().read(*question)

    class Eager(mi.PriceStore):
        def commit(self, *work):
            super().commit(*work)
            written.set()
            other.join(1)  # the other is let through where it is not locked out

    slow = mi.StoredPrices(Slow(), store, vendor="Vendor")
    other = threading.Thread(target=slow.read, args=(["NVDA"], DAYS[2], DAYS[14]))
    other.start()
    planned.wait(20)
    table = mi.StoredPrices(Vendor(), Eager(store.directory)).read(["NVDA"], DAYS[4], DAYS[27])
    other.join()
    assert table.frame["date"].to_list() == DAYS[4:28]


def test_stored_rows_that_another_replaces_meanwhile_are_fetched_again(store):
    mi.StoredPrices(Vendor(), store).read(["NVDA"], DAYS[0], DAYS[-1])

    class Meanwhile(Vendor):
        asked = ()

        def read(self, symbols, first=None, last=None):
            if not self.asked:
                store.commit("Vendor", [rows_of(0, 9)])
            self.asked = (*self.asked, *symbols)
            return super().read(symbols, first, last)

    source = Meanwhile()
    table = mi.StoredPrices(source, store, vendor="Vendor").read(["NVDA", "AMD"], DAYS[0], DAYS[-1])
    assert source.asked == ("AMD", "NVDA")
    assert table.frame.group_by("symbol").len()["len"].to_list() == [30, 30]


def test_rows_that_others_replace_again_and_again_are_an_error(store, monkeypatch):
    monkeypatch.setattr(stored._Work, "is_covered", lambda *_: False)
    with pytest.raises(mi.SourceError, match=r"Other processes replaced .*'NVDA'.* 5 readings") as caught:
        mi.StoredPrices(Vendor(), store).read(["NVDA"], DAYS[0], DAYS[-1])
    assert caught.value.retryable
