"""Checkpoints and settings of models that can't be used are refused, with their location."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.bad import Content, checked, content_of, refused
from tests.tiny import rows, tokenizer_for

Refuse = Callable[..., str]


@pytest.fixture
def good(tiny_model: str, tiny_data: str) -> Content:
    return content_of(tiny_model, tiny_data)


@pytest.fixture
def folder(tiny_model: str, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    return shutil.copytree(tiny_model, tmp_path / "checkpoint")


@pytest.fixture
def refuse(good: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Check the good experiment with a changed model, and return the message."""

    def check(checkpoint: Path | str | None = None, **fields: Any) -> str:
        model = good["models"][0]
        model |= {"checkpoint": str(checkpoint)} if checkpoint else {}
        return refused({**good, "models": [{**model, **fields}]}, tmp_path, capsys)

    return check


def config_of(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def weights_of(folder: Path) -> Path:
    return folder / "model.safetensors"


HERE = "models.0.checkpoint (line 1)"


def test_a_truncated_file_of_weights(folder: Path, refuse: Refuse) -> None:
    whole = weights_of(folder).read_bytes()
    weights_of(folder).write_bytes(whole[: len(whole) // 2])
    message = refuse(folder)
    assert HERE in message
    assert "model.safetensors" in message
    assert "download the file again" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\xff" * 64, b"\x08" + bytes(7) + b"not json", b"\x02" + bytes(7) + b"[]"],
)
def test_a_file_of_weights_with_a_broken_header(
    content: bytes, folder: Path, refuse: Refuse
) -> None:
    weights_of(folder).write_bytes(content)
    message = refuse(folder)
    assert HERE in message
    assert "complete safetensors files" in message


def test_pickled_weights_only(folder: Path, refuse: Refuse) -> None:
    weights_of(folder).unlink()
    torch.save({}, folder / "pytorch_model.bin")
    message = refuse(folder)
    assert "only pytorch_model.bin" in message
    assert "save_pretrained" in message


def test_no_weights(folder: Path, refuse: Refuse) -> None:
    weights_of(folder).unlink()
    assert "init: random" in refuse(folder)


def test_a_folder_without_a_config(folder: Path, refuse: Refuse) -> None:
    (folder / "config.json").unlink()
    assert HERE in refuse(folder)


def test_a_folder_without_anything(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "nothing").mkdir()
    assert HERE in refuse(tmp_path / "nothing")


@pytest.mark.parametrize(
    "config",
    [
        *("", "{", "[]", '"bert"', "{}", '{"model_type": "nothing"}', '{"model_type": ["bert"]}'),
        *('{"model_type": "bert", "hidden_size": "x"}', '{"model_type": "bert", "id2label": "x"}'),
        *('{"model_type": "bert", "hidden_size": 15}', '{"model_type": "bert", "hidden_act": "x"}'),
        '{"model_type": "bert", "num_hidden_layers": -1, "vocab_size": -4}',
    ],
)
def test_a_broken_config(config: str, folder: Path, refuse: Refuse) -> None:
    (folder / "config.json").write_text(config)
    assert HERE in refuse(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"added_tokens": [], "model": {"type": "Nothing"}}'),
        ("tokenizer_config.json", "["),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"pad_token": 3}'),
    ],
)
def test_a_broken_tokenizer(file: str, content: str, folder: Path, refuse: Refuse) -> None:
    (folder / file).write_text(content)
    assert HERE in refuse(folder)


def test_a_tokenizer_with_more_ids_than_the_model_has_embeddings(
    folder: Path, refuse: Refuse
) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{number}" for number in range(90))]
    tokenizer_for(words).save_pretrained(folder)
    message = refuse(folder)
    assert HERE in message
    assert "ids up to 93 for a model with vocab_size 29" in message


def test_a_vocabulary_that_the_file_makes_too_small(tiny_model: str, refuse: Refuse) -> None:
    message = refuse(tiny_model, init="random", config={"model_type": "bert", "vocab_size": 5})
    assert "models.0.config.vocab_size (line 1)" in message


def test_a_model_without_a_classification_head(folder: Path, refuse: Refuse) -> None:
    (folder / "config.json").write_text('{"model_type": "vit"}')
    message = refuse(folder)
    assert "type 'vit'" in message
    assert "model_class" in message


def test_texts_longer_than_the_positions(
    good: Content, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 10**30}))
    good["models"][0]["checkpoint"] = str(folder)
    good["data"]["max_length"] = 65
    message = refused(good, tmp_path, capsys)
    assert "data.max_length (line 1)" in message
    assert "allowed  at most 64, its number of positions" in message
    good["data"]["max_length"] = 16
    good["models"][0]["search_space"] = {"max_length": {"choice": [16, 80]}}
    assert "models.0.search_space.max_length" in refused(good, tmp_path, capsys)


@pytest.mark.parametrize("limit", [2, 0, -1, "many"])
def test_a_tokenizer_that_leaves_nothing_of_a_text(
    limit: object, folder: Path, refuse: Refuse
) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": limit}))
    message = refuse(folder)
    assert "models.0" in message
    assert limit == "many" or f"model_max_length {limit}" in message


def test_a_tokenizer_that_leaves_nothing_of_a_pair(
    good: Content, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 3}))
    good["models"][0]["checkpoint"] = str(folder)
    (tmp_path / "pairs").mkdir()
    for split in ("train", "validation", "test"):
        pairs = rows(30, seed=0).assign(other="near")
        pairs.to_csv(tmp_path / "pairs" / f"{split}.csv", index=False)
    good["data"] |= {"dataset": str(tmp_path / "pairs"), "text": ["text", "other"]}
    message = refused(good, tmp_path, capsys)
    assert "more than the 3 special tokens" in message


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"num_hiden_layers": 1}, "models.0.config.num_hiden_layers"),
        ({"num_hidden_layers": 1, "hidden_size": 7}, "models.0.config."),
        ({"vocab_size": 50}, "models.0.config.vocab_size"),
        ({"model_type": "roberta"}, "models.0.config.model_type"),
        ({"hidden_dropout_prob": "high"}, "models.0.config.hidden_dropout_prob"),
    ],
)
def test_fields_that_a_pretrained_model_does_not_take(
    config: Content, says: str, refuse: Refuse
) -> None:
    assert f"{says}" in refuse(config=config)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "there is no config.model_type either"),
        ({"model_type": "brt"}, "'brt'"),
        ({"model_type": 3}, "3"),
        ({"model_type": "vit"}, "no sequence-classification head for 'vit'"),
        ({"model_type": "bert", "hidden_size": "x"}, "models.0.config.hidden_size"),
        ({"model_type": "bert", "hidden_size": 15}, "models.0.config.hidden_size"),
        ({"model_type": "bert", "hiden_size": 16}, "did you mean 'hidden_size'"),
        ({"model_type": "bert", "num_labels": 3}, "models.0.config.num_labels"),
        ({"model_type": "bert", "pad_token_id": "x"}, "models.0.config.pad_token_id"),
        ({"model_type": "xlnet", "d_model": 32, "n_head": 2, "d_head": 5}, "models.0.config."),
    ],
)
def test_what_a_new_config_does_not_take(
    config: Content, says: str, folder: Path, refuse: Refuse
) -> None:
    (folder / "config.json").unlink()
    assert says in refuse(folder, init="random", config=config)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model_class": "nothing"}, "package.module:ClassName"),
        ({"model_class": "a:b:c"}, "package.module:ClassName"),
        ({"model_class": "no_such_package.x:Model"}, "no_such_package.x can't be imported"),
        ({"model_class": "json:Nothing"}, "json has no Nothing"),
        ({"model_class": "json:JSONDecoder"}, "not a subclass of transformers.PreTrainedModel"),
        ({"model_class": "transformers:BertModel"}, "its logits have shape"),
        ({"model_class": "transformers:BertForTokenClassification"}, "models.0.model_class"),
        ({"model_class": "transformers:BertForMaskedLM"}, "models.0.model_class"),
        ({"peft": {"lora_r": 0}}, "models.0.peft.lora_r"),
        ({"peft": {"lora_r": "8"}}, "models.0.peft.lora_r"),
        ({"peft": {"lora_dropout": 1.5}}, "models.0.peft.lora_dropout"),
        ({"peft": {"rank": 8}}, "models.0.peft.rank"),
        ({"peft": "lora"}, "models.0.peft"),
        ({"peft": {"target_modules": ["querry"]}}, "did you mean 'query'?"),
        ({"peft": {"target_modules": "all"}}, "models.0.peft.target_modules"),
        ({"training": {"lora_r": 8}}, "models.0.training.lora_r"),
        ({"search_space": {"lora_r": {"choice": [4, 8]}}}, "set `peft: {}` for the model"),
        ({"peft": {}, "search_space": {"lora_r": {"choice": [0]}}}, "search_space.lora_r"),
        ({"init": "randomly"}, "models.0.init"),
        ({"trust_remote_code": "yes"}, "models.0.trust_remote_code"),
    ],
)
def test_settings_that_a_model_does_not_take(fields: Content, says: str, refuse: Refuse) -> None:
    message = refuse(**fields)
    assert says in message
    assert "models.0." in message


def test_code_that_nobody_has_asked_for(folder: Path, refuse: Refuse) -> None:
    (folder / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}})
    )
    (folder / "own.py").write_text("raise SystemExit('it ran')\n")
    assert "trust_remote_code: true" in refuse(folder)


def test_the_good_experiment_is_good(
    good: Content, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.yaml").write_text(json.dumps(good))
    code, out, _ = checked([str(tmp_path / "x.yaml"), "--out", str(tmp_path)], capsys)
    assert code == 0
    assert "no problems found" in out
    save_file({}, tmp_path / "empty.safetensors")  # a whole file, without weights
