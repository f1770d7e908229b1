"""A real Dask cluster of two worker processes: the same bytes, also when a worker is killed; poison is named."""

from __future__ import annotations

import polars as pl
import pytest

import marketimpact as mi
from tests.conftest import golden_events
from tests.poison import Poisoned, bad_market
from tests.unit.estimation.test_executors import STUDY, assert_same

dask = pytest.importorskip("dask", reason="needs the extra marketimpact[dask]")
distributed = pytest.importorskip("distributed", reason="needs the extra marketimpact[dask]")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # dask's own


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two processes of one thread each; a task that took two workers with it is not given a third."""
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.memory.terminate": False,
        "temporary-directory": str(tmp_path_factory.mktemp("dask")),
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return golden_events()


@pytest.fixture(scope="module")
def bad() -> tuple[mi.Market, str]:
    return bad_market()


@pytest.mark.parametrize("chunk", [3, 20, None])
def test_dask_changes_no_bit(client, golden_market, events, chunk):
    study = STUDY.but(model=mi.Carhart())
    result = study.run(events, golden_market, executor=client.get_executor(), chunk=chunk)
    assert_same(study.run(events, golden_market), result)
    assert result.test(-1, 1).equals(study.run(events, golden_market).test(-1, 1))


def test_both_workers_work(client, golden_market, events):
    STUDY.run(events, golden_market, executor=client.get_executor(), chunk=2)
    log = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert len(log) == 2
    assert all(count > 0 for count in log.values())


def test_a_worker_killed_in_the_middle_changes_no_bit(client, bad, events, tmp_path):
    market, _ = bad
    before = set(client.run(lambda dask_worker: dask_worker.id))
    study = STUDY.but(model=Poisoned(tmp_path, "kill once"))
    result = study.run(events, market, executor=client.get_executor(), chunk=5)
    assert len(list(tmp_path.iterdir())) > 1  # killed, and done again
    client.wait_for_workers(2, timeout=60)
    assert set(client.run(lambda dask_worker: dask_worker.id)) != before
    whole = study.run(events, market)  # the poison was met already: it does nothing more
    assert_same(whole, result)


def test_a_poisoned_chunk_is_named_and_done_once(client, bad, events, tmp_path):
    market, event_id = bad
    study = STUDY.but(model=Poisoned(tmp_path, "raise"))
    with pytest.raises(mi.DataError, match="failed with LinAlgError: poison") as caught:
        study.run(events, market, executor=client.get_executor(), chunk=5)
    assert event_id in caught.value.rows["event_id"].to_list()
    assert caught.value.rows.height <= 5
    assert len(list(tmp_path.iterdir())) == 1
    assert STUDY.run(events, market, executor=client.get_executor()).events.height > 50


def test_a_chunk_that_kills_every_worker_is_named_and_given_up(client, bad, events, tmp_path):
    market, event_id = bad
    study = STUDY.but(model=Poisoned(tmp_path, "kill"))
    with pytest.raises(mi.DataError, match="failed with KilledWorker") as caught:
        study.run(events, market, executor=client.get_executor(), chunk=200)
    assert event_id in caught.value.rows["event_id"].to_list()
    assert len(list(tmp_path.iterdir())) == 2  # allowed-failures=1: one more try, on the other worker
    client.wait_for_workers(2, timeout=60)
    assert STUDY.run(events, market, executor=client.get_executor(), chunk=40).events.height > 50


def test_workers_read_a_partitioned_dataset_by_path(client, golden_market, events, tmp_path):
    scanned = golden_market.to_dataset(tmp_path / "golden")
    study = STUDY.but(model=mi.FamaFrench3())
    result = study.run(events, scanned, executor=client.get_executor(), chunk=10)
    assert_same(study.run(events, golden_market), result)
    assert result.test(0, 0).equals(study.run(events, golden_market).test(0, 0))
