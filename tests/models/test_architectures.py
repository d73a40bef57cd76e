"""Every architecture is trained, stopped, continued, tested and saved, with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from tokenizers import Tokenizer, models
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from raycompare.data.splits import LabelledData, load_splits
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.data.tokens import TokenizedData
from raycompare.experiment.spec import DataSpec, ModelItem, ModelSpec
from raycompare.models.architectures import position_limit
from raycompare.models.checks import model_problems
from raycompare.models.pretrained import build_model, load_config, load_tokenizer
from raycompare.models.saved import load_model, save_model
from raycompare.training.task import TrialTask
from tests.architectures import ARCHITECTURES, TOKENIZERS, random_model
from tests.trials import ListSink, cut_off, gone_on, trained, with_arguments

pytestmark = pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")

LABELS = ("animals", "plants", "rocks")


def spec_of(name: str, **fields: Any) -> ModelSpec:
    item: ModelSpec = TypeAdapter(ModelItem).validate_python(random_model(name, **fields))
    return item


@pytest.fixture(scope="module")
def data(tiny_data: str) -> LabelledData:
    limit: Any = {"train": 24, "validation": 12, "test": 12}
    return load_splits(DataSpec.model_validate({"dataset": tiny_data, "limit": limit}), 0)


@pytest.fixture(scope="module")
def tokens_of(data: LabelledData) -> Callable[[ModelSpec], TokenizedData]:
    made: dict[str, TokenizedData] = {}

    def tokens(model: ModelSpec) -> TokenizedData:
        if model.checkpoint not in made:
            inputs = data, load_tokenizer(model), DataSpec(dataset="x", max_length=24)
            made[model.checkpoint] = add_padding(tokenize(*inputs), *inputs)
        return made[model.checkpoint]

    return tokens


@pytest.fixture(params=ARCHITECTURES)
def finalist(
    request: pytest.FixtureRequest,
    task: TrialTask,
    tokens_of: Callable[[ModelSpec], TokenizedData],
) -> TrialTask:
    model = spec_of(request.param)
    own = replace(task, model=model, data=tokens_of(model))
    return with_arguments(own, num_train_epochs=2, eval_strategy="epoch", learning_rate=1e-2)


def test_it_is_stopped_goes_on_and_ends_as_if_nothing_had_been(
    finalist: TrialTask, tmp_path: Path
) -> None:
    whole = trained(finalist)
    paused = replace(finalist, may_pause=True)
    before = cut_off(paused, tmp_path, after=0)
    after = gone_on(paused, tmp_path)
    assert len(before.evaluations) == 1
    assert after.end.test_metrics == pytest.approx(whole.end.test_metrics)
    kept = load_model(tmp_path / "kept-weights").eval()
    assert kept.config.id2label == dict(enumerate(LABELS))
    assert answers(kept, finalist.data) == answered(after)
    assert AutoTokenizer.from_pretrained(tmp_path / "kept-weights").pad_token is not None


@torch.no_grad()
def answers(model: Any, data: TokenizedData) -> list[int]:
    found: list[int] = []
    for row in range(len(data.test)):
        batch = data.padding.collate([data.test[row]], with_segments=False)
        segments = data.padding.collate([data.test[row]])
        takes = "token_type_ids" in model.forward.__code__.co_varnames
        inputs = segments if takes else batch
        inputs.pop("labels")
        found.append(int(model(**inputs).logits.argmax()))
    return found


def answered(sink: ListSink) -> list[int]:
    column: Sequence[int] = sink.tables[-1]["prediction"].to_pylist()
    return list(column)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_padding_does_not_change_the_answer(
    name: str, tokens_of: Callable[[ModelSpec], TokenizedData]
) -> None:
    model = spec_of(name)
    torch.manual_seed(0)
    built = build_model(model, LABELS, {}).eval()
    padding = tokens_of(model).padding
    row = tokens_of(model).test[0]
    with torch.no_grad():
        short, long = (
            built(**replace(padding, to=to).collate([row], with_segments=False)).logits
            for to in (None, len(row["input_ids"]) + 7)
        )
    torch.testing.assert_close(short, long, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_new_config_is_that_of_the_tokenizer(name: str) -> None:
    model = spec_of(name)
    config, tokenizer = load_config(model), load_tokenizer(model)
    built = build_model(model, LABELS, {})
    embeddings = built.get_input_embeddings().weight
    assert embeddings.shape[0] == len(tokenizer)
    assert config.pad_token_id == built.config.pad_token_id == tokenizer.pad_token_id
    limit = position_limit(built)
    assert limit is None or limit >= min(tokenizer.model_max_length, 512)


def test_roberta_has_two_positions_more_than_tokens_and_one_segment() -> None:
    config = load_config(spec_of("roberta-base"))
    assert (config.max_position_embeddings, config.pad_token_id, config.type_vocab_size) == (
        514,
        1,
        1,
    )


def test_xlnet_pads_left_and_has_no_limit(
    tokens_of: Callable[[ModelSpec], TokenizedData],
) -> None:
    model = spec_of("xlnet-base-cased")
    padding = tokens_of(model).padding
    assert (padding.side, padding.token) == ("left", 5)
    assert position_limit(build_model(model, LABELS, {})) is None
    assert load_tokenizer(model).model_max_length > 10**9


def test_what_the_file_says_of_a_new_config_counts() -> None:
    fields = {**ARCHITECTURES["roberta-base"][1], "vocab_size": 50400, "type_vocab_size": 3}
    config = load_config(spec_of("roberta-base", config={**fields, "max_position_embeddings": 100}))
    assert (config.vocab_size, config.type_vocab_size) == (50400, 3)
    assert config.max_position_embeddings == 100


def test_the_seed_draws_the_weights() -> None:
    def weights(seed: int) -> np.ndarray[Any, Any]:
        torch.manual_seed(seed)
        model = build_model(spec_of("bert-base-cased"), LABELS, {})
        drawn: np.ndarray[Any, Any] = model.get_input_embeddings().weight.detach().numpy()
        return drawn

    assert (weights(1) == weights(1)).all()
    assert (weights(1) != weights(2)).any()


def test_a_tokenizer_without_a_padding_token_pads_with_the_end(tmp_path: Path) -> None:
    words = {"<|endoftext|>": 0, "a": 1, "b": 2}
    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="a")),
        eos_token="<|endoftext|>",
        model_max_length=32,
    )
    made.save_pretrained(tmp_path)
    config = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = ModelSpec(name="g", checkpoint=str(tmp_path), init="random", config=config)
    built = build_model(model, LABELS, {}).eval()
    assert built.config.pad_token_id == 0
    ids = torch.tensor([[1, 2, 0, 0], [1, 2, 1, 2]])
    with torch.no_grad():
        both = built(input_ids=ids, attention_mask=(ids != 0).long()).logits
        alone = built(input_ids=ids[:1, :2]).logits
    torch.testing.assert_close(both[:1], alone)


def test_a_pretrained_decoder_without_a_padding_token_takes_batches(tmp_path: Path) -> None:
    drawn = build_model(spec_of("gpt2"), LABELS, {})
    save_model(drawn, spec_of("gpt2"), tmp_path, 64)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    loaded = build_model(ModelSpec(name="g", checkpoint=str(tmp_path)), LABELS, {})
    ids = torch.tensor([[5, 6, 7], [5, 1, 1]])
    assert loaded(input_ids=ids, attention_mask=(ids != 1).long()).logits.shape == (2, 3)


def test_weights_that_are_kept_in_halves_are_trained_in_full_precision(tmp_path: Path) -> None:
    drawn = build_model(spec_of("bert-base-cased"), LABELS, {}).to(torch.bfloat16)
    drawn.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    ours = build_model(ModelSpec(name="b", checkpoint=str(tmp_path)), LABELS, {})
    assert {weight.dtype for weight in ours.parameters()} == {torch.float32}


def test_a_head_that_reads_the_end_of_a_text_needs_a_tokenizer_that_marks_it() -> None:
    config = ARCHITECTURES["t5"][1]
    bert = ModelSpec(
        name="t5", checkpoint=str(TOKENIZERS / "bert-base-uncased"), init="random", config=config
    )
    (problem,) = model_problems("models.0", bert)
    assert "does not end texts" in problem.found
    roberta = bert.model_copy(update={"checkpoint": str(TOKENIZERS / "roberta-base")})
    assert model_problems("models.0", roberta) == []
