"""Finalists as folders of their own, and as ONNX that answers as they do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raycompare.cli.use import app
from raycompare.errors import RunError, UserError
from raycompare.models.saved import load_model
from raycompare.records.run_folder import RunFolder
from raycompare.serving import onnx_export
from raycompare.serving.export import export
from tests.serving.test_winner import LABELS, LENGTH, give_weights, run_with_weights


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_with_weights(tmp_path / "run")


def test_a_finalist_that_is_not_the_winner_is_exported(folder: RunFolder, tmp_path: Path) -> None:
    said = export(folder.uri, "minilm-2", str(tmp_path / "out"))
    assert said == [f"minilm-2, trial minilm-2-confirm-04: {tmp_path / 'out'}"]
    assert load_model(tmp_path / "out").config.id2label == dict(enumerate(LABELS))
    assert "# minilm-2 on" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_with_something_in_it_is_not_written_to(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"files or folders, such as notes\.txt"):
        export(folder.uri, "minilm-3", str(tmp_path))
    assert not (tmp_path / "config.json").exists()


def test_an_unknown_model_is_answered_with_the_names_there_are(folder: RunFolder) -> None:
    with pytest.raises(UserError, match="did you mean 'minilm-2'"):
        export(folder.uri, "minilm2", "out")


def test_a_pooled_model_is_exported_with_a_warning(folder: RunFolder, tmp_path: Path) -> None:
    give_weights(Path(folder.uri) / "weights" / "minilm-2-confirm-04", pooling="max")
    said = export(folder.uri, "minilm-2", str(tmp_path / "out"))
    assert "pooling: max" in said[-1]


@pytest.mark.parametrize("pooling", [None, "mean", "max"])
def test_the_onnx_model_answers_as_the_saved_one(
    folder: RunFolder, tmp_path: Path, pooling: str | None
) -> None:
    import onnxruntime  # noqa: PLC0415

    give_weights(Path(folder.uri) / "weights" / "minilm-2-confirm-04", pooling)
    place = tmp_path / "out"
    said = export(folder.uri, "minilm-2", str(place), onnx=True)
    assert "differ from the model's by" in said[1]
    session = onnxruntime.InferenceSession(place / "model.onnx")
    ids = np.array([[2, 5, 9, 3, 0, 0], [2, 5, 9, 7, 8, 3]])
    inputs = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    inputs["token_type_ids"] = np.zeros_like(ids)
    named = {each.name: inputs[each.name] for each in session.get_inputs()}
    (logits,) = session.run(["logits"], named)
    with torch.inference_mode():
        expected = load_model(place)(**{name: torch.from_numpy(x) for name, x in named.items()})
    assert logits == pytest.approx(expected.logits.numpy(), abs=1e-5)
    assert not (place / "model.onnx.data").exists()
    for each in session.get_inputs():
        assert each.shape == ["batch", "sequence"]
    assert session.get_outputs()[0].shape == ["batch", 4]


def test_weights_too_large_for_one_onnx_file_get_a_second(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "MOST_IN_ONE_FILE", 1000)
    place = tmp_path / "out"
    said = export(folder.uri, "minilm-2", str(place), onnx=True)
    assert "differ from the model's by" in said[1]
    sizes = {name: (place / name).stat().st_size for name in ("model.onnx", "model.onnx.data")}
    assert sizes["model.onnx.data"] > 1000


def test_an_onnx_model_that_answers_otherwise_is_refused(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = onnx_export._compare_answers
    monkeypatch.setattr(
        onnx_export, "_compare_answers", lambda *given: replace(real(*given), largest=float("nan"))
    )
    with pytest.raises(RunError, match="predicts differently from the model"):
        export(folder.uri, "minilm-2", str(tmp_path / "out"), onnx=True)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_export, "NEEDED", ("torch", "no_such_exporter"))
    with pytest.raises(UserError, match=r"needs no_such_exporter.*\[onnx\]"):
        onnx_export.write_onnx(tmp_path)


def test_a_model_that_does_not_say_its_length_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    name = "weights/minilm-2-confirm-04/tokenizer_config.json"
    config = json.loads(folder.read_text(name))
    folder.write_text(name, json.dumps({**config, "model_max_length": int(1e30)}))
    with pytest.raises(UserError, match="has no model_max_length"):
        export(folder.uri, "minilm-2", str(tmp_path / "out"))
    assert config["model_max_length"] == LENGTH


def test_the_commands_that_use_a_model_are_these() -> None:
    names = [str(command.callback.__name__) for command in app.registered_commands]  # type: ignore[union-attr]
    assert sorted(names) == ["export", "predict", "serve"]


def test_the_command_says_what_it_has_written(folder: RunFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raycompare", "export", folder.uri, "minilm-2"]
    out = str(tmp_path / "out")
    done = subprocess.run([*command, out], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"minilm-2, trial minilm-2-confirm-04: {out}\n")
    again = subprocess.run([*command, out], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "files or folders" in again.stderr
