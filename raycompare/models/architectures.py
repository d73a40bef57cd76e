"""Differences between types of models: positions, padding and new configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import getsource
from typing import Any, Self

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from raycompare.experiment.spec import UNLIMITED, Arguments

CLASSIFIERS = frozenset(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
"""Model types that transformers has a sequence-classification head for."""
_POSITIONS = ("position_embeddings", "wpe", "embed_positions")
"""Names of position embeddings: BERT-like models, GPT-2, and OPT and BART (transformers 5.23)."""
PAD = "pad_token_id"
SPECIAL = (PAD, "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
SEGMENTS = "token_type_ids"
FIRST_DECODED = "decoder_start_token_id"
LONGEST, LAYERS, TYPES = "max_position_embeddings", "num_hidden_layers", "layer_types"
FIELDS_OF_A_NEW_CONFIG = ("model_type", "vocab_size", "type_vocab_size", *SPECIAL)
"""Fields that can be set for a model with random weights; for others, the tokenizer sets them."""

OF_THE_TASK: Mapping[str, Any] = {
    "problem_type": "single_label_classification",
    "task_specific_params": None,
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
}
"""Fields of a config that a checkpoint keeps from its former task, and their values here."""


def position_limit(model: PreTrainedModel) -> int | None:
    """Return the longest possible text in tokens, or None if there are no position embeddings.

    RoBERTa-like models number positions from one after the padding token's id, OPT and BART from 2.
    """
    for name, module in model.base_model.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITIONS:
            padding = module.padding_idx
            offset = vars(module).get("offset", 0) if padding is None else padding + 1
            return module.num_embeddings - int(offset)
    return None


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Properties of a tokenizer that its model depends on."""

    size: int
    """Number of embeddings that the tokenizer needs: its highest id plus one."""
    count: int
    """Number of tokens."""
    added: int
    """Number of special tokens among them."""
    special: Mapping[str, int | None]
    """Ids of the tokens in `SPECIAL`."""
    has_segments: bool
    """Whether the tokenizer marks the two texts of a pair with token_type_ids."""
    limit: int
    """Longest text in tokens; `UNLIMITED` or more if there is no limit."""
    last: int | None
    """Id of the last token of a text; None if a text has no tokens."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        """Describe a tokenizer."""
        tokens = tokenizer.get_vocab()
        return cls(
            size=max(tokens.values()) + 1,
            count=len(tokens),
            added=len(tokens.keys() & {*tokenizer.all_special_tokens}),
            special={name: getattr(tokenizer, name, None) for name in SPECIAL},
            has_segments=SEGMENTS in tokenizer.model_input_names,
            limit=int(tokenizer.model_max_length),
            last=next(reversed(tokenizer("a")["input_ids"]), None),
        )


def pad_with_the_end(tokenizer: PreTrainedTokenizerBase) -> None:
    """Set a missing padding token, as in GPT-2 and Llama, to the end or start token.

    Such models don't attend to tokens after a text, and their heads read the last token before.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token or tokenizer.unk_token


def new_config(
    kind: type[PretrainedConfig], vocabulary: Vocabulary, settings: Arguments
) -> PretrainedConfig:
    """Return a config with the tokenizer's vocabulary, special tokens and segments, and `settings`.

    Sets them all at once, because configs derive fields from others: DeBERTa's pooler, Qwen's
    layer types.
    """
    blank = kind()
    fields: dict[str, Any] = {"vocab_size": vocabulary.size, **vocabulary.special}
    if not vocabulary.has_segments and vars(blank).get("type_vocab_size"):
        fields["type_vocab_size"] = 1
    fitting = {name: value for name, value in fields.items() if hasattr(blank, name)}
    if blank.is_encoder_decoder and getattr(blank, FIRST_DECODED, None) is None:
        fitting[FIRST_DECODED] = vocabulary.special[PAD]  # as in T5's checkpoints
    own_names = {blank.attribute_map.get(name, name): value for name, value in settings.items()}
    return kind(**{**fitting, **own_names})


def make_room_for_texts(config: PretrainedConfig, tokens: int, limit: int | None) -> None:
    """Raise the number of positions of a new config from `limit` to `tokens`."""
    if limit is not None and limit < tokens < UNLIMITED and hasattr(config, LONGEST):
        setattr(config, LONGEST, getattr(config, LONGEST) + tokens - limit)


def make_classifier(config: PretrainedConfig, label_names: Sequence[str]) -> None:
    """Set the labels of a config, and remove what is left of the checkpoint's former task."""
    config.num_labels = len(label_names)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}
    for name, value in OF_THE_TASK.items():
        if getattr(config, name, value) != value:
            setattr(config, name, value)


def looks_for_padding(model: PreTrainedModel) -> bool:
    """Return whether the head reads the config's padding id, to find the last token of a text.

    To other models, that id is part of what they have learned: RoBERTa numbers positions from it.
    """
    return PAD in _source_of_forward(model)


def looks_for_the_end(model: PreTrainedModel) -> bool:
    """Return whether the head reads the token that ends a text, as those of T5 and BART do."""
    return "eos_mask" in _source_of_forward(model)


def _source_of_forward(model: PreTrainedModel) -> str:
    try:
        return getsource(type(model).forward)
    except (OSError, TypeError):  # code without a file
        return ""


def set_fields(config: PretrainedConfig, fields: Arguments) -> None:
    """Change fields of a config; fewer layers also shorten the list of layer types."""
    for name, value in fields.items():
        setattr(config, name, value)
    types, layers = getattr(config, TYPES, None), getattr(config, LAYERS, None)
    if TYPES not in fields and types and isinstance(layers, int) and layers < len(types):
        setattr(config, TYPES, types[:layers])
