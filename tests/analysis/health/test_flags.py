from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from raycompare.analysis.health.flag import Flag
from raycompare.analysis.health.flags import flags
from raycompare.experiment.ranges import edge_at
from raycompare.experiment.space import Domain
from raycompare.records.survey import SplitSurvey, Survey
from raycompare.report.sections.health import health_section
from tests import runs


def found(run: runs.Run) -> dict[str, str]:
    """What was found, by what it is about; of each only the last."""
    return {flag.about: flag.found for flag in flags(run.records)}


def sound() -> runs.Run:
    """A run in which nothing stands out: its finalists are past their best."""
    run = runs.empty("a")
    run.tune("a", 0.5, 0.7, 0.8)
    run.confirm("a", [0.8, 0.81, 0.79])
    inside = '{"learning_rate": 3e-05, "warmup_steps": 0}'
    run.trials = [
        replace(t, hyperparameters=inside) if t.stage == "confirm" else t for t in run.trials
    ]
    for number, row in enumerate(run.evaluations):
        last = number + 1 == len(run.evaluations)
        if row.stage == "confirm" and row.split == "validation" and not last:
            worse = replace(row, matthews_correlation=0.82 - row.step / 1e5)
            run.evaluations[number] = worse
    return run


def surveyed(copies: int = 0, between: int = 0, contradictory: int = 0) -> dict[str, Any]:
    """A survey as a manifest has it."""
    also_in = {
        "train": {},
        "validation": {"train": 0},
        "test": {"train": copies, "validation": between},
    }
    splits = tuple(
        SplitSurvey(split=part, rows=1000, labels={}, repeated=0, also_in=others)
        for part, others in also_in.items()
    )
    return Survey(
        dataset="x",
        splits=splits,
        contradictory_texts=contradictory,
        contradictory_rows=2 * contradictory,
        asked=256,
        batch=8,
        tokenizers=(),
        proposed=None,
    ).to_plain()


def test_a_sound_run_has_no_flags() -> None:
    assert flags(sound().records) == ()
    assert health_section(sound().compare()) == ""


def test_trials_that_guess_are_counted() -> None:
    run = sound()
    run.tune("a", 0.001, -0.001)
    (flag,) = flags(run.records)
    assert flag.found.startswith("2 of 8 trials ended no better than guessing (|MCC| < 0.0")
    assert "learning_rate" in flag.advice


def test_a_good_model_with_the_loss_of_guessing_is_over_confident_and_not_flagged() -> None:
    run = sound()
    run.manifest.data["labels"] = ["neg", "pos"]
    last = {row.trial_id: row for row in run.evaluations if row.split == "validation"}
    run.evaluations = [
        replace(row, loss=math.log(2)) if row in last.values() else row for row in run.evaluations
    ]
    assert flags(run.records) == ()


@pytest.mark.parametrize(("rows", "flagged"), [(100, True), (2000, False)])
def test_how_well_guesses_score_depends_on_the_rows(rows: int, flagged: bool) -> None:
    run = sound()
    run.manifest.data["rows"]["validation"] = rows
    run.tune("a", 0.1)
    assert ("no better than guessing" in found(run).get("a", "")) == flagged


def test_a_model_that_is_worse_than_guessing_is_flagged() -> None:
    run = sound()
    run.tune("a", -0.4)
    assert found(run)["a"].startswith("1 of 7 trials ended worse than guessing")


def test_a_trifle_at_the_end_is_no_reason_to_train_longer() -> None:
    run = sound()
    last = {row.trial_id: row for row in run.evaluations if row.split == "validation"}
    run.evaluations = [
        replace(row, matthews_correlation=0.8 + 1e-6 * (row in last.values()))
        if row.stage == "confirm" and row.split == "validation"
        else row
        for row in run.evaluations
    ]
    assert flags(run.records) == ()


def test_a_seed_that_collapsed_is_flagged() -> None:
    run = sound()
    run.confirm("a", [0.1])
    run.trials[-1] = replace(run.trials[-1], seed=4, hyperparameters=run.trials[-2].hyperparameters)
    said = [flag.found for flag in flags(run.records)]
    assert "seed 4 reaches MCC 0.100, far below the other seeds (0.790 to 0.810)" in said


def test_seeds_that_all_differ_are_no_outliers() -> None:
    run = sound()
    run.confirm("a", [0.86])
    run.trials[-1] = replace(run.trials[-1], seed=4, hyperparameters=run.trials[-2].hyperparameters)
    assert not [flag for flag in flags(run.records) if "far below" in flag.found]


def test_a_loss_that_was_no_number_is_flagged() -> None:
    run = sound()
    run.tune("a", 0.5, status="stopped_early", ending="diverged", reason="loss is nan", steps=100)
    assert "the loss of 1 trial became NaN or infinite" in found(run)["a"]


@pytest.mark.parametrize(
    ("resources", "device", "flagged"),
    [
        ({"gpu": 1.0}, "cpu", True),
        ({"gpu": 0.25}, "cpu", True),
        ({"gpu": 1.0}, "cuda:0", False),
        ({"gpu": 0.0}, "cpu", False),
        ({}, "cpu", False),
    ],
)
def test_a_gpu_that_was_held_but_not_used_is_flagged(
    resources: dict[str, float], device: str, flagged: bool
) -> None:
    run = sound()
    run.manifest.resources["a"] = resources
    run.trials = [replace(trial, device=device) for trial in run.trials]
    held = [flag for flag in flags(run.records) if "held a GPU" in flag.found]
    assert bool(held) is flagged


def test_finalists_that_still_got_better_should_train_longer() -> None:
    run = runs.empty("a")
    run.tune("a", 0.5, 0.7)
    run.confirm("a", [0.8, 0.81, 0.79], is_default=True)
    (flag,) = flags(run.records)
    assert "still improving at its last evaluation" in flag.found
    assert flag.advice == "train longer with `raycompare extend`"


def test_a_best_value_at_the_edge_of_its_range_is_flagged() -> None:
    run = sound()
    at_edge = '{"learning_rate": 9.9e-05, "warmup_steps": 250}'
    run.trials = [replace(t, hyperparameters=at_edge) for t in run.trials]
    assert found(run)["a"] == (
        "the best learning_rate, 9.9e-05, is at the edge of its range (0.0001)"
    )


@pytest.mark.parametrize("metric", ["accuracy", "matthews_correlation"])
def test_validation_far_above_test_is_flagged(metric: str) -> None:
    run = sound()
    run.evaluations = [
        replace(row, **{metric: 0.6 if row.split == "test" else 0.9}) for row in run.evaluations
    ]
    label = "accuracy" if metric == "accuracy" else "MCC"
    assert found(run)["a"] == f"{label} is 0.900 on validation and 0.600 on test"
    small = replace(run.manifest, data={**run.manifest.data, "rows": {"validation": 9, "test": 9}})
    run.manifest = small
    assert found(run) == {}, "nine rows can't tell"


def test_a_test_far_above_validation_is_suspicious() -> None:
    run = sound()
    run.evaluations = [
        replace(row, accuracy=0.99 if row.split == "test" else 0.7) for row in run.evaluations
    ]
    assert found(run)["a"].endswith("0.990 on test, which is suspiciously high")


def test_an_edge_that_only_the_best_trial_is_at_may_be_luck() -> None:
    run = sound()
    at_edge = '{"learning_rate": 9.9e-05, "warmup_steps": 250}'
    near, far = at_edge.replace("9.9e", "7e"), at_edge.replace("9.9e", "3e")
    run.trials = [
        replace(t, hyperparameters=at_edge) if t.stage == "confirm" else t for t in run.trials
    ]
    for second, flagged in ((near, True), (far, False)):
        run.trials = [
            replace(t, hyperparameters=second) if t.stage == "tune" else t for t in run.trials
        ]
        assert bool(found(run)) == flagged


def test_a_label_with_few_test_rows_matters_to_a_macro_average() -> None:
    for metric, flagged in (("macro_f1", True), ("matthews_correlation", False)):
        run = runs.empty("a", tune={"metric": metric})
        run.manifest.data["test_label_counts"]["World"] = 3
        assert (found(run) == {"data": "1 label with fewer than 5 test rows"}) == flagged


@pytest.mark.parametrize(
    ("fact", "about", "says"),
    [
        ({"also_in_train": {"test": 10, "validation": 0}}, "data", "10 of the 1,000 texts of test"),
        ({"two_labels": 3}, "data", "3 texts with more than one label"),
        ({"survey": surveyed(copies=10)}, "data", "10 of the 1,000 texts of test"),
        ({"survey": surveyed(between=9)}, "data", "9 of the 1,000 texts of test are also in valid"),
        ({"survey": surveyed(contradictory=1), "two_labels": 0}, "data", "1 text with more than"),
        ({"cut": {"a": 0.2}}, "a", "20% of the training texts are longer than max_length"),
    ],
)
def test_what_is_odd_about_the_data_is_flagged(fact: dict[str, Any], about: str, says: str) -> None:
    run = sound()
    run.manifest = replace(run.manifest, data={**run.manifest.data, **fact})
    assert says in found(run)[about]


def test_few_cut_texts_are_let_pass() -> None:
    run = sound()
    run.manifest = replace(run.manifest, data={**run.manifest.data, "cut": {"a": 0.04}})
    assert found(run) == {}


def test_each_flag_is_a_row_with_what_to_do() -> None:
    flag = Flag(about="a|b", found="|MCC| < 0.02", advice="do `this`")
    section = health_section(replace(sound().compare(), flags=(flag,)))
    assert section.splitlines()[-1] == "| a\\|b | \\|MCC\\| \\< 0.02 | do `this` |"


@pytest.mark.parametrize(
    ("domain", "value", "edge"),
    [
        ({"loguniform": [1e-5, 1e-3]}, 1.1e-5, 1e-5),
        ({"loguniform": [1e-5, 1e-3]}, 9.5e-4, 1e-3),
        ({"loguniform": [1e-5, 1e-3]}, 1e-4, None),
        ({"uniform": [0.0, 0.2]}, 0.19, 0.2),
        ({"randint": [0, 100]}, 99, 99),
        ({"randint": [0, 100]}, 50, None),
        ({"randint": [0, 100]}, 0, None),  # nothing is below
        ({"randint": [10, 100]}, 10, 10),
        ({"normal": [0.0, 1.0]}, 3.0, None),
        ({"choice": [1, 2]}, 1, None),
    ],
)
def test_the_edges_of_a_range(domain: dict[str, Any], value: float, edge: float | None) -> None:
    assert edge_at(Domain.model_validate(domain), value) == edge


def test_a_latency_with_a_long_tail_is_flagged() -> None:
    run = sound()
    run.measure("a", 10.0, latency_p95_ms=30.0)
    assert flags(run.records) == ()
    run.inference = []
    run.measure("a", 10.0, latency_p95_ms=51.0)
    (flag,) = flags(run.records)
    assert (flag.about, flag.found) == (
        "a",
        "the 95th percentile of its latency is 5.1 times the median",
    )


@pytest.mark.parametrize(
    ("busy_cpus", "threads", "flagged"),
    [(6.1, 4, True), (5.9, 4, False), (0.6, 16, True), (0.4, 16, False)],
)
def test_a_machine_whose_free_cpus_were_in_use_is_flagged(
    busy_cpus: float, threads: int, flagged: bool
) -> None:
    run = sound()
    run.measure("a", 10.0, num_threads=threads)
    run.take_turns("a", [10.0] * 5, busy_cpus=busy_cpus)
    used = f"other processes used {busy_cpus} of 16 CPUs in 5 of 5 measurements"
    assert found(run) == ({"inference": used} if flagged else {})
