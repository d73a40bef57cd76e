"""Whole runs whose confirm stage adds seeds only where they decide something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from tests.real_runs import Content, go, outcomes, tiny_experiment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    made = tiny_experiment(tiny_model, tiny_data)
    hopeless = {"name": "hopeless", "checkpoint": tiny_model, "training": {"learning_rate": 1e-9}}
    made["models"].append(hopeless)
    made["confirm"] = {"seeds": "auto", "most": 4, "min_chance": 0}
    made["training"] |= {"num_train_epochs": 10, "learning_rate": 2e-3}
    del made["search_space"]
    return made


def seeds_of(folder: RunFolder) -> Counter[str]:
    return Counter(t.model for t in folder.read_trials() if t.status == "completed")


def test_seeds_are_added_to_models_that_may_win_also_after_an_interruption(
    content: Content, in_tmp: Path
) -> None:
    folder, said = go(content, in_tmp)
    seeds = seeds_of(folder)
    assert seeds["hopeless"] == 2
    assert max(seeds.values()) > 2
    assert "confirm: 6 trials, at most 6 more" in said
    assert "confirm: after 2 seeds, hopeless is ruled out" in said
    assert "Seeds were added one at a time" in folder.read_text("report.md")
    whole = outcomes(folder)

    forget_seeds_after(2, folder)
    folder, said = go(content, in_tmp, resume=folder.uri)
    assert "confirm: after 2 seeds, hopeless is ruled out" in said
    assert outcomes(folder) == whole


def forget_seeds_after(last: int, folder: RunFolder) -> None:
    """Leave the records as an interrupted run would."""
    trials = [trial for trial in folder.read_trials() if trial.seed <= last]
    kept = {trial.trial_id for trial in trials}
    assert len(kept) < len(folder.read_trials())
    rows = [row for row in folder.read_evaluations() if row.trial_id in kept]
    folder.write_rows(trials, TrialRecord)
    folder.write_rows(rows, EvalRecord)
    for name in folder.names("predictions"):
        if name.removesuffix(".parquet") not in kept:
            Path(folder.child(f"predictions/{name}")).unlink()


def test_no_seed_is_added_once_the_time_is_over(content: Content, in_tmp: Path) -> None:
    content["tune"]["time_budget_s"] = 0.1
    folder, said = go(content, in_tmp)
    assert set(seeds_of(folder).values()) == {2}
    assert "confirm: no further seeds, since the budget is spent (time_budget_s: 0.1)" in said
    refused = [t for t in folder.read_trials() if t.status == "not_run"]
    assert {trial.seed for trial in refused} == {3}
