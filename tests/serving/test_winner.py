"""The winner's folder: loaded as the card says, it answers as it was tested."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from ruamel.yaml import YAML
from transformers import AutoTokenizer, pipeline

from raycompare.errors import UserError
from raycompare.experiment.spec import ModelSpec
from raycompare.models.pooling import POOLED_BY
from raycompare.models.pretrained import build_model
from raycompare.models.saved import save_model
from raycompare.records.fetch import fetch
from raycompare.records.layout import BEST
from raycompare.records.run_folder import RunFolder
from raycompare.report.card import usage
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.winner import card, keep_best, lay_out, saved_at, winner
from tests.runs import Run, typical
from tests.tiny import save_tiny_bert

LABELS = ("World", "Sports", "Business", "Sci/Tech")
LENGTH = 8


def give_weights(place: Path, pooling: str | None = None) -> None:
    """Put a tiny model where a run keeps the weights of a finalist."""
    spec = ModelSpec(name="tiny", checkpoint=save_tiny_bert(place))
    model = build_model(spec, LABELS, {"pooling": pooling} if pooling else {})
    save_model(model, spec, place, LENGTH)


def run_with_weights(place: Path, made: Run | None = None) -> RunFolder:
    """Write a run whose finalists of seed 2 have left a tiny model each."""
    folder = (made or typical()).write(place)
    for trial in folder.read_trials():
        if trial.stage == "confirm" and trial.seed == 2:
            give_weights(place / "weights" / trial.trial_id)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_with_weights(tmp_path / "run")


def front_matter(text: str) -> dict[str, object]:
    return dict(YAML(typ="safe").load(text.split("---\n")[1]))


def test_the_best_of_a_run_is_loaded_by_a_pipeline(folder: RunFolder) -> None:
    (line,) = keep_best(folder, typical().compare())
    assert f'pipeline("text-classification", "{folder.uri}/best", truncation=True)' in line
    classify = pipeline("text-classification", f"{folder.uri}/best", truncation=True)
    assert {answer["label"] for answer in classify(["cat", "a rose"])} <= set(LABELS)
    assert classify.model.config.label2id["Sci/Tech"] == 3
    assert folder.exists("best/model.safetensors")
    assert not [name for name in folder.names(BEST) if name.endswith(".tmp")]


def test_a_pipeline_cuts_texts_as_training_did_only_if_it_is_told_to(folder: RunFolder) -> None:
    keep_best(folder, typical().compare())
    place = f"{folder.uri}/best"
    long = " ".join(["cat"] * 30)
    cut = " ".join(["cat"] * (LENGTH - 2))
    assert AutoTokenizer.from_pretrained(place).model_max_length == LENGTH
    told = pipeline("text-classification", place, truncation=True, top_k=None)
    untold = pipeline("text-classification", place, top_k=None)
    assert told(long) == told(cut)
    assert untold(long) != untold(cut)
    assert "by default the pipeline doesn't truncate" in folder.read_text("best/README.md")


def test_the_card_gives_the_test_of_its_own_weights_beside_the_mean(folder: RunFolder) -> None:
    found = winner(folder)
    made = card(folder, found)
    text = made.text()
    assert made.trial.seed == 2
    own = made.test.accuracy
    assert own != found.row.test["accuracy"].mean
    row = f"| accuracy | {own:.3f} | {found.row.test['accuracy'].mean:.3f} ±"
    assert row in text.replace("\xa0", " ")
    assert made.comparison.verdict in text
    assert "4 labels: World, Sports, Business, Sci/Tech" in text
    assert "first 8 tokens" in text


def test_the_card_is_the_same_for_the_same_records(folder: RunFolder) -> None:
    keep_best(folder, typical().compare())
    once = folder.read_text("best/README.md")
    keep_best(folder, typical().compare())
    assert folder.read_text("best/README.md") == once


def test_what_is_not_on_the_hub_has_no_id_in_the_front_matter(folder: RunFolder) -> None:
    content = front_matter(card(folder, winner(folder)).text())
    assert content["pipeline_tag"] == "text-classification"
    assert content.keys().isdisjoint({"datasets", "base_model", "model-index"})


def test_the_hub_reads_the_test_of_a_data_set_of_its_own(tmp_path: Path) -> None:
    made = typical()
    dataset = made.experiment.data.dataset
    made.manifest = replace(made.manifest, data={**made.manifest.data, "from_hub": [dataset]})
    folder = run_with_weights(tmp_path, made)
    found = card(folder, winner(folder))
    data = ModelCard(found.text()).data
    (accuracy,) = [row for row in data.eval_results if row.metric_type == "accuracy"]
    assert accuracy.metric_value == pytest.approx(found.test.accuracy, abs=1e-6)
    assert accuracy.dataset_type == dataset
    assert accuracy.dataset_split is None  # of a limited test split
    assert data.datasets == [dataset]


def test_a_pooled_model_is_said_to_need_raycompare(folder: RunFolder) -> None:
    give_weights(Path(winner(folder).files(folder).uri), pooling="mean")
    (line,) = keep_best(folder, typical().compare())
    assert "pooling: mean" in line
    assert "raycompare.load_model" in line
    assert front_matter(folder.read_text("best/README.md"))["library_name"] == "raycompare"


@pytest.mark.parametrize("pooling", [None, "mean", "max"])
def test_the_code_of_a_card_answers_as_the_model_was_tested(
    folder: RunFolder, pooling: str | None
) -> None:
    give_weights(Path(winner(folder).files(folder).uri), pooling=pooling)
    keep_best(folder, typical().compare())
    best = Path(folder.uri) / BEST
    (code,) = re.findall(r"```python\n(.*?)```", (best / "README.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("PATH/OF/THIS/FOLDER", str(best)), names)
    texts = ["cat", "a rose and a cat", "a rose " * 20]
    expected = LoadedModel.at(RunFolder.at(str(best))).probabilities([texts], batch_size=2)
    got = names["classify"](texts, top_k=None)
    for answers, row in zip(got, expected, strict=True):
        scores = {answer["label"]: answer["score"] for answer in answers}
        assert [scores[label] for label in LABELS] == pytest.approx(row.tolist(), abs=1e-5)


def test_the_code_of_a_card_takes_pairs(folder: RunFolder) -> None:
    keep_best(folder, typical().compare())
    code = usage(saved_at(folder.folder(BEST)), pairs=True).split("```")[1].removeprefix("python")
    code = code.replace("PATH/OF/THIS/FOLDER", f"{folder.uri}/best")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["classify"]({"text": "cat", "text_pair": "rose"})["label"] in LABELS


@pytest.mark.parametrize("how", ["cls", None])
def test_a_model_that_reads_its_first_token_is_plain(folder: RunFolder, how: str | None) -> None:
    found = winner(folder)
    give_weights(Path(folder.uri) / "weights" / found.trial_id, pooling=how)
    assert saved_at(found.files(folder)).pooling is None


def test_a_pooling_that_the_config_has_is_plain(folder: RunFolder) -> None:
    files = winner(folder).files(folder)
    config = json.loads(files.read_text("config.json"))
    changed = {**config, "model_type": "modernbert", POOLED_BY: "mean"}
    files.write_text("config.json", json.dumps(changed))
    assert saved_at(files).pooling is None


def test_the_best_model_comes_home_without_the_other_weights(
    folder: RunFolder, tmp_path: Path
) -> None:
    keep_best(folder, typical().compare())
    home = fetch(folder, RunFolder.at(tmp_path / "home"))
    assert home.read_bytes("best/model.safetensors") == folder.read_bytes("best/model.safetensors")
    assert not home.exists("weights")


def test_a_run_without_the_weights_of_its_winner_says_so_and_keeps_what_is_there(
    folder: RunFolder,
) -> None:
    keep_best(folder, typical().compare())
    folder.delete("weights")
    (line,) = keep_best(folder, typical().compare())
    assert "no weights of minilm-3" in line
    assert folder.exists("best/config.json")


def test_a_run_that_tested_no_model_has_no_best(tmp_path: Path) -> None:
    made = Run(typical().experiment, typical().manifest)
    made.tune("minilm-2", 0.8)
    folder = made.write(tmp_path)
    assert keep_best(folder, made.compare()) == []
    assert not folder.exists(BEST)


def test_any_finalist_is_laid_out_elsewhere(folder: RunFolder, tmp_path: Path) -> None:
    saved = lay_out(folder, winner(folder, "minilm-2"), tmp_path / "out")
    assert saved.max_length == LENGTH
    assert "# minilm-2 on" in (tmp_path / "out" / "README.md").read_text()


def test_a_model_without_weights_is_named(folder: RunFolder) -> None:
    folder.delete("weights")
    with pytest.raises(UserError, match="no weights of minilm-3; found nothing"):
        winner(folder)


def test_the_length_that_is_saved_is_the_trained_one(folder: RunFolder) -> None:
    place = Path(winner(folder).files(folder).uri)
    tokenizer = AutoTokenizer.from_pretrained(place)
    assert np.shape(tokenizer(" ".join(["cat"] * 30), truncation=True)["input_ids"]) == (LENGTH,)
