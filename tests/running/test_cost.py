"""Runs on a Ray of their own: what trials held, and a budget that ends the confirm stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raycompare.analysis.cost import cost_of
from raycompare.records.journal import Journal
from raycompare.records.messages import Stop
from raycompare.records.run_records import Records
from raycompare.tuning.limits import MaxCost
from tests.real_runs import Content, go, tiny_experiment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    return tiny_experiment(tiny_model, tiny_data)


def test_dollars_end_the_confirm_stage_and_the_report_says_what_is_missing(
    content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del content["search_space"]
    content["confirm"]["seeds"] = [1, 2, 3]
    content["cost"] = {"usd_per_hour": 36.0}
    content["tune"]["max_usd"] = 5

    ended: set[str] = set()

    def end(journal: Journal, trial_id: str, *args: Any, **known: Any) -> None:
        ended.add(trial_id)
        really(journal, trial_id, *args, **known)

    def spent(cap: MaxCost) -> Stop | None:
        return Stop("max_usd", "no more") if len(ended) >= 2 else None

    really = Journal.end
    monkeypatch.setattr(Journal, "end", end)
    monkeypatch.setattr(MaxCost, "spent", property(spent))
    folder, said = go(content, tmp_path)

    trials, manifest = folder.read_trials(), folder.read_manifest()
    tested = {row.trial_id for row in folder.read_evaluations() if row.split == "test"}
    assert len(trials) == 6
    assert 2 <= len(tested) < 6
    missing = [trial for trial in trials if trial.trial_id not in tested]
    assert {(trial.ending, trial.reason) for trial in missing} == {("max_usd", "no more")}
    assert {trial.status for trial in missing} <= {"stopped_early", "not_run"}
    assert {name.removesuffix(".parquet") for name in folder.names("predictions")} == tested
    assert set(folder.names("weights")) <= tested
    assert len(folder.names("weights")) == len({t.model for t in trials if t.trial_id in tested})
    report = folder.read_text("report.md")
    assert "> **Partial.** The run reached its cost limit of $5.00: " in report
    assert "The run reached its cost limit of $5.00: " in said
    assert manifest.complete

    for trial in trials:
        parts = (trial.startup_seconds, trial.train_seconds, trial.eval_seconds, trial.test_seconds)
        known = sum(part or 0.0 for part in parts)
        assert (trial.held_seconds is None) == (trial.starts == 0)
        assert (trial.held_seconds or 0.0) >= known
    cost = cost_of(Records.of(folder))
    assert not cost.crowded
    assert cost.whole.usd == pytest.approx(0.01 * manifest.seconds["total"], rel=1e-3)
    assert manifest.estimate["confirm_trials"] == 6
    assert "at most 0 + 6 trials" in said
