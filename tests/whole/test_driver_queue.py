from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale.driver_queue import Queue


def test_one_worker_waits_only_for_its_own_messages() -> None:
    queue = Queue(driver_seconds=1.0, other_seconds=2.0)
    assert queue.utilisation(1, trial_seconds=7.0) == pytest.approx(0.7)
    assert queue.driver_share(1, trial_seconds=7.0) == pytest.approx(0.1)


def test_very_many_workers_get_what_the_driver_can_serve() -> None:
    queue = Queue(driver_seconds=0.1, other_seconds=0.0)
    assert queue.driver_share(5000, trial_seconds=30.0) == pytest.approx(1.0)
    assert queue.utilisation(5000, trial_seconds=30.0) == pytest.approx(30 / 0.1 / 5000)


@given(workers=st.integers(1, 200), driver=st.floats(0.001, 1), seconds=st.floats(1, 100))
def test_another_worker_never_makes_the_others_busier(
    workers: int, driver: float, seconds: float
) -> None:
    queue = Queue(driver_seconds=driver, other_seconds=0.1)
    more = queue.utilisation(workers + 1, seconds)
    assert 0 < more <= queue.utilisation(workers, seconds) < 1
    assert queue.driver_share(workers, seconds) <= 1 + 1e-9
