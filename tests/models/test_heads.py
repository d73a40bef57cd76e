"""Pooling, frozen layers and fields of the config, on random models of two layers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    XLMRobertaConfig,
    set_seed,
)
from transformers.utils.generic import ModelOutput

from raycompare.experiment.spec import Arguments, ModelSpec
from raycompare.models.config_reads import fields_read
from raycompare.models.heads import encoder_layers, freeze
from raycompare.models.pooling import POOLED_TYPES, pool, pool_tokens, poolings
from raycompare.models.pretrained import build_model, load_pretrained, load_trained
from raycompare.training.task import TrialTask
from tests.trials import trained, with_arguments

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
WIDE = {**SIZES, "intermediate_size": 32}
SPECIAL: dict[str, Any] = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
CONFIGS: dict[str, PretrainedConfig] = {
    "albert": AlbertConfig(**WIDE, embedding_size=8, num_hidden_groups=1),
    "bert": BertConfig(**WIDE),
    "camembert": CamembertConfig(**WIDE),
    "deberta": DebertaConfig(**WIDE, relative_attention=True, pos_att_type=["c2p", "p2c"]),
    "deberta-v2": DebertaV2Config(**WIDE, relative_attention=True, pos_att_type=["c2p", "p2c"]),
    "distilbert": DistilBertConfig(**SIZES, hidden_dim=32),
    "electra": ElectraConfig(**WIDE, embedding_size=8),
    "modernbert": ModernBertConfig(**WIDE, **SPECIAL),
    "mpnet": MPNetConfig(**WIDE),
    "roberta": RobertaConfig(**WIDE),
    "xlm-roberta": XLMRobertaConfig(**WIDE),
}
LABELS = ("animals", "plants", "rocks")
TEXTS = torch.tensor([[1, 7, 8, 9, 10, 2], [1, 11, 12, 2, 0, 0]])


def made(model_type: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = copy.deepcopy(CONFIGS[model_type])
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():  # random weights are small; larger ones make every token matter
        for weight in model.parameters():
            weight.mul_(3)
    return model.eval()


@torch.no_grad()
def logits(model: PreTrainedModel, ids: torch.Tensor = TEXTS, pads: int = 0) -> torch.Tensor:
    padded = torch.nn.functional.pad(ids, (0, pads))
    output: torch.Tensor = model(input_ids=padded, attention_mask=(padded != 0).long()).logits
    return output


def test_there_is_a_model_of_every_type_that_can_be_pooled() -> None:
    assert sorted(CONFIGS) == sorted(POOLED_TYPES)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_cls_leaves_the_logits_as_they_were(model_type: str) -> None:
    model = made(model_type)
    before = logits(model)
    pool(model, "cls")
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("model_type", "how"),
    [(kind, how) for kind in CONFIGS for how in poolings(kind) if how != "cls"],
)
class TestPooled:
    def test_changes_the_logits(self, model_type: str, how: str) -> None:
        model = made(model_type)
        before = logits(model)
        pool(model, how)
        assert not torch.allclose(logits(model), before, atol=1e-3)

    def test_does_not_see_padding(self, model_type: str, how: str) -> None:
        model = made(model_type)
        pool(model, how)
        torch.testing.assert_close(logits(model, pads=9), logits(model), atol=1e-4, rtol=1e-4)

    def test_sees_a_token_that_only_it_sees(self, model_type: str, how: str) -> None:
        model = made(model_type)
        pool(model, how)
        before = logits(model)
        encoder_output(model).register_forward_hook(nudge_fourth_token, prepend=True)
        assert not torch.allclose(logits(model)[0], before[0], atol=1e-3)


@pytest.mark.parametrize("model_type", CONFIGS)
def test_cls_sees_no_token_that_only_the_head_could_see(model_type: str) -> None:
    model = made(model_type)
    before = logits(model)
    encoder_output(model).register_forward_hook(nudge_fourth_token, prepend=True)
    assert torch.equal(logits(model), before)


def encoder_output(model: PreTrainedModel) -> torch.nn.Module:
    if model.config.model_type == "albert":
        return model.get_submodule("albert.encoder")
    layers = encoder_layers(model)
    assert layers is not None
    return layers[-1]


def nudge_fourth_token(_: object, __: object, output: Any) -> Any:
    """Change the last layer's output for one token, after which no other token can attend to it."""
    tokens = output if isinstance(output, torch.Tensor) else output[0]
    changed = tokens.clone()
    changed[0, 3] += 50 * torch.linspace(-1, 1, tokens.shape[-1])
    if isinstance(output, ModelOutput):
        output["last_hidden_state"] = changed
        return output
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


def test_the_head_of_a_pooled_model_is_the_head_of_the_mean() -> None:
    model = made("roberta")
    with torch.no_grad():
        tokens = model.base_model(TEXTS, attention_mask=(TEXTS != 0).long()).last_hidden_state
        means = [tokens[0].mean(dim=0), tokens[1, :4].mean(dim=0)]
        expected = model.classifier(torch.stack(means).unsqueeze(1))
    pool(model, "mean")
    torch.testing.assert_close(logits(model), expected)


def test_without_a_mask_every_token_is_real() -> None:
    model = made("bert")
    pool(model, "mean")
    full = TEXTS[:1]
    with torch.no_grad():
        torch.testing.assert_close(model(full).logits, logits(model, full))


def test_mean_and_maximum_leave_out_padding() -> None:
    tokens = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool_tokens(tokens, mask, "mean").tolist() == [[2, -6]]
    assert pool_tokens(tokens, mask, "max").tolist() == [[3, -5]]


def test_the_mean_of_a_long_text_in_half_precision_is_its_mean() -> None:
    tokens = torch.ones(1, 257, 4, dtype=torch.bfloat16)
    result = pool_tokens(tokens, torch.ones(1, 257), "mean")
    assert result.dtype == torch.bfloat16
    assert (result == 1).all()


@pytest.mark.parametrize("layers", [0, 1, 2])
@pytest.mark.parametrize("model_type", [kind for kind in CONFIGS if kind != "albert"])
def test_frozen_layers_and_embeddings_are_not_trained(model_type: str, layers: int) -> None:
    model = made(model_type)
    freeze(model, layers)
    stack = encoder_layers(model)
    assert stack is not None
    frozen = [not any(w.requires_grad for w in layer.parameters()) for layer in stack]
    assert frozen == [index < layers for index in range(2)]
    assert model.get_input_embeddings().weight.requires_grad == (layers == 0)
    assert all(w.requires_grad for name, w in model.named_parameters() if "classifier" in name)


def test_what_stands_between_embeddings_and_layers_is_frozen_with_them() -> None:
    model = made("electra")
    freeze(model, 1)
    projection = model.get_submodule("electra.embeddings_project")
    assert not any(weight.requires_grad for weight in projection.parameters())


def test_shared_layers_are_not_found() -> None:
    assert encoder_layers(made("albert")) is None


def test_a_type_without_a_known_head_keeps_its_own() -> None:
    assert poolings(GPT2Config().model_type) == ("cls",)
    assert poolings("modernbert") == ("cls", "mean")


@pytest.mark.parametrize(
    ("model_type", "field", "is_read"),
    [
        ("bert", "hidden_dropout_prob", True),
        ("bert", "classifier_dropout", True),
        ("bert", "num_hidden_layers", True),
        ("bert", "layer_norm_eps", True),
        ("bert", "hidden_act", True),
        ("bert", "initializer_range", True),
        ("bert", "is_causal", True),
        ("bert", "position_embedding_type", False),
        ("distilbert", "seq_classif_dropout", True),
        ("distilbert", "qa_dropout", False),
        ("electra", "embedding_size", True),
        ("electra", "summary_last_dropout", False),
        ("roberta", "attention_probs_dropout_prob", True),
        ("modernbert", "local_attention", True),
        ("modernbert", "classifier_pooling", True),
        ("modernbert", "rope_parameters", True),
        ("modernbert", "sparse_prediction", False),
        ("deberta-v2", "pooler_dropout", True),
        ("deberta-v2", "cls_dropout", True),
        ("albert", "classifier_dropout_prob", True),
        ("mpnet", "relative_attention_num_buckets", True),
    ],
)
def test_the_source_says_which_fields_are_read(model_type: str, field: str, is_read: bool) -> None:
    assert (field in fields_read(made(model_type))) == is_read


@pytest.fixture(scope="module", params=["bert", "distilbert", "roberta", "electra", "albert"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp(request.param)
    made(request.param).save_pretrained(folder)
    return ModelSpec(name=request.param, checkpoint=str(folder))


def built(model: ModelSpec, arguments: Arguments) -> PreTrainedModel:
    set_seed(5)
    return build_model(model, LABELS, arguments).eval()


def test_a_model_without_hyperparameters_of_its_own_is_the_one_that_is_loaded(
    saved: ModelSpec,
) -> None:
    set_seed(5)
    plain = load_pretrained(saved, LABELS).eval()
    assert torch.equal(logits(built(saved, {"learning_rate": 1e-4})), logits(plain))
    assert torch.equal(logits(built(saved, {"pooling": "cls", "freeze_layers": 0})), logits(plain))


def test_the_seed_decides_the_head(saved: ModelSpec) -> None:
    mean: Arguments = {"pooling": "mean"}
    assert torch.equal(logits(built(saved, mean)), logits(built(saved, mean)))


def test_fields_of_the_config_are_those_of_the_arguments(saved: ModelSpec) -> None:
    given: Arguments = {"config.num_hidden_layers": 1, "config.initializer_range": 0.5}
    model = built(saved.model_copy(update={"config": {"num_hidden_layers": 2}}), given)
    assert model.config.num_hidden_layers == 1
    assert model.config.initializer_range == 0.5
    assert model.config.num_labels == len(LABELS)
    if saved.name != "albert":
        stack = encoder_layers(model)
        assert stack is not None
        assert len(stack) == 1


def test_a_dropout_of_the_config_is_that_of_the_model(saved: ModelSpec) -> None:
    fields = {"distilbert": "seq_classif_dropout", "albert": "classifier_dropout_prob"}
    field = fields.get(saved.name, "classifier_dropout")
    model = built(saved, {f"config.{field}": 0.75})
    dropouts = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    assert 0.75 in dropouts


def test_pooling_and_frozen_layers_are_those_of_the_arguments(saved: ModelSpec) -> None:
    plain = built(saved, {})
    model = built(
        saved,
        {"pooling": "max"} if saved.name == "albert" else {"pooling": "max", "freeze_layers": 1},
    )
    assert not torch.allclose(logits(model), logits(plain), atol=1e-4)
    assert logits(model, pads=5).allclose(logits(model), atol=1e-4)
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    assert bool(frozen) == (saved.name != "albert")


def test_hooks_are_no_part_of_what_is_saved(saved: ModelSpec, tmp_path: Path) -> None:
    model = built(saved, {"pooling": "mean"})
    model.save_pretrained(tmp_path)
    again = load_trained(ModelSpec(name="again", checkpoint=str(tmp_path)), LABELS).eval()
    assert not torch.allclose(logits(again), logits(model), atol=1e-4)
    pool(again, "mean")
    assert torch.equal(logits(again), logits(model))
    assert AutoConfig.from_pretrained(tmp_path).model_type == saved.name


def test_a_trial_takes_the_hyperparameters_of_the_model(task: TrialTask) -> None:
    own: dict[str, Any] = {
        "config.hidden_dropout_prob": 0.0,
        "pooling": "mean",
        "freeze_layers": 1,
        "max_length": 32,
    }
    plain, other = trained(task), trained(with_arguments(task, **own))
    assert other.end.reason == "full_budget"
    assert other.end.test_metrics != plain.end.test_metrics
