from __future__ import annotations

import pytest

from raycompare.records import clock as clock_module
from raycompare.records.clock import Clock


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clock_module, "perf_counter", made)
    return made


def test_a_stage_that_is_cut_off_has_its_wall_clock(time: Time) -> None:
    clock = Clock()

    def cut_off() -> None:
        with clock("tune"):
            time.now = 7.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert clock.seconds == {"tune": 7.0}


def test_the_sessions_of_a_resumed_run_add_up(time: Time) -> None:
    clock = Clock({"check": 1.0, "tune": 20.0, "total": 25.0})
    with clock("tune"):
        time.now = 5.0
    with clock("confirm"):
        time.now = 9.0
    assert clock.seconds == {"check": 1.0, "tune": 25.0, "confirm": 4.0}
    assert clock.total == 34.0


def test_the_time_of_machines_follows_their_number(time: Time) -> None:
    clock, there = Clock(), 0
    time.now = 2.0
    with clock.counting(lambda: there):
        with clock("tokenize"):
            time.now = 10.0
        assert clock.machine_total == 2.0, "this machine, until those of the cluster are known"
        with clock("tune"):
            there, time.now = 3, 20.0
            assert clock.machine_total == 2.0 + 10 * 3, "a machine that joins was paid before"
            there, time.now = 1, 25.0
            assert clock.machine_total == 32.0 + 5 * 3
            time.now = 30.0
        assert clock.machine_total == 47.0 + 5 * 1
    assert clock.machine_seconds == {"tokenize": 0.0, "tune": 50.0}
    time.now = 40.0
    assert clock.machine_total == 52.0 + 10 * 1, "a cluster that is gone is not asked"


def test_the_cluster_is_not_asked_at_every_look(time: Time) -> None:
    asked: list[float] = []

    def machines() -> int:
        asked.append(time.now)
        return 2

    clock = Clock()
    with clock.counting(machines):
        for now in (0.1, 0.5, 0.9, 1.0, 1.5, 2.1):
            time.now = now
            assert clock.machine_total == pytest.approx(2 * now)
    assert asked == [0.0, 1.0, 2.1]


def test_the_machines_of_earlier_sessions_add_up(time: Time) -> None:
    clock = Clock({"tune": 20.0, "total": 25.0}, {"tune": 60.0, "total": 65.0})
    with clock.counting(lambda: 2), clock("tune"):
        time.now = 5.0
    assert clock.machine_seconds == {"tune": 70.0}
    assert clock.machine_total == 75.0
