"""The comparisons that need a hub: right but for the hub, for which something local stands in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raycompare.experiment.file import parse_draft, read_draft
from raycompare.running.check import CheckedExperiment, check
from tests import ROOT
from tests.architectures import ARCHITECTURES, TOKENIZERS

JOBS = ROOT / "jobs" / "experiments"
FILES = ("imdb_two_models", "ag_news_seven_models", "tweet_eval_tuning")

pytestmark = pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")


def ready(name: str, data: str, out: Path) -> CheckedExperiment:
    """Check a file with the genuine tokenizers, random models and other data."""
    path = JOBS / f"{name}.yaml"
    overrides = [f"data.dataset={data}", "data.config=null"]
    for number, model in enumerate(read_draft(path).sections["models"]):
        folder, config = ARCHITECTURES[model.name]
        overrides += [
            f"models.{number}.checkpoint={TOKENIZERS / folder}",
            f"models.{number}.init=random",
            f"models.{number}.config={json.dumps(config)}",
        ]
    return check(read_draft(path, overrides), str(out))


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_wrong_with_it_but_the_hub(name: str, tiny_data: str, tmp_path: Path) -> None:
    found = ready(name, tiny_data, tmp_path)
    assert "no problems found" in found.summary
    assert len(found.experiment.confirm.seeds) >= 3
    assert len(found.data.validation) > 0


@pytest.mark.parametrize("name", FILES)
def test_the_page_names_it_and_its_models(name: str) -> None:
    page = (JOBS.parents[1] / "docs" / "comparisons.md").read_text(encoding="utf-8")
    draft = parse_draft((JOBS / f"{name}.yaml").read_text(encoding="utf-8"), name)
    assert draft.problems == ()
    assert f"`{name}.yaml`" in page
    models = [model.name for model in draft.sections["models"]]
    multilingual = "bert-base-multilingual-cased", "distilbert-base-multilingual-cased"
    assert [model for model in models if model not in page and model not in multilingual] == []


def test_the_seven_models_have_the_settings_of_the_published_comparison(
    tiny_data: str, tmp_path: Path
) -> None:
    experiment = ready("ag_news_seven_models", tiny_data, tmp_path).experiment
    assert len(experiment.models) == 7
    assert experiment.data.max_length == 256
    assert experiment.training == {
        "num_train_epochs": 5,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 32,
        "learning_rate": 5e-5,
        "eval_steps": 1000,
        "early_stopping_patience": 3,
    }
