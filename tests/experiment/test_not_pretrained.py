"""The report says which models were trained from randomly initialised weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.spec import Experiment
from raycompare.report.write import render, write_report
from raycompare.tuning.plans import identities
from tests.runs import Run, empty

RANDOM = {"name": "drawn", "init": "random"}


def run_of(*models: object) -> Run:
    run = empty("minilm", models=[*models])
    for place, spec in enumerate(run.experiment.models):
        run.confirm(spec.name, [0.8 - 0.1 * place, 0.81 - 0.1 * place, 0.79 - 0.1 * place])
    return run


def test_verdict_and_leaderboard_name_one_model(tmp_path: Path) -> None:
    folder = run_of("minilm", RANDOM).write(tmp_path)
    verdict = write_report(folder).verdict
    assert "drawn was trained from randomly initialised weights" in verdict
    report = folder.read_text("report.md")
    assert "- drawn is not pretrained: the weights were initialised at random (`init:" in report


def test_verdict_and_leaderboard_name_several_models() -> None:
    comparison = run_of(RANDOM, {"name": "other", "init": "random"}).compare()
    assert "drawn and other were trained from randomly initialised weights" in comparison.verdict
    assert "- drawn and other are not pretrained: the weights" in render(comparison, {})


def test_the_verdict_says_whether_the_leader_is_among_them() -> None:
    alone = run_of(RANDOM, "minilm").compare()
    assert " It was trained from randomly initialised weights." in alone.verdict
    many = [{"name": f"drawn-{number}", "init": "random"} for number in range(4)]
    first, last = run_of(*many, "minilm").compare(), run_of("minilm", *many).compare()
    assert "4 of the 5 models, including the first, were trained from random" in first.verdict
    assert "4 of the 5 models were trained from randomly initialised weights" in last.verdict


def test_pretrained_models_are_not_mentioned() -> None:
    text = render(run_of("minilm", "other").compare(), {})
    assert "randomly initialised" not in text
    assert "not pretrained" not in text


@pytest.mark.parametrize(
    "fields",
    [
        {"init": "random"},
        {"peft": {}},
        {"peft": {"lora_r": 4}},
        {"trust_remote_code": True},
        {"model_class": "a.b:C"},
    ],
)
def test_how_a_model_is_built_is_part_of_its_identity(fields: dict[str, object]) -> None:
    class Data:
        content_hash = "x"

    def about(model: dict[str, object]) -> tuple[str, str]:
        experiment: Experiment = empty("x", models=[model]).experiment
        settings = settings_of(experiment, "x").complete({})
        found = identities(experiment, Data(), {})["x"]  # type: ignore[arg-type]
        return found, json.dumps(settings)

    plain, same, other = about({"name": "x"}), about({"name": "x"}), about({"name": "x", **fields})
    assert plain == same
    assert plain[0] != other[0]
    assert plain[1] != other[1]


def test_what_a_model_is_made_from_is_part_of_its_identity() -> None:
    class Data:
        content_hash = "x"

    experiment: Experiment = empty("x", models=[{"name": "x"}]).experiment
    of_old_runs, one, other = (
        identities(experiment, Data(), made_from)["x"]  # type: ignore[arg-type]
        for made_from in ({}, {"x": "content 1"}, {"x": "content 2"})
    )
    assert len({of_old_runs, one, other}) == 3
    assert identities(experiment, Data(), {"y": "1"})["x"] == of_old_runs  # type: ignore[arg-type]
