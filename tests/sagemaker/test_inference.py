"""The code in the archive of an endpoint: it answers as was tested, and refuses what it must."""

from __future__ import annotations

import ast
import io
import json
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from raycompare.data.splits import load_splits
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.experiment.spec import DataSpec, ModelItem, ModelSpec
from raycompare.models.pretrained import build_model, load_tokenizer
from raycompare.models.saved import TEXTS_PER_ROW, save_model
from raycompare.records.run_folder import RunFolder
from raycompare.sagemaker import inference
from raycompare.sagemaker.deploy import CODE, archive
from raycompare.serving.loaded_model import LoadedModel
from raycompare.training.task import TrialTask
from tests.architectures import TOKENIZERS, random_model
from tests.rig.inference_container import handler_of
from tests.tiny import rows, save_tiny_bert
from tests.trials import gone_on, with_arguments

JSON = {"Content-Type": "application/json"}
LABELS = ("World", "Sports")
MANY = 45
"""Texts of a request: more than one batch."""

KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "bert": ("bert-base-uncased", {}, {}),
    "roberta": ("roberta-base", {}, {}),
    "distilbert": ("distilbert-base-uncased", {}, {}),
    "pooled mean": ("roberta-base", {}, {"pooling": "mean"}),
    "pooled max": ("bert-base-uncased", {}, {"pooling": "max"}),
    "pooled by its config": ("modernbert", {}, {"pooling": "mean"}),
    "lora": ("bert-base-uncased", {"peft": {"target_modules": "all-linear"}}, {}),
    "decoder": ("gpt2", {}, {}),
    "pairs": ("roberta-base", {}, {}),
    "pairs with segments": ("bert-base-uncased", {}, {}),
}


def finalist(task: TrialTask, kind: str, data: Path) -> tuple[TrialTask, list[Any]]:
    """Return the task of a model of a kind, and what its test split has as inputs of requests."""
    name, fields, arguments = KINDS[kind]
    item: ModelSpec = TypeAdapter(ModelItem).validate_python(random_model(name, **fields))
    columns = ("text", "other") if kind.startswith("pairs") else ("text",)
    for seed, split in enumerate(("train", "validation", "test")):
        table = rows(MANY, seed)
        table["text"] = [" ".join([text] * (1 + n % 6)) for n, text in enumerate(table["text"])]
        table["other"] = list(reversed(table["text"]))
        table.to_csv(data / f"{split}.csv", index=False)
    spec = DataSpec(dataset=str(data), text=columns, max_length=24)
    inputs = load_splits(spec, 0), load_tokenizer(item), spec
    tokens = add_padding(tokenize(*inputs), *inputs)
    assert tokens.truncated_share > 0.1
    if len(columns) == 1:
        requests: list[Any] = list(table["text"])
    else:
        both = zip(table["text"], table["other"], strict=True)
        requests = [{"text": text, "text_pair": other} for text, other in both]
    own = replace(task, model=item, data=tokens, pairs=len(columns) > 1)
    return with_arguments(own, num_train_epochs=1, learning_rate=1e-2, **arguments), requests


@pytest.mark.sagemaker
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")
@pytest.mark.parametrize("kind", KINDS)
def test_the_container_repeats_the_predictions_of_the_test(
    kind: str, task: TrialTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data := tmp_path / "data").mkdir()
    own, texts = finalist(task, kind, data)
    sink = gone_on(own, tmp_path)
    stored = np.array(sink.tables[-1]["probabilities"].to_pylist())
    with tarfile.open(fileobj=io.BytesIO(archive(tmp_path / "kept-weights"))) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    monkeypatch.setenv("HF_TASK", "text-classification")
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("inference", None)
    handle = handler_of(str(tmp_path / "unpacked"))
    body = {"inputs": texts, "parameters": {"top_k": None, "truncation": True}}
    answers = json.loads(handle(json.dumps(body).encode(), JSON))
    found = [{each["label"]: each["score"] for each in answer} for answer in answers]
    predicted = [[answer[name] for name in own.label_names] for answer in found]
    assert np.abs(np.array(predicted) - stored).max() < 1e-4
    (first,) = json.loads(handle(json.dumps({"inputs": texts[0]}).encode(), JSON))
    assert first["score"] == pytest.approx(stored[0].max(), abs=1e-4)
    assert own.label_names[stored[0].argmax()] == first["label"]


def test_the_container_needs_nothing_but_torch_and_transformers() -> None:
    shipped = {Path(name).with_suffix("").as_posix().replace("/", ".") for name in CODE.values()}
    for source in CODE:
        tree = ast.parse((files("raycompare") / source).read_text())
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        modules |= {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        tops = {str(module).partition(".")[0] for module in modules - shipped}
        assert tops <= {"torch", "transformers", *sys.stdlib_module_names}, source


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool | None], inference.Served]:
    """Load a tiny model of single texts, of pairs, or of which that is not known."""
    place = tmp_path_factory.mktemp("saved")
    spec = ModelSpec(name="tiny", checkpoint=save_tiny_bert(place / "tiny"))

    def load(pairs: bool | None) -> inference.Served:
        folder = place / str(pairs)
        if not folder.exists():
            save_model(build_model(spec, LABELS, {}), spec, folder, 8, bool(pairs))
        if pairs is None:
            config = json.loads((folder / "config.json").read_text())
            config.pop(TEXTS_PER_ROW, None)
            (folder / "config.json").write_text(json.dumps(config))
        return inference.model_fn(str(folder))

    return load


PAIR = {"text": "a cat", "text_pair": "a dog"}


@pytest.mark.parametrize(
    ("pairs", "data", "count"),
    [
        (False, {"inputs": "a cat"}, 1),
        (False, {"inputs": ["a cat"] * 40}, 40),
        (False, {"inputs": [{"text": "a cat"}, "a dog"]}, 2),
        (False, {"text": "a cat"}, 1),
        (False, {"inputs": "a cat", "parameters": None}, 1),
        (False, {"inputs": "a cat", "parameters": {"truncation": True, "top_k": 1}}, 1),
        (True, {"inputs": PAIR}, 1),
        (True, {"inputs": [["a cat", "a dog"], PAIR]}, 2),
        (True, PAIR, 1),
        (None, {"inputs": PAIR}, 1),
        (None, {"inputs": "a cat"}, 1),
    ],
)
def test_each_form_of_a_request_is_answered(
    saved: Any, pairs: bool | None, data: Any, count: int
) -> None:
    answers = inference.predict_fn(data, saved(pairs))
    assert len(answers) == count
    assert len({json.dumps(answer) for answer in answers}) <= 2


@pytest.mark.parametrize(
    ("pairs", "data", "message"),
    [
        (False, [1], "allowed {'inputs'"),
        (False, {"inputs": []}, "an empty list"),
        (False, {}, "inputs.0: found {}"),
        (False, {"inputs": ["a", 5, " ", "b", "\ud83d"]}, r"inputs\.1: found 5.*2: found an empty"),
        (False, {"inputs": ["\ud83d"]}, "half of a surrogate pair"),
        (False, {"inputs": PAIR}, "inputs.0: found .* allowed a text$"),
        (False, {"inputs": [["a", "b"]]}, "allowed a text$"),
        (True, {"inputs": "a"}, "allowed a pair such as"),
        (True, {"inputs": {"text": "a"}}, "allowed a pair such as"),
        (True, {"inputs": {"text": "a", "text_pair": None}}, "allowed a pair such as"),
        (True, {"inputs": {**PAIR, "more": "c"}}, "allowed a pair such as"),
        (None, {"inputs": ["a", PAIR]}, "texts and pairs"),
        (False, {"inputs": [5] * 20}, "and 15 more"),
        (False, {"inputs": "a", "parameters": {"truncation": False}}, "allowed true"),
        (False, {"inputs": "a", "parameters": {"top_k": 0}}, "top_k: found 0"),
        (False, {"inputs": "a", "parameters": {"topk": 1}}, "allowed top_k"),
        (False, {"inputs": "a", "parameters": [1]}, "allowed top_k"),
    ],
)
def test_a_bad_request_is_told_what_is_allowed(
    saved: Any, pairs: bool | None, data: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        inference.predict_fn(data, saved(pairs))


def test_it_answers_as_predict_and_serve_do(saved: Any, tmp_path: Path) -> None:
    served = saved(False)
    texts = ["a cat", "the old rose is here and there near a dog " * 500, "granite"]
    place = RunFolder.at(served.model.config._name_or_path)
    expected = LoadedModel.at(place).probabilities([texts])
    answers = inference.predict_fn({"inputs": texts, "parameters": {"top_k": None}}, served)
    found = [{each["label"]: each["score"] for each in answer} for answer in answers]
    assert [[answer[name] for name in LABELS] for answer in found] == pytest.approx(
        expected, abs=1e-6
    )
