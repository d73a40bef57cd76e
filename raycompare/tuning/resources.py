"""What each trial takes of the cluster; with `gpu: auto` as many share a card as fit on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor

from raycompare.cluster.machines import Node
from raycompare.errors import UserError
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.spec import AUTO, Experiment, ResourceSpec
from raycompare.training.memory import Peak

HEADROOM = 0.15
"""Of the measured need, kept free for what two steps don't show."""
MOST_PER_GPU = 8
"""Trials that share a card take turns on it. What that gains ends when the card is never idle."""
SMALLEST_SHARE = 10_000
"""Ray counts a GPU in parts of one ten-thousandth."""


def resolve(
    experiment: Experiment, nodes: Sequence[Node], measure: Callable[[ModelSettings], Peak]
) -> dict[str, ResourceSpec]:
    """Return the resources of a trial of each model, by the model's name.

    `measure` trains a model on a card; it is called where the experiment says `gpu: auto` and the
    cluster has GPUs.

    Raises:
        UserError: no machine of the cluster can hold a trial.
    """
    with_gpus = [node for node in nodes if node.gpus]
    found: dict[str, ResourceSpec] = {}
    for settings in all_settings(experiment):
        asked = settings.resources
        gpu = asked.gpu
        if gpu == AUTO:
            gpu = share_of_card(measure(settings), asked.cpu, with_gpus) if with_gpus else 0.0
        elif gpu is None:
            gpu = 1.0 if with_gpus else 0.0
        found[settings.name] = asked.model_copy(update={"gpu": gpu})
    _require_room(found, nodes)
    return found


def share_of_card(peak: Peak, cpu: float, nodes: Sequence[Node]) -> float:
    """Return the part of a card that one trial takes, so that whole trials fill it.

    Memory, the CPUs that each trial needs to feed the card, and `MOST_PER_GPU` set the limit.
    """
    by_memory = floor(peak.total / (peak.needed * (1 + HEADROOM)))
    by_cpus = min(floor(node.cpus / node.gpus / cpu) for node in nodes)
    together = max(min(by_memory, by_cpus, MOST_PER_GPU), 1)
    return floor(SMALLEST_SHARE / together) / SMALLEST_SHARE


def sharing(resources: Mapping[str, ResourceSpec]) -> list[str]:
    """Say which models' trials share a card."""
    return [
        f"{model}: {floor(1 / spec.gpus)} trials share a GPU"
        for model, spec in resources.items()
        if 0 < spec.gpus <= 1 / 2
    ]


def _require_room(resources: Mapping[str, ResourceSpec], nodes: Sequence[Node]) -> None:
    have = "; ".join(f"{n.hostname}: cpu {n.cpus:g}, gpu {n.gpus:g}" for n in nodes)
    for model, asked in resources.items():
        if not any(node.fits(asked) for node in nodes):
            raise UserError(
                f"a trial of {model} takes cpu {asked.cpu:g}, gpu {asked.gpus:g}, "
                f"and no machine has that ({have}). Ask for less under `resources`."
            )
