"""Everything that can be known to be wrong before Ray starts, found in one go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from raycompare.cluster.connection import is_remote
from raycompare.cluster.machines import this_machine
from raycompare.data.problems import DataProblems
from raycompare.data.splits import LabelledData, load_splits
from raycompare.errors import Problem
from raycompare.experiment.checks import settings_problems
from raycompare.experiment.file import Draft
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.settings import TuneSpec
from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.models.checks import hyperparameter_problems, model_problems, own_fields
from raycompare.running.estimate import Estimate, describe, estimate
from raycompare.running.late_checks import (
    default_steps,
    grace_problems,
    length_problems,
    room_problems,
)
from raycompare.running.trackers.checks import tracker_problems
from raycompare.training.argument_checks import argument_problems, space_problems
from raycompare.training.unused_arguments import unread_problems


@dataclass(frozen=True)
class CheckedExperiment:
    """An experiment that nothing is known to be wrong with."""

    experiment: Experiment
    data: LabelledData

    @property
    def summary(self) -> str:
        """Say what a run would do."""
        data, experiment = self.data, self.experiment
        splits = {"train": data.train, "validation": data.validation, "test": data.test}
        rows = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
        lines = [
            f"{experiment.name}: nothing wrong found.",
            f"  data     {experiment.data.dataset}: {rows} rows, {len(data.label_names)} labels",
            *(f"  note     {note}" for note in data.notes),
        ]
        for settings in all_settings(experiment):
            steps = default_steps(settings, data)
            length = f"{steps:,} steps a trial" if steps else "batches by tokens"
            searched = ", ".join(settings.space) or "nothing"
            lines.append(f"  model    {settings.name}: {length}, searches {searched}")
            lines += [f"           note: {note}" for note in _notes(settings.model)]
        lines += [f"  takes    {line}" for line in describe(self.estimate, experiment)]
        return "\n".join(lines)

    @cached_property
    def estimate(self) -> Estimate:
        """What a run would take, as far as that is known from here; takes a second."""
        return estimate(self.experiment, self.data)


def _notes(model: ModelSpec) -> Iterator[str]:
    if not model.is_pretrained:
        yield "its weights are random, not pretrained"
    if model.trust_remote_code:
        yield f"Python code that {model.checkpoint} brings may run, here and on every machine"
    if model.model_class:
        yield f"its class is {model.model_class}, which every machine must be able to import"
    if model.peft:
        yield "LoRA: its layers stay as they are, the head and small matrices are trained"


def check(draft: Draft, out: str) -> CheckedExperiment:
    """Check names, types, data, models and room for the results at `out`.

    Raises:
        ExperimentError: with every mistake that could be found.
    """
    data, problems = open_data(draft)
    problems += _section_problems(draft)
    problems += _model_section_problems(draft)
    problems += _hyperparameter_problems(draft)
    problems += _resource_problems(draft)
    experiment = draft.experiment(found_later=problems)
    assert data is not None
    late = [
        *settings_problems(experiment),
        *grace_problems(experiment, data),
        *length_problems(experiment, data),
        *room_problems(experiment, data, out),
        *tracker_problems(experiment, out),
    ]
    return CheckedExperiment(draft.experiment(found_later=late), data)


def open_data(draft: Draft) -> tuple[LabelledData | None, list[Problem]]:
    """Return the data of the draft, or what is wrong with it."""
    if "data" not in draft.sections:
        return None, []
    try:
        return load_splits(draft.sections["data"], draft.sections.get("seed", 0)), []
    except DataProblems as error:
        return None, list(error.problems)


def _section_problems(draft: Draft) -> list[Problem]:
    return [
        *argument_problems("training", draft.sections.get("training", {})),
        *space_problems("search_space", draft.search_space),
    ]


def _model_section_problems(draft: Draft) -> list[Problem]:
    return [
        problem
        for where, model in draft.models.items()
        for problem in (
            *model_problems(where, model),
            *argument_problems(where, own_fields(model)),
            *argument_problems(f"{where}.training", model.training),
            *space_problems(f"{where}.search_space", model.search_space),
        )
    ]


def _hyperparameter_problems(draft: Draft) -> list[Problem]:
    """Find what is wrong between the sections, as far as they are valid by themselves."""
    tune = draft.sections.get("tune", TuneSpec())
    return [
        problem
        for settings in _draft_settings(draft)
        for problem in (*unread_problems(settings, tune), *hyperparameter_problems(settings))
    ]


def _draft_settings(draft: Draft) -> list[ModelSettings]:
    sections = {**draft.sections, "search_space": draft.search_space}
    experiment = Experiment.model_construct(**sections)
    return [ModelSettings(experiment, model, where) for where, model in draft.models.items()]


def _resource_problems(draft: Draft) -> list[Problem]:
    if is_remote():
        return []
    of_models = {f"{where}.resources": model.resources for where, model in draft.models.items()}
    asked = {"resources": draft.sections.get("resources"), **of_models}
    here = this_machine()
    return [
        Problem(
            where=where,
            found=f"cpu {resources.cpu:g}, gpu {resources.gpus:g}",
            allowed=f"what this machine has: cpu {here.cpus:g}, gpu {here.gpus:g}",
            hint="ask for less, or set RAY_ADDRESS to a cluster that has more",
        )
        for where, resources in asked.items()
        if resources and not here.fits(resources)
    ]
