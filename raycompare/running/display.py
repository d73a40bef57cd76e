"""Progress of a run: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import ParamSpec

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raycompare.errors import summarize
from raycompare.formatting import duration, number_of
from raycompare.metrics import LABELS
from raycompare.records.journal import Journal
from raycompare.records.messages import RungSteps, Stage
from raycompare.records.trial_state import TrialState
from raycompare.terminal import SafeConsole

P = ParamSpec("P")


class Display:
    """Prints the progress of a run."""

    def __init__(self, console: Console | None = None) -> None:
        """Print to `console`; by default to standard output."""
        self._console = console or SafeConsole()

    def say(self, line: str) -> None:
        """Print a permanent line, above the live table if there is one."""
        self._console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def stage(self, view: StageView) -> Iterator[None]:
        """Show the trials of a stage until it ends."""
        further = f", at most {view.further} more" if view.further else ""
        self.say(f"{view.name}: {number_of(view.total, 'trial')}{further}")

        def show(trial: TrialState) -> None:
            if line := view.describe_change(trial):
                self.say(line)

        live = Live(get_renderable=view.table, console=self._console, refresh_per_second=4)
        with view.journal.observed_by(show), live if self._console.is_terminal else nullcontext():
            yield


class SideChannel:
    """Calls what shows the run elsewhere, until its first error: that must not end the run."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """Name the channel, as in "the gauges for Prometheus"."""
        self._name, self._say = name, say
        self._is_off = False

    def call(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call the function, unless an earlier call failed; report the first error."""
        if self._is_off:
            return
        try:
            function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - reported; what is shown elsewhere is not needed
            self._is_off = True
            self._say(f"{self._name} are off for the rest of the run: {summarize(error)}")


class StageView:
    """Describes the progress of a stage."""

    def __init__(
        self,
        name: Stage,
        journal: Journal,
        rungs: RungSteps | None,
        total: int,
        further: int = 0,
    ) -> None:
        """Start the stage's clock.

        `rungs` returns the steps of a trial's rungs; None if no trial is stopped at rungs.
        `total` is the number of trials that will run, and `further` of those that may be added.
        """
        self.name, self.journal, self.further = name, journal, further
        self._sure = total
        self._rungs = rungs
        self._began = perf_counter()
        self._ended: set[str] = set()

    @property
    def total(self) -> int:
        """Number of trials that will run."""
        if not self.further:
            return self._sure
        return max(self._sure, sum(len(own) for own in self._by_model().values()))

    def _by_model(self) -> dict[str, list[TrialState]]:
        entries: dict[str, list[TrialState]] = {}
        for entry in self.journal.entries.values():
            if entry.plan.stage == self.name:
                entries.setdefault(entry.plan.model, []).append(entry)
        return entries

    def describe_change(self, entry: TrialState) -> str:
        """Return a line if the trial has just ended or lost its worker, else an empty string."""
        trial_id = entry.plan.trial_id
        if entry.phase == "waiting" and entry.losses:
            return f"  {trial_id} lost its worker and starts again ({entry.losses[-1]})"
        has_run = entry.phase == "ended" and entry.status != "not_run"
        return self._end_line(entry) if has_run and trial_id not in self._ended else ""

    def _end_line(self, entry: TrialState) -> str:
        self._ended.add(entry.plan.trial_id)
        status = entry.status.replace("_", " ")
        words = [f"step {entry.last_step}", self._score(entry), duration(self.journal.elapsed)]
        return "  ".join(
            [
                f"  [{len(self._ended)}/{self.total}] {entry.plan.trial_id}",
                *filter(None, words),
                f"{status} ({entry.reason})",
            ]
        )

    def _score(self, entry: TrialState) -> str:
        label, best = LABELS[self.journal.metric], entry.best
        return f"{label} {best.metrics[self.journal.metric]:.4f}" if best else ""

    def table(self) -> Group:
        """Draw the current state: a row per model, and an estimate of the remaining time."""
        table = Table(expand=False, box=None, padding=(0, 2, 0, 0))
        for column in ("model", f"best {LABELS[self.journal.metric]}", "trials", "running"):
            table.add_column(column)
        for model, entries in self._by_model().items():
            table.add_row(model, self._best_of(entries), _counts(entries), self._running(entries))
        return Group(table, Text(self._progress()))

    def _best_of(self, entries: list[TrialState]) -> str:
        scores = [e.best.metrics[self.journal.metric] for e in entries if e.best]
        pick = max if self.journal.mode == "max" else min
        return f"{pick(scores):.4f}" if scores else "-"

    def _running(self, entries: list[TrialState]) -> str:
        running = [entry for entry in entries if entry.phase == "running"]
        return ", ".join(map(self._position, running)) or "-"

    def _position(self, entry: TrialState) -> str:
        if entry.start is None:
            return "starting"
        rungs = self._rungs(entry.plan) if self._rungs else ()
        passed = sum(step <= entry.last_step for step in rungs)
        rung = f" rung {passed}/{len(rungs)}" if rungs else ""
        return f"step {entry.last_step}/{entry.start.planned_steps}{rung}"

    def _progress(self) -> str:
        done = len(self._ended)
        elapsed = perf_counter() - self._began
        left = f"about {duration(elapsed / done * (self.total - done))} left" if done else "running"
        return f"{self.name}: {done} of {self.total} trials, {duration(elapsed)}, {left}"


def _counts(entries: list[TrialState]) -> str:
    counts = Counter(entry.status_now.replace("_", " ") for entry in entries)
    return ", ".join(f"{count} {status}" for status, count in counts.items())
