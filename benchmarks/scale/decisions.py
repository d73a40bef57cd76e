"""Times suggestions and scheduler steps: `python -m benchmarks.scale.decisions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter, sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from ray.tune.experiment import Trial

from benchmarks.page import Goal, Page, wrap
from raycompare.experiment.settings import TuneSpec
from raycompare.experiment.spec import Experiment
from raycompare.formatting import count, table
from raycompare.records.journal import Journal
from raycompare.records.messages import TrialPlan
from raycompare.tuning.optuna_search import JournalNews, Tpe
from raycompare.tuning.plans import Slot
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.top_k import TopK
from raycompare.tuning.searcher import PLAN, config_of
from tests.records.test_journal import END, START, evaluation

TRIALS, MODELS, PAUSED = 10_000, 20, 8_000
SUGGESTIONS, STEPS, PAUSE_S = 60, 500, 0.01
METHOD = f"""
{count(TRIALS)} trials of {MODELS} models with two hyperparameters have ended in the journal of a
run. Then each model gets suggestions of `search_alg: optuna`, while further trials end. The first
suggestion reads all records; the first of each model builds its study; the others add what is new.

The scheduler `top-k-after-first-rung` has {count(TRIALS)} trials, {count(PAUSED)} of them paused at
the rung, which is its most expensive state. Its step is timed {STEPS} times,
{PAUSE_S * 1000:.0f} ms apart; most steps look at free trials only, and reviews of all paused trials
may take 5 % of the time of the driver.
"""


class Trials:
    """Ends trials in a journal, with random values."""

    def __init__(self) -> None:
        """Start with an empty journal."""
        self.journal = Journal("accuracy", "max")
        self._chance = np.random.default_rng(0)
        self._number = 0

    def end_one(self) -> None:
        """Plan, evaluate and end a trial of the next model."""
        n, chance = self._number, self._chance
        self._number += 1
        searched = {
            "learning_rate": float(10 ** chance.uniform(-6, -2)),
            "weight_decay": float(chance.uniform(0, 0.1)),
        }
        plan = TrialPlan(
            trial_id=f"t{n}",
            stage="tune",
            model=f"m{n % MODELS}",
            order=n,
            seed=1,
            is_default=n < MODELS,
            hyperparameters={} if n < MODELS else searched,
        )
        self.journal.add(plan)
        self.journal.start(plan.trial_id)
        for message in (START, evaluation(10, chance.random()), END):
            self.journal.record(plan.trial_id, message)
        self.journal.end(plan.trial_id)


class _Trial(SimpleNamespace):
    """Has of a trial of Tune what a scheduler reads."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def _timed(action: Callable[[], object]) -> float:
    began = perf_counter()
    action()
    return perf_counter() - began


def suggestions() -> tuple[float, list[float], list[float]]:
    """Return the seconds of the first suggestion, the first of each other model, and later ones."""
    content: dict[str, Any] = {
        "name": "large",
        "data": {"dataset": "x"},
        "models": [f"m{number}" for number in range(MODELS)],
        "search_space": {
            "learning_rate": {"loguniform": [1e-6, 1e-2]},
            "weight_decay": {"uniform": [0, 0.1]},
        },
        "tune": {"search_alg": "optuna", "num_samples": TRIALS, "metric": "accuracy"},
    }
    trials = Trials()
    for _ in range(TRIALS):
        trials.end_one()
    experiment = TypeAdapter(Experiment).validate_python(content)
    tpe = Tpe(experiment, JournalNews(trials.journal))
    times = []
    for number in range(MODELS + SUGGESTIONS):
        slot = Slot(TRIALS + number, f"m{number % MODELS}", TRIALS // MODELS + number)
        times.append(_timed(lambda slot=slot: tpe(slot)))  # type: ignore[misc]
        trials.end_one()
    return times[0], times[1:MODELS], times[MODELS:]


def scheduler_steps() -> list[float]:
    """Return the seconds of each step of a scheduler with thousands of paused trials."""
    rule, chance = TopK((10,), TuneSpec(top_k=1)), np.random.default_rng(0)
    scheduler = RuleScheduler({"m": rule}, "matthews_correlation")
    trials = []
    for n in range(TRIALS):
        plan = TrialPlan(
            trial_id=f"t{n}", stage="tune", model="m", order=n, seed=1, is_default=False
        )
        scheduler.add(plan)
        status = Trial.PAUSED if n < PAUSED else Trial.PENDING
        trial: Any = _Trial(
            config={PLAN: config_of(plan)}, status=status, is_finished=lambda: False, trial_id=n
        )
        trials.append(trial)
        if n < PAUSED:
            scheduler.paused[plan.trial_id] = trial
            rule.record(plan.trial_id, [0], float(chance.random()))
    trials[PAUSED - 1].status = Trial.RUNNING
    controller: Any = SimpleNamespace(
        get_trials=lambda: trials,
        _actor_manager=SimpleNamespace(live_actors=[]),
        _started_actors=set(),
        _actor_to_trial={},
        stop_trial=lambda _: None,
    )
    times = []
    for _ in range(STEPS):
        times.append(_timed(lambda: scheduler.choose_trial_to_run(controller)))
        sleep(PAUSE_S)
    return times


def _row(name: str, times: Sequence[float]) -> list[str]:
    return [name, f"{1000 * median(times):.2f}", f"{1000 * max(times):.1f}", str(len(times))]


def main() -> None:
    """Time both, and write the page."""
    first, of_models, later = suggestions()
    steps = scheduler_steps()
    usual, slowest = median(later), median(of_models)
    step = sum(steps) / len(steps)
    rows = [
        _row("first suggestion of the run", [first]),
        _row("first suggestion of a model", of_models),
        _row("later suggestions", later),
        _row("step of the scheduler", steps),
    ]
    Page(
        name="decisions",
        title="Suggestions and scheduler steps among 10,000 trials",
        command="python -m benchmarks.scale.decisions",
        method=wrap(METHOD.strip().split("\n\n")),
        results=table(["", "median, ms", "slowest, ms", "timed"], rows),
        goals=[
            Goal(
                name="median suggestion, also the first of a model",
                aim="< 100 ms",
                measured=f"{1000 * usual:.0f} and {1000 * slowest:.0f} ms",
                met=max(usual, slowest) < 0.1,  # noqa: PLR2004 - the aim
            ),
            Goal(
                name="mean step of the scheduler, reviews included",
                aim="< 10 ms",
                measured=f"{1000 * step:.1f} ms",
                met=step < 0.01,  # noqa: PLR2004 - the aim
            ),
        ],
    ).write()


if __name__ == "__main__":
    main()
