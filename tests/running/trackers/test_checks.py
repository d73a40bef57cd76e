from __future__ import annotations

from pathlib import Path

import pytest

from raycompare.running.trackers.checks import tracker_problems
from tests import runs


def problems(out: str, *names: str) -> list[str]:
    experiment = runs.experiment("a", trackers=list(names))
    return [f"{p.found} | {p.hint}" for p in tracker_problems(experiment, out)]


def test_mlflow_needs_a_server_where_run_folders_are_remote(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert problems(str(tmp_path), "mlflow") == []
    (problem,) = problems("mock://bucket/runs", "mlflow")
    assert "set MLFLOW_TRACKING_URI" in problem
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert problems("mock://bucket/runs", "mlflow") == []


def test_a_server_is_not_named_with_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:SECRET@server")
    (problem,) = problems(str(tmp_path), "mlflow")
    assert "MLFLOW_TRACKING_PASSWORD" in problem
    assert "SECRET" not in problem


def test_wandb_needs_a_key_unless_it_is_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    (problem,) = problems(str(tmp_path), "wandb")
    assert problem == "wandb without a key for https://api.wandb.ai | wandb login"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert problems(str(tmp_path), "wandb") == []


def test_trackers_are_no_part_of_what_is_run() -> None:
    assert runs.experiment("a").trackers == ("tensorboard",)
    hashes = {runs.experiment("a", trackers=names).content_hash for names in ([], ["mlflow"])}
    assert hashes == {runs.experiment("a").content_hash}
