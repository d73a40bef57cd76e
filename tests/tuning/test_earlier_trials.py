from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.analysis.refine import refine
from raycompare.errors import UserError
from raycompare.experiment.file import read_experiment
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.ranges import in_range
from raycompare.experiment.space import Domain
from raycompare.experiment.spec import Experiment
from raycompare.records.rows import TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.tuning.earlier_trials import (
    EarlierRun,
    EarlierTrials,
    EvaluatedPoint,
    from_json,
    known_points,
)
from tests import ROOT, runs

REAL = RunFolder.at(next(ROOT.glob("reports/ag-news/*/report.md")).parent)
SPACE = {"x": {"uniform": [0, 10]}}


def experiment(*models: Any, **sections: Any) -> Experiment:
    return runs.experiment(
        *(models or ("m",)), **{"search_space": SPACE, "training": {}, **sections}
    )


NO_VALUES: list[dict[str, Any]] = [
    {"best_value": None},
    {"best_value": float("nan")},
    {"status": "stopped_early", "ending": "diverged"},
    {"status": "interrupted", "ending": "cut_short"},
    {"status": "errored", "ending": "error"},
]


def trial(model: str = "m", value: float | None = 0.5, **searched: Any) -> TrialRecord:
    return TrialRecord(
        trial_id=f"{model}-{value}-{searched}",
        stage="tune",
        model=model,
        order=0,
        seed=42,
        is_default=not searched,
        hyperparameters=json.dumps(searched),
        status="completed",
        ending="full_budget",
        reason="",
        best_value=value,
    )


def earlier(of: Experiment, *trials: TrialRecord, **parts: Any) -> EarlierRun:
    made: dict[str, Any] = {"evaluations": (), "data_hash": "aa", "place": "reports/old", **parts}
    return EarlierRun(experiment=of, trials=trials, **made)


def told(before: Experiment, now: Experiment, *trials: TrialRecord) -> EarlierTrials:
    return known_points(earlier(before, *trials), now, "aa")


def refusal(before: Experiment, now: Experiment, *trials: TrialRecord) -> str:
    with pytest.raises(UserError) as raised:
        told(before, now, *trials)
    return str(raised.value)


def point(value: float = 0.5, **searched: Any) -> EvaluatedPoint:
    return EvaluatedPoint(model="m", hyperparameters=searched, value=value)


def test_a_trial_of_an_equal_model_is_known():
    known = told(experiment(), experiment(name="again"), trial(x=4.0))
    assert known == EarlierTrials(points=(point(x=4.0),))


def test_names_of_models_do_not_matter_but_their_weights_do():
    before = experiment({"name": "old", "checkpoint": "c"})
    now = experiment({"name": "m", "checkpoint": "c"}, {"name": "old", "checkpoint": "d"})
    known = told(before, now, trial("old", x=4.0))
    assert known.of("m") == (point(x=4.0),)
    assert known.of("old") == ()


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        ({"checkpoint": "c"}, {"checkpoint": "d"}, "no model of this experiment is c"),
        (
            {"revision": "1"},
            {"revision": "2"},
            "no model of this experiment is m at revision 1",
        ),
        (
            {"config": {"num_hidden_layers": 2}},
            {"config": {"num_hidden_layers": 3}},
            "differs from m: config.num_hidden_layers was 2, now 3",
        ),
        (
            {"training": {"optim": "sgd"}},
            {"training": {"bf16": True}},
            'differs from m: optim was "sgd", now not set; bf16 was not set, now true',
        ),
        ({}, {"search_space": {"x": 4.0}}, "the model is the same, but has no search space now"),
    ],
)
def test_a_model_that_is_not_the_same_is_left_out_and_the_difference_named(
    then: dict[str, Any], now: dict[str, Any], why: str
):
    message = refusal(
        experiment({"name": "m", **then}), experiment({"name": "m", **now}), trial(x=4.0)
    )
    assert f"  m: {why}\n" in message
    assert message.startswith("--warm-start: reports/old has no trials that the models of")


def test_what_is_cut_to_another_length_is_not_the_same():
    now = experiment(data={"dataset": "d", "max_length": 64})
    message = refusal(experiment(data={"dataset": "d"}), now, trial(x=4.0))
    assert "max_length was 256, now 64" in message


def test_a_number_may_be_written_with_or_without_a_point():
    before = experiment(training={"num_train_epochs": 2})
    assert told(before, experiment(training={"num_train_epochs": 2.0}), trial(x=4.0)).points


def test_other_models_of_the_same_weights_are_told_apart_by_their_config():
    two, three = (
        {"name": f"m{layers}", "checkpoint": "c", "config": {"num_hidden_layers": layers}}
        for layers in (2, 3)
    )
    known = told(experiment(two, three), experiment(three, two), trial("m2", x=2), trial("m3", x=3))
    assert [point.hyperparameters for point in known.of("m2")] == [{"x": 2}]
    assert [point.hyperparameters for point in known.of("m3")] == [{"x": 3}]


def test_points_outside_the_ranges_of_now_are_left_out_and_counted():
    now = experiment(search_space={"x": {"uniform": [3, 5]}})
    useless = [replace(trial(x=4.0), **outcome) for outcome in NO_VALUES]
    known = told(experiment(), now, trial(x=4.0), trial(x=2.0), trial(x=6.0), *useless)
    assert known.points == (point(x=4.0),)
    assert known.left_out == (
        "m: 7 of 8 trials skipped: 2 outside the current ranges and 5 without a comparable value",
    )


def test_what_was_fixed_and_is_searched_now_is_known_from_what_it_was_fixed_to():
    now = experiment(search_space={**SPACE, "y": {"uniform": [0, 1]}})
    known = told(experiment(training={"y": 0.5}), now, trial(x=4.0), trial())
    assert known.points == (point(x=4.0, y=0.5),)
    assert known.left_out == ("m: 1 of 2 trials skipped: 1 without a value of x",)


def test_a_trial_that_lacks_what_is_searched_now_is_left_out():
    now = experiment(search_space={**SPACE, "y": {"uniform": [0, 1]}})
    assert "m: 1 of 1 trial skipped: 1 without a value of y" in refusal(
        experiment(), now, trial(x=4.0)
    )


def test_what_was_searched_and_is_fixed_now_must_have_its_value():
    before = experiment(search_space={**SPACE, "y": {"choice": [1, 2]}})
    now = experiment(training={"y": 2})
    known = told(before, now, trial(x=3.0, y=1), trial(x=4.0, y=2))
    assert known.points == (point(x=4.0),)


def test_the_untuned_default_is_known_where_its_values_are():
    training = {"x": 4}
    known = told(experiment(training=training), experiment(training=training), trial())
    assert known.points == (point(x=4),)


def test_a_stopped_trial_is_told_with_its_course():
    run = runs.empty("m")
    stop = {"status": "stopped_early", "ending": "rung", "steps": 100}
    run.tune("m", 0.8)
    run.tune("m", 0.4, **stop)
    run.tune("m", 0.7)
    tested = [replace(row, split="test") for row in run.evaluations]
    rows = [*tested, *reversed(run.evaluations)]
    known = known_points(
        earlier(run.experiment, *run.trials, evaluations=rows), run.experiment, "aa"
    )
    stopped, completed = known.points
    assert not completed.pruned
    assert completed.intermediate == ()
    rows = [row for row in run.evaluations if row.trial_id == run.trials[1].trial_id]
    assert stopped.pruned
    assert stopped.intermediate == tuple(row.matthews_correlation for row in rows)
    assert len(stopped.intermediate) == 2
    assert stopped.value == max(stopped.intermediate)


def test_values_that_are_no_numbers_are_no_course():
    run = runs.empty("m")
    run.tune("m", 0.8, 0.4, status="stopped_early", ending="rung", steps=100)
    broken = [replace(row, matthews_correlation=float("nan")) for row in run.evaluations]
    parts = {"evaluations": broken}
    known = known_points(earlier(run.experiment, *run.trials, **parts), run.experiment, "aa")
    assert known.points[0].intermediate == ()


def test_a_confirmed_trial_is_no_point():
    confirmed = replace(trial(x=5.0), stage="confirm")
    assert told(experiment(), experiment(), trial(x=4.0), confirmed).points == (point(x=4.0),)


def test_all_that_does_not_fit_is_said_at_once():
    with pytest.raises(UserError) as raised:
        known_points(earlier(experiment()), experiment(tune={"metric": "loss"}), "bb")
    message = str(raised.value)
    assert "tune.metric: found loss, but reports/old measured matthews_correlation." in message
    assert "data: found texts with the hash bb, but reports/old was trained on aa." in message
    assert "reports/old: no trial of the tune stage has a value." in message
    assert message.endswith("Or run without --warm-start.")


def test_a_real_run_is_known_to_its_refinement():
    before = read_experiment(REAL.read_text("experiment.yaml"))
    trials, evaluations = REAL.read_trials(), REAL.read_evaluations()
    found = EarlierRun(
        place=REAL.shown,
        experiment=before,
        trials=trials,
        evaluations=evaluations,
        data_hash=REAL.read_manifest().data["hash"],
    )
    known = known_points(found, refine(before, trials).experiment, "68ecfee61af57ebc")
    assert {name: len(known.of(name)) for name in (model.name for model in before.models)} == {
        "minilm-2-layers": 3,
        "minilm-3-layers": 3,
        "paraphrase-minilm-l3": 3,
    }
    own = [t for t in trials if t.stage == "tune" and t.model == "minilm-2-layers"]
    assert [point.pruned for point in known.of("minilm-2-layers")] == [
        trial.status == "stopped_early" for trial in own if not trial.is_default
    ]
    assert known.left_out[0] == (
        "minilm-2-layers: 1 of 4 trials skipped: 1 without a value of warmup_steps and weight_decay"
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | st.text(max_size=5)
points = st.builds(
    EvaluatedPoint,
    model=st.text(),
    hyperparameters=st.dictionaries(st.text(max_size=5), scalars, max_size=3),
    value=finite,
    intermediate=st.lists(finite, max_size=3).map(tuple),
    pruned=st.booleans(),
)


@given(
    st.builds(
        EarlierTrials, points=st.lists(points, max_size=3).map(tuple), left_out=st.just(("a line",))
    )
)
def test_what_is_known_survives_the_round_trip(known: EarlierTrials):
    again = from_json(known.to_json(), "known.json")
    assert again == known
    assert again.to_json() == known.to_json()


@pytest.mark.parametrize("text", ["", "[]", '{"points": [{"model": 1}]}'])
def test_a_file_of_something_else_is_the_users_error(text: str):
    with pytest.raises(UserError, match=r"reports/x/known\.json was changed after the run"):
        from_json(text, "reports/x/known.json")


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        ({"uniform": [0, 1]}, [0, 0.5, 1], [-0.1, 1.1, "0.5", True, None, float("nan")]),
        ({"loguniform": [0.1, 1]}, [0.1, 1], [0.09]),
        ({"quniform": [0, 0.3, 0.1]}, [0, 0.1, 0.1 + 0.2], [0.25, 0.4, -0.1]),
        ({"qloguniform": [0.1, 1, 0.1]}, [0.1, 0.3], [0.15]),
        ({"randint": [0, 5]}, [0, 4, 4.0], [5, 2.5, -1]),
        ({"lograndint": [1, 5]}, [1, 4], [5, 0]),
        ({"qrandint": [0, 10, 5]}, [0, 10], [3, 15]),
        ({"qlograndint": [2, 8, 2]}, [2, 8], [3, 10]),
        ({"normal": [0, 1]}, [0, -7.5], ["a"]),
        ({"qnormal": [0, 1, 0.5]}, [0, -7.5], [0.3]),
        ({"choice": [1, "a", None, [1]]}, [1, "a", None, [1]], [True, "b", 2]),
        ({"grid": [1, 2]}, [1], [3]),
    ],
)
def test_a_range_holds_what_is_drawn_from_it(
    domain: dict[str, Any], inside: list[Any], outside: list[Any]
):
    kind = Domain.model_validate(domain)
    assert [value for value in inside if not in_range(kind, value)] == []
    assert [value for value in outside if in_range(kind, value)] == []


def test_a_config_field_is_one_setting_wherever_it_is_written():
    layers = {"config": {"num_hidden_layers": 2}}
    of_config = experiment({"name": "m", **layers}, training={})
    of_training = experiment(training={"config.num_hidden_layers": 2})
    assert settings_of(of_config, "m").complete({}) == settings_of(of_training, "m").complete({})


@pytest.mark.parametrize(
    ("was", "now", "fits"),
    [
        ({"m": "content 1"}, {"m": "content 1"}, True),
        ({"m": "content 1"}, {"m": "content 2"}, False),
        ({"m": "commit 1"}, {}, True),
        ({}, {"m": "content 2"}, True),
    ],
)
def test_trials_of_other_weights_under_the_same_name_are_skipped(
    was: dict[str, str], now: dict[str, str], fits: bool
) -> None:
    before = earlier(experiment(), trial(x=2), checkpoints=was)
    if fits:
        assert known_points(before, experiment(), "aa", now).points
        return
    with pytest.raises(UserError, match="its checkpoint has changed"):
        known_points(before, experiment(), "aa", now)
