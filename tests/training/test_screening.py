from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raycompare.analysis.comparison import compare
from raycompare.experiment.settings import ScreenSpec
from raycompare.models.pretrained import build_model
from raycompare.records.rows import Screened, ScreenRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.report.sections.screening import screening_section
from raycompare.running.screen import rank
from raycompare.training import screening
from raycompare.training.screening import NoLayersError, ScreenTask, features, screen_model
from raycompare.training.task import TrialTask
from tests import runs


def test_features_are_the_mean_over_layers_and_tokens_of_each_text(task: TrialTask) -> None:
    rows = np.array([5, 0, 17])
    found = features(task, rows)
    model = build_model(task.model, task.label_names, {}).eval()
    for place, row in enumerate(rows):
        ids = torch.tensor(task.data.train[row]["input_ids"][None].astype(np.int64))
        with torch.inference_mode():
            _, *layers = model.base_model(ids, output_hidden_states=True).hidden_states
        expected = torch.stack([layer[0].mean(dim=0) for layer in layers]).mean(dim=0)
        np.testing.assert_allclose(found[place], expected, atol=1e-5)


def test_every_model_is_looked_at_on_the_same_rows_as_many_as_there_are(task: TrialTask) -> None:
    few = ScreenTask(trial=task, rows=20)
    other = replace(task, plan=replace(task.plan, model="other"))
    assert few.sample().tolist() == ScreenTask(trial=other, rows=20).sample().tolist()
    assert len(set(few.sample())) == 20
    whole = ScreenTask(trial=task, rows=10**6).sample()
    assert sorted(whole) == list(range(len(task.data.train)))


def test_a_model_is_screened_to_all_scores(task: TrialTask) -> None:
    found = screen_model(ScreenTask(trial=task, rows=60))
    assert (found.model, found.rows, found.cached, found.cause) == ("tiny", 60, False, None)
    again = screen_model(ScreenTask(trial=task, rows=60))
    assert replace(again, seconds=found.seconds) == found
    assert found.probe is not None
    assert -1 <= found.probe <= 1


def test_a_model_that_hides_its_layers_is_said_to(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(torch.nn.Module):
        def forward(self, **_: Any) -> dict[str, Any]:
            return {}

    def silent(*_: Any) -> Any:
        model = build_model(task.model, task.label_names, {})
        model.bert = Silent()
        return model

    monkeypatch.setattr(screening, "build_model", silent)
    with pytest.raises(NoLayersError, match="bert doesn't return the outputs of its layers"):
        features(task, np.array([0]))


def one(model: str, score: float | None, **changes: Any) -> Screened:
    known = {"log_me": score, "h_score": -(score or 0), "probe": 0.5, "seconds": 2.0}
    if score is None:
        known = {"cause": "OSError: gone"}
    return Screened(model=model, rows=100, **{**known, **changes})


def test_the_best_are_kept_and_those_that_could_not_be_screened_too() -> None:
    found = [one("a", -0.5), one("b", None), one("c", -0.2), one("d", -0.5)]
    records = rank(ScreenSpec(keep=2), found)
    assert [(r.model, r.rank, r.kept) for r in records] == [
        ("c", 1, True),
        ("a", 2, True),
        ("d", 3, False),
        ("b", None, True),
    ]
    by_h = rank(ScreenSpec(keep=1, score="h_score"), found)
    assert [r.model for r in by_h if r.kept] == ["a", "b"]


def screened_run(keep: int, *scores: float) -> runs.Run:
    """Models m0, m1, ... of which the last is the best in the end; each with its score."""
    names = [f"m{place}" for place in range(len(scores))]
    made = runs.empty(*names, screen={"keep": keep})
    found = [one(name, score) for name, score in zip(names, scores, strict=True)]
    made.screened = rank(ScreenSpec(keep=keep), found)
    kept = [record.model for record in made.screened if record.kept]
    for place, name in enumerate(names):
        if name in kept:
            made.confirm(name, [0.5 + place / 10] * 2)
    return made


def section(made: runs.Run, place: Path) -> str:
    folder = made.write(place)
    return screening_section(compare(Records.of(folder), folder.read_predictions()))


def test_the_report_shows_scores_beside_final_ranks(tmp_path: Path) -> None:
    text = section(screened_run(4, -0.4, -0.3, -0.1, -0.2), tmp_path)
    assert "4 models were screened by their frozen features on 100 training rows" in text
    assert "by LogME, all were kept." in text
    assert "| m3 | -0.200 | 0.200 | 0.500 | 2 | 1 | 2.0\xa0s |" in text
    assert "over the 4 trained models (Spearman; 1 means the same order): 0.80 (LogME), " in text
    assert "-0.80 (H-score) and undefined, all are equal (linear probe, MCC)." in text
    assert "The final winner, m3, had screening rank 2 of 4: `keep: 2` would have been" in text
    assert "not trained" not in text


def test_models_that_were_left_out_are_in_no_other_part_of_the_report(tmp_path: Path) -> None:
    made = screened_run(2, -0.4, -0.1, -0.2)
    text = section(made, tmp_path)
    assert "by LogME, the best 2 were kept" in text
    assert "| m0 | -0.400 | 0.400 | 0.500 | 3 | dropped | 2.0\xa0s |" in text
    assert "2 models with both ranks: too few" in text
    assert "so one of them might have been first" in text
    folder = RunFolder.at(tmp_path)
    comparison = compare(Records.of(folder), folder.read_predictions())
    assert [model.name for model in comparison.experiment.models] == ["m1", "m2"]
    assert [row.model for row in comparison.leaderboard] == ["m2", "m1"]


def test_a_model_that_could_not_be_screened_is_named_with_why(tmp_path: Path) -> None:
    made = screened_run(2, -0.4, -0.1)
    made.screened[1] = ScreenRecord(
        model="m0", rows=100, rank=None, kept=True, cause="NoLayersError: none | no"
    )
    text = section(made, tmp_path)
    assert "m0 could not be screened and was kept: NoLayersError: none \\| no" in text


def test_without_screening_there_is_no_section(tmp_path: Path) -> None:
    made = runs.empty("a")
    made.confirm("a", [0.5])
    assert section(made, tmp_path) == ""
