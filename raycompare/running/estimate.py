"""What a run will take at most, before it starts: steps, tokens, seconds and dollars, roughly.

The work of every trial at its model's default configuration, trained to the end, at the pace of the
processor, plus the start of the workers. Nothing is known yet of early stopping, of other
configurations, and of what else the machines do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from raycompare.cluster.connection import is_remote
from raycompare.cluster.machines import Node, this_machine
from raycompare.data.splits import LabelledData
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.prices import Instance, gpus, instances, price_of
from raycompare.experiment.spec import Experiment, ResourceSpec
from raycompare.formatting import duration, number_of
from raycompare.records.messages import Stage
from raycompare.running.processors import Speed, cpu_speed, gpu_here, gpu_speed
from raycompare.running.workload import ModelWork, TrialWork, workload

WORKER_SECONDS, TRIAL_SECONDS = 7.0, 0.5
"""Until a worker has imported all it needs, once a stage, and until a trial has loaded its model:
measured on two cores."""
ENOUGH = 2.0**20
"""CPUs of a machine of which only the GPUs are known."""
ASHA_SHARE = 0.6
"""Of the tune stage that ASHA trains (docs/decisions/0001-plan-order-halving.md)."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a run takes place, as far as that is known before its first trial."""

    nodes: Sequence[Node]
    instance: Instance | None = None
    resources: Mapping[str, ResourceSpec] = field(default_factory=dict)
    """What a trial of each model takes, where that was measured."""
    known: bool = True
    """Whether the machines are those of the run, and not this one in place of a cluster."""

    @property
    def has_gpus(self) -> bool:
        """Whether trials take a GPU where they leave it open."""
        return any(node.gpus for node in self.nodes)

    def trial_resources(self, experiment: Experiment, model: str) -> tuple[float, float]:
        """Return the CPUs and GPUs of a trial; a share of a card that is not measured is all."""
        spec = self.resources.get(model) or settings_of(experiment, model).resources
        gpu = spec.gpu if isinstance(spec.gpu, float) else float(self.has_gpus)
        return spec.cpu, gpu if self.has_gpus else 0.0

    def at_once(self, cpu: float, gpu: float) -> int:
        """Return how many such trials the machines hold, at least one."""
        return max(sum(node.holds(cpu, gpu) for node in self.nodes), 1)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the trials of both stages take at most; the manifest keeps it."""

    tune_trials: int
    confirm_trials: int
    steps: int
    tokens: int
    """Padding counted."""
    flop: float
    machines: int
    seconds: float | None
    """Wall-clock of both stages; None where the pace of the processor is not known."""
    usd: float | None
    basis: str
    """Where the pace is from, or why there is none, in words."""


def estimate(experiment: Experiment, data: LabelledData, site: Site | None = None) -> Estimate:
    """Estimate a run; without `site` as it would be from here, on one machine of a cluster."""
    site = site or site_from_here(experiment)
    works = list(workload(experiment, data, pads=site.has_gpus))
    speeds = _speeds(experiment, works, site)
    seconds = _seconds(experiment, works, speeds, site)
    price, machines = price_of(experiment.cost), len(site.nodes)
    trials = [(work, count) for own in works for work, count in _trials(own).values()]
    return Estimate(
        tune_trials=sum(work.tune_trials for work in works),
        confirm_trials=sum(work.confirm_trials for work in works),
        steps=sum(work.steps * count for work, count in trials),
        tokens=sum(work.tokens * count for work, count in trials),
        flop=sum(work.flop * count for work, count in trials),
        machines=machines,
        seconds=seconds,
        usd=price.usd(machines * seconds) if price and seconds is not None else None,
        basis=_basis(speeds, site),
    )


def site_from_here(experiment: Experiment) -> Site:
    """Return one machine: of the instance type that the experiment names, if it is another."""
    here, instance = this_machine(), instances().get(experiment.cost.instance or "")
    if instance and instance.gpus and not here.gpus:
        there = Node(hostname=instance.name, cpus=ENOUGH, gpus=instance.gpus, memory_bytes=0)
        return Site(nodes=(there,), instance=instance, known=not is_remote())
    return Site(nodes=(here,), instance=instance, known=not is_remote())


def site_of(
    experiment: Experiment, nodes: Sequence[Node], resources: Mapping[str, ResourceSpec]
) -> Site:
    """Return the machines of a run that has begun; `resources` of a trial are by model."""
    instance = instances().get(experiment.cost.instance or "")
    return Site(nodes=nodes, instance=instance, resources=resources)


def _trials(work: ModelWork) -> dict[Stage, tuple[TrialWork, int]]:
    """Return the work of one trial of each stage, and how many there are."""
    return {
        "tune": (work.tune, work.tune_trials),
        "confirm": (work.confirm, work.confirm_trials),
    }


def _speeds(
    experiment: Experiment, works: Sequence[ModelWork], site: Site
) -> dict[str, Speed | None]:
    """Return the pace of a trial of each model; like layers are measured once."""
    measured: dict[tuple[int, ...], Speed] = {}
    found: dict[str, Speed | None] = {}
    for work in works:
        cpu, gpu = site.trial_resources(experiment, work.model)
        layer = (2 ** work.rows.bit_length(), work.width, max(int(cpu), 1))
        if not gpu and layer not in measured:
            measured[layer] = cpu_speed(*layer)
        found[work.model] = _gpu_speed(site, gpu) if gpu else measured[layer]
    return found


def _gpu_speed(site: Site, share: float) -> Speed | None:
    named = site.instance.gpu if site.instance else None
    card = gpus().get(named) if named else gpu_here()
    return gpu_speed(card, share) if card else None


def _seconds(
    experiment: Experiment,
    works: Sequence[ModelWork],
    speeds: Mapping[str, Speed | None],
    site: Site,
) -> float | None:
    total = 0.0
    for stage in ("tune", "confirm"):
        loads = list(_loads(experiment, works, speeds, site, stage))
        if any(load is None for load in loads):
            return None
        total += makespan([load for load in loads if load is not None])
    return total


def _loads(
    experiment: Experiment,
    works: Sequence[ModelWork],
    speeds: Mapping[str, Speed | None],
    site: Site,
    stage: Stage,
) -> Iterator[Load | None]:
    for own in works:
        work, count = _trials(own)[stage]
        speed = speeds[own.model]
        if speed is None:
            yield None
        elif count:
            room = site.at_once(*site.trial_resources(experiment, own.model))
            most = experiment.tune.max_concurrent_trials
            seconds = speed.seconds(work.flop, work.steps) + TRIAL_SECONDS
            yield Load(seconds, count, min(room, most or room))


@dataclass(frozen=True)
class Load:
    """Trials of one kind: the seconds of each, how many there are, and how many run at once."""

    seconds: float
    trials: int
    at_once: int


def makespan(loads: Sequence[Load]) -> float:
    """Return the most wall-clock that a stage takes whose trials start as soon as there is room.

    All work divided by the workers, and the longest trial for the last of it (Graham 1969,
    doi:10.1137/0117039).
    """
    if not loads:
        return 0.0
    shared = sum(load.seconds * load.trials / load.at_once for load in loads)
    longest, least = max(load.seconds for load in loads), min(load.at_once for load in loads)
    return WORKER_SECONDS + shared + longest * (1 - 1 / least)


def _basis(speeds: Mapping[str, Speed | None], site: Site) -> str:
    missing = [model for model, speed in speeds.items() if speed is None]
    if missing:
        return (
            "the peak of the GPU is not known here: name the machines with cost.instance for an "
            "estimate in seconds"
        )
    first = next(speed for speed in speeds.values() if speed)
    where = "" if site.known else "; the cluster is taken for one such machine"
    return f"{first.basis}{where}"


def describe(found: Estimate, experiment: Experiment) -> list[str]:
    """Say in a few lines what a run takes, how that was found, and what it is above."""
    trials = f"{found.tune_trials} + {number_of(found.confirm_trials, 'trial')}"
    size = f"{trials} (tune + confirm), {found.steps:,} steps, {_millions(found.tokens)} tokens"
    if found.seconds is None:
        return [f"at most {size}", f"no seconds: {found.basis}"]
    money = f" and ${found.usd:,.2f}" if found.usd is not None else ""
    machines = number_of(found.machines, "machine")
    lines = [
        f"at most {size}: {duration(found.seconds)}{money} on {machines}",
        f"rough, often wrong by a factor of 2: {found.basis}",
    ]
    if experiment.tune.scheduler == "asha" and found.tune_trials:
        lines.append(f"ASHA mostly trains about {ASHA_SHARE:.0%} of the tune stage")
    return [*lines, *_over(found, experiment)]


def _millions(tokens: int) -> str:
    return f"{tokens / 1e6:,.1f} million"


def _over(found: Estimate, experiment: Experiment) -> Iterator[str]:
    settings = experiment.tune
    if settings.max_usd and found.usd and found.usd > settings.max_usd:
        yield f"note: that is over tune.max_usd ({settings.max_usd:g}), which would end the run"
    if settings.time_budget_s and found.seconds and found.seconds > settings.time_budget_s:
        yield (
            f"note: that is over tune.time_budget_s ({settings.time_budget_s:g}), so that fewer "
            "configurations may be tried"
        )
