from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from benchmarks.replay.curves import SCHEMA, load
from benchmarks.replay.simulator import SimulatedTrial, Timeline, simulate
from raycompare.errors import UserError
from raycompare.records.messages import TrialPlan
from tests.synthetic_curves import BUDGET, CONFIGS, MODELS, SEEDS, synthetic_rows, write_curves


def test_the_loader_keeps_curves_times_and_manifest(tmp_path: Path) -> None:
    recording = load(write_curves(tmp_path / "curves.parquet", list(synthetic_rows())))
    assert recording.manifest == {"made": "up"}
    assert recording.models == tuple(MODELS)
    assert len(recording.curves) == len(MODELS) * CONFIGS * len(SEEDS)
    assert recording.budget_of("slow") == BUDGET
    pace = recording.pace_of("slow")
    assert pace.seconds_per_step == pytest.approx(0.10)
    assert pace.seconds_per_evaluation == pytest.approx(1.0)


def test_a_file_without_some_columns_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(list(synthetic_rows()), schema=SCHEMA)
    table = table.drop_columns(["macro_f1", "eval_seconds"])
    table = table.set_column(0, "model", pa.array([1] * len(table)))
    pq.write_table(table, tmp_path / "curves.parquet")
    with pytest.raises(UserError, match="columns missing: eval_seconds, macro_f1") as caught:
        load(tmp_path / "curves.parquet")
    assert "column model is int64, expected string" in str(caught.value)


def test_a_file_with_half_a_curve_is_refused(tmp_path: Path) -> None:
    good = list(synthetic_rows())
    no_test = [r for r in good if r["split"] == "validation"]
    falling = [{**r, "step": BUDGET - r["step"] + 1} for r in good]
    no_default = [r for r in good if r["config"]]
    for rows, said in (
        (no_test, "fast, configuration 0, seed 1: expected one row on test at step 320, found"),
        (falling, "fast, configuration 0, seed 1: steps on validation don't rise"),
        (no_default, "fast has no configuration 0"),
        ([], "it has no rows"),
    ):
        with pytest.raises(UserError, match=said):
            load(write_curves(tmp_path / "curves.parquet", rows))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.parquet does not exist"):
        load(tmp_path / "nowhere.parquet")


class StopAt(FIFOScheduler):
    """Stops given trials at their first report."""

    def __init__(self, *stopped: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stopped = stopped
        self.heard: list[tuple[str, str, int]] = []

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self.heard.append(("add", trial.trial_id, 0))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        self.heard.append(("result", trial.trial_id, result["step"]))
        stop = trial.trial_id in self.stopped
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
        self.heard.append(("complete", trial.trial_id, result["step"]))


class PauseAt(StopAt):
    """Pauses a trial at one of its reports; it goes on when all others have begun."""

    def __init__(self, paused: str, step: int) -> None:
        super().__init__()
        self.paused = paused, step

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        return TrialScheduler.PAUSE if self.heard[-1] == ("result", *self.paused) else decision


def by_hand(name: str, order: int, *seconds: float) -> SimulatedTrial:
    plan = TrialPlan(trial_id=name, stage="tune", model=name, order=order, seed=1, is_default=False)
    steps = tuple(range(10, 10 * len(seconds) + 1, 10))
    return SimulatedTrial.of(
        plan, Timeline(tuple({"step": step} for step in steps), steps, seconds)
    )


# a starts at 0 and ends at 10, b is stopped at 3, c runs from 3 to 11, d from 10 to 15.
HAND = (
    by_hand("a", 0, 5, 10),
    by_hand("b", 1, 3, 20),
    by_hand("c", 2, 7, 8),
    by_hand("d", 3, 4, 5),
)


def test_the_clock_of_two_workers_is_right() -> None:
    scheduler = StopAt("b")
    outcome = simulate(HAND, scheduler, 2)
    assert outcome.makespan == 15
    assert outcome.seconds == 10 + 3 + 8 + 5
    assert (outcome.steps, outcome.evaluations) == (70, 7)
    assert [trial.completed for trial in outcome.trials] == [True, False, True, True]
    assert scheduler.heard == [
        *(("add", name, 0) for name in "abcd"),
        ("result", "b", 10),
        ("complete", "b", 10),
        ("result", "a", 10),
        ("result", "a", 20),  # at 10, as c's first: the earlier planned goes first
        ("complete", "a", 20),
        ("result", "c", 10),
        ("result", "c", 20),
        ("complete", "c", 20),
        ("result", "d", 10),
        ("result", "d", 20),
        ("complete", "d", 20),
    ]


@pytest.mark.parametrize(("workers", "makespan"), [(1, 43), (2, 23), (3, 20), (4, 20), (9, 20)])
def test_more_workers_shorten_the_makespan_only(workers: int, makespan: float) -> None:
    outcome = simulate(HAND, StopAt(), workers)
    assert (outcome.makespan, outcome.seconds, outcome.steps) == (makespan, 43, 80)


def test_a_stop_at_the_schedulers_own_end_is_a_completion() -> None:
    short = [by_hand("a", 0, 5)]
    assert not simulate(short, StopAt("a"), 1).trials[0].completed
    assert simulate(short, StopAt("a"), 1, max_t=10).trials[0].completed


def test_a_paused_trial_frees_its_worker_and_goes_on_where_it_was() -> None:
    scheduler = PauseAt("a", 10)
    outcome = simulate(HAND, scheduler, 2)
    # a pauses at 5, c runs from 5 to 13, d from 13 to 18, a again from 18 to 23, b from 0 to 20
    assert outcome.makespan == 23
    assert (outcome.seconds, outcome.steps, outcome.evaluations) == (43, 80, 8)
    assert all(trial.completed for trial in outcome.trials)
    assert scheduler.heard[-2:] == [("result", "a", 20), ("complete", "a", 20)]
    assert scheduler.heard.count(("result", "a", 10)) == 1


def test_a_trial_that_is_paused_at_its_last_report_ends_when_it_may_go_on() -> None:
    scheduler = PauseAt("a", 20)
    outcome = simulate(HAND, scheduler, 1)
    assert (outcome.makespan, outcome.seconds) == (43, 43)
    assert outcome.trials[0].completed
    assert scheduler.heard[-1] == ("complete", "a", 20)


def test_a_scheduler_that_lets_a_trial_wait_for_nothing_is_our_own_mistake() -> None:
    class Forgetful(PauseAt):
        def choose_trial_to_run(self, tune_controller: Any) -> Any:
            return next((t for t in tune_controller.get_trials() if t.status == "PENDING"), None)

    with pytest.raises(AssertionError, match="some wait for nothing"):
        simulate(HAND, Forgetful("a", 10), 2)
