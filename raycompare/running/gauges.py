"""Gauges of a run for Prometheus, which Ray exports on its metrics ports.

Ray prefixes each name with `ray_`. `docs/grafana/raycompare.json` plots them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import get_args

from ray.util.metrics import Gauge

from raycompare.experiment.prices import price_of
from raycompare.experiment.spec import Experiment, ResourceSpec
from raycompare.formatting import SECONDS_PER_HOUR
from raycompare.metrics import better
from raycompare.records.clock import Clock
from raycompare.records.journal import Journal
from raycompare.records.trial_state import StatusNow, TrialState
from raycompare.running.display import SideChannel

UPDATE_SECONDS = 2.0
"""Minimum time between two updates; Ray exports every ten seconds."""
STATUSES = get_args(StatusNow)


@dataclass(frozen=True)
class GaugeText:
    """The description of a gauge with its unit, and its tags in addition to `experiment`."""

    description: str
    tags: tuple[str, ...] = ()


GAUGES: Mapping[str, GaugeText] = {
    "raycompare_best_score": GaugeText(
        "Best validation value of the deciding metric so far", ("model", "metric")
    ),
    "raycompare_trials": GaugeText("Number of trials", ("model", "status")),
    "raycompare_gpu_hours": GaugeText("GPU-hours that trials have held since the run began"),
    "raycompare_cpu_hours": GaugeText("CPU-hours that trials have held since the run began"),
    "raycompare_cost_usd": GaugeText(
        "Cost so far in US dollars, of machines that can hold trials, at the price under `cost`"
    ),
}


class Gauges:
    """The gauges of one run; the hours of a resumed run start at zero."""

    def __init__(
        self,
        experiment: Experiment,
        journal: Journal,
        resources: Mapping[str, ResourceSpec],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        """Create the gauges; `resources` of a trial are keyed by model name.

        If Ray refuses a value, `say` is called once and the gauges stay as they are.
        """
        self._channel = SideChannel("the gauges for Prometheus", say)
        self._experiment, self._journal, self._resources = experiment, journal, resources
        self._clock, self._price = clock, price_of(experiment.cost)
        self._gauges: dict[str, Gauge] = {}
        self._channel.call(self._create)
        self._next = 0.0

    def _create(self) -> None:
        self._gauges = {name: _gauge(name, self._experiment.name) for name in GAUGES}

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Update the gauges at the start, when the journal changes, and at the end."""
        self.update()
        try:
            with self._journal.observed_by(self._update_if_due):
                yield
        finally:
            self.update()

    def _update_if_due(self, _: TrialState) -> None:
        if perf_counter() > self._next:
            self.update()

    def update(self) -> None:
        """Set every gauge to the current state of the journal."""
        self._channel.call(self._set_all)
        self._next = perf_counter() + UPDATE_SECONDS

    def _set_all(self) -> None:
        self._pay()
        self._count()
        self._best()
        now = self._journal.elapsed
        for name, kind in (("raycompare_gpu_hours", "gpus"), ("raycompare_cpu_hours", "cpu")):
            held = (e.held_until(now) * self._takes(e, kind) for e in self._entries())
            self._gauges[name].set(sum(held) / SECONDS_PER_HOUR)

    def _entries(self) -> tuple[TrialState, ...]:
        return tuple(self._journal.entries.values())

    def _takes(self, entry: TrialState, kind: str) -> float:
        return float(getattr(self._resources[entry.plan.model], kind))

    def _pay(self) -> None:
        if self._price is not None:
            usd = self._price.usd(self._clock.machine_total)
            self._gauges["raycompare_cost_usd"].set(usd)

    def _count(self) -> None:
        counts = Counter((trial.model, str(trial.status)) for trial in self._journal.kept)
        counts.update((entry.plan.model, entry.status_now) for entry in self._entries())
        for model in self._experiment.models:
            for status in STATUSES:
                tags = {"model": _ascii(model.name), "status": status}
                self._gauges["raycompare_trials"].set(counts[model.name, status], tags)

    def _best(self) -> None:
        metric, mode = self._journal.metric, self._journal.mode
        values = [(trial.model, trial.best_value) for trial in self._journal.kept]
        values += [
            (e.plan.model, e.best.metrics[metric] if e.best else None) for e in self._entries()
        ]
        best: dict[str, float] = {}
        for model, value in values:
            if value is not None and better(value, best.get(model), mode):
                best[model] = value
        for model, value in best.items():
            tags = {"model": _ascii(model), "metric": metric}
            self._gauges["raycompare_best_score"].set(value, tags)


def _gauge(name: str, experiment: str) -> Gauge:
    about = GAUGES[name]
    gauge = Gauge(name, about.description, ("experiment", *about.tags))
    gauge.set_default_tags({"experiment": _ascii(experiment)})
    return gauge


def _ascii(name: str) -> str:
    r"""Return a name as Ray accepts it in a tag: modèle becomes mod\xe8le."""
    return name.encode("ascii", "backslashreplace").decode()
