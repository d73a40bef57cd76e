"""Finds all mistakes that can be found before Ray starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from raycompare.cluster.connection import is_remote
from raycompare.cluster.machines import this_machine
from raycompare.cluster.requirements import requirement_problems
from raycompare.data.problems import DataProblems
from raycompare.data.splits import LabelledData, load_splits
from raycompare.errors import Problem
from raycompare.experiment.checks import package_problems, settings_problems
from raycompare.experiment.file import Draft
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.needs import needs_of
from raycompare.experiment.settings import TuneSpec
from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.models.checks import hyperparameter_problems, model_problems, own_fields
from raycompare.running.estimate import Estimate, describe, estimate
from raycompare.running.late_checks import (
    batch_problems,
    default_length,
    grace_problems,
    length_problems,
    room_problems,
    warmup_notes,
)
from raycompare.running.trackers.checks import tracker_problems
from raycompare.training.argument_builds import ArgumentBuilds
from raycompare.training.argument_checks import argument_problems, space_problems
from raycompare.training.unused_arguments import unread_problems


@dataclass(frozen=True)
class CheckedExperiment:
    """An experiment without known mistakes, and its data."""

    experiment: Experiment
    data: LabelledData

    @property
    def summary(self) -> str:
        """A description of the run: data, models, and the estimate."""
        data, experiment = self.data, self.experiment
        splits = {"train": data.train, "validation": data.validation, "test": data.test}
        rows = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
        lines = [
            f"{experiment.name}: no problems found.",
            f"  data     {experiment.data.dataset}: {rows} rows, {len(data.label_names)} labels",
            *(f"  note     {note}" for note in data.notes),
        ]
        for settings in all_settings(experiment):
            whole = default_length(settings, data)
            length = f"{whole.steps:,} steps per trial" if whole else "batches sized in tokens"
            searched = ", ".join(settings.space) or "nothing"
            lines.append(f"  model    {settings.name}: {length}, searches {searched}")
            late = warmup_notes(settings, whole.steps) if whole else ()
            notes = [*_notes(settings.model), *late]
            lines += [f"           note: {note}" for note in notes]
        lines += [f"  estimate {line}" for line in describe(self.estimate, experiment)]
        return "\n".join(lines)

    @cached_property
    def estimate(self) -> Estimate:
        """The estimate of a run; computing it takes about a second."""
        return estimate(self.experiment, self.data)


def _notes(model: ModelSpec) -> Iterator[str]:
    if not model.is_pretrained:
        yield "weights are randomly initialised, not pretrained"
    if model.trust_remote_code:
        yield f"Python code in {model.checkpoint} may run, here and on every machine"
    if model.model_class:
        yield f"every machine must be able to import {model.model_class}"
    if model.peft:
        yield "LoRA trains the head and low-rank matrices; all other weights are frozen"


def check(draft: Draft, out: str) -> CheckedExperiment:
    """Check names, types, data, models, and the disk space at `out`.

    Raises:
        ExperimentError: lists every mistake.
    """
    data, problems = open_data(draft)
    problems += _section_problems(draft)
    problems += _model_section_problems(draft)
    problems += _hyperparameter_problems(draft)
    problems += _resource_problems(draft)
    problems += _requirement_problems(draft)
    problems += package_problems(needs_of(_draft_experiment(draft), _draft_settings(draft)))
    experiment = draft.experiment(found_later=problems)
    assert data is not None
    late = [
        *settings_problems(experiment),
        *grace_problems(experiment, data),
        *length_problems(experiment, data),
        *batch_problems(experiment, data),
        *room_problems(experiment, data, out),
        *tracker_problems(experiment, out),
    ]
    return CheckedExperiment(draft.experiment(found_later=late), data)


def open_data(draft: Draft) -> tuple[LabelledData | None, list[Problem]]:
    """Return the data of the draft, or None and its problems."""
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
    """Find contradictions between sections that are valid by themselves."""
    tune, builds = draft.sections.get("tune", TuneSpec()), ArgumentBuilds()
    problems = (
        problem
        for settings in _draft_settings(draft)
        for problem in (
            *unread_problems(settings, tune),
            *hyperparameter_problems(settings),
            *builds.problems(settings),
        )
    )
    return list(dict.fromkeys(problems))  # models share most arguments


def _draft_experiment(draft: Draft) -> Experiment:
    return Experiment.model_construct(**{**draft.sections, "search_space": draft.search_space})


def _draft_settings(draft: Draft) -> list[ModelSettings]:
    experiment = _draft_experiment(draft)
    return [ModelSettings(experiment, model, where) for where, model in draft.models.items()]


def _requirement_problems(draft: Draft) -> list[Problem]:
    """Find what trials need and this machine lacks; machines of a cluster are asked later."""
    if is_remote():
        return []
    return list(requirement_problems(_draft_settings(draft), [this_machine()]))


def _resource_problems(draft: Draft) -> list[Problem]:
    requested = {"resources": draft.sections.get("resources")}
    requested |= {f"{where}.resources": model.resources for where, model in draft.models.items()}
    several = [
        Problem(
            where=f"{where}.gpu",
            found=f"{resources.gpus:g}",
            allowed="at most 1: a trial can't be divided among GPUs",
            hint="several GPUs train several trials at the same time; to fit a large model on "
            "one, use peft, gradient_checkpointing or smaller batches",
        )
        for where, resources in requested.items()
        if resources and resources.gpus > 1
    ]
    if several or is_remote():
        return several
    here = this_machine()
    return [
        Problem(
            where=where,
            found=f"cpu {resources.cpu:g}, gpu {resources.gpus:g}",
            allowed=f"at most what this machine has: cpu {here.cpus:g}, gpu {here.gpus:g}",
            hint="request less, or set RAY_ADDRESS to a cluster that has more",
        )
        for where, resources in requested.items()
        if resources and not here.fits(resources)
    ]
