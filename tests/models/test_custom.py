"""Custom model classes, and checkpoints that come with code."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raycompare.errors import UserError
from raycompare.experiment.file import parse_draft
from raycompare.experiment.spec import ModelSpec
from raycompare.models.custom import NoClassError, class_at
from raycompare.models.pretrained import build_model, load_pretrained
from raycompare.models.saved import load_model
from raycompare.running.check import check
from raycompare.training.task import TrialTask
from tests.bad import content_of, refused
from tests.own_models import BagOfEmbeddings, MeanOfTokens
from tests.trials import cut_off, gone_on, trained, with_arguments

MEAN, BAG = "tests.own_models:MeanOfTokens", "tests.own_models:BagOfEmbeddings"


def with_model(task: TrialTask, **fields: Any) -> TrialTask:
    return with_arguments(replace(task, model=task.model.model_copy(update=fields)))


def test_a_class_is_found_by_its_import_path() -> None:
    assert class_at(MEAN) is MeanOfTokens


def test_a_module_that_fails_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(NoClassError, match="RuntimeError: no licence"):
        class_at("failing:Model")


def test_a_class_of_ones_own_is_trained_goes_on_and_is_kept(
    task: TrialTask, tmp_path: Path
) -> None:
    own = with_model(task, model_class=MEAN)
    whole = trained(own)
    paused = replace(own, may_pause=True)
    cut_off(paused, tmp_path, after=0)
    after = gone_on(paused, tmp_path)
    assert after.end.test_metrics == pytest.approx(whole.end.test_metrics)
    with pytest.raises(UserError, match=r"names the class 'tests.own_models:MeanOfTokens'"):
        load_model(tmp_path / "kept-weights")
    kept = load_model(tmp_path / "kept-weights", trust_code=MEAN)
    assert type(kept) is MeanOfTokens
    assert kept.config.num_labels == 3


def test_its_pretrained_layers_are_those_of_the_checkpoint(task: TrialTask) -> None:
    own = build_model(with_model(task, model_class=MEAN).model, task.label_names, {})
    plain = load_pretrained(task.model, task.label_names)
    assert isinstance(own, MeanOfTokens)
    for name, weight in own.bert.named_parameters():
        assert (weight == plain.get_parameter(f"bert.{name}")).all()


def test_a_class_with_a_config_of_its_own(task: TrialTask, tmp_path: Path, tiny_model: str) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("config.json", "*.safet*"))
    fields = {"checkpoint": str(folder), "init": "random", "config": {"width": 4}}
    own = with_model(task, model_class=BAG, **fields)
    sink = gone_on(own, tmp_path)
    assert sink.end.reason == "full_budget"
    kept = load_model(tmp_path / "kept-weights", trust_code=BAG)
    assert type(kept) is BagOfEmbeddings
    assert kept.config.width == 4


def test_check_takes_a_class_and_says_so(tiny_model: str, tiny_data: str, tmp_path: Path) -> None:
    content = content_of(tiny_model, tiny_data)
    content["models"][0]["model_class"] = MEAN
    ready = check(parse_draft(json.dumps(content), "x"), str(tmp_path))
    assert f"note: every machine must be able to import {MEAN}" in ready.summary


def test_pooling_is_that_of_the_class_itself(
    tiny_model: str, tiny_data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = content_of(tiny_model, tiny_data)
    content["models"][0] |= {"model_class": MEAN, "training": {"pooling": "max"}}
    assert "models.0.training.pooling" in refused(content, tmp_path, capsys)


@pytest.fixture
def brought(tiny_model: str, tmp_path: Path) -> str:
    """A checkpoint with its own Python code."""
    folder = shutil.copytree(tiny_model, tmp_path / "brought")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "brought",
        "auto_map": {
            "AutoConfig": "brought.BroughtConfig",
            "AutoModelForSequenceClassification": "brought.Brought",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "brought.py").write_text(
        "from transformers import BertConfig, BertForSequenceClassification\n\n\n"
        "class BroughtConfig(BertConfig):\n    model_type = 'brought'\n\n\n"
        "class Brought(BertForSequenceClassification):\n    config_class = BroughtConfig\n"
    )
    return str(folder)


def test_code_that_a_checkpoint_brings_runs_only_where_the_file_asks_for_it(
    brought: str,
    task: TrialTask,
    tiny_data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    content = content_of(brought, tiny_data)
    assert "trust_remote_code: true" in refused(content, tmp_path, capsys)
    assert not (tmp_path / "hf").exists()
    content["models"][0]["trust_remote_code"] = True
    ready = check(parse_draft(json.dumps(content), "x"), str(tmp_path))
    assert "may run, here and on every machine" in ready.summary
    model = ModelSpec(name="b", checkpoint=brought, trust_remote_code=True)
    sink = gone_on(replace(task, model=model), tmp_path)
    assert sink.end.reason == "full_budget"
    with pytest.raises(UserError, match="add --trust-remote-code"):
        load_model(tmp_path / "kept-weights")
    kept = load_model(tmp_path / "kept-weights", trust_remote_code=True)
    assert type(kept).__name__ == "Brought"
