"""Estimates an upper limit for a run before it starts: steps, tokens, seconds and dollars.

Every trial is assumed to have its model's default configuration and to run to the end, at the
processor's speed; the start of the workers is added. Early stopping, other configurations and
other load on the machines are ignored.
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
"""Time for the imports of a worker, once per stage, and for loading the model of a trial;
measured on two cores."""
ENOUGH = 2.0**20
"""CPUs of a machine whose number of CPUs is unknown."""
ASHA_SHARE = 0.6
"""Share of the tune stage that ASHA trains (docs/decisions/0001-plan-order-halving.md)."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The machines of a run, as known before its first trial."""

    nodes: Sequence[Node]
    instance: Instance | None = None
    resources: Mapping[str, ResourceSpec] = field(default_factory=dict)
    """Measured resources of a trial, keyed by model name."""
    known: bool = True
    """Whether these are the machines of the run; False if this one stands in for a cluster."""

    @property
    def has_gpus(self) -> bool:
        """Whether trials use a GPU by default."""
        return any(node.gpus for node in self.nodes)

    def trial_resources(self, experiment: Experiment, model: str) -> tuple[float, float]:
        """Return the CPUs and GPUs of a trial; an unmeasured share of a GPU counts as a GPU."""
        spec = self.resources.get(model) or settings_of(experiment, model).resources
        gpu = spec.gpu if isinstance(spec.gpu, float) else float(self.has_gpus)
        return spec.cpu, gpu if self.has_gpus else 0.0

    def at_once(self, cpu: float, gpu: float) -> int:
        """Return how many such trials run at once, at least one."""
        return max(sum(node.holds(cpu, gpu) for node in self.nodes), 1)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Upper limits for the trials of both stages; stored in the manifest."""

    tune_trials: int
    confirm_trials: int
    steps: int
    tokens: int
    """Tokens of all splits, including padding."""
    flop: float
    machines: int
    seconds: float | None
    """Wall-clock time of both stages; None if the processor's speed is unknown."""
    usd: float | None
    basis: str
    """Source of the processor's speed, or the reason why it is unknown."""


def estimate(experiment: Experiment, data: LabelledData, site: Site | None = None) -> Estimate:
    """Estimate a run; without `site`, for a single machine."""
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
    """Return this machine, or one of the experiment's instance type if only that has GPUs."""
    here, instance = this_machine(), instances().get(experiment.cost.instance or "")
    if instance and instance.gpus and not here.gpus:
        here = Node(hostname=instance.name, cpus=ENOUGH, gpus=instance.gpus, memory_bytes=0)
    return Site(nodes=(here,), instance=instance, known=not is_remote())


def site_of(
    experiment: Experiment, nodes: Sequence[Node], resources: Mapping[str, ResourceSpec]
) -> Site:
    """Return the machines of a run that has started; `resources` are keyed by model name."""
    instance = instances().get(experiment.cost.instance or "")
    return Site(nodes=nodes, instance=instance, resources=resources)


def _trials(work: ModelWork) -> dict[Stage, tuple[TrialWork, int]]:
    return {"tune": (work.tune, work.tune_trials), "confirm": (work.confirm, work.confirm_trials)}


def _speeds(
    experiment: Experiment, works: Sequence[ModelWork], site: Site
) -> dict[str, Speed | None]:
    """Return the speed of a trial of each model; layers of the same shape are measured once."""
    measured: dict[tuple[int, ...], Speed] = {}
    speeds: dict[str, Speed | None] = {}
    for work in works:
        cpu, gpu = site.trial_resources(experiment, work.model)
        layer = (2 ** work.rows.bit_length(), work.width, max(int(cpu), 1))
        if not gpu and layer not in measured:
            measured[layer] = cpu_speed(*layer)
        speeds[work.model] = _gpu_speed(site, gpu) if gpu else measured[layer]
    return speeds


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
    """Trials of one kind: seconds per trial, number of trials, and how many run at once."""

    seconds: float
    trials: int
    at_once: int


def makespan(loads: Sequence[Load]) -> float:
    """Return an upper limit for the time of a stage whose trials start as soon as they fit.

    All work divided by the number of workers, plus the longest trial (Graham 1969,
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
        return "the GPU's peak speed is unknown. Set cost.instance to the type of the machines"
    first = next(speed for speed in speeds.values() if speed)
    where = "" if site.known else "; assumes a cluster of one such machine"
    return f"{first.basis}{where}"


def describe(expected: Estimate, experiment: Experiment) -> list[str]:
    """Describe an estimate in a few lines, with its basis and the limits that it exceeds."""
    trials = f"{expected.tune_trials} + {number_of(expected.confirm_trials, 'trial')}"
    tokens = f"{expected.tokens / 1e6:,.1f} million tokens"
    size = f"{trials} (tune + confirm), {expected.steps:,} steps, {tokens}"
    if expected.seconds is None:
        return [f"at most {size}", f"no estimate of the time: {expected.basis}"]
    money = f" and ${expected.usd:,.2f}" if expected.usd is not None else ""
    machines = number_of(expected.machines, "machine")
    lines = [
        f"at most {size}: {duration(expected.seconds)}{money} on {machines}",
        f"rough, often off by a factor of 2; based on {expected.basis}",
    ]
    if experiment.confirm.is_race:
        sure = len(experiment.models) * len(experiment.confirm.sure_seeds)
        lines.append(f"with confirm.seeds: auto, {sure} trials of the confirm stage may be enough")
    if experiment.tune.scheduler == "asha" and expected.tune_trials:
        lines.append(f"ASHA usually trains about {ASHA_SHARE:.0%} of the tune stage")
    return [*lines, *_exceeded_limits(expected, experiment)]


def _exceeded_limits(expected: Estimate, experiment: Experiment) -> Iterator[str]:
    usd, seconds = experiment.tune.max_usd, experiment.tune.time_budget_s
    if usd and expected.usd and expected.usd > usd:
        yield f"note: this exceeds tune.max_usd ({usd:g}), which may end the run early"
    if seconds and expected.seconds and expected.seconds > seconds:
        yield (
            f"note: this exceeds tune.time_budget_s ({seconds:g}), so fewer configurations may be "
            "tried"
        )
