"""How long a run takes, stage by stage: wall-clock, and the time of its machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from raycompare.records.manifest import TOTAL

LOOK_SECONDS = 1.0
"""Least time between two counts of the machines: the cluster has to be asked."""


class Clock:
    """Seconds per stage, over all sessions of a run: wall-clock, and summed over its machines."""

    def __init__(
        self,
        earlier: Mapping[str, float] | None = None,
        earlier_machine: Mapping[str, float] | None = None,
    ) -> None:
        """Start the clock; what the sessions before took, per stage, is counted on."""
        self._earlier, self._earlier_machine = {**(earlier or {})}, {**(earlier_machine or {})}
        self._earlier_total = self._earlier.pop(TOTAL, sum(self._earlier.values()))
        before = sum(self._earlier_machine.values())
        self._machine_total = self._earlier_machine.pop(TOTAL, before)
        self._began = self._looked = perf_counter()
        self._count: Callable[[], int] | None = None
        self.machines = 1
        """As many as there were at the last look; this one until they are counted."""
        self.seconds: dict[str, float] = {**self._earlier}
        self.machine_seconds: dict[str, float] = {**self._earlier_machine}

    @contextmanager
    def counting(self, machines: Callable[[], int]) -> Iterator[None]:
        """Count the machines that can hold trials: they come and go on a cluster."""
        self._pass_time(self.machines)
        self._count, self.machines = machines, machines()
        try:
            yield
        finally:
            self._pass_time(self.machines)
            self._count = None

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure a stage, also one that is cut off."""
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

        Since the look before there were as many as then or as now, whichever is more: a machine
        costs money before it is there, and one that is lost is seen to be gone only later.
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
