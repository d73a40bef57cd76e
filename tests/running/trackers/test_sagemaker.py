from __future__ import annotations

import re

import pytest

from raycompare.running.trackers.sagemaker import MOST_DEFINITIONS, definitions, line_of
from tests.runs import experiment, typical


def values(regex: str, lines: list[str]) -> list[str]:
    return [value for line in lines for value in re.findall(regex, line)]


def test_each_metric_is_found_in_the_lines_and_nothing_else() -> None:
    run = typical()
    by_id = {trial.trial_id: trial for trial in run.trials}
    lines = [line_of(by_id[row.trial_id], row) for row in run.evaluations]
    expressions = {known.name: known.regex for known in definitions(run.experiment)}
    validation = [row for row in run.evaluations if row.split == "validation"]
    mcc = [float(value) for value in values(expressions["eval_mcc"], lines)]
    assert mcc == pytest.approx([row.matthews_correlation for row in validation], rel=1e-5)
    own = [row for row in validation if by_id[row.trial_id].model == "minilm-3"]
    assert len(own) > 0
    assert len(values(expressions["minilm-3:eval_mcc"], lines)) == len(own)
    tests = [row for row in run.evaluations if row.split == "test"]
    assert len(values(expressions["test_f1"], lines)) == len(tests)


def test_a_value_that_is_not_finite_is_no_metric() -> None:
    run = typical()
    row = run.evaluations[0].__class__(**{**vars(run.evaluations[0]), "loss": float("nan")})
    assert "eval_loss" not in line_of(run.trials[0], row)
    assert "eval_mcc" in line_of(run.trials[0], row)


def test_names_of_models_may_have_what_expressions_use() -> None:
    names = ("a+b (c)", 'it"s', "plain")
    run = typical()
    made = experiment(*names)
    for name in names:
        trial = run.trials[0].__class__(**{**vars(run.trials[0]), "model": name})
        line = line_of(trial, run.evaluations[0])
        hits = {d.name for d in definitions(made) if ":" in d.name and re.search(d.regex, line)}
        assert hits == {f"{name}:eval_mcc"}


def test_there_are_no_more_definitions_than_sagemaker_takes() -> None:
    made = definitions(experiment(*(f"model-{number}" for number in range(30))))
    assert len(made) == MOST_DEFINITIONS
    assert len({definition.name for definition in made}) == MOST_DEFINITIONS
