"""Finds hyperparameters that a model can't be built with, or that its code doesn't read.

Models are built on torch's meta device, whose tensors have shapes but no memory.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice, product
from random import Random
from typing import NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from pydantic import JsonValue
from transformers import PretrainedConfig, PreTrainedModel

from raycompare.errors import Problem, summarize
from raycompare.experiment.hyperparameters import ModelSettings, hint_at
from raycompare.experiment.space import CONFIG
from raycompare.experiment.spec import Arguments, ModelSpec
from raycompare.models.architectures import set_fields
from raycompare.models.config_reads import fields_read
from raycompare.models.heads import FREEZE, POOLING, config_fields, encoder_layers
from raycompare.models.pretrained import MODEL_TYPE, build_without_weights, load_config

MOST_BUILT = 16
"""Most combinations of config fields that are built; otherwise a sample that has every value."""
_BUILD_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
    StrictDataclassError,
)
"""Raised by models that can't be built from their config."""


class _Fault(NamedTuple):
    found: str
    allowed: str


def build_or_explain(model: ModelSpec, config: PretrainedConfig) -> PreTrainedModel | str:
    """Build a model from the config, or return why that fails."""
    try:
        return _build(model, copy.deepcopy(config))
    except _BUILD_ERRORS as error:
        return _reason(error)


def _build(model: ModelSpec, config: PretrainedConfig) -> PreTrainedModel:
    config.validate()
    return build_without_weights(model, config)


def _reason(error: Exception) -> str:
    return summarize(error.__cause__ or error)


def explain_wrong_head(model: PreTrainedModel) -> str | None:
    """Return why a model doesn't return a loss and logits of [rows, labels], or None if it does."""
    rows, labels = 2, model.config.num_labels
    ids = torch.ones(rows, 4, dtype=torch.long, device=model.device)
    try:
        output = model(input_ids=ids, labels=ids[:, 0])
    except _BUILD_ERRORS as error:
        # Code that reads values can't run without values, so only a trial can test it.
        return None if "meta" in str(error) else _reason(error)
    logits = getattr(output, "logits", None)
    shape = getattr(logits, "shape", None)
    if shape != (rows, labels):
        return f"its logits have shape {list(shape or ())}, not [{rows} rows, {labels} labels]"
    return None if getattr(output, "loss", None) is not None else "it returns no loss"


@dataclass(frozen=True)
class Builds:
    """Builds a model with combinations of its hyperparameters to find mistakes in them."""

    settings: ModelSettings
    config: PretrainedConfig

    def problems(self) -> Iterator[Problem]:
        """Yield the first combination that can't be trained, or else the fields without effect."""
        read: set[str] = set()
        for fields in _combinations(self.settings):
            model = self._attempt(fields)
            if isinstance(model, _Fault):
                yield self._problem(fields, model)
                return
            read |= fields_read(model)
        if not self.settings.model.has_own_code:  # such code may read its config indirectly
            yield from self._unread(read)

    def _attempt(self, fields: Arguments) -> PreTrainedModel | _Fault:
        try:
            model = self._build(fields)
            own = self._own_shapes if self.settings.model.is_pretrained else _shapes(model)
        except _BUILD_ERRORS as error:
            return _Fault(_reason(error), "hyperparameters that a model can be built with")
        other = [name for name, shape in _shapes(model).items() if own.get(name) != shape]
        if other:
            lost = f"{len(other)} pretrained weights would be random, including {other[0]}"
            return _Fault(lost, "fields that keep the shapes of the pretrained weights")
        return _layer_fault(model, fields.get(FREEZE, 0)) or model

    def _build(self, fields: Arguments) -> PreTrainedModel:
        model, own = self.settings.model, config_fields(fields)
        if not model.is_pretrained:  # fields of a new config depend on one another
            kept = {key: value for key, value in model.config.items() if key == MODEL_TYPE}
            return _build(model, load_config(model.model_copy(update={"config": kept | own})))
        config = copy.deepcopy(self.config)
        set_fields(config, own)
        return _build(model, config)

    @cached_property
    def _own_shapes(self) -> Mapping[str, torch.Size]:
        return _shapes(self._build({}))

    def _problem(self, fields: Arguments, fault: _Fault) -> Problem:
        where = self.settings.place(self._culprit(fields))
        values = ", ".join(f"{name} = {value}" for name, value in fields.items())
        return Problem(
            where=where,
            found=f"{values} for {self.settings.name}: {fault.found}",
            allowed=fault.allowed,
            hint=hint_at(where),
        )

    def _culprit(self, fields: Arguments) -> str:
        """Return the first hyperparameter whose removal fixes the model, or else the first."""
        for name in fields:
            rest = {other: value for other, value in fields.items() if other != name}
            if not isinstance(self._attempt(rest), _Fault):
                return name
        return next(iter(fields), POOLING)

    def _unread(self, read: set[str]) -> Iterator[Problem]:
        for name in (name for name in _built_names(self.settings) if name != FREEZE):
            field, where = name.removeprefix(CONFIG), self.settings.place(name)
            if not _names_of(self.config, field) & read:
                yield Problem(
                    where=where,
                    found=f"{field!r}, which the code of {self.settings.name} never reads",
                    allowed=f"a field that {self.config.model_type}'s classifier reads",
                    hint=hint_at(where),
                )


def _names_of(config: PretrainedConfig, field: str) -> set[str]:
    """Return all names of a field, including the aliases that the config maps to it."""
    own = config.attribute_map.get(field, field)
    return {own, *(alias for alias, name in config.attribute_map.items() if name == own)}


def _shapes(model: PreTrainedModel) -> Mapping[str, torch.Size]:
    """Return the shapes of the weights below the head, which are the pretrained ones."""
    return {name: weight.shape for name, weight in model.base_model.named_parameters()}


def _layer_fault(model: PreTrainedModel, frozen: JsonValue) -> _Fault | None:
    if not isinstance(frozen, int) or frozen <= 0:
        return None
    layers = encoder_layers(model)
    if layers is None:
        return _Fault("the model shares its layers, or has several stacks", f"{FREEZE}: 0")
    if frozen > len(layers):
        return _Fault(f"the model has {len(layers)} layers", f"{FREEZE} from 0 to {len(layers)}")
    return None


def _built_names(settings: ModelSettings) -> list[str]:
    names = {
        FREEZE: None,
        **settings.fixed,
        **settings.space,
    }  # the first of two faults is reported
    return [
        name
        for name in names
        if (name.startswith(CONFIG) and name != f"{CONFIG}{MODEL_TYPE}")
        or (name == FREEZE and settings.all_values(FREEZE))
    ]


def _combinations(settings: ModelSettings) -> Iterator[Arguments]:
    """Yield the hyperparameters to build a model with: the untuned defaults, then samples."""
    names = _built_names(settings)
    fixed = {name: settings.fixed[name] for name in names if name in settings.fixed}
    yield fixed
    searched = [name for name in names if name in settings.space]
    for values in _combine([settings.values(name) for name in searched]):
        yield {**fixed, **dict(zip(searched, values, strict=True))}


def _combine(columns: Sequence[Sequence[JsonValue]]) -> Iterator[tuple[JsonValue, ...]]:
    """Yield all combinations of values, or if there are many, a sample that has each value."""
    if math.prod(map(len, columns)) <= MOST_BUILT:
        return product(*columns)
    rows, random = max(MOST_BUILT, *map(len, columns)), Random(0)
    drawn = (random.sample(list(islice(cycle(column), rows)), rows) for column in columns)
    return zip(*drawn, strict=True)
