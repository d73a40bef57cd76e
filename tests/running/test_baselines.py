from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray.exceptions import RayTaskError

from raycompare.cluster import tasks
from raycompare.data.splits import load_splits
from raycompare.experiment.spec import TF_IDF, DataSpec
from raycompare.records.rows import PREDICTIONS_SCHEMA, BaselineFailure, BaselineRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.baselines import Baselines
from raycompare.running.check import CheckedExperiment
from tests import runs


@dataclass
class Started:
    """Stands for Ray: what was started runs where it is asked for."""

    options: list[dict[str, Any]]
    error: Exception | None = None

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        self.options.append(options)

        class Remote:
            def __init__(self, function: Callable[..., Any]) -> None:
                self.function = function

            def remote(self, *arguments: Any) -> Callable[[], Any]:
                return lambda: self.function(*arguments)

        return Remote

    def get(self, running: Callable[[], Any]) -> Any:
        if self.error:
            raise RayTaskError("fit_baseline", "Traceback: all of it", self.error)
        return running()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    fake = Started([])
    for name in ("remote", "get"):
        monkeypatch.setattr(tasks.ray, name, getattr(fake, name))
    return fake


@pytest.fixture
def ready(tiny_data: str) -> CheckedExperiment:
    data = {"dataset": tiny_data}
    return CheckedExperiment(runs.experiment("m", data=data), load_splits(DataSpec(**data), 42))


def go(ready: CheckedExperiment, folder: RunFolder) -> list[str]:
    said: list[str] = []
    Baselines.start(ready, folder, said.append).collect(said.append)
    return said


def test_a_baseline_is_fitted_once_on_one_cpu_and_kept(
    ready: CheckedExperiment, started: Started, tmp_path: Path
):
    folder = RunFolder.at(tmp_path)
    (line,) = go(ready, folder)
    (record,) = folder.read_rows(BaselineRecord)
    assert line.startswith(f"baseline: {TF_IDF}  test MCC {record.matthews_correlation:.4f}  ")
    stored = pq.read_table(tmp_path / "predictions/baseline-tf-idf.parquet")
    assert stored.schema.equals(PREDICTIONS_SCHEMA)
    assert started.options[0]["num_cpus"] == 1
    assert json.loads(record.hyperparameters)["rows"] == 120

    assert go(ready, folder) == [f"baseline: {TF_IDF} is already fitted"]
    assert len(started.options) == 1


def test_an_experiment_that_asks_for_none_starts_none(
    ready: CheckedExperiment, started: Started, tmp_path: Path
):
    without = CheckedExperiment(ready.experiment.model_copy(update={"baselines": ()}), ready.data)
    assert go(without, RunFolder.at(tmp_path)) == []
    assert started.options == []
    assert not list(tmp_path.iterdir())


def test_a_baseline_that_fails_is_said_and_kept_and_tried_again(
    ready: CheckedExperiment, started: Started, tmp_path: Path
):
    folder = RunFolder.at(tmp_path)
    started.error = ValueError("empty vocabulary\nmore")
    assert go(ready, folder) == [
        f"baseline: {TF_IDF} could not be fitted (ValueError: empty vocabulary)"
    ]
    (failure,) = folder.read_rows(BaselineFailure)
    assert (failure.name, failure.cause) == (TF_IDF, "ValueError: empty vocabulary")
    assert "all of it" in failure.error
    assert not folder.exists("baselines.parquet")

    started.error = None
    go(ready, folder)
    assert folder.read_rows(BaselineRecord)
