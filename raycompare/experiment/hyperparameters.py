"""Settings of one model, and the sections of the experiment file that they come from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from raycompare.experiment.space import CONFIG, SearchSpace
from raycompare.experiment.spec import Arguments, Experiment, ModelSpec, ResourceSpec

MAX_LENGTH = "max_length"
PATIENCE = "early_stopping_patience"

EVALUATION = frozenset({"eval_strategy", "eval_steps", "eval_delay", PATIENCE})
"""Settings that determine when trials are evaluated."""

DEFAULTS: Arguments = {
    "eval_strategy": "epoch",
    "logging_strategy": "no",
    "logging_nan_inf_filter": False,  # would synchronise with the device at every step
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "remove_unused_columns": False,  # there are no unused columns
    "dataloader_pin_memory": False,
    "per_device_eval_batch_size": 64,
}
"""Training arguments of every trial, unless the file overrides them."""

Length = int | str
"""Maximum length as set in an experiment: a number of tokens, or a percentile such as p99."""
Searched = Mapping[str, JsonValue]
"""Hyperparameters that a search has chosen for a trial; empty for the untuned default."""


@dataclass(frozen=True)
class ModelSettings:
    """Settings of one model; those of its entry override those for all models."""

    experiment: Experiment
    model: ModelSpec
    section: str
    """Dotted path of the model in the file."""

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.name

    @property
    def resources(self) -> ResourceSpec:
        """Resources of one trial, as set in the file."""
        return self.model.resources or self.experiment.resources

    @cached_property
    def space(self) -> SearchSpace:
        """Ranges that are searched; constants are not included."""
        return {name: domain for name, domain in self._domains.items() if not domain.is_constant}

    @cached_property
    def training(self) -> Arguments:
        """Fixed arguments of the experiment, the model and the constants of the search spaces."""
        constants = {name: d.value for name, d in self._domains.items() if d.is_constant}
        return {**self.experiment.training, **self.model.training, **constants}

    @property
    def _domains(self) -> SearchSpace:
        return {**self.experiment.search_space, **self.model.search_space}

    @cached_property
    def fixed(self) -> Arguments:
        """Hyperparameters of the untuned default, including fields of the config."""
        return {**config_arguments(self.model), **self.training}

    @property
    def sets_evaluation(self) -> bool:
        """Whether the file determines when trials are evaluated."""
        return not EVALUATION.isdisjoint({*self.training, *self.space})

    def arguments(self, searched: Searched) -> Arguments:
        """Return the training arguments of a trial: defaults, then fixed, then searched ones."""
        arguments = {**self.training, **searched}
        by_steps = {"eval_strategy": "steps"} if "eval_steps" in arguments else {}
        return {**DEFAULTS, **by_steps, **arguments}

    def max_length(self, searched: Searched) -> Length:
        """Return the length that a trial truncates texts to."""
        length = {**self.training, **searched}.get(MAX_LENGTH, self.experiment.data.max_length)
        assert isinstance(length, int | str)
        return length

    @property
    def max_lengths(self) -> list[Length]:
        """Lengths that trials may truncate texts to, starting with that of the untuned default."""
        domain = self.space.get(MAX_LENGTH)
        searched = [value for value in domain.examples if isinstance(value, int)] if domain else []
        return list(dict.fromkeys([self.max_length({}), *searched]))

    def complete(self, searched: Searched) -> Arguments:
        """Return all settings that determine a trial; searched values override fixed ones."""
        length: Arguments = {MAX_LENGTH: self.experiment.data.max_length}
        building = {**config_arguments(self.model), **self.model.building}
        return {**length, **building, **self.training, **searched}

    def place(self, name: str) -> str:
        """Return the dotted path where the file sets the hyperparameter."""
        sections: Mapping[str, Collection[str]] = {
            f"{self.section}.search_space": self.model.search_space,
            "search_space": self.experiment.search_space,
            f"{self.section}.training": self.model.training,
            "training": self.experiment.training,
            self.section: config_arguments(
                self.model
            ),  # a key such as config.FIELD is a path below the model
        }
        return next(f"{where}.{name}" for where, names in sections.items() if name in names)

    def values(self, name: str) -> tuple[JsonValue, ...]:
        """Return the values that searched trials can have, or examples of them."""
        if name in self.space:
            return self.space[name].examples
        return (self.fixed[name],) if name in self.fixed else ()

    def all_values(self, name: str) -> tuple[JsonValue, ...]:
        """Return the values that any trial can have, with that of the untuned default first."""
        default = (self.fixed[name],) if name in self.fixed else ()
        return default + (self.space[name].examples if name in self.space else ())


def all_settings(experiment: Experiment) -> list[ModelSettings]:
    """Return the settings of each model, in the order of the file."""
    return [
        ModelSettings(experiment, model, f"models.{place}")
        for place, model in enumerate(experiment.models)
    ]


def settings_of(experiment: Experiment, model: str) -> ModelSettings:
    """Return the settings of the model named `model`."""
    return next(settings for settings in all_settings(experiment) if settings.name == model)


def hint_at(where: str, first: str | None = None) -> str | None:
    """Return the hint `first`, and where to write settings that are meant for some models only."""
    section = where.partition(".")[0]
    own = f"write it under models[].{section} of the models it is meant for"
    hints = [first, None if section == "models" else own]
    return " or ".join(hint for hint in hints if hint) or None


def config_arguments(model: ModelSpec) -> Arguments:
    """Return the fields of the model's `config`, named as in `training`."""
    return {f"{CONFIG}{field}": value for field, value in model.config.items()}
