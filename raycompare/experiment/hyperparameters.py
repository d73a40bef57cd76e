"""What an experiment file sets for one model, and in which of its sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from raycompare.experiment.space import SearchSpace
from raycompare.experiment.spec import Arguments, Experiment, ModelSpec, ResourceSpec

CONFIG = "config."
"""What names of hyperparameters begin with that are fields of the model's config."""
MAX_LENGTH = "max_length"
PATIENCE = "early_stopping_patience"

EVALUATION = frozenset({"eval_strategy", "eval_steps", PATIENCE})
"""Settings by which an experiment says when trials are evaluated."""

DEFAULTS: Arguments = {
    "eval_strategy": "epoch",
    "logging_strategy": "no",
    "logging_nan_inf_filter": False,  # asks the device for the loss at every step
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "remove_unused_columns": False,  # there are none
    "dataloader_pin_memory": False,
    "per_device_eval_batch_size": 64,
}
"""Training arguments of every trial, unless the file sets others."""

Length = int | str
"""Tokens that texts are cut to, as an experiment says it: a number, or a percentile."""
Searched = Mapping[str, JsonValue]
"""The hyperparameters that a search has chosen for a trial; none for the untuned default."""


@dataclass(frozen=True)
class ModelSettings:
    """What an experiment sets for one model: its own sections over those of all models."""

    experiment: Experiment
    model: ModelSpec
    section: str
    """The dotted path of the model in the file."""

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.model.name

    @property
    def resources(self) -> ResourceSpec:
        """What the file says that a trial takes of the cluster."""
        return self.model.resources or self.experiment.resources

    @cached_property
    def space(self) -> SearchSpace:
        """The ranges that are searched; constants are not among them."""
        return {name: domain for name, domain in self._domains.items() if not domain.is_constant}

    @cached_property
    def training(self) -> Arguments:
        """The experiment's fixed arguments, the model's own, then the spaces' constants."""
        constants = {name: d.value for name, d in self._domains.items() if d.is_constant}
        return {**self.experiment.training, **self.model.training, **constants}

    @property
    def _domains(self) -> SearchSpace:
        return {**self.experiment.search_space, **self.model.search_space}

    @cached_property
    def fixed(self) -> Arguments:
        """The hyperparameters of the untuned default, fields of the config among them."""
        return {**config_arguments(self.model), **self.training}

    @property
    def sets_evaluation(self) -> bool:
        """Whether the file says when trials are evaluated."""
        return not EVALUATION.isdisjoint({*self.training, *self.space})

    def arguments(self, searched: Searched) -> Arguments:
        """Return the training arguments of a trial: defaults, then fixed, then as searched."""
        arguments = {**self.training, **searched}
        by_steps = {"eval_strategy": "steps"} if "eval_steps" in arguments else {}
        return {**DEFAULTS, **by_steps, **arguments}

    def max_length(self, searched: Searched) -> Length:
        """Return what a trial cuts texts to."""
        length = {**self.training, **searched}.get(MAX_LENGTH, self.experiment.data.max_length)
        assert isinstance(length, int | str)
        return length

    @property
    def max_lengths(self) -> list[Length]:
        """Every length that a trial may cut texts to; that of the untuned default first."""
        domain = self.space.get(MAX_LENGTH)
        searched = [value for value in domain.examples if isinstance(value, int)] if domain else []
        return list(dict.fromkeys([self.max_length({}), *searched]))

    def complete(self, searched: Searched) -> Arguments:
        """Return all that decides a trial: what it searched over all that was fixed."""
        length: Arguments = {MAX_LENGTH: self.experiment.data.max_length}
        building = {**config_arguments(self.model), **self.model.building}
        return {**length, **building, **self.training, **searched}

    def place(self, name: str) -> str:
        """Return the dotted path at which the file sets the hyperparameter."""
        sections: Mapping[str, Collection[str]] = {
            f"{self.section}.search_space": self.model.search_space,
            "search_space": self.experiment.search_space,
            f"{self.section}.training": self.model.training,
            "training": self.experiment.training,
            self.section: config_arguments(self.model),  # its names begin with the section's
        }
        return next(f"{where}.{name}" for where, names in sections.items() if name in names)

    def values(self, name: str) -> tuple[JsonValue, ...]:
        """Return what searching trials have: examples of the range, the value set, or nothing."""
        if name in self.space:
            return self.space[name].examples
        return (self.fixed[name],) if name in self.fixed else ()

    def all_values(self, name: str) -> tuple[JsonValue, ...]:
        """Return the same, and what the untuned default has."""
        default = (self.fixed[name],) if name in self.fixed else ()
        return default + (self.space[name].examples if name in self.space else ())


def all_settings(experiment: Experiment) -> list[ModelSettings]:
    """Return the settings of each model, in the order of the file."""
    return [
        ModelSettings(experiment, model, f"models.{place}")
        for place, model in enumerate(experiment.models)
    ]


def settings_of(experiment: Experiment, model: str) -> ModelSettings:
    """Return the settings of the model that the tables call `model`."""
    return next(settings for settings in all_settings(experiment) if settings.name == model)


def hint_at(where: str, first: str | None = None) -> str | None:
    """Return the hint `first`, and where to write what is meant for some of the models only."""
    section = where.partition(".")[0]
    own = f"write it under models[].{section} of the models that it is meant for"
    hints = [first, None if section == "models" else own]
    return " or ".join(hint for hint in hints if hint) or None


def config_arguments(model: ModelSpec) -> Arguments:
    """Return the model's own `config` under the names that `training` would have for it."""
    return {f"{CONFIG}{field}": value for field, value in model.config.items()}
