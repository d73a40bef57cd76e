"""A checkpoint is what it says it is: its weights, tokenizer and former task fit the model."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, PreTrainedModel, set_seed

from raycompare.experiment.spec import ModelSpec
from raycompare.models.checks import model_problems
from raycompare.models.loading import WeightsError
from raycompare.models.pretrained import build_model, load_pretrained, load_tokenizer
from raycompare.models.saved import load_model
from tests.tiny import FILLER, SPECIAL, WORDS, tokenizer_for

END = SPECIAL.index("[SEP]")
VOCABULARY = [*SPECIAL, *FILLER, *(word for words in WORDS.values() for word in words)]
LABELS = ("animals", "plants", "rocks")
SIZE: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
HEADS = {"num_key_value_heads": 2, "head_dim": 8}


def made(class_name: str, **fields: Any) -> PreTrainedModel:
    """Return a random model of a class of transformers."""
    model_class = getattr(transformers, class_name)
    set_seed(0)
    sizes = {name: value for name, value in {**SIZE, **fields}.items() if value is not None}
    model: PreTrainedModel = model_class(model_class.config_class(**sizes))
    return model


def publish(model: PreTrainedModel, folder: Path) -> ModelSpec:
    model.save_pretrained(folder)
    tokenizer = tokenizer_for(VOCABULARY)
    if model.config.is_encoder_decoder:
        tokenizer.eos_token = tokenizer.sep_token
    tokenizer.save_pretrained(folder)
    return ModelSpec(name="it", checkpoint=str(folder))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A masked language model, as most encoders are published."""
    publish(made("BertForMaskedLM"), tmp_path / "it")
    return tmp_path / "it"


Change = Callable[[Path], object]


def weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    def apply(folder: Path) -> None:
        file = folder / "model.safetensors"
        changed = {name: value.clone() for name, value in change(load_file(file)).items()}
        save_file(changed, file, metadata={"format": "pt"})

    return apply


def under(prefix: str, without: str = "") -> Change:
    return weights(lambda w: {prefix + name.removeprefix(without): w[name] for name in w})


def lacking(part: str) -> Change:
    return weights(lambda w: {name: w[name] for name in w if part not in name})


def fields(**changes: Any) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return apply


def without(*patterns: str) -> Change:
    return lambda folder: [path.unlink() for pattern in patterns for path in folder.glob(pattern)]


def longer(w: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: torch.cat([v, v[:10]]) if "word_embeddings" in k else v for k, v in w.items()}


def shards(folder: Path, shown: bool = True, index: str | None = None) -> None:
    """Divide the weights in two files, of which the second may be missing."""
    whole = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    places = {key: names[order % 2] for order, key in enumerate(whole)}
    for name in names[: 2 if shown else 1]:
        save_file({k: whole[k] for k in whole if places[k] == name}, folder / name)
    text = json.dumps({"metadata": {}, "weight_map": places}) if index is None else index
    (folder / "model.safetensors.index.json").write_text(text)


def other_tokenizer(folder: Path) -> None:
    tokenizer_for(VOCABULARY[:10]).save_pretrained(folder)


WRONG: dict[str, tuple[Change, str]] = {
    "DataParallel": (under("module."), "which the file calls module.bert.embeddings"),
    "Lightning": (under("model."), "which the file calls model.bert.embeddings"),
    "torch.compile": (under("_orig_mod."), "which the file calls _orig_mod.bert.embeddings"),
    "an inner model": (under("encoder.x.", "bert."), "37 of 37 pretrained weights would be random"),
    "another size": (fields(hidden_size=8), "whose shape is [29, 16] in the file and [29, 8]"),
    "more embeddings": (weights(longer), "whose shape is [39, 16] in the file and [29, 16]"),
    "fewer positions": (fields(max_position_embeddings=32), "1 of 37 pretrained weights would be"),
    "a layer less": (lacking("layer.1."), "16 of 37 pretrained weights would be random"),
    "more layers": (fields(num_hidden_layers=3), "16 of 53 pretrained weights would be random"),
    "fewer layers": (fields(num_hidden_layers=1), "the model has fewer layers than the file"),
    "a weight less": (lacking("layer.0.output.dense.bias"), "which is not in the file"),
    "no weights": (weights(lambda _: {}), "37 of 37 pretrained weights would be random"),
    "another type": (fields(model_type="electra"), "pretrained weights would be random"),
    "no tokenizer": (without("*token*", "vocab*"), "a tokenizer of"),
    "another tokenizer": (other_tokenizer, "a tokenizer of 10 tokens, of which 4 are special"),
    "a missing shard": (lambda folder: shards(folder, shown=False), "model-00002-of-00002"),
    "a broken index": (lambda folder: shards(folder, index="{"), "an index with a weight_map"),
    "an odd index": (lambda folder: shards(folder, index="[]"), "an index with a weight_map"),
    "another name": (
        lambda folder: (folder / "model.safetensors").rename(folder / "w.safetensors"),
        "only w.safetensors",
    ),
    "an adapter": (
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
        "those of an adapter",
    ),
    "quantized": (
        fields(quantization_config={"quant_method": "gptq", "bits": 4}),
        "its weights are quantized",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_checkpoint_is_not_is_found_before_anything_starts(what: str, bert: Path) -> None:
    change, says = WRONG[what]
    change(bert)
    problems = model_problems("models.0", ModelSpec(name="it", checkpoint=str(bert)))
    assert problems
    assert says in problems[0].found or says in problems[0].allowed
    assert problems[0].where == "models.0.checkpoint"
    assert problems[0].hint


PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "bert, with a pooler": ("BertForPreTraining", {}),
    "bert, without": ("BertForMaskedLM", {}),
    "bert, bare": ("BertModel", {}),
    "roberta": ("RobertaForMaskedLM", {}),
    "distilbert": ("DistilBertForMaskedLM", {"hidden_dim": 32}),
    "albert": ("AlbertForMaskedLM", {"embedding_size": 8}),
    "electra": ("ElectraForPreTraining", {"embedding_size": 8}),
    "deberta": ("DebertaV2ForMaskedLM", {"relative_attention": True, "pos_att_type": ["c2p"]}),
    "modernbert": ("ModernBertForMaskedLM", {}),
    "mpnet": ("MPNetForMaskedLM", {}),
    "xlnet": (
        "XLNetLMHeadModel",
        {"d_inner": 32, "d_head": 8, "max_position_embeddings": None},
    ),
    "gpt2": ("GPT2LMHeadModel", {}),
    "llama": ("LlamaForCausalLM", HEADS),
    "qwen2": ("Qwen2ForCausalLM", {**HEADS, "vocab_size": 30}),  # its tokenizer adds a token
    "t5": (
        "T5ForConditionalGeneration",
        {"d_kv": 8, "d_ff": 32, "decoder_start_token_id": 0, "eos_token_id": END},
    ),
    "bart": (
        "BartForConditionalGeneration",
        {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "eos_token_id": END},
    ),
    "for tokens": ("BertForTokenClassification", {"num_labels": 9}),
    "for as many labels": ("BertForSequenceClassification", {"num_labels": 3}),
}


@pytest.mark.parametrize("what", PUBLISHED)
def test_what_is_published_without_the_head_is_taken(what: str, tmp_path: Path) -> None:
    name, own = PUBLISHED[what]
    model = publish(made(name, **own), tmp_path)
    assert model_problems("models.0", model) == []
    loaded = load_pretrained(model, LABELS)
    base = AutoModel.from_pretrained(tmp_path)
    for key, weight in base.named_parameters():
        if "pooler" not in key:
            assert torch.equal(loaded.base_model.get_parameter(key), weight), key


def renamed(name: str, names: dict[str, str]) -> str:
    return next((name.replace(end, other) for end, other in names.items() if end in name), name)


@pytest.mark.parametrize("change", [shards, "former names", "halves"])
def test_however_the_weights_are_kept(change: Any, bert: Path) -> None:
    if change == "former names":
        former = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        change = weights(lambda w: {renamed(name, former): value for name, value in w.items()})
    elif change == "halves":
        change = weights(lambda w: {name: value.bfloat16() for name, value in w.items()})
    change(bert)
    model = ModelSpec(name="it", checkpoint=str(bert))
    assert model_problems("models.0", model) == []
    load_pretrained(model, LABELS)


def test_fewer_layers_are_taken_where_the_file_says_so(bert: Path) -> None:
    fields(num_hidden_layers=1)(bert)
    one = {"num_hidden_layers": 1}
    assert not model_problems("models.0", ModelSpec(name="a", checkpoint=str(bert), config=one))


@pytest.mark.parametrize("what", ["DataParallel", "another size", "a layer less", "no weights"])
def test_a_trial_does_not_train_what_is_random(what: str, bert: Path) -> None:
    WRONG[what][0](bert)
    with pytest.raises(WeightsError, match="pretrained weights would be random"):
        load_pretrained(ModelSpec(name="it", checkpoint=str(bert)), LABELS)


def test_an_adapter_as_peft_saves_it(tmp_path: Path) -> None:
    model = publish(made("BertForSequenceClassification"), tmp_path)
    LoraConfig(target_modules=["query"]).save_pretrained(tmp_path)
    (problem,) = model_problems("models.0", model)
    assert "merge_and_unload" in str(problem)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("BertForSequenceClassification", {}),
        ("RobertaForSequenceClassification", {}),
        ("DistilBertForSequenceClassification", {"hidden_dim": 32}),
        ("LlamaForSequenceClassification", HEADS),
    ],
)
def test_the_head_is_new_whatever_the_checkpoint_had(
    name: str, own: dict[str, Any], tmp_path: Path
) -> None:
    classifier = made(name, num_labels=3, **own)
    model = publish(classifier, tmp_path / "same")
    publish(classifier.base_model, tmp_path / "bare")
    bare = model.model_copy(update={"checkpoint": str(tmp_path / "bare")})

    def head(of: ModelSpec, seed: int) -> list[torch.Tensor]:
        set_seed(seed)
        built = build_model(of, LABELS, {})
        below = {id(weight) for weight in built.base_model.parameters()}
        return [weight for weight in built.parameters() if id(weight) not in below]

    one, other = head(model, 1), head(model, 2)
    assert any(not torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for drawn, from_none in zip(one, head(bare, 1), strict=True):
        torch.testing.assert_close(drawn, from_none, rtol=0, atol=0)


def test_a_finished_model_keeps_its_head(tmp_path: Path) -> None:
    classifier = made("BertForSequenceClassification", num_labels=3)
    publish(classifier, tmp_path)
    kept = load_model(tmp_path)
    assert torch.equal(kept.classifier.weight, classifier.classifier.weight)
    lacking("classifier.bias")(tmp_path)
    with pytest.raises(WeightsError, match=r"lacks 1 weights, including classifier\.bias"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "task",
    [
        {"problem_type": "regression", "num_labels": 1},
        {"problem_type": "multi_label_classification", "num_labels": 3},
        {"return_dict": False},
        {"output_hidden_states": True, "output_attentions": True},
    ],
    ids=["regression", "multi-label", "tuples", "states"],
)
def test_nothing_is_left_of_the_former_task(task: dict[str, Any], tmp_path: Path) -> None:
    model = publish(made("BertForSequenceClassification"), tmp_path)
    fields(**task)(tmp_path)
    assert model_problems("models.0", model) == []
    built = build_model(model, LABELS, {})
    ids, labels = torch.tensor([[2, 7, 8, 3], [2, 9, 10, 3]]), torch.tensor([0, 2])
    output = built(input_ids=ids, labels=labels)
    torch.testing.assert_close(
        output.loss, torch.nn.functional.cross_entropy(output.logits, labels)
    )
    assert output.hidden_states is None


DECODERS: dict[str, dict[str, Any]] = {
    "GPT2ForSequenceClassification": {},
    "GPTNeoXForSequenceClassification": {},
    "LlamaForSequenceClassification": HEADS,
    "MistralForSequenceClassification": HEADS,
    "Qwen2ForSequenceClassification": HEADS,
    "Qwen3ForSequenceClassification": HEADS,
    "GemmaForSequenceClassification": HEADS,
    "PhiForSequenceClassification": {},
    "OPTForSequenceClassification": {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "BloomForSequenceClassification": {"n_head": 2},
}


@pytest.mark.parametrize("filler", [0, 5])
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_reads_the_same_alone_and_beside_a_longer_text(
    name: str, filler: int, tmp_path: Path
) -> None:
    """The config may name another padding token than the tokenizer has."""
    model = publish(made(name, **{**DECODERS[name], "pad_token_id": filler}), tmp_path)
    built = build_model(model, LABELS, {}).eval()
    pad = load_tokenizer(model).pad_token_id
    ids = torch.tensor([[2, 7, 8, pad, pad, pad], [2, 9, 10, 11, 12, 13]])
    with torch.no_grad():
        beside = built(input_ids=ids, attention_mask=(ids != pad).long()).logits[0]
        alone = built(input_ids=ids[:1, :3], attention_mask=torch.ones(1, 3)).logits[0]
    torch.testing.assert_close(alone, beside, atol=1e-5, rtol=1e-4)


def test_an_encoder_keeps_the_positions_that_it_has_learned(tmp_path: Path) -> None:
    model = publish(made("RobertaForMaskedLM", pad_token_id=1), tmp_path)
    assert load_tokenizer(model).pad_token_id == 0
    assert load_pretrained(model, LABELS).config.pad_token_id == 1
    assert AutoConfig.from_pretrained(tmp_path).pad_token_id == 1


def spm_folder(folder: Path, content: bytes, words: int) -> ModelSpec:
    """A folder as DeBERTa-v3 is published, but with its weights as safetensors."""
    sizes = {**SIZE, "vocab_size": words, "type_vocab_size": 0}
    made("DebertaV2ForMaskedLM", **sizes).save_pretrained(folder)
    (folder / "spm.model").write_bytes(content)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    return ModelSpec(name="it", checkpoint=str(folder))


def test_a_tokenizer_may_be_a_sentencepiece_model_only(tmp_path: Path) -> None:
    import sentencepiece  # noqa: PLC0415 - its format can be registered once in a process

    pieces = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    names = {f"{kind}_piece": piece for kind, piece in zip(KINDS, pieces, strict=True)}
    ids = {f"{kind}_id": number for number, kind in enumerate(KINDS)}
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(VOCABULARY[4:])] * 20),
        model_writer=written,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **names,
        **ids,
    )
    model = spm_folder(tmp_path, written.getvalue(), 41)
    assert model_problems("models.0", model) == []
    tokenizer = load_tokenizer(model)
    tokens = tokenizer("the old cat")["input_ids"]
    assert tokenizer.convert_ids_to_tokens([tokens[0], tokens[-1]]) == ["[CLS]", "[SEP]"]
    assert tokenizer.decode(tokens, skip_special_tokens=True) == "the old cat"


KINDS = ("pad", "bos", "eos", "unk")


def test_a_sentencepiece_model_that_can_not_be_read_says_what_reads_it(tmp_path: Path) -> None:
    (problem,) = model_problems("models.0", spm_folder(tmp_path, b"no model", 41))
    assert "pip install 'sentencepiece" in problem.found
