"""The price store under several processes, and under kill -9."""

import random
import signal
import subprocess
import sys
import time
import warnings
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

import marketimpact as mi
from marketimpact.sources.store.index import SERIES, Update
from tests.conftest import ROOT

START = date(2020, 1, 1)
WRITER = """
import sys
from tests.unit.sources.test_store_processes import write
write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
"""


def row(symbol, day):
    """One day of one symbol, the same whoever writes it."""
    close = 100.0 + day
    return pl.DataFrame(
        [(symbol, START + timedelta(days=day), close, 1e6, close, None, None, "USD", "America/New_York",
          datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=day), "Writer()", None, None, None)],
        schema=dict(SERIES), orient="row",
    )  # fmt: skip


def write(directory, first, last, step):
    """Commit day by day to three symbols, and say so after each."""
    store = mi.PriceStore(directory)
    for day in range(first, last, step):
        symbol = f"S{day % 3}"
        span = START, START + timedelta(days=last)
        store.commit("Writer", [Update(symbol, row(symbol, day), *span, replaces=False)])
        sys.stdout.write(f"{day}\n")
        sys.stdout.flush()


def started(directory, first, last, step):
    command = [sys.executable, "-c", WRITER, str(directory), str(first), str(last), str(step)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)


def held(store):
    """Days in the store, every file checked; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.verify().is_empty()
        frames = [store.series(file) for file in store.symbols()["file"]]
    return {(r["symbol"], (r["date"] - START).days): r["close"] for f in frames for r in f.iter_rows(named=True)}


def killed_at_random(directory, tries, seed):
    """Start a writer, kill it in the middle of its work, look; again and again on the same store."""
    rng, store, done = random.Random(seed), mi.PriceStore(directory), set()
    for k in range(tries):
        writer = started(directory, k * 1000, k * 1000 + 1000, 1)
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(rng.randint(1, 4))]
        time.sleep(rng.random() * 0.03)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        # a line that was cut by the kill is no promise
        said += [int(line) for line in rest.split(b"\n")[:-1]]
        done |= {(f"S{day % 3}", day) for day in said}
        days = held(store)
        assert done <= days.keys(), f"lost after kill {k}: {sorted(done - days.keys())}"
        # at most the one commit that was under way came through without being reported
        assert len(days) <= len(done) + k + 1
        assert all(close == 100.0 + day for (_, day), close in days.items())
    return len(done)


def test_a_killed_writer_loses_nothing_that_was_committed(tmp_path):
    assert killed_at_random(tmp_path / "prices", 6, seed=1) >= 6


@pytest.mark.slow
def test_a_hundred_killed_writers_lose_nothing(tmp_path):
    assert killed_at_random(tmp_path / "prices", 100, seed=2) >= 100


READER = """
import sys
from tests.unit.sources.test_store_processes import read_for_ever
read_for_ever(sys.argv[1], int(sys.argv[2]))
"""
SOURCE = mi.FilePrices(
    pl.DataFrame(
        [(f"S{k}", START + timedelta(days=day), 100.0 + day + k) for k in range(3) for day in range(300)],
        schema=["symbol", "date", "close"],
        orient="row",
    )
)


def read_for_ever(directory, seed):
    """Read spans of two symbols through the store, and name each snapshot once it is there."""
    rng = random.Random(seed)
    while True:
        symbols, (a, b) = rng.sample(["S0", "S1", "S2"], 2), sorted(rng.sample(range(300), 2))
        span = START + timedelta(days=a), START + timedelta(days=b)
        table = mi.StoredPrices(SOURCE, mi.PriceStore(directory)).read(symbols, *span)
        sys.stdout.write(f"{table.snapshot} {','.join(symbols)} {span[0]} {span[1]}\n")
        sys.stdout.flush()


def readings_killed(directory, tries, seed):
    """Two readers that fill one store are killed at random; every snapshot they named is whole, and right."""
    rng, store, named = random.Random(seed), mi.PriceStore(directory), []
    for k in range(tries):
        command = [sys.executable, "-c", READER, str(directory)]
        readers = [
            subprocess.Popen([*command, str(2 * k + n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
            for n in range(2)
        ]
        lines = [reader.stdout.readline() for reader in readers for _ in range(rng.randint(1, 3))]
        time.sleep(rng.random() * 0.05)
        for reader in readers:
            reader.send_signal(signal.SIGKILL)
        lines += [line for reader in readers for line in reader.communicate()[0].split(b"\n")[:-1]]
        named += [line.decode().split() for line in lines]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert store.verify().is_empty()
    for snapshot, symbols, *span in named:
        asked, (first, last) = symbols.split(","), map(date.fromisoformat, span)
        got = mi.StoredPrices(store=store, snapshot=snapshot).read(asked, first, last).frame
        right = SOURCE.read(asked, first, last).frame
        assert got.select("symbol", "date", "close").equals(right.select("symbol", "date", "close"))
    return len(named)


@pytest.mark.slow
def test_killed_readers_leave_only_whole_snapshots(tmp_path):
    assert readings_killed(tmp_path / "prices", 20, seed=3) >= 40


def test_what_killed_writers_leave_is_swept(tmp_path):
    store = mi.PriceStore(tmp_path / "prices")
    store.commit("Writer", [Update("S0", row("S0", 0), START, START, replaces=False)])
    left = store.directory / "prices" / ".x.parquet.00000000.unfinished"
    left.write_bytes(b"half")
    assert store.prune() == 1
    assert not left.exists()
    assert held(store) == {("S0", 0): 100.0}


@pytest.mark.parametrize("n_writers", [8])
def test_writers_of_overlapping_symbols_end_with_the_union(tmp_path, n_writers):
    """Eight processes, three symbols, days that overlap by half: every day once, none lost."""
    directory = tmp_path / "prices"
    spans = [(5 * k, 5 * k + 10) for k in range(n_writers)]
    writers = [started(directory, first, last, 1) for first, last in spans]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    expected = {(f"S{day % 3}", day) for first, last in spans for day in range(first, last)}
    assert held(mi.PriceStore(directory)).keys() == expected
