"""What an experiment file sets for one model, and in which of its sections."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from raycompare.experiment.space import SearchSpace
from raycompare.experiment.spec import Arguments, Experiment, ModelSpec


def settings_of(experiment: Experiment, model: ModelSpec, searched: Arguments) -> Arguments:
    """Return all that decides a trial of the model: what it searched over all that was fixed."""
    config = {f"config.{key}": value for key, value in model.config.items()}
    length: Arguments = {"max_length": experiment.data.max_length}
    return {
        **length,
        **config,
        **model.building,
        **experiment.training_of(model),
        **searched,
    }


CONFIG = "config."
"""What names of hyperparameters begin with that are fields of the model's config."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The hyperparameters of one model."""

    model: ModelSpec
    fixed: Arguments
    """What its untuned default has, fields of its config among them."""
    space: SearchSpace
    sections: Mapping[str, Collection[str]]
    """The names in each section by its dotted path; of those with a name the first counts."""

    def place(self, name: str) -> str:
        """Return the dotted path at which the file sets the hyperparameter."""
        return next(f"{where}.{name}" for where, names in self.sections.items() if name in names)

    def values(self, name: str) -> tuple[JsonValue, ...]:
        """Return what searching trials have: examples of the range, the value set, or nothing."""
        if name in self.space:
            return self.space[name].examples
        return (self.fixed[name],) if name in self.fixed else ()

    def all_values(self, name: str) -> tuple[JsonValue, ...]:
        """Return the same, and what the untuned default has."""
        default = (self.fixed[name],) if name in self.fixed else ()
        return default + (self.space[name].examples if name in self.space else ())


def hint_at(where: str, first: str | None = None) -> str | None:
    """Return the hint `first`, and where to write what is meant for some of the models only."""
    section = where.partition(".")[0]
    own = f"write it under models[].{section} of the models that it is meant for"
    hints = [first, None if section == "models" else own]
    return " or ".join(hint for hint in hints if hint) or None


def config_arguments(model: ModelSpec) -> Arguments:
    """Return the model's own `config` under the names that `training` would have for it."""
    return {f"{CONFIG}{field}": value for field, value in model.config.items()}


def given_to(experiment: Experiment, model: ModelSpec, where: str) -> ModelSettings:
    """Gather what the file gives the model that stands at the dotted path `where`."""
    config = config_arguments(model)
    return ModelSettings(
        model=model,
        fixed={**config, **experiment.training_of(model)},
        space=experiment.search_space_of(model),
        sections={
            f"{where}.search_space": model.search_space,
            "search_space": experiment.search_space,
            f"{where}.training": model.training,
            "training": experiment.training,
            where: config,  # its names begin with that of the section
        },
    )
