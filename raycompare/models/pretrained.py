"""Locates and loads pretrained checkpoints: configs, tokenizers and models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from raycompare.experiment.spec import Arguments, ModelSpec
from raycompare.models.architectures import (
    CLASSIFIERS,
    LONGEST,
    PAD,
    Vocabulary,
    looks_for_padding,
    make_classifier,
    make_room_for_texts,
    new_config,
    pad_with_the_end,
    position_limit,
    set_fields,
)
from raycompare.models.custom import class_at
from raycompare.models.frozen import halve_frozen
from raycompare.models.heads import FREEZE, POOLING, config_fields, freeze
from raycompare.models.hub import MAIN
from raycompare.models.loading import Loading, WeightsError, draw_head, load_weights
from raycompare.models.lora import add_lora
from raycompare.models.places import CONFIG, NoCheckpointError, locate
from raycompare.models.pooling import CLS, POOLED_BY, pool

MADE_BY = "raycompare_model_class"
"""Field of a saved config with the import path of the model's class."""
MODEL_TYPE = "model_type"
_NO_SENTENCEPIECE = (
    "the sentencepiece model of its tokenizer can't be read here; "
    "`pip install 'sentencepiece<0.2.3'` installs what reads it"
)
"""Replaces transformers' message, which asks for tiktoken whenever sentencepiece has failed."""


def load_config(model: ModelSpec) -> PretrainedConfig:
    """Load the model's config, with the changes of the experiment.

    A model with random weights may have a new config: its vocabulary, special tokens and positions
    are those of the tokenizer unless the experiment sets them.

    Raises:
        NoCheckpointError: there is no such checkpoint, or its config can't be read.
    """
    if model.is_pretrained or _has_config(model):
        config = _read_config(model)
        set_fields(config, model.config)
        return config
    fields = {key: value for key, value in model.config.items() if key != MODEL_TYPE}
    vocabulary = vocabulary_of(model)
    config = new_config(_kind_of_config(model), vocabulary, fields)
    own_names = {config.attribute_map.get(key, key) for key in fields}
    if config.attribute_map.get(LONGEST, LONGEST) not in own_names:
        make_room_for_texts(
            config, vocabulary.limit, position_limit(build_without_weights(model, config))
        )
    return config


def _has_config(model: ModelSpec) -> bool:
    folder = Path(locate(model.checkpoint))
    return MODEL_TYPE not in model.config and (not folder.is_dir() or (folder / CONFIG).exists())


def _kind_of_config(model: ModelSpec) -> type[PretrainedConfig]:
    own = _own_config_class(model)
    if own is not None:
        return own
    kind = model.config.get(MODEL_TYPE)
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        has = f"config.model_type is {kind!r}" if kind else "there is no config.model_type either"
        raise NoCheckpointError(
            f"{locate(model.checkpoint)} has no {CONFIG}, and {has}; "
            "set a type that transformers has, such as `config: {model_type: roberta}`"
        )
    if kind not in CLASSIFIERS:
        raise NoCheckpointError(f"transformers has no sequence-classification head for {kind!r}")
    config_class: type[PretrainedConfig] = CONFIG_MAPPING[kind]
    return config_class


def _own_config_class(model: ModelSpec) -> type[PretrainedConfig] | None:
    return class_at(model.model_class).config_class if model.model_class else None


def _read_config(model: ModelSpec) -> PretrainedConfig:
    reader = _own_config_class(model) or AutoConfig
    with _reading():
        config: PretrainedConfig = reader.from_pretrained(
            locate(model.checkpoint),
            revision=model.revision or MAIN,
            **_remote_code(model, reader is AutoConfig),
        )
    return config


def load_tokenizer(model: ModelSpec) -> PreTrainedTokenizerBase:
    """Load the checkpoint's tokenizer, with a padding token.

    Raises:
        NoCheckpointError: the tokenizer is missing or can't be read.
    """
    with _reading():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            locate(model.checkpoint),
            revision=model.revision or MAIN,
            trust_remote_code=model.trust_remote_code,
        )
    pad_with_the_end(tokenizer)
    return tokenizer


def vocabulary_of(model: ModelSpec) -> Vocabulary:
    """Describe the checkpoint's tokenizer; cached, because loading it takes a second.

    Raises:
        NoCheckpointError: the tokenizer is missing or can't be read.
    """
    folder = Path(locate(model.checkpoint))
    files = sorted(folder.glob("*token*")) if folder.is_dir() else []
    stamp = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _vocabulary(model.checkpoint, model.revision, model.trust_remote_code, stamp)


@lru_cache(maxsize=256)
def _vocabulary(
    checkpoint: str, revision: str | None, trust_remote_code: bool, _: tuple[object, ...]
) -> Vocabulary:
    model = ModelSpec(
        name=checkpoint,
        checkpoint=checkpoint,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    with _reading():
        return Vocabulary.of(load_tokenizer(model))


@contextmanager
def _reading() -> Iterator[None]:
    """Turn all errors of transformers and tokenizers for broken files into NoCheckpointError."""
    try:
        yield
    except Exception as error:
        said = str(error).strip() or type(error).__name__
        without = _NO_SENTENCEPIECE if "tiktoken" in said else None
        raise NoCheckpointError(without or said.splitlines()[0]) from error


def _remote_code(model: ModelSpec, is_auto: bool = True) -> dict[str, Any]:
    """Return the argument of the Auto classes without which they would prompt at a terminal."""
    return {"trust_remote_code": model.trust_remote_code} if is_auto else {}


def build_without_weights(model: ModelSpec, config: PretrainedConfig) -> PreTrainedModel:
    """Build the model on torch's meta device, whose tensors have shapes but no memory."""
    with torch.device("meta"):
        return _build_random(model, config)


def _build_random(model: ModelSpec, config: PretrainedConfig) -> PreTrainedModel:
    """Build the model with random weights, which depend on the seed."""
    if model.model_class:
        own: PreTrainedModel = class_at(model.model_class)._from_config(config)  # type: ignore[no-untyped-call]
        return own
    drawn: PreTrainedModel = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
        config, **_remote_code(model)
    )
    return drawn


def load_pretrained(model: ModelSpec, label_names: Sequence[str]) -> PreTrainedModel:
    """Load the pretrained weights with a new head, whose initial weights depend on the seed.

    Raises:
        WeightsError: pretrained weights would be random.
    """
    config = _classifier_config(model, label_names)
    if not model.is_pretrained:
        return _align_padding(model, _build_random(model, config))
    loading = _load(model, config)
    draw_head(loading)
    return _align_padding(model, loading.model)


def load_trained(model: ModelSpec, label_names: Sequence[str]) -> PreTrainedModel:
    """Load the weights of a model that was trained for these labels, including its head.

    Raises:
        WeightsError: the folder does not have all weights.
    """
    loading = _load(model, _classifier_config(model, label_names))
    absent = sorted({*loading.missing, *loading.reshaped})
    if absent:
        raise WeightsError(
            f"{model.checkpoint} lacks {len(absent)} weights, including {absent[0]}. "
            "Copy the whole folder again."
        )
    return _align_padding(model, loading.model)


def _classifier_config(model: ModelSpec, label_names: Sequence[str]) -> PretrainedConfig:
    config = load_config(model)
    make_classifier(config, label_names)
    if getattr(config, PAD, None) is None:  # some heads need it for batches
        setattr(config, PAD, vocabulary_of(model).special[PAD])
    if model.model_class:
        setattr(config, MADE_BY, model.model_class)
    else:
        forget(config, MADE_BY)
    return config


def forget(config: PretrainedConfig, name: str) -> None:
    """Remove a note of raycompare that a checkpoint has from the run that trained it before."""
    if hasattr(config, name):
        delattr(config, name)


def _load(model: ModelSpec, config: PretrainedConfig) -> Loading:
    own = class_at(model.model_class) if model.model_class else None
    loading = load_weights(
        own or AutoModelForSequenceClassification,
        locate(model.checkpoint),
        revision=model.revision or MAIN,
        config=config,
        dtype=torch.float32,  # AdamW can't train the half precision of large models
        **_remote_code(model, own is None),
    )
    misfit = loading.misfit()
    if misfit:
        raise WeightsError(f"{model.checkpoint}: {misfit.found}. To solve this, {misfit.hint}.")
    return loading


def _align_padding(model: ModelSpec, loaded: PreTrainedModel) -> PreTrainedModel:
    """Let the head skip the id that batches are padded with; the config may name another one."""
    if looks_for_padding(loaded):
        setattr(loaded.config.get_text_config(), PAD, vocabulary_of(model).special[PAD])
    return loaded


def build_model(
    model: ModelSpec, label_names: Sequence[str], arguments: Arguments
) -> PreTrainedModel:
    """Load the model for a trial's arguments: config fields, pooling, LoRA and frozen layers.

    As in `load_pretrained`, the initial weights of the head depend on the seed.
    """
    how, layers = arguments.get(POOLING, CLS), arguments.get(FREEZE, 0)
    assert isinstance(how, str)
    assert isinstance(layers, int)
    fields = {**model.config, **config_fields(arguments)}
    built = load_pretrained(model.model_copy(update={"config": fields}), label_names)
    if POOLING in arguments:
        pool(built, how)
        setattr(built.config, POOLED_BY, how)
    else:
        forget(built.config, POOLED_BY)
    if model.peft is not None:
        add_lora(built, model.peft, arguments)
    freeze(built, layers)
    if model.peft is not None:
        halve_frozen(built)
    return built
