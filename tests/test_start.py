from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raycompare import start as start_module
from raycompare.results import RunFolder
from raycompare.start import Clock, earlier_seconds
from tests import runs


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(start_module, "perf_counter", made)
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


def interrupted(place: Path) -> runs.Run:
    made = runs.empty("a")
    made.tune("a", 0.5)
    made.confirm("a", [0.5])
    seconds = {"check": 4.0, "tune": 60.0, "total": 70.0}
    made.manifest = replace(made.manifest, complete=False, seconds=seconds)
    made.write(place)
    return made


def last(made: runs.Run, stage: str) -> float:
    return max(row.experiment_seconds for row in made.evaluations if row.stage == stage)


def test_what_an_interrupted_run_took_is_read_from_its_manifest(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    made.evaluations = [row for row in made.evaluations if row.experiment_seconds < 60]
    folder = made.write(tmp_path)
    assert earlier_seconds(folder) == {"check": 4.0, "tune": 60.0, "total": 70.0}


def test_a_session_that_was_killed_took_at_least_until_its_last_evaluation(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    folder = RunFolder.at(tmp_path)
    found, end = earlier_seconds(folder), last(made, "confirm")
    assert found == {"check": 4.0, "tune": 60.0, "confirm": end - 70.0, "total": end}
    (tmp_path / "manifest.json").unlink()
    tuned = last(made, "tune")
    assert earlier_seconds(folder) == {"tune": tuned, "confirm": end - tuned, "total": end}


def test_a_folder_without_records_took_no_time(tmp_path: Path) -> None:
    assert earlier_seconds(RunFolder.at(tmp_path)) == {"total": 0.0}
