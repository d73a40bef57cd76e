"""Checks of models and their hyperparameters that need no weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from huggingface_hub.errors import StrictDataclassFieldValidationError
from pydantic import JsonValue
from transformers import PretrainedConfig

from raycompare.errors import Problem, near, one_of
from raycompare.experiment.hyperparameters import ModelSettings, config_arguments, hint_at
from raycompare.experiment.space import CONFIG
from raycompare.experiment.spec import Arguments, ModelSpec
from raycompare.formatting import number_of
from raycompare.models.architectures import (
    CLASSIFIERS,
    FIELDS_OF_A_NEW_CONFIG,
    Vocabulary,
    looks_for_the_end,
)
from raycompare.models.custom import INPUTS, NoClassError
from raycompare.models.heads import FREEZE, POOLING, SETTLED
from raycompare.models.lora import lora_problems, unread_lora_problems
from raycompare.models.places import NoCheckpointError
from raycompare.models.pooling import CLS, POOLED_TYPES, POOLINGS, poolings
from raycompare.models.pretrained import MODEL_TYPE, load_config, vocabulary_of
from raycompare.models.trial_builds import Builds, build_or_explain, explain_wrong_head
from raycompare.models.weight_checks import file_problems, fit_problems

_BRINGS_CODE = "custom code"
"""Part of transformers' message for a checkpoint whose code must be trusted first."""
FEWEST_TOKENS = 0.5
"""Share of a model's embeddings that its tokenizer must have tokens for. Where files are missing,
transformers makes a tokenizer of a few special tokens."""


def model_problems(where: str, model: ModelSpec) -> list[Problem]:
    """Find what prevents a checkpoint from being loaded or trained, without reading its weights."""
    here = f"{where}.checkpoint" if model.checkpoint != model.name else where
    try:
        config = _own_config(model)
        vocabulary = vocabulary_of(model)
    except NoClassError as error:
        return [_no_class(f"{where}.model_class", model, str(error))]
    except NoCheckpointError as error:
        return [_missing(here, model, str(error))]
    problems = [
        *_kind_problems(here, model, config),
        *(file_problems(here, model, config) if model.is_pretrained else ()),
        *_tokenizer_problems(where, here, model, config, vocabulary),
    ]
    return problems or _built_problems(where, here, model, config)


def _own_config(model: ModelSpec) -> PretrainedConfig:
    """Return the config without the changes of the experiment, except for the type of a new one."""
    kind = None if model.is_pretrained else model.config.get(MODEL_TYPE)
    fields = {} if kind is None else {MODEL_TYPE: kind}
    return load_config(model.model_copy(update={"config": fields}))


def _missing(where: str, model: ModelSpec, reason: str) -> Problem:
    weights = " and safetensors" if model.is_pretrained else ""
    return Problem(
        where=where,
        found=f"{model.checkpoint!r}: {reason}",
        allowed=f"a hub id that can be reached or is cached, a folder with config.json, "
        f"tokenizer{weights}, or package:PACKAGE/FOLDER",
        hint="read the code of the checkpoint, then set trust_remote_code: true for the model"
        if _BRINGS_CODE in reason
        else None,
    )


def _no_class(where: str, model: ModelSpec, reason: str) -> Problem:
    return Problem(
        where=where,
        found=f"{model.model_class}: {reason}",
        allowed="package.module:Class, a subclass of transformers.PreTrainedModel that accepts "
        f"{', '.join(INPUTS)} and returns a loss and logits of shape [rows, labels]",
        hint="install its package, or add its folder to PYTHONPATH, on every machine",
    )


def _kind_problems(where: str, model: ModelSpec, config: PretrainedConfig) -> Iterator[Problem]:
    if not _is_classifier(model, config):
        yield Problem(
            where=where,
            found=f"a model of type {config.model_type!r}",
            allowed="a type that transformers has a sequence-classification head for",
            hint="to use a custom class with such a head, set model_class for the model",
        )


def _is_classifier(model: ModelSpec, config: PretrainedConfig) -> bool:
    classes = getattr(config, "auto_map", None) or {}
    remote = model.trust_remote_code and "AutoModelForSequenceClassification" in classes
    return config.model_type in CLASSIFIERS or model.model_class is not None or remote


def _tokenizer_problems(
    where: str, here: str, model: ModelSpec, config: PretrainedConfig, vocabulary: Vocabulary
) -> Iterator[Problem]:
    needed = vocabulary.size
    size = None if model.is_pretrained else model.config.get("vocab_size")
    has = size if isinstance(size, int) else getattr(config, "vocab_size", needed)
    if needed > has:
        yield Problem(
            where=here if size is None else f"{where}.config.vocab_size",
            found=f"a tokenizer with ids up to {needed - 1:,} for a model with vocab_size {has:,}",
            allowed="the tokenizer that the model was made with",
            hint=None if size is None else "remove it; the default is the size of the tokenizer",
        )
    fewest = has * FEWEST_TOKENS if model.is_pretrained else 0
    if vocabulary.count <= vocabulary.added or vocabulary.count < fewest:
        yield Problem(
            where=here,
            found=f"a tokenizer of {number_of(vocabulary.count, 'token')}, of which "
            f"{vocabulary.added} are special, for a model with vocab_size {has:,}",
            allowed="the tokenizer that the model was made with",
            hint="copy its files too: tokenizer.json and tokenizer_config.json, or vocab.txt, "
            "vocab.json and merges.txt, or a sentencepiece model",
        )
    if vocabulary.special["pad_token_id"] is None:
        yield Problem(
            where=here,
            found="a tokenizer without any token that can pad a batch: pad, eos, bos or unk",
            allowed="a tokenizer with one of them in its tokenizer_config.json",
        )


def _built_problems(
    where: str, here: str, model: ModelSpec, config: PretrainedConfig
) -> list[Problem]:
    """Build the model without weights, and check its head and LoRA."""
    built = build_or_explain(model, config)
    if isinstance(built, str):
        return [Problem(where=here, found=built, allowed="a config that a model can be built from")]
    reason = explain_wrong_head(built) if model.model_class else None
    if reason is not None:
        return [_no_class(f"{where}.model_class", model, reason)]
    if looks_for_the_end(built) and vocabulary_of(model).last != built.config.eos_token_id:
        return [_no_end(here, config)]
    problems = list(fit_problems(here, model, built)) if model.is_pretrained else []
    return problems + (
        list(lora_problems(f"{where}.peft", model.peft, built)) if model.peft else []
    )


def _no_end(where: str, config: PretrainedConfig) -> Problem:
    return Problem(
        where=where,
        found="a tokenizer that does not end texts with the eos_token_id of the config, for a "
        f"model of type {config.model_type!r}, which classifies by that token",
        allowed="the tokenizer that the model was made with",
    )


def own_fields(model: ModelSpec) -> Arguments:
    """Return the fields of the model's `config`, except those that only new configs can have."""
    free = () if model.is_pretrained else FIELDS_OF_A_NEW_CONFIG
    return {k: v for k, v in config_arguments(model).items() if k.removeprefix(CONFIG) not in free}


def hyperparameter_problems(settings: ModelSettings) -> list[Problem]:
    """Find mistakes in a model's config fields, `pooling` and `freeze_layers`.

    Builds the model with them on torch's meta device, whose tensors have shapes but no memory. A
    missing checkpoint or head is reported by `model_problems`, not here.
    """
    unread = list(unread_lora_problems(settings))
    if unread:
        return unread
    names = [
        name
        for name in {**settings.fixed, **settings.space}
        if name.startswith(CONFIG) and name != f"{CONFIG}{MODEL_TYPE}"
    ]
    if not names and not settings.all_values(POOLING) and not settings.all_values(FREEZE):
        return []
    try:
        config = _own_config(settings.model)
    except (NoCheckpointError, NoClassError):
        return []
    if not _is_classifier(settings.model, config):
        return []
    settled = [name for name in names if name in SETTLED and not _is_free(settings.model, name)]
    problems = [problem for name in names for problem in _field_problems(settings, name, config)]
    problems += _pooling_problems(settings, config)
    if problems or settled:
        return problems
    return list(Builds(settings, config).problems())


def _field_problems(
    settings: ModelSettings, name: str, config: PretrainedConfig
) -> Iterator[Problem]:
    if name in SETTLED and not _is_free(settings.model, name):
        return  # reported for its section
    field, where = name.removeprefix(CONFIG), settings.place(name)
    fields: set[str] = {*config.to_dict(), *config.attribute_map}
    if field not in fields:
        yield Problem(
            where=where,
            found=f"{field!r}, which {type(config).__name__} of {settings.name} does not have",
            allowed="a field of the model's config.json",
            hint=hint_at(where, near(field, fields)),
        )
        return
    wrong = [value for value in settings.all_values(name) if not _is_of_type(config, field, value)]
    if wrong:
        yield Problem(
            where=where,
            found=f"{wrong[0]!r} for {settings.name}",
            allowed=_like(getattr(config, field)),
            hint=hint_at(where),
        )


def _is_free(model: ModelSpec, name: str) -> bool:
    """Return whether a field in `SETTLED` can be set because the config is new."""
    field = name.removeprefix(CONFIG)
    return not model.is_pretrained and field in FIELDS_OF_A_NEW_CONFIG and field in model.config


def _is_of_type(config: PretrainedConfig, field: str, value: JsonValue) -> bool:
    name, present = config.attribute_map.get(field, field), getattr(config, field)
    if name in type(config).__dataclass_fields__:
        try:
            setattr(copy.deepcopy(config), name, value)
        except StrictDataclassFieldValidationError:
            return False
        return True
    if present is None:
        return value is None or _is_number(value)
    return type(value) is type(present) or (type(present) is float and _is_number(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _like(present: object) -> str:
    return "a number" if present is None else f"a value of the same type as its default {present!r}"


def _pooling_problems(settings: ModelSettings, config: PretrainedConfig) -> Iterator[Problem]:
    allowed = (CLS,) if settings.model.has_own_code else poolings(config.model_type)
    wrong = [how for how in settings.all_values(POOLING) if how in POOLINGS and how not in allowed]
    if wrong:
        where = settings.place(POOLING)
        yield Problem(
            where=where,
            found=f"{wrong[0]} for {settings.name}, a model of type {config.model_type!r}",
            allowed=one_of(allowed),
            hint=hint_at(where, f"other values work for the types {', '.join(POOLED_TYPES)}"),
        )
