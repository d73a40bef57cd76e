from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from raycompare.records.journal import Journal
from raycompare.records.rows import InferenceFailure, InferenceRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running import measure as inference_stage
from raycompare.running.measure import measure_finalists
from raycompare.tuning.tuner import Shared
from tests import runs

TEXTS = Dataset.from_dict({"text": ["one", "two"]})


class Place:
    """A machine on which minilm-2 fails as long as `fails` is true."""

    def __init__(self) -> None:
        self.run, self.fails = runs.typical(), True
        self.asked: list[tuple[str, int]] = []

    def measure(self, finalists: list[TrialRecord]) -> InferenceRecord | InferenceFailure:
        model = finalists[0].model
        self.asked.append((model, len(finalists)))
        if model == "minilm-2" and self.fails:
            return InferenceFailure(model=model, cause="ValueError: too long", error="...")
        return next(row for row in self.run.inference if row.model == model)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place()
    monkeypatch.setattr(inference_stage._MeasuringNode, "of", lambda *_: place)
    return place


def measured(run: runs.Run, folder: RunFolder) -> list[str]:
    metric = run.experiment.tune.metric
    journal = Journal(metric, "max")
    journal.keep(run.trials, run.evaluations)
    shared = Shared(
        experiment=run.experiment,
        folder=folder,
        label_names=(),
        data={},
        lengths={},
        rungs={},
        resources={},
    )
    said: list[str] = []
    measure_finalists(shared, journal, TEXTS, said.append)
    return said


def test_a_model_that_fails_is_recorded_and_the_others_are_measured(
    place: Place, tmp_path: Path
) -> None:
    folder = RunFolder.at(tmp_path)
    said = measured(place.run, folder)
    assert place.asked == [("minilm-2", 3), ("minilm-3", 3), ("bert|tiny", 3)]
    assert [row.model for row in folder.read_rows(InferenceRecord)] == [
        "minilm-3",
        "bert|tiny",
    ]
    (failure,) = folder.read_rows(InferenceFailure)
    assert failure.model == "minilm-2"
    assert said[:2] == [
        "inference: 3 models",
        "  [1/3] minilm-2  could not be measured (ValueError: too long)",
    ]
    times = "12.3 ms per text (95 % within 18.5 ms), 203 texts per second in batches of 64"
    assert said[2] == f"  [2/3] minilm-3  {times}"


def test_a_resumed_run_measures_what_is_missing(place: Place, tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    measured(place.run, folder)
    place.asked.clear()
    place.fails = False
    measured(place.run, folder)
    assert place.asked == [("minilm-2", 3)]
    assert len(folder.read_rows(InferenceRecord)) == 3
    assert measured(place.run, folder) == ["inference: all 3 models are already measured"]


def test_models_without_a_tested_finalist_are_not_measured(place: Place, tmp_path: Path) -> None:
    place.run = runs.empty("minilm-2", "minilm-3")
    place.run.tune("minilm-2", 0.5)
    place.run.fail("minilm-3", "confirm", "boom")
    assert measured(place.run, RunFolder.at(tmp_path)) == []
    assert not (tmp_path / "inference.parquet").exists()
