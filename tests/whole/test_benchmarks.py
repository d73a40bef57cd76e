from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import trial
from benchmarks.ag_news import require_data
from benchmarks.arms.commands import Run, Study
from benchmarks.arms.fine_tuning import ARMS, BARE, DEFAULTS, OURS, PADDED
from benchmarks.arms.ours import Outcome
from benchmarks.arms.request import Answer, Configuration, Request, Trained
from benchmarks.overhead import Span, spans, worker_time
from benchmarks.quality import TestSet as SizeOfTest
from benchmarks.quality import agreement, size_error
from benchmarks.study import __main__ as study
from benchmarks.study import page as study_page
from benchmarks.study.page import PLAIN, PROCESSES, Findings
from benchmarks.study.setup import Sizes, request_of, write_long_study, write_study
from raycompare.errors import UserError
from raycompare.records.arrow import schema_of
from raycompare.records.manifest import Manifest
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.tuning.plans import drawn_plans

TESTED = SizeOfTest(rows=1000, labels=4)


def test_a_tiny_spread_leaves_the_bound_of_the_test_size() -> None:
    found = agreement([0.80, 0.80, 0.80], [0.79, 0.79, 0.79], TESTED)
    assert found.difference == pytest.approx(0.01)
    assert found.bound == pytest.approx(2 * size_error(0.795, TESTED))
    assert found.equal


def test_a_wide_spread_widens_the_bound() -> None:
    found = agreement([0.9, 0.7, 0.8], [0.8, 0.8, 0.8], TESTED)
    assert found.bound == pytest.approx(3 * 0.1 / 3**0.5)


def test_worse_and_better_arms_are_told_apart() -> None:
    better = agreement([0.9, 0.9], [0.7, 0.7], TESTED)
    worse = agreement([0.7, 0.7], [0.9, 0.9], TESTED)
    assert (better.equal, better.no_worse) == (False, False)
    assert (worse.equal, worse.no_worse) == (False, True)


def test_the_error_of_a_test_is_that_of_two_binomials() -> None:
    # 4 labels, accuracy 0.85: MCC 0.8; the accuracies' difference has variance 2 * .85 * .15 / n.
    assert size_error(0.8, TESTED) == pytest.approx(4 / 3 * (2 * 0.85 * 0.15 / 1000) ** 0.5)
    assert size_error(1.0, TESTED) == pytest.approx(0.0, abs=1e-9)


STAGE = [  # worker A: 5 to 35, 36 to 66; worker B: 6 to 30, 32 to 60
    Span(begin=5, end=35),
    Span(begin=6, end=30),
    Span(begin=32, end=60),
    Span(begin=36, end=66),
]


def test_the_time_of_workers_is_divided_without_remainder() -> None:
    time = worker_time(STAGE, 2, wall=71)
    assert time.busy == 30 + 24 + 28 + 30
    assert time.gaps == (36 - 35) + (32 - 30)
    assert time.tail == 66 - 60
    # The clock of the stage need not be the clock of the spans: only what is left is known.
    assert time.ends == 2 * 71 - 112 - 3 - 6
    assert time.overhead == pytest.approx(1 - 112 / 142)
    assert time.overhead_without_tail == pytest.approx(1 - 112 / 136)


def test_more_workers_than_trials_count_as_many_as_trials() -> None:
    time = worker_time(STAGE[:1], 8, 40.0)
    assert (time.workers, time.available, time.gaps, time.tail) == (1, 40.0, 0, 0)


@settings(deadline=None)  # a busy machine is not a mistake
@given(
    lengths=st.lists(st.floats(0.1, 50), min_size=2, max_size=20),
    gap=st.floats(0, 5),
    workers=st.integers(1, 4),
)
def test_gaps_and_tail_are_those_of_a_simulated_stage(
    lengths: list[float], gap: float, workers: int
) -> None:
    workers = min(workers, len(lengths))
    free, stage = [0.0] * workers, []
    for index, length in enumerate(lengths):
        begin = min(free) + (gap if index >= workers else 0)
        free[free.index(min(free))] = begin + length
        stage.append(Span(begin=begin, end=begin + length))
    time = worker_time(stage, workers, max(free))
    assert time.gaps == pytest.approx(gap * (len(lengths) - workers), abs=1e-6)
    assert time.tail == pytest.approx(sum(max(free) - end for end in free), abs=1e-6)
    assert time.ends == pytest.approx(0, abs=1e-6)


RECORD = TrialRecord(
    trial_id="a",
    stage="tune",
    model="minilm-2-layers",
    order=0,
    seed=1,
    is_default=False,
    hyperparameters="{}",
    status="completed",
    ending="full_budget",
    reason="full budget",
    steps=10,
    best_value=0.5,
    train_seconds=25.0,
    eval_seconds=5.0,
)


def evaluation(name: str, seconds: float) -> EvalRecord:
    fixed: dict[str, Any] = dict.fromkeys(schema_of(EvalRecord).names, 0.5)
    return EvalRecord(**{**fixed, "trial_id": name, "experiment_seconds": seconds})


def test_spans_end_at_the_last_evaluation_of_trials_of_the_tune_stage() -> None:
    trials = [RECORD, replace(RECORD, trial_id="b", stage="confirm")]
    rows = [evaluation("a", 20.0), evaluation("a", 40.0), evaluation("b", 90.0)]
    assert spans(trials, rows) == [Span(begin=10.0, end=40.0)]


def outcome(seconds: float, mcc: float) -> Outcome:
    return Outcome(train_seconds=seconds, eval_seconds=1.0, test_seconds=2.0, test_mcc=mcc)


RUNS = {
    OURS: [outcome(5.0, 0.80), outcome(4.0, 0.81), outcome(6.0, 0.82)],
    PADDED: [outcome(25.0, 0.80), outcome(24.0, 0.82), outcome(60.0, 0.81)],
    DEFAULTS: [outcome(8.0, 0.79), outcome(8.5, 0.82), outcome(7.0, 0.82)],
    BARE: [outcome(4.9, 0.80), outcome(4.0, 0.81), outcome(5.8, 0.82)],
}
TRIAL_SIZES = trial.Sizes(
    train=64,
    validation=32,
    test=1000,
    epochs=1,
    batch_size=16,
    learning_rate=3e-4,
    repetitions=3,
    threads=2,
)


def test_ratios_are_of_medians() -> None:
    assert list(RUNS) == list(ARMS)
    assert trial.ratio(RUNS, PADDED) == pytest.approx(25 / 5)
    assert trial.ratio(RUNS, BARE) == pytest.approx(4.9 / 5)


def test_the_page_of_a_run_ends_with_the_ratio_to_the_padded_trainer() -> None:
    page = trial.page(TRIAL_SIZES, RUNS, "Busy.", quick=False)
    assert "| Trainer, defaults | 8.00 | 7.00 to 8.50 | 1.60 |" in page.results.replace("\xa0", " ")
    measured = {goal.name: (goal.measured, goal.met) for goal in page.goals}
    assert measured["seconds by those of the bare loop"] == ("1.02", True)
    assert measured["times as fast as Trainer defaults"] == ("1.60", False)
    assert page.goals[-1].name == "times as fast as Trainer padded"
    assert all(goal.met for goal in page.goals if goal.name.startswith("test MCC"))


STUDY_SIZES = Sizes(
    train=96,
    validation=50,
    test=1000,
    epochs=2,
    samples=3,
    workers=2,
    padding="max_length",
    winner_seeds=3,
    long_trials=4,
    long_seconds=30.0,
)


def test_all_arms_are_asked_for_the_configurations_that_raycompare_plans(tmp_path: Path) -> None:
    experiment = write_study(STUDY_SIZES, tmp_path / "data", tmp_path / "bench-study.yaml")
    request = request_of(STUDY_SIZES, experiment, tmp_path)
    plans = drawn_plans(experiment)
    assert [one.searched for one in request.configurations] == [p.hyperparameters for p in plans]
    assert [one.model for one in request.configurations] == [plan.model for plan in plans]
    assert request.configurations[0].arguments["eval_steps"] == 3
    assert (request.max_steps, request.grace_steps) == (12, 3)
    request.write(tmp_path / "request.json")
    assert Request.read(tmp_path / "request.json") == request


def test_long_trials_take_as_many_steps_as_fill_the_time(tmp_path: Path) -> None:
    long = write_long_study(STUDY_SIZES, 0.1, tmp_path / "data", tmp_path / "long.yaml")
    assert long.training["max_steps"] == 300
    assert long.tune.scheduler == "fifo"
    assert len(drawn_plans(long)) == 4


def test_answers_read_back_and_name_their_winner(tmp_path: Path) -> None:
    trials = [
        Trained(index=0, best=0.5, steps=10),
        Trained(index=2, best=0.7, steps=10),
        Trained(index=1, best=0.7, steps=5),
        Trained(index=3, best=None, steps=0),
    ]
    answer = Answer(search_seconds=1.5, trials=trials)
    answer.write(tmp_path / "answer.json")
    assert Answer.read(tmp_path / "answer.json") == answer
    assert (answer.winner, answer.steps) == (1, 25)


def run_of(trials: list[TrialRecord], evaluations: list[EvalRecord], tuned: float) -> Run:
    manifest = dict.fromkeys(Manifest.__dataclass_fields__, "")
    seconds = {"tune": tuned, "confirm": 10.0, "total": tuned + 30.0}
    return Run(
        command_seconds=tuned + 40.0,
        manifest=Manifest(**{**manifest, "seconds": seconds}),  # type: ignore[arg-type]
        trials=trials,
        evaluations=evaluations,
    )


def test_stopped_trials_are_no_winners_and_confirming_is_not_counted() -> None:
    trials = [
        replace(RECORD, best_value=0.6),
        replace(RECORD, order=1, best_value=0.9, status="stopped_early", steps=3),
        replace(RECORD, best_value=0.95, stage="confirm"),
    ]
    study = run_of(trials, [], tuned=50.0).study()
    assert (study.answer.winner, study.answer.steps) == (0, 13)
    assert (study.command_seconds, study.answer.search_seconds) == (80.0, 50.0)


def findings() -> Findings:
    names, chosen = ["a", "b", "c", "d"], [Trained(index=3, best=0.6, steps=12)]
    trials = [replace(RECORD, trial_id=name, order=index) for index, name in enumerate(names)]
    ends = zip(names, (36.0, 37.0, 66.5, 67.5), strict=True)
    run = run_of(trials, [evaluation(name, end) for name, end in ends], tuned=64.0)
    studies = {
        OURS: run.study(),
        PLAIN: Study(command_seconds=260.0, answer=Answer(search_seconds=224.0, trials=chosen)),
        PROCESSES: Study(command_seconds=150.0, answer=Answer(search_seconds=150.0, trials=chosen)),
    }
    tested = {OURS: [0.80, 0.81], PLAIN: [0.81, 0.81], PROCESSES: [0.95, 0.96]}
    return Findings(
        request=Request(
            data="data",
            work="work",
            labels=4,
            max_length=256,
            seed=1,
            configurations=[configuration(index) for index in range(4)],
            padding="longest",
            workers=2,
            gpus_per_trial=0.0,
            max_steps=12,
            grace_steps=3,
            reduction_factor=2,
        ),
        run=run,
        studies=studies,
        tested=tested,
        agreements=study.compare(tested, STUDY_SIZES),
        long_run=run,
        worker_time=study.where_time_went(run, 2),
    )


def configuration(index: int) -> Configuration:
    searched = {"learning_rate": 1e-4 * index} if index else {}
    return Configuration(
        model="minilm-2-layers", place="here", config={}, searched=searched, arguments={}
    )


def test_the_page_of_a_study_holds_every_goal() -> None:
    page = study_page.study_page(STUDY_SIZES, findings(), "Busy.", quick=False)
    measured = {goal.name: (goal.measured, goal.met) for goal in page.goals}
    assert measured["times as fast as plain Ray Tune, searches"] == ("3.50", True)
    assert measured["times as fast as plain Ray Tune, whole commands"] == ("2.77", False)
    assert measured["overhead of 30 s trials, the idle tail left out"] == ("5.5%", False)
    quality = [goal.met for goal in page.goals if goal.name.startswith("test MCC")]
    assert quality == [True, False]
    assert page.goals[-1].name == "times as fast as plain Ray Tune, searches"
    assert "pads texts to the longest of a batch" in page.method
    assert "| plain Ray Tune | minilm-2-layers, learning_rate 0.0003 |" in page.results


def test_missing_data_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train\.parquet and no test\.parquet"):
        require_data(tmp_path)


@pytest.mark.parametrize("app", [trial.app, study.app])
def test_benchmarks_start_nothing_without_data(app: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data"):
        app(["--data", str(tmp_path)], standalone_mode=False)
