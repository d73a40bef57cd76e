from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from benchmarks import page
from benchmarks.replay.__main__ import HEADERS, main
from benchmarks.replay.contenders import (
    DEFAULT_GRACE,
    Contender,
    contenders,
    exhaustive,
    per_model_halving,
    pooled_asha,
)
from benchmarks.replay.curves import load
from benchmarks.replay.simulator import (
    Outcome,
    SimulatedTrial,
    Timeline,
    TrialOutcome,
    simulate,
)
from benchmarks.replay.studies import Archive, chosen_configurations, draw, replay
from benchmarks.replay.summary import (
    Options,
    Summary,
    best_setting,
    default_setting,
    replay_all,
    summarise,
)
from raycompare.record import TrialPlan
from tests.synthetic_curves import (
    BEST_CONFIG,
    BUDGET,
    CONFIGS,
    EVERY,
    MODELS,
    synthetic_rows,
    write_curves,
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("curves")
    return Archive(load(write_curves(folder / "curves.parquet", list(synthetic_rows()))))


def drawn(archive: Archive, seed: int = 0, configurations: int = CONFIGS) -> Any:
    return draw(archive, np.random.default_rng(seed), configurations)


def run(archive: Archive, contender: Contender, workers: int, seed: int = 0) -> Outcome:
    trials = drawn(archive, seed)
    scheduler = contender.make([trial.plan for trial in trials])
    return simulate(trials, scheduler, workers, contender.max_t)


def decisions(outcome: Outcome) -> dict[str, tuple[int, bool]]:
    return {t.trial.trial_id: (t.steps, t.completed) for t in outcome.trials}


def halving(archive: Archive) -> Contender:
    return per_model_halving(archive.recording, DEFAULT_GRACE, 2)


def pooled(archive: Archive) -> Contender:
    return pooled_asha(archive.recording, DEFAULT_GRACE, 2)


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


def test_the_draw_is_planned_as_the_program_plans(archive: Archive) -> None:
    plans = [trial.plan for trial in drawn(archive, configurations=5)]
    defaults, rest = plans[: len(MODELS)], plans[len(MODELS) :]
    assert {plan.model for plan in defaults} == set(MODELS)
    assert all(plan.is_default for plan in defaults)
    assert not any(plan.is_default for plan in rest)
    assert [plan.order for plan in plans] == list(range(5 * len(MODELS)))
    assert len({plan.trial_id for plan in plans}) == len(plans)
    first = [plan.model for plan in rest[: len(MODELS)]]
    assert len({plan.seed for plan in plans}) > 1
    assert [plan.model for plan in rest] != sorted(first * 4), "shuffled over models"


def test_fifo_does_every_step_and_names_the_best(archive: Archive) -> None:
    trials = drawn(archive)
    finding = replay(archive, trials, exhaustive(), workers=8)
    assert finding.steps == len(MODELS) * CONFIGS * BUDGET
    assert finding.evaluations == len(MODELS) * CONFIGS * BUDGET // EVERY
    per_step = sum(seconds for _, _, seconds in MODELS.values())
    assert finding.seconds == pytest.approx(CONFIGS * (BUDGET + 16 * 10) * per_step)
    assert (finding.named, finding.right, finding.exact, finding.regret) == ("slow", True, True, 0)


def test_the_best_configuration_by_validation_is_chosen(archive: Archive) -> None:
    chosen = chosen_configurations(archive, run(archive, exhaustive(), 8))
    assert chosen == dict.fromkeys(MODELS, BEST_CONFIG)


def test_a_stopped_trial_is_chosen_only_where_none_completed(archive: Archive) -> None:
    outcome = run(archive, exhaustive(), 8)
    stopped = tuple(
        replace(t, completed=not (t.trial.plan.model == "slow" or is_best_config(t)))
        for t in outcome.trials
    )
    chosen = chosen_configurations(archive, replace(outcome, trials=stopped))
    assert chosen.pop("slow") == BEST_CONFIG
    assert set(chosen.values()) <= {BEST_CONFIG - 1, BEST_CONFIG + 1}


def is_best_config(outcome: TrialOutcome) -> bool:
    return outcome.trial.plan.hyperparameters.get("config") == BEST_CONFIG


@pytest.mark.parametrize("seed", range(5))
def test_per_model_halving_decides_the_same_with_one_worker_and_eight(
    archive: Archive, seed: int
) -> None:
    alone, together = (run(archive, halving(archive), workers, seed) for workers in (1, 8))
    assert decisions(alone) == decisions(together)
    assert alone.makespan > together.makespan
    assert not all(trial.completed for trial in alone.trials)


def test_pooled_asha_lets_trials_complete_at_full_budget(archive: Archive) -> None:
    outcome = run(archive, pooled(archive), 8)
    completed = [trial for trial in outcome.trials if trial.completed]
    assert completed
    assert all(trial.steps == BUDGET for trial in completed)
    assert all(trial.steps < BUDGET for trial in outcome.trials if not trial.completed)


def test_pooled_asha_stops_the_slow_starter_more_often(archive: Archive) -> None:
    def stopped(contender: Contender) -> int:
        outcomes = (run(archive, contender, 8, seed) for seed in range(5))
        ended = (trial for outcome in outcomes for trial in outcome.trials)
        return sum(t.trial.plan.model == "slow" and not t.completed for t in ended)

    assert stopped(pooled(archive)) > 1.5 * stopped(halving(archive)) > 0


def summaries(archive: Archive) -> list[Summary]:
    compared = contenders(archive.recording)
    findings = replay_all(archive, compared, Options(replays=4))
    return [summarise(c, found, findings[0]) for c, found in zip(compared, findings, strict=True)]


def test_a_seed_decides_everything(archive: Archive) -> None:
    compared = [exhaustive(), pooled(archive), halving(archive)]
    once, again, other = (
        replay_all(archive, compared, Options(replays=2, seed=seed)) for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other


def test_goals_are_held_to_the_rule(archive: Archive) -> None:
    made = summaries(archive)
    assert (made[0].cost, made[0].steps, made[0].makespan, made[0].relative) == (1, 1, 1, 1)
    default = default_setting(made)
    assert (default.contender.grace, default.contender.factor) == (DEFAULT_GRACE, 2)
    assert 0 < default.cost < 1
    best = best_setting(made)
    assert best.contender.scheduler == default.contender.scheduler
    assert best.cost <= default.cost
    rarely = [replace(each, relative=each.cost / 2) for each in made]
    assert best_setting(rarely).cost == max(
        each.cost for each in made if each.contender.scheduler == default.contender.scheduler
    )


def test_the_command_leaves_a_page(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGES", tmp_path)
    curves = write_curves(tmp_path / "curves.parquet", list(synthetic_rows()))
    main(replays=2, workers=3, configurations=4, path=curves)
    (written,) = tmp_path.glob("*-replay.md")
    text = written.read_text()
    compared = contenders(archive.recording)
    assert all(" | ".join(HEADERS) in text and each.scheduler in text for each in compared)
    assert f"{2 * len(compared)} experiments were replayed" in text
    assert "the program's default (grace 1/4, factor 2)" in text.splitlines()[-1]


def test_the_command_says_what_is_wrong_with_the_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        main(path=tmp_path / "nowhere.parquet")
    assert caught.value.exit_code == 2
    assert "does not exist" in capsys.readouterr().err
