from __future__ import annotations

from pathlib import Path

import pytest

from raycompare.report.write import write_report
from raycompare.running.trackers.tracker import Outcome, numbers_of
from raycompare.running.trackers.wandb import WandB
from tests import runs
from tests.running.trackers.played import PLAN, WANTED, at, journal_with, play, start, tracked
from tests.running.trackers.read_back import wandb_history, wandb_records


@pytest.mark.usefixtures("offline")
def test_wandb_writes_a_run_for_each_trial_without_a_network(tmp_path: Path) -> None:
    folder = runs.typical().write(tmp_path)
    comparison = write_report(folder)
    journal, trackers = journal_with(WandB(tracked(tmp_path)))
    play(journal)
    trackers.finish(Outcome.of(comparison))
    assert trackers.failures == {"noted": ""}
    found = wandb_records(tmp_path)
    assert set(found) == {"a-1", "run-1"}
    (run, *_) = [r.run for r in found["a-1"] if r.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_group, run.job_type) == (WANTED.name, "run-1", "confirm")
    points = wandb_history(found["a-1"])
    assert [point["_step"] for point in points] == [10, 20]
    rows = [row for row in journal.evaluations() if row.split == "validation"]
    for row, point in zip(rows, points, strict=True):
        assert {name: point[name] for name in numbers_of(row)} == pytest.approx(numbers_of(row))
    (artifact,) = [r.artifact for r in found["run-1"] if r.WhichOneof("record_type") == "artifact"]
    names = {entry.path for entry in artifact.manifest.contents}
    assert {"report.md", "tables/leaderboard.csv", "figures/learning_curves.png"} <= names


@pytest.mark.usefixtures("offline")
def test_a_resumed_run_writes_an_unfinished_trial_of_wandb_whole(tmp_path: Path) -> None:
    journal, trackers = journal_with(WandB(tracked(tmp_path)))
    journal.add(PLAN)
    journal.start("a-1")
    for message in (start(), at(10)):
        journal.record("a-1", message)
    trackers.close()
    resumed, again = journal_with(WandB(tracked(tmp_path)), earlier=journal)
    play(resumed)
    again.close()
    assert again.failures == {"noted": ""}
    points = wandb_history(wandb_records(tmp_path)["a-1"])
    assert [point["_step"] for point in points] == [10, 20]
