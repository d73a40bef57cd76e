"""The gradient of a batch does not depend on how the batch is computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    set_seed,
)

from raycompare.data.splits import load_splits
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.data.tokens import TokenizedData
from raycompare.experiment.spec import DataSpec, ModelSpec
from raycompare.models.pretrained import load_tokenizer
from raycompare.training.task import TrialTask
from raycompare.training.trainer import build_trainer
from tests.trials import with_arguments


@pytest.fixture(scope="module")
def unpadded(tiny_model: str, tiny_data: str) -> TokenizedData:
    """Every text cut to one length: XLNet reads padding on the right as its last word."""
    spec = DataSpec(dataset=tiny_data, max_length=5)
    inputs = load_splits(spec, 0), load_tokenizer(ModelSpec(name="t", checkpoint=tiny_model)), spec
    data = add_padding(tokenize(*inputs), *inputs)
    assert {*data.train.lengths} == {5}
    return data


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
PLAIN = {**SMALL, "intermediate_size": 32, "max_position_embeddings": 66}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": PLAIN,
    "roberta": {**PLAIN, "pad_token_id": 0},
    "electra": {**PLAIN, "embedding_size": 16},
    "albert": {**PLAIN, "embedding_size": 16},
    "mpnet": {**PLAIN, "pad_token_id": 0},
    "deberta-v2": PLAIN,
    "modernbert": {**PLAIN, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 64},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32, "vocab_size": 64},
}


def without_dropout(architecture: str) -> PreTrainedModel:
    config = AutoConfig.for_model(architecture, num_labels=3, **ARCHITECTURES[architecture])
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    set_seed(0)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return model


def after_one_step(
    task: TrialTask, unpadded: TokenizedData, architecture: str, **batches: int
) -> torch.Tensor:
    """Return all weights after one step of plain gradient descent, which shows the gradient."""
    one_step = with_arguments(
        replace(task, data=unpadded),
        optim="sgd",
        learning_rate=0.1,
        max_grad_norm=0.0,
        max_steps=1,
        **batches,
    )
    model = without_dropout(architecture)
    set_seed(0)
    build_trainer(one_step, model).train()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_accumulated_batches_give_the_gradient_of_the_whole(
    task: TrialTask, unpadded: TokenizedData, architecture: str
) -> None:
    before = torch.cat([w.detach().flatten() for w in without_dropout(architecture).parameters()])
    whole = after_one_step(task, unpadded, architecture, per_device_train_batch_size=32)
    parts = after_one_step(
        task,
        unpadded,
        architecture,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=4,
    )
    moved = (whole - before).norm()
    assert moved > 1e-3
    assert (whole - parts).norm() < 1e-3 * moved


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    task: TrialTask, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.cat([w.detach().flatten() for w in without_dropout(architecture).parameters()])
    monkeypatch.setattr("raycompare.training.trainer.part_overhead", lambda model: 1)
    parts = after_one_step(task, task.data, architecture, per_device_train_batch_size=32)
    monkeypatch.setattr("raycompare.training.trainer.part_overhead", lambda model: None)
    whole = after_one_step(task, task.data, architecture, per_device_train_batch_size=32)
    moved = (whole - before).norm()
    assert moved > 1e-3
    assert (whole - parts).norm() < 1e-3 * moved
    assert not torch.equal(whole, parts), "the parts were padded to lengths of their own"
