from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.running.warm_start import KNOWN, load_earlier_trials
from tests import runs


@pytest.fixture
def earlier(tmp_path: Path) -> str:
    """A finished run of five trials of one model."""
    run = runs.empty("a")
    run.tune("a", 0.5, 0.6, 0.7, 0.65)
    run.tune("a", 0.2, status="stopped_early", ending="rung", reason=runs.STOP, steps=100)
    return run.write(tmp_path / "earlier").uri


def ready(search_alg: str, data_hash: str = "0123456789abcdef") -> Any:
    now = runs.experiment("a", tune={"search_alg": search_alg})
    return SimpleNamespace(experiment=now, data=SimpleNamespace(content_hash=data_hash))


def test_the_search_is_told_and_a_resumed_run_is_told_the_same(
    earlier: str, tmp_path: Path
) -> None:
    said: list[str] = []
    folder = RunFolder.at(tmp_path / "now")
    points = load_earlier_trials(earlier, folder, ready("optuna"), said.append)
    assert [point.pruned for point in points].count(True) == 1
    assert len(points) >= 4
    assert f"the search starts from {len(points)} trials of {earlier}" in said
    assert folder.exists(KNOWN)
    assert load_earlier_trials(None, folder, ready("optuna"), said.append) == points


def test_a_run_that_was_not_told_anything_knows_nothing(tmp_path: Path) -> None:
    assert load_earlier_trials(None, RunFolder.at(tmp_path), ready("optuna"), print) == ()


def test_a_search_that_does_not_learn_is_not_told(earlier: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not learn from trials.*raycompare refine"):
        load_earlier_trials(earlier, RunFolder.at(tmp_path / "now"), ready("random"), print)


def test_other_data_can_not_be_compared(earlier: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ffff"):
        load_earlier_trials(earlier, RunFolder.at(tmp_path / "now"), ready("optuna", "ffff"), print)
