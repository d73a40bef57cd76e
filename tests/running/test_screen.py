"""The look before the search in whole runs, on a Ray of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from raycompare.records.rows import ScreenRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import SCREEN_FOLDER
from tests.real_runs import Content, go, tiny_experiment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    made = tiny_experiment(tiny_model, tiny_data)
    del made["search_space"]
    made["confirm"]["seeds"] = [1]
    made["screen"] = {"keep": 1, "budget_rows": 60}
    return made


def screened(folder: RunFolder) -> list[ScreenRecord]:
    return folder.read_rows(ScreenRecord)


def test_only_the_models_that_are_kept_are_trained_and_scores_are_known_again(
    content: Content, tmp_path: Path
) -> None:
    folder, said = go(content, tmp_path)
    first, last = screened(folder)
    assert (first.kept, last.kept) == (True, False)
    assert {trial.model for trial in folder.read_trials()} == {first.model}
    assert "screen: 1 of 2 models will be trained, ranked by log_me" in said
    assert "## Screening" in folder.read_text("report.md")
    assert folder.read_manifest().seconds["screen"] > 0
    assert len(folder.parent.folder(SCREEN_FOLDER).names("")) == 2

    content["screen"]["score"] = "probe"
    again, _ = go(content, tmp_path)
    assert [record.cached for record in screened(again)] == [True, True]
    assert {r.model: r.log_me for r in screened(again)} == {
        r.model: r.log_me for r in (first, last)
    }

    del content["screen"]["score"]
    _, told = go(content, tmp_path, resume=folder.uri)
    assert "screen: 2 models already screened" in told
    assert {trial.model for trial in folder.read_trials()} == {first.model}
