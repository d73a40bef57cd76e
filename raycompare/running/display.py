"""What the user sees while a run goes on: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raycompare.formatting import duration
from raycompare.metrics import LABELS
from raycompare.records.journal import Journal, TrialState
from raycompare.records.messages import Stage

Listen = Callable[[], None]
RungSteps = Mapping[str, tuple[int, ...]]
"""The optimizer steps of the rungs of each model; empty where nothing is stopped."""


class Display:
    """Shows the journal of a run."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on `console`; by default on standard output."""
        self._console = console or Console(highlight=False)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def stage(self, view: StageView) -> Iterator[Listen]:
        """Show the trials of a stage until it ends; the yielded function takes each news."""
        self.say(f"{view.name}: {view.total} trials")

        def changed() -> None:
            for line in view.new_lines():
                self.say(line)

        if not self._console.is_terminal:
            yield changed
            return
        with Live(get_renderable=view.table, console=self._console, refresh_per_second=4):
            yield changed


class StageView:
    """One stage of a run, in words."""

    def __init__(self, name: Stage, journal: Journal, rungs: RungSteps, total: int) -> None:
        """Start the stage's clock; `total` are the trials that this run has to do."""
        self.name, self.total = name, total
        self._journal, self._rungs = journal, rungs
        self._began = perf_counter()
        self._said: set[str] = set()
        self._endings_seen = self._losses_seen = 0

    def _by_model(self) -> dict[str, list[TrialState]]:
        found: dict[str, list[TrialState]] = {}
        for entry in self._journal.entries.values():
            if entry.plan.stage == self.name:
                found.setdefault(entry.plan.model, []).append(entry)
        return found

    def new_lines(self) -> list[str]:
        """Say which trials have ended, or were lost, since the last call."""
        new = self._journal.endings[self._endings_seen :]
        lost = self._journal.losses[self._losses_seen :]
        self._endings_seen += len(new)
        self._losses_seen += len(lost)
        return [
            *(
                f"  {trial_id} lost its worker and starts again ({cause})"
                for trial_id, cause in lost
            ),
            *(self._end_line(entry) for entry in new if self._is_untold(entry)),
        ]

    def _is_untold(self, entry: TrialState) -> bool:
        of_this_stage = entry.plan.stage == self.name
        return of_this_stage and entry.has_ended and entry.plan.trial_id not in self._said

    def _end_line(self, entry: TrialState) -> str:
        self._said.add(entry.plan.trial_id)
        status = entry.status.replace("_", " ")
        words = [f"step {entry.last_step}", self._score(entry), duration(self._journal.elapsed)]
        return "  ".join(
            [
                f"  [{len(self._said)}/{self.total}] {entry.plan.trial_id}",
                *filter(None, words),
                f"{status} ({entry.reason})",
            ]
        )

    def _score(self, entry: TrialState) -> str:
        label, best = LABELS[self._journal.metric], entry.best
        return f"{label} {best.metrics[self._journal.metric]:.4f}" if best else ""

    def table(self) -> Group:
        """Draw the stage as it stands: a row per model, and how long it may still take."""
        table = Table(expand=False, box=None, padding=(0, 2, 0, 0))
        for column in ("model", f"best {LABELS[self._journal.metric]}", "trials", "running"):
            table.add_column(column)
        for model, entries in self._by_model().items():
            table.add_row(model, self._best_of(entries), _counts(entries), self._running(entries))
        return Group(table, Text(self._progress()))

    def _best_of(self, entries: list[TrialState]) -> str:
        scores = [e.best.metrics[self._journal.metric] for e in entries if e.best]
        pick = max if self._journal.mode == "max" else min
        return f"{pick(scores):.4f}" if scores else "-"

    def _running(self, entries: list[TrialState]) -> str:
        return ", ".join(self._position(entry) for entry in entries if entry.running) or "-"

    def _position(self, entry: TrialState) -> str:
        if entry.start is None:
            return "starting"
        rungs = self._rungs.get(entry.plan.model, ())
        passed = sum(step <= entry.last_step for step in rungs)
        rung = f" rung {passed}/{len(rungs)}" if rungs else ""
        return f"step {entry.last_step}/{entry.start.planned_steps}{rung}"

    def _progress(self) -> str:
        done = len(self._said)
        elapsed = perf_counter() - self._began
        left = f"about {duration(elapsed / done * (self.total - done))} left" if done else "running"
        return f"{self.name}: {done} of {self.total} trials, {duration(elapsed)}, {left}"


def _counts(entries: list[TrialState]) -> str:
    counts = Counter(_standing(entry) for entry in entries)
    return ", ".join(f"{count} {standing}" for standing, count in counts.items())


def _standing(entry: TrialState) -> str:
    if entry.running or entry.paused:
        return "running" if entry.running else "paused"
    return "waiting" if entry.status == "not_run" else entry.status.replace("_", " ")
