"""What is wrong with a model and with its own hyperparameters, found without its weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub.errors import StrictDataclassFieldValidationError
from pydantic import JsonValue
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS,
)

from raycompare.errors import Problem, near, one_of
from raycompare.given import Given, hint_at
from raycompare.heads import CONFIG, FREEZE, POOLED_TYPES, POOLING, POOLINGS, SETTLED, poolings
from raycompare.model_builds import Builds
from raycompare.models import NoCheckpointError, load_config, load_tokenizer, locate
from raycompare.spec import ModelSpec


def model_problems(where: str, model: ModelSpec) -> list[Problem]:
    """Find what keeps a checkpoint from being loaded and trained, without reading its weights."""
    here = f"{where}.checkpoint" if model.checkpoint != model.name else where
    try:
        config = _own_config(model)
        load_tokenizer(model)
    except NoCheckpointError as error:
        return [_missing(here, model.checkpoint, str(error))]
    problems = [_kind_problem(here, config), _weights_problem(here, model.checkpoint)]
    return [problem for problem in problems if problem]


def _own_config(model: ModelSpec) -> PretrainedConfig:
    return load_config(model.model_copy(update={"config": {}}))


def _missing(where: str, checkpoint: str, reason: str) -> Problem:
    return Problem(
        where=where,
        found=f"{checkpoint!r}: {reason}",
        allowed="a hub id that can be reached or is cached, a folder with config.json, "
        "tokenizer and safetensors, or package:PACKAGE/FOLDER",
    )


def _kind_problem(where: str, config: PretrainedConfig) -> Problem | None:
    if config.model_type in CLASSIFIERS:
        return None
    return Problem(
        where=where,
        found=f"a model of type {config.model_type!r}",
        allowed="a type that transformers has a sequence-classification head for",
    )


def _weights_problem(where: str, checkpoint: str) -> Problem | None:
    folder = Path(locate(checkpoint))
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return None
    pickled = [path.name for path in folder.glob("*.bin")]
    return Problem(
        where=where,
        found=f"no safetensors in {folder}" + (f", only {', '.join(pickled)}" if pickled else ""),
        allowed="weights as safetensors; pickled ones can run code and are not read",
        hint="load the model yourself once and `save_pretrained` it to a new folder",
    )


def hyperparameter_problems(given: Given) -> list[Problem]:
    """Find what is wrong with the fields of the config, `pooling` and `freeze_layers` of a model.

    The model is built with them on torch's meta device, which has shapes and no memory. A model
    without a checkpoint or a head has no problems here.
    """
    names = [name for name in {**given.fixed, **given.space} if name.startswith(CONFIG)]
    if not names and not given.all_values(POOLING) and not given.all_values(FREEZE):
        return []
    try:
        config = _own_config(given.model)
    except NoCheckpointError:
        return []
    if config.model_type not in CLASSIFIERS:
        return []
    problems = [problem for name in names for problem in _field_problems(given, name, config)]
    problems += _pooling_problems(given, config)
    if problems or SETTLED.keys() & set(names):
        return problems
    return list(Builds(given, config).problems())


def _field_problems(given: Given, name: str, config: PretrainedConfig) -> Iterator[Problem]:
    if name in SETTLED:
        return  # a problem of its section
    field, where = name.removeprefix(CONFIG), given.place(name)
    known: set[str] = {*config.to_dict(), *config.attribute_map}
    if field not in known:
        yield Problem(
            where=where,
            found=f"{field!r}, which {_code_of(given, config)} does not have",
            allowed="a field of the model's config.json",
            hint=hint_at(where, near(field, known)),
        )
        return
    wrong = [value for value in given.all_values(name) if not _is_of_type(config, field, value)]
    if wrong:
        yield Problem(
            where=where,
            found=f"{wrong[0]!r} for {given.model.name}",
            allowed=_like(getattr(config, field)),
            hint=hint_at(where),
        )


def _code_of(given: Given, config: PretrainedConfig) -> str:
    return f"{type(config).__name__} of {given.model.name}"


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
    return "a number" if present is None else f"a value of the type of its own, {present!r}"


def _pooling_problems(given: Given, config: PretrainedConfig) -> Iterator[Problem]:
    allowed = poolings(config.model_type)
    wrong = [how for how in given.all_values(POOLING) if how in POOLINGS and how not in allowed]
    if wrong:
        where = given.place(POOLING)
        yield Problem(
            where=where,
            found=f"{wrong[0]} for {given.model.name}, a model of type {config.model_type!r}",
            allowed=one_of(allowed),
            hint=hint_at(where, f"types that can be pooled: {', '.join(POOLED_TYPES)}"),
        )
