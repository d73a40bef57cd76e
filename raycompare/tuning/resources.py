"""Resources of each trial; with `gpu: auto`, as many trials share a GPU as fit on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor

from raycompare.cluster.machines import Node, list_resources
from raycompare.errors import UserError
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.spec import AUTO, Experiment, ResourceSpec
from raycompare.training.memory import Peak

HEADROOM = 0.15
"""Share of the measured memory that is added as a margin, since only a few steps are measured."""
MOST_PER_GPU = 8
"""Most trials per GPU: they take turns on it, so more gain nothing once it is never idle."""
SMALLEST_SHARE = 10_000
"""Ray divides a GPU into 1/10,000 parts."""


def resolve(
    experiment: Experiment,
    nodes: Sequence[Node],
    measure: Callable[[ModelSettings], Sequence[Peak]],
) -> dict[str, ResourceSpec]:
    """Return the resources of one trial of each model, keyed by model name.

    `measure` trains the heaviest configurations of a model on each kind of GPU; it is called for
    models with `gpu: auto` if the cluster has GPUs.

    Raises:
        UserError: no machine of the cluster has room for a trial.
    """
    with_gpus = [node for node in nodes if node.gpus]
    resolved: dict[str, ResourceSpec] = {}
    for settings in all_settings(experiment):
        requested = settings.resources
        gpu = requested.gpu
        if gpu == AUTO:
            gpu = share_of_card(measure(settings), requested.cpu, with_gpus) if with_gpus else 0.0
        elif gpu is None:
            gpu = 1.0 if with_gpus else 0.0
        resolved[settings.name] = requested.model_copy(update={"gpu": gpu})
    _require_room(resolved, nodes)
    return resolved


def share_of_card(peaks: Sequence[Peak], cpu: float, nodes: Sequence[Node]) -> float:
    """Return the share of any GPU per trial such that a whole number of trials fills it.

    The memory of the smallest GPU, the CPUs that each trial needs to feed the GPU, and
    `MOST_PER_GPU` limit the number.
    """
    needed = max(peak.needed for peak in peaks)
    by_memory = floor(min(peak.total for peak in peaks) / (needed * (1 + HEADROOM)))
    by_cpus = min(floor(node.cpus / node.gpus / cpu) for node in nodes)
    together = max(min(by_memory, by_cpus, MOST_PER_GPU), 1)
    return floor(SMALLEST_SHARE / together) / SMALLEST_SHARE


def sharing(resources: Mapping[str, ResourceSpec]) -> list[str]:
    """Return a line for each model whose trials share a GPU."""
    return [
        f"{model}: {floor(1 / spec.gpus)} trials share a GPU"
        for model, spec in resources.items()
        if 0 < spec.gpus <= 1 / 2
    ]


def _require_room(resources: Mapping[str, ResourceSpec], nodes: Sequence[Node]) -> None:

    for model, spec in resources.items():
        if not any(node.fits(spec) for node in nodes):
            raise UserError(
                f"a trial of {model} requests cpu {spec.cpu:g}, gpu {spec.gpus:g}, but no machine "
                f"has that ({list_resources(nodes)}). Request less under `resources`."
            )
