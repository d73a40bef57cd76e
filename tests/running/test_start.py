from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset
from safetensors.torch import save_file

from raycompare.data.splits import LabelledData
from raycompare.errors import UserError
from raycompare.models import fingerprints
from raycompare.records.rows import StoredText
from raycompare.records.run_folder import RunFolder
from raycompare.running.check import CheckedExperiment
from raycompare.running.start import RunFacts, begin, earlier_clock, manifest
from tests import runs


def interrupted(place: Path) -> runs.Run:
    made = runs.empty("a")
    made.tune("a", 0.5)
    made.confirm("a", [0.5])
    seconds = {"check": 4.0, "tune": 60.0, "total": 70.0}
    made.manifest = replace(made.manifest, complete=False, seconds=seconds)
    made.write(place)
    return made


def last(made: runs.Run, stage: str) -> float:
    return max(row.experiment_seconds for row in made.evaluations if row.stage == stage)


def test_what_an_interrupted_run_took_is_read_from_its_manifest(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    made.evaluations = [row for row in made.evaluations if row.experiment_seconds < 60]
    lasted = {"check": 4.0, "tune": 150.0, "total": 170.0}
    made.manifest = replace(made.manifest, machine_seconds=lasted)
    clock = earlier_clock(made.write(tmp_path))
    assert clock.seconds == {"check": 4.0, "tune": 60.0}
    assert clock.total == pytest.approx(70.0, abs=1)
    assert clock.machine_seconds == {"check": 4.0, "tune": 150.0}
    assert clock.machine_total == pytest.approx(170.0, abs=1)


def test_a_session_that_was_killed_took_at_least_until_its_last_evaluation(tmp_path: Path) -> None:
    made = interrupted(tmp_path)
    made.trials[0] = replace(made.trials[0], hostname="another")
    made.manifest = replace(made.manifest, machine_seconds={"tune": 90.0, "total": 100.0})
    folder, end = made.write(tmp_path), last(made, "confirm")
    clock = earlier_clock(folder)
    assert clock.seconds == {"check": 4.0, "tune": 60.0, "confirm": end - 70.0}
    assert clock.machine_seconds == {"check": 8.0, "tune": 90.0, "confirm": 2 * (end - 70.0)}
    assert clock.machine_total == pytest.approx(100 + 2 * (end - 70), abs=1)
    (tmp_path / "manifest.json").unlink()
    clock, tuned = earlier_clock(folder), last(made, "tune")
    assert clock.seconds == {"tune": tuned, "confirm": end - tuned}
    assert clock.machine_seconds == {"tune": 2 * tuned, "confirm": 2 * (end - tuned)}


def test_a_folder_without_records_took_no_time(tmp_path: Path) -> None:
    clock = earlier_clock(RunFolder.at(tmp_path))
    assert clock.seconds == clock.machine_seconds == {}
    assert clock.total == pytest.approx(0.0, abs=1)


def checked(**sections: Any) -> CheckedExperiment:
    """Return an experiment on data with two texts in each split."""
    columns = {"text": ["a secret", "another"], "label": [0, 1], "example_id": [7, 3]}
    split = Dataset.from_dict(columns).cast_column("label", ClassLabel(names=["no", "yes"]))
    data = LabelledData(split, split, split, ("no", "yes"), "0123456789abcdef")
    return CheckedExperiment(experiment=runs.experiment("a", **sections), data=data)


def test_texts_are_not_stored(tmp_path: Path) -> None:
    ready, folder = checked(), RunFolder.at(tmp_path)
    begun = begin(ready, folder)
    folder.write_manifest(manifest(ready, begun, RunFacts(), earlier_clock(folder)))
    assert sorted(folder.files()) == ["experiment.yaml", "manifest.json", "started.json"]
    assert not any("secret" in folder.read_text(name) for name in folder.files())


def test_texts_of_the_test_are_stored_on_request(tmp_path: Path) -> None:
    ready, folder = checked(report={"texts": True}), RunFolder.at(tmp_path)
    begun = begin(ready, folder)
    folder.write_manifest(manifest(ready, begun, RunFacts(), earlier_clock(folder)))
    assert folder.read_rows(StoredText) == [
        StoredText(example_id=7, text="a secret"),
        StoredText(example_id=3, text="another"),
    ]
    others = (name for name in folder.files() if not name.endswith(".parquet"))
    assert not any("secret" in folder.read_text(name) for name in others)


def test_a_run_that_stores_no_texts_is_not_resumed_with_texts(tmp_path: Path) -> None:
    begin(checked(), RunFolder.at(tmp_path))
    with pytest.raises(UserError, match="a run of another experiment"):
        begin(checked(report={"texts": True}), RunFolder.at(tmp_path))
    assert not (tmp_path / "test_texts.parquet").exists()
    begin(checked(report={"texts": False}), RunFolder.at(tmp_path))


def test_a_run_is_not_resumed_with_other_weights(tiny_model: str, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    ready = checked(models=[{"name": "a", "checkpoint": str(model)}])
    folder = RunFolder.at(tmp_path / "run")
    begun = begin(ready, folder)
    assert begin(ready, folder) == begun
    facts = manifest(ready, begun, RunFacts(), earlier_clock(folder))
    assert facts.data["checkpoints"] == begun.checkpoints
    assert list(begun.checkpoints) == ["a"]
    save_file({"x": torch.ones(1)}, model / "model.safetensors")
    with pytest.raises(UserError, match="the files of 1 checkpoint have changed"):
        begin(ready, folder)


def test_a_run_whose_checkpoints_were_not_recorded_is_resumed(
    tiny_model: str, tmp_path: Path
) -> None:
    ready = checked(models=[{"name": "a", "checkpoint": tiny_model}])
    folder = RunFolder.at(tmp_path)
    begin(ready, folder)
    started = json.loads(folder.read_text("started.json"))
    del started["checkpoints"]
    folder.write_text("started.json", json.dumps(started))
    assert begin(ready, folder).checkpoints == {}


def test_a_hub_checkpoint_stays_at_the_commit_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = iter(["a" * 40, "b" * 40])
    monkeypatch.setattr(fingerprints, "commit_to_train", lambda *_: next(commits))
    ready, folder = checked(models=["me/enc"]), RunFolder.at(tmp_path)
    first = begin(ready, folder)
    assert first.checkpoints == {"me/enc": f"commit {'a' * 40}"}
    assert begin(ready, folder) == first
