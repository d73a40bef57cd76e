"""Wall-clock and machine seconds of a run, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from raycompare.records.manifest import TOTAL

LOOK_SECONDS = 1.0
"""Shortest time between two counts of the machines, since each one queries the cluster."""


class Clock:
    """Seconds per stage over all sessions of a run: wall-clock, and summed over its machines."""

    def __init__(
        self,
        earlier: Mapping[str, float] | None = None,
        earlier_machine: Mapping[str, float] | None = None,
    ) -> None:
        """Start the clock from the seconds per stage of earlier sessions."""
        self._earlier, self._earlier_machine = {**(earlier or {})}, {**(earlier_machine or {})}
        self._earlier_total = self._earlier.pop(TOTAL, sum(self._earlier.values()))
        before = sum(self._earlier_machine.values())
        self._machine_total = self._earlier_machine.pop(TOTAL, before)
        self._began = self._looked = perf_counter()
        self._count: Callable[[], int] | None = None
        self.machines = 1
        """Machines at the last count; 1, for this one, before the first count."""
        self.seconds: dict[str, float] = {**self._earlier}
        self.machine_seconds: dict[str, float] = {**self._earlier_machine}

    @contextmanager
    def counting(self, machines: Callable[[], int]) -> Iterator[None]:
        """Count machines with this function, since they join and leave a cluster during a run."""
        self._pass_time(self.machines)
        self._count, self.machines = machines, machines()
        try:
            yield
        finally:
            self._pass_time(self.machines)
            self._count = None

    def stop_counting(self) -> None:
        """Keep the last count of machines: a cluster that is being stopped does not answer."""
        self._count = None

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure a stage, even if it raises."""
        began, before = perf_counter(), self._earlier.get(stage, 0.0)
        machine_began = self.machine_total
        machine_before = self._earlier_machine.get(stage, 0.0)
        try:
            yield
        finally:
            self.seconds[stage] = before + perf_counter() - began
            self.machine_seconds[stage] = machine_before + self.machine_total - machine_began

    @property
    def total(self) -> float:
        """Wall-clock of the whole run so far."""
        return self._earlier_total + perf_counter() - self._began

    @property
    def machine_total(self) -> float:
        """Seconds of all machines so far.

        Between two counts the larger one applies: a machine costs money before it has joined, and
        the loss of one is noticed late.
        """
        if self._count is None:
            self._pass_time(self.machines)
        elif perf_counter() - self._looked >= LOOK_SECONDS:
            now = self._count()
            self._pass_time(max(self.machines, now))
            self.machines = now
        return self._machine_total + (perf_counter() - self._looked) * self.machines

    def _pass_time(self, machines: int) -> None:
        now = perf_counter()
        self._machine_total += (now - self._looked) * machines
        self._looked = now
