"""Maps over threads: order, errors, number of parts ahead, a single part."""

import threading
import time

import pytest

from marketimpact.core import limits, threads
from marketimpact.core.threads import cores, map_in_threads


@pytest.fixture(autouse=True)
def three(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 3)


def test_results_come_in_the_order_of_the_parts():
    def slow_first(part: int) -> int:
        time.sleep(0.02 if part % 3 == 0 else 0.0)
        return part * part

    assert list(map_in_threads(slow_first, range(20))) == [part * part for part in range(20)]


def test_several_threads_work_and_a_single_part_is_done_by_the_caller():
    both = threading.Barrier(2, timeout=10)

    def together(_: int) -> int:
        both.wait()  # nobody gets on alone
        return threading.get_ident()

    assert threading.get_ident() not in set(map_in_threads(together, range(2)))
    assert list(map_in_threads(lambda _: threading.get_ident(), [0])) == [threading.get_ident()]
    assert list(map_in_threads(together, [])) == []


def test_an_error_is_raised_in_its_turn_and_no_more_parts_are_begun():
    begun = []

    def fails(part: int) -> int:
        begun.append(part)
        if part == 4:
            raise ValueError("part 4")
        return part

    results = map_in_threads(fails, range(1000))
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="part 4"):
        next(results)
    assert max(begun) < 20


def test_parts_are_taken_only_a_little_ahead():
    taken = []

    def parts():
        for part in range(100):
            taken.append(part)
            yield part

    results = map_in_threads(lambda part: part, parts())
    assert next(results) == 0
    assert len(taken) <= 3 * limits.PARTS_PER_THREAD + 1
    results.close()
    assert len(taken) < 100


def test_with_one_core_the_caller_does_all(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 1)
    assert set(map_in_threads(lambda _: threading.get_ident(), range(5))) == {threading.get_ident()}


def test_cores_are_those_that_polars_may_use(monkeypatch):
    monkeypatch.setattr(threads.pl, "thread_pool_size", lambda: 1)
    assert cores() == 1
