"""Chunks over executors: the same bytes whoever does the work, and errors that name their events."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import polars as pl
import pytest

import marketimpact as mi
from marketimpact.estimation.fit import EventWindow
from marketimpact.estimation.positions import EventPositions
from marketimpact.models import Fit
from tests.conftest import WITH_ARGUMENTS, golden, golden_events
from tests.poison import Poisoned, bad_market

SPAWN = multiprocessing.get_context("spawn")
STUDY = mi.EventStudy(estimation_window=(-200, -11), event_window=(-5, 5), min_observations=60)
MODELS = [
    *(
        make()
        for name, make in mi.MODELS.items()
        if name not in (*WITH_ARGUMENTS, "market_plus_sox", "egarch11", "comparison_period_mean")
    ),
    mi.FactorModel(("market", "smb")),
    mi.ComparisonPeriodMean(after=(6, 20)),
    mi.Garch(forecast_from="event_window_start"),
]


def assert_same(one: mi.StudyResult, other: mi.StudyResult) -> None:
    """Every array to the last bit, in event order, and everything beside them."""
    arrays = {
        name: (getattr(one.estimation.event_window, name), getattr(other.estimation.event_window, name))
        for name in EventWindow.__dataclass_fields__
    }
    for name in ("present", "residuals", "estimation_dates"):
        arrays[name] = getattr(one.estimation, name), getattr(other.estimation, name)
    for name, (left, right) in arrays.items():
        assert left.dtype == right.dtype, name
        assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f"), name
    for name in (part.name for part in fields(Fit)):
        left, right = getattr(one.estimation.fit, name), getattr(other.estimation.fit, name)
        assert left.dtype == right.dtype, name
        assert np.array_equal(left, right, equal_nan=left.dtype.kind == "f"), name
    assert one.events.equals(other.events)
    for part in fields(EventPositions):
        places = getattr(one.estimation.positions, part.name), getattr(other.estimation.positions, part.name)
        assert np.array_equal(*places), part.name
    assert one.attrition.equals(other.attrition)
    assert one.record == other.record
    assert one.abnormal_returns.equals(other.abnormal_returns)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """All events of the golden market, and one of a stranger."""
    stranger = pl.DataFrame({"event_id": ["zz"], "symbol": ["ZZZ"], "date": [golden("market")["date"][300]]})
    return pl.concat([golden_events(), stranger])


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=SPAWN) as made:
        yield made


@pytest.mark.filterwarnings("ignore:The variance model of")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_chunks_and_threads_change_no_bit_of_any_model(golden_market, events, model):
    market = golden_market
    study = STUDY.but(model=model)
    whole = study.run(events, market)
    assert whole.events.height > 50
    assert whole.attrition.height > 0
    for chunk in (7, 10_000):
        assert_same(whole, study.run(events, market, chunk=chunk))
    with ThreadPoolExecutor(2) as threads:
        assert_same(whole, study.run(events.reverse(), market, executor=threads, chunk=13))


@pytest.mark.filterwarnings("ignore:The variance model of")
@pytest.mark.parametrize(
    "study",
    [
        STUDY,
        STUDY.but(model=mi.Dimson(), missing="strict"),
        STUDY.but(missing="trade_to_trade"),
        STUDY.but(model=mi.FamaFrench5(), serial_correlation=True),
        STUDY.but(exclude=golden("events_mixed").select("symbol", pl.col("date").dt.offset_by("-30d"))),
        STUDY.but(model=mi.Garch(forecast_from="event_window_start")),
    ],
    ids=["market_model", "dimson", "trade_to_trade", "ff5", "exclude", "garch"],
)
@pytest.mark.parametrize("chunk", [1, 17, None])
def test_processes_change_no_bit(golden_market, events, pool, study, chunk):
    few = events.sample(25, seed=1) if chunk == 1 else events
    assert_same(study.run(few, golden_market), study.run(few, golden_market, executor=pool, chunk=chunk))


def test_tests_and_cars_are_the_same(golden_market, events, pool):
    one, other = STUDY.run(events, golden_market), STUDY.run(events, golden_market, executor=pool, chunk=20)
    assert one.car(-1, 1).equals(other.car(-1, 1))
    assert one.test(-1, 1).equals(other.test(-1, 1))


def test_an_exchange_of_its_own_and_columns_of_the_caller_come_back(sample_market, pool):
    market = sample_market
    events = mi.align(mi.announcements(), market)
    one, other = mi.EventStudy().run(events, market), mi.EventStudy().run(events, market, executor=pool)
    assert_same(one, other)
    assert one.events.columns == other.events.columns
    assert other.market is market


def test_no_event_that_can_be_placed(golden_market, pool):
    strangers = pl.DataFrame({"event_id": ["a"], "symbol": ["ZZZ"], "date": [golden("market")["date"][300]]})
    assert STUDY.run(strangers, golden_market, executor=pool).attrition["reason"].to_list() == ["unknown_symbol"]


class Watching(Executor):
    """Does the work at once, pickling what is sent and what comes back."""

    def __init__(self) -> None:
        self.tasks: list[bytes] = []
        self.answers: list[bytes] = []

    def submit(self, fn, /, *args, **kwargs):
        (task,) = args
        self.tasks.append(pickle.dumps(task))
        self.answers.append(pickle.dumps(fn(pickle.loads(self.tasks[-1]))))
        future: Future = Future()
        future.set_result(pickle.loads(self.answers[-1]))
        return future


def test_a_task_holds_its_own_securities_only(golden_market, events):
    watching = Watching()
    result = STUDY.run(events, golden_market, executor=watching, chunk=10)
    assert_same(STUDY.run(events, golden_market), result)
    tasks = [pickle.loads(task) for task in watching.tasks]
    for task in tasks:
        panel = task.market.return_panel
        assert np.unique(task.positions.security).tolist() == list(range(panel.securities.height))
        assert panel.columns == ("symbol", "mic", "session", "date", "ret", "market")
    # ten events of a market in which each security has several: neighbours share securities
    owners = [symbol for task in tasks for symbol in task.market.return_panel.securities["symbol"]]
    assert len(owners) <= golden_market.spans.height + len(tasks)
    # neither the market nor what belongs to the events comes back: arrays over (events, days), and the regressions
    days, regressors = 11, 1
    numbers = 10 * (days * (7 + regressors) + 40)
    assert max(map(len, watching.answers)) < 8 * numbers + 4096


def test_the_memory_budget_cuts_the_chunks_and_changes_nothing(golden_market, events):
    whole = STUDY.run(events, golden_market)
    sizes = {}
    for budget in ("20 kB", "100 kB", 10**9):
        watching = Watching()
        assert_same(whole, STUDY.run(events, golden_market, memory=budget))
        assert_same(whole, STUDY.run(events, golden_market, executor=watching, memory=budget))
        sizes[budget] = len(watching.tasks)
    assert sizes["20 kB"] > sizes["100 kB"] > sizes[10**9] >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "processes"}, "executor=str is no concurrent.futures.Executor; give it a ProcessPool"),
        ({"executor": type("Client", (), {"get_executor": None})()}, "give it client.get_executor"),
        ({"chunk": 0}, "chunk=0 must be a whole number"),
        ({"chunk": True}, "chunk=True must be"),
        ({"memory": "lots"}, "memory='lots' is no amount of memory"),
        ({"memory": -1}, "memory=-1"),
        ({"memory": "5 TIB"}, "memory='5 TIB'"),
    ],
)
def test_what_cannot_be_is_refused(golden_market, events, options, message):
    with pytest.raises(mi.SpecificationError, match=message):
        STUDY.run(events, golden_market, **options)


def test_a_pool_that_forks_is_refused(golden_market, events):
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as forking,
        pytest.raises(mi.SpecificationError, match="get_context\\('spawn'\\)"),
    ):
        STUDY.run(events, golden_market, executor=forking)


@pytest.fixture(scope="module")
def bad() -> tuple[mi.Market, str]:
    return bad_market()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_poisoned_chunk_is_reported_with_its_events_and_done_once(bad, events, tmp_path, pool, kind):
    market, event_id = bad
    study = STUDY.but(model=Poisoned(tmp_path, "raise"))
    with (
        ThreadPoolExecutor(2) as threads,
        pytest.raises(mi.DataError, match="failed with LinAlgError: poison") as caught,
    ):
        study.run(events, market, executor=pool if kind == "processes" else threads, chunk=500)
    assert event_id in caught.value.rows["event_id"].to_list()
    assert caught.value.rows.columns == ["event_id", "symbol", "date"]
    assert len(list(tmp_path.iterdir())) == 1
    # the pool is as good as before
    assert STUDY.run(events, market, executor=pool).events.height > 50


def test_an_error_of_ours_keeps_its_kind(golden_market, events):
    def refuse(*_: object) -> None:
        raise mi.SpecificationError("no such thing")

    class Refusing(Watching):
        def submit(self, fn, /, *args, **kwargs):
            return ThreadPoolExecutor(1).submit(refuse)

    with pytest.raises(mi.SpecificationError, match="no such thing") as caught:
        STUDY.run(events, golden_market, executor=Refusing(), chunk=50)
    assert caught.value.__notes__[0].startswith("In the chunk of ")


def test_a_pool_that_lost_a_worker_says_so(bad, events, tmp_path):
    market, event_id = bad
    study = STUDY.but(model=Poisoned(tmp_path, "kill"))
    with ProcessPoolExecutor(1, mp_context=SPAWN) as doomed:
        with pytest.raises(mi.DataError, match="lost a worker process") as caught:
            study.run(events, market, executor=doomed, chunk=20)
        assert event_id in caught.value.rows["event_id"].to_list()
        assert len(list(tmp_path.iterdir())) == 1
        with pytest.raises(mi.DataError, match="takes no more work"):
            STUDY.run(events, market, executor=doomed)


@pytest.mark.parametrize(("wanted", "shown"), [(None, False), (True, True), (False, False)])
def test_a_progress_bar_on_stderr(golden_market, events, capsys, wanted, shown):
    STUDY.run(events, golden_market, executor=Watching(), chunk=30, progress=wanted)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Events" in err) is shown
