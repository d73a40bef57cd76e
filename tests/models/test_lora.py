"""LoRA: trained weights, continuing from a checkpoint, and saved models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, PreTrainedModel, set_seed

from raycompare.experiment import checks as settings_checks
from raycompare.experiment.file import parse_draft
from raycompare.experiment.settings import ALL_LINEAR, PeftSpec
from raycompare.experiment.spec import ModelItem, ModelSpec
from raycompare.extras import install_command
from raycompare.models import lora as lora_checks
from raycompare.models import pretrained
from raycompare.models.lora import (
    head_weights,
    lora_problems,
    merge_lora,
    target_names,
    trained_parameters,
)
from raycompare.models.pretrained import build_model, load_pretrained
from raycompare.models.saved import save_model
from raycompare.running.check import check
from raycompare.training.classifier import Classifier
from raycompare.training.task import TrialTask
from tests.architectures import ARCHITECTURES, TOKENIZERS, random_model
from tests.bad import content_of, refused
from tests.trials import cut_off, gone_on, trained, with_arguments

LABELS = ("animals", "plants", "rocks")
NAMED = {
    "albert": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "modernbert": ["Wqkv"],
    "mpnet": ["q", "v"],
}
"""Layers for model types that peft 0.21 has no default for."""


@pytest.fixture
def lora(task: TrialTask) -> TrialTask:
    return with_peft(task)


def with_peft(task: TrialTask, **fields: Any) -> TrialTask:
    return replace(task, model=task.model.model_copy(update={"peft": PeftSpec(**fields)}))


def logits(model: PreTrainedModel) -> torch.Tensor:
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 12, 13, 3]])
    with torch.no_grad():
        output: torch.Tensor = model.eval()(ids, attention_mask=torch.ones_like(ids)).logits
    return output


def test_only_the_head_and_the_matrices_are_trained(lora: TrialTask) -> None:
    model = build_model(lora.model, LABELS, {})
    changed = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name for name in changed if "lora_" not in name} == {
        "classifier.weight",
        "classifier.bias",
    }
    # 2 layers x (query, value) x two matrices of 8 x 16, and the head of 16 x 3 + 3
    assert trained_parameters(model) == 2 * 2 * 2 * 8 * 16 + 16 * 3 + 3
    assert lora.model.peft == PeftSpec(lora_r=8, lora_alpha=16, lora_dropout=0.05)


def test_the_records_have_the_trained_parameters_beside_all(
    task: TrialTask, lora: TrialTask
) -> None:
    full, few = trained(task).start, trained(lora).start
    assert full.trained_parameters == full.num_parameters
    assert few.trained_parameters is not None
    assert few.trained_parameters < few.num_parameters / 4
    assert few.num_parameters > full.num_parameters


def test_it_begins_as_the_model_without_it(lora: TrialTask) -> None:
    torch.manual_seed(0)
    plain = load_pretrained(lora.model, LABELS)
    torch.manual_seed(0)
    assert torch.equal(logits(build_model(lora.model, LABELS, {})), logits(plain))


def test_a_trial_goes_on_where_it_stood_and_is_kept_as_a_plain_model(
    lora: TrialTask, tmp_path: Path
) -> None:
    whole = trained(lora)
    paused = replace(lora, may_pause=True)
    cut_off(paused, tmp_path, after=0)
    after = gone_on(paused, tmp_path)
    assert after.end.test_metrics == pytest.approx(whole.end.test_metrics)
    folder = tmp_path / "kept-weights"
    assert not list(folder.glob("adapter*"))
    kept = AutoModelForSequenceClassification.from_pretrained(folder)
    assert [name for name, _ in kept.named_parameters() if "lora" in name] == []
    rows = [lora.data.test[row] for row in range(5)]
    with torch.no_grad():
        predicted = kept.eval()(**lora.data.padding.collate(rows)).logits.softmax(-1)
    expected = torch.tensor(after.tables[0]["probabilities"].to_pylist()[:5])
    torch.testing.assert_close(predicted, expected, atol=1e-4, rtol=1e-4)


def test_merged_matrices_answer_as_those_beside_the_layers(lora: TrialTask) -> None:
    model = build_model(lora.model, LABELS, {})
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    before = logits(model)
    assert not torch.allclose(before, logits(build_model(replace(lora).model, LABELS, {})))
    merge_lora(model)
    torch.testing.assert_close(logits(model), before, atol=1e-4, rtol=1e-4)


def test_sizes_may_be_searched(lora: TrialTask) -> None:
    small, large = (
        trained(with_arguments(lora, lora_r=rank, lora_alpha=2 * rank, lora_dropout=0.0))
        for rank in (2, 4)
    )
    head = 16 * 3 + 3
    assert small.start.trained_parameters is not None
    assert large.start.trained_parameters is not None
    assert large.start.trained_parameters - head == 2 * (small.start.trained_parameters - head)


def test_frozen_layers_have_no_trained_matrices(lora: TrialTask) -> None:
    model = build_model(lora.model, LABELS, {"freeze_layers": 1})
    trained_in = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not [name for name in trained_in if "layer.0." in name]
    assert [name for name in trained_in if "layer.1." in name]


def test_pooling_works_beside_it(lora: TrialTask) -> None:
    sink = trained(with_arguments(lora, pooling="mean", num_train_epochs=1))
    assert sink.end.reason == "full_budget"


def test_what_is_measured_in_use_is_the_plain_model(lora: TrialTask) -> None:
    classifier = Classifier.of(lora)
    assert not [name for name, _ in classifier.model.named_parameters() if "lora" in name]


ASKED = [
    (name, targets)
    for name, (_, config) in ARCHITECTURES.items()
    for targets in (NAMED.get(str(config["model_type"])), "all-linear")
    if (name, targets) != ("xlnet-base-cased", None)  # see the next test
]


def spec_of(name: str, **fields: Any) -> ModelSpec:
    item: ModelSpec = TypeAdapter(ModelItem).validate_python(random_model(name, **fields))
    return item


@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")
@pytest.mark.parametrize(("name", "targets"), ASKED)
def test_every_architecture_takes_it(name: str, targets: object, tmp_path: Path) -> None:
    spec = spec_of(name, peft={"target_modules": targets})
    torch.manual_seed(0)
    model = build_model(spec, LABELS, {})
    assert all(weight.requires_grad for weight in head_weights(model))
    assert 0 < trained_parameters(model) < model.num_parameters()
    with torch.no_grad():
        for weight_name, weight in model.named_parameters():
            if "lora_B" in weight_name:
                weight.normal_(std=0.1)
    before = logits(model)
    save_model(model, spec, tmp_path, 64)
    kept = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(kept), before, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not TOKENIZERS.is_dir(), reason="no genuine tokenizers here")
def test_a_type_without_layers_of_its_own_is_told_which_there_are() -> None:
    spec = spec_of("xlnet-base-cased")  # its attention has no linear layers
    (problem,) = lora_problems("models.0.peft", PeftSpec(), load_pretrained(spec, LABELS))
    assert problem.where == "models.0.peft.target_modules"
    assert "all-linear, or suffixes of layer names: layer_1, layer_2" in problem.allowed


def test_no_layer_of_the_head_is_a_target(lora: TrialTask) -> None:
    model = load_pretrained(lora.model, LABELS)
    names = target_names(model, PeftSpec(target_modules="all-linear"))
    assert names
    assert all(name.startswith("bert.") for name in names)


def test_check_says_what_is_trained(tiny_model: str, tiny_data: str, tmp_path: Path) -> None:
    content = content_of(tiny_model, tiny_data)
    content["models"][0] |= {"peft": {}, "search_space": {"lora_r": {"choice": [2, 4]}}}
    ready = check(parse_draft(json.dumps(content), "x"), str(tmp_path))
    assert "note: LoRA" in ready.summary
    assert "searches learning_rate, lora_r" in ready.summary


def test_without_the_package_a_message_says_how_to_get_it(
    tiny_model: str,
    tiny_data: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_checks, "is_importable", lambda name: name != "peft")
    monkeypatch.setattr(lora_checks, "find_spec", lambda _: None)
    content = content_of(tiny_model, tiny_data)
    content["models"][0]["peft"] = {}
    message = refused(content, tmp_path, capsys)
    assert "models.0.peft (line 1)" in message
    assert install_command("peft") in message


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("bert-base-cased", torch.float16),
        *((name, torch.bfloat16) for name in ("bert-base-cased", "deberta-v3", "gpt2", "llama")),
    ],
)
def test_frozen_weights_stay_in_the_halves_that_were_published(
    name: str, half: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss and the gradients are those of float32, bit for bit."""
    plain = spec_of(name)
    save_model(build_model(plain, LABELS, {}).to(half), plain, tmp_path, 64)
    peft = PeftSpec(target_modules=ALL_LINEAR)
    model = ModelSpec(name="it", checkpoint=str(tmp_path), peft=peft)
    batch = {"input_ids": torch.tensor([[7, 8, 2], [9, 10, 2]]), "labels": torch.tensor([0, 2])}

    def built() -> PreTrainedModel:
        set_seed(1)
        made = build_model(model, LABELS, {}).eval()
        for weight in made.parameters():
            if weight.requires_grad:
                torch.nn.init.normal_(weight, std=0.1)
        return made

    held = built()
    with monkeypatch.context() as patch:
        patch.setattr(pretrained, "halve_frozen", lambda _: None)
        whole = built()
    for one in (held, whole):
        one(**batch).loss.backward()
    types = {weight.dtype for weight in held.parameters() if weight.requires_grad}
    frozen = [weight for weight in held.parameters() if not weight.requires_grad]
    assert types == {torch.float32}
    in_half = sum(weight.numel() for weight in frozen if weight.dtype == half)
    assert in_half > 0.6 * sum(weight.numel() for weight in frozen)
    trained_of = [[w for w in one.parameters() if w.requires_grad] for one in (held, whole)]
    for own, expected in zip(*trained_of, strict=True):
        torch.testing.assert_close(own.grad, expected.grad, rtol=0, atol=0)
    merge_lora(held)
    merge_lora(whole)
    assert {weight.dtype for weight in held.parameters()} == {torch.float32}
    for own, expected in zip(held.parameters(), whole.parameters(), strict=True):
        assert torch.equal(own, expected)


def test_only_what_is_trained_is_copied_and_stored(lora: TrialTask, tmp_path: Path) -> None:
    paused = replace(lora, may_pause=True)
    cut_off(paused, tmp_path, after=1)
    model = build_model(lora.model, LABELS, {})
    trained_names = {name for name, weight in model.named_parameters() if weight.requires_grad}
    files = [*(tmp_path / "kept-checkpoint").glob("*.safetensors")]
    assert {file.name for file in files} == {"trained.safetensors", "best.safetensors"}
    for file in files:
        assert load_file(file).keys() == trained_names
