"""What differs between types of models: positions, padding, and what a new config has to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from raycompare.experiment.spec import UNLIMITED, Arguments

CLASSIFIERS = frozenset(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
"""Types of models that transformers has a sequence-classification head for."""
POSITIONS = ("position_embeddings", "wpe", "embed_positions")
"""Names of embeddings of positions: BERT's kin, GPT-2, and OPT and BART (transformers 5.23)."""
SPECIAL = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
SEGMENTS = "token_type_ids"
LONGEST, LAYERS, TYPES = "max_position_embeddings", "num_hidden_layers", "layer_types"
FIELDS_OF_A_NEW_CONFIG = ("model_type", "vocab_size", "type_vocab_size", *SPECIAL)
"""What a file may say of a model with random weights, and the tokenizer decides of all others."""


def position_limit(model: PreTrainedModel) -> int | None:
    """Return the tokens that a text may have, or None where positions are not looked up.

    RoBERTa and its kin count positions from behind the padding token's id, OPT and BART from 2.
    """
    for name, module in model.base_model.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in POSITIONS:
            padding = module.padding_idx
            offset = vars(module).get("offset", 0) if padding is None else padding + 1
            return module.num_embeddings - int(offset)
    return None


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a model has to know of its tokenizer."""

    size: int
    """The embeddings that it needs: one more than its highest id."""
    special: Mapping[str, int | None]
    """The ids of `SPECIAL`."""
    has_segments: bool
    """Whether it tells the two texts of a pair apart."""
    limit: int
    """The most tokens of a text; beyond `UNLIMITED` where there is none."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        """Describe a tokenizer."""
        return cls(
            size=max(tokenizer.get_vocab().values()) + 1,
            special={name: getattr(tokenizer, name, None) for name in SPECIAL},
            has_segments=SEGMENTS in tokenizer.model_input_names,
            limit=int(tokenizer.model_max_length),
        )


def pad_with_the_end(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer without a padding token, as GPT-2's and Llama's, its last or first one.

    Such models attend to nothing behind a text, and their heads read the last token before it.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token or tokenizer.unk_token


def new_config(
    kind: type[PretrainedConfig], vocabulary: Vocabulary, said: Arguments
) -> PretrainedConfig:
    """Make a config with the tokenizer's vocabulary, special tokens and segments, and what is said.

    All at once, since configs derive fields from others: DeBERTa's pooler, Qwen's layer types.
    """
    blank = kind()
    fields: dict[str, Any] = {"vocab_size": vocabulary.size, **vocabulary.special}
    if not vocabulary.has_segments and vars(blank).get("type_vocab_size"):
        fields["type_vocab_size"] = 1
    fitting = {name: value for name, value in fields.items() if hasattr(blank, name)}
    own_names = {blank.attribute_map.get(name, name): value for name, value in said.items()}
    return kind(**{**fitting, **own_names})


def make_room_for_texts(config: PretrainedConfig, asked: int, limit: int | None) -> None:
    """Give a new config positions for so many tokens; it has `limit` now."""
    if limit is not None and limit < asked < UNLIMITED and hasattr(config, LONGEST):
        setattr(config, LONGEST, getattr(config, LONGEST) + asked - limit)


def set_fields(config: PretrainedConfig, fields: Arguments) -> None:
    """Change fields of a config; of fewer layers the lowest keep their types."""
    for name, value in fields.items():
        setattr(config, name, value)
    types, layers = getattr(config, TYPES, None), getattr(config, LAYERS, None)
    if TYPES not in fields and types and isinstance(layers, int) and layers < len(types):
        setattr(config, TYPES, types[:layers])


def on_meta() -> torch.device:
    """Return the device that has shapes and no memory."""
    return torch.device("meta")
