"""Kills runs and what they run on, and compares what they leave in the end."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path
from time import perf_counter, sleep

import psutil

from raycompare.records.layout import REPORT
from raycompare.records.rows import FINISHED
from raycompare.records.run_folder import RunFolder
from tests import ROOT
from tests.real_runs import (
    Content,
    folder_in,
    go,
    job,
    outcomes,
    predictions,
    workers_of,
    write,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SECONDS_TO_EXIT = 10.0
MOST_S = 900.0
Row = tuple[object, ...]


@dataclass
class Moment:
    """One kill or signal, and what it did."""

    what: str
    seconds: float
    """From the start of the process, or from the last kill."""
    finished: int
    """Trials whose end was in the records."""
    exit_seconds: float | None = None
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """What a run gives that nothing happens to."""

    content: Content
    rows: list[Row]
    predictions: dict[str, bytes]
    verdict: str

    @classmethod
    def of(cls, content: Content, place: Path) -> Reference:
        """Run the experiment undisturbed."""
        folder, _ = go(content, place)
        return cls(content, outcomes(folder), predictions(folder), _verdict(folder))

    def faults(self, folder: RunFolder) -> list[str]:
        """Return how a run differs."""
        pairs = {
            "records": (outcomes(folder), self.rows),
            "predictions": (predictions(folder), self.predictions),
            "verdict": (_verdict(folder), self.verdict),
        }
        return [f"other {name}" for name, (one, other) in pairs.items() if one != other]


def _verdict(folder: RunFolder) -> str:
    """Return the first paragraph of the report, without times."""
    text = folder.read_text(REPORT).split("\n\n")[1]
    return re.sub(r"\d+(\.\d+)? ?(ms|s|m|h)\b", "", text)


@dataclass
class Killer:
    """Kills runs of one experiment until there are enough moments."""

    reference: Reference
    place: Path
    random: random.Random
    moments: list[Moment] = field(default_factory=list)
    runs: int = 0

    @contextmanager
    def new_run(self) -> Iterator[Path]:
        """Yield a folder with the experiment."""
        self.runs += 1
        place = self.place / f"run-{self.runs}"
        write(self.reference.content, place)
        yield place

    def drivers(self, number: int, most: float) -> None:
        """Kill the driver, and resume the run."""
        self._disturb(number, most, lambda _: _kill("driver"))

    def signals(self, number: int, most: float) -> None:
        """Stop runs by each signal, to the driver and to its group, and resume them."""
        ways = cycle(product(SIGNALS, (False, True)))
        self._disturb(number, most, lambda _: _send(*next(ways)))

    def _disturb(self, number: int, most: float, way: Callable[[int], Blow]) -> None:
        wanted = len(self.moments) + number
        while len(self.moments) < wanted:
            with self.new_run() as place:
                arguments, mine, code = ["run", "experiment.yaml"], list[Moment](), 1
                while code:
                    blow = way(len(mine)) if len(self.moments) < wanted else None
                    folder, moment, code = self._session(arguments, place, blow, most)
                    arguments = ["run", "--resume", folder.uri]
                    if moment:
                        mine.append(moment)
                        self.moments.append(moment)
                if mine:
                    mine[-1].faults += self.reference.faults(folder)

    def _session(
        self, arguments: list[str], place: Path, blow: Blow | None, most: float
    ) -> tuple[RunFolder, Moment | None, int]:
        """Start or resume a run, and end it at a random moment if it lasts that long."""
        with job(arguments, place) as driver:
            folder, began = folder_in(place), perf_counter()
            before = _started_at(folder)
            until = began + self.random.uniform(0, most)
            while driver.poll() is None and (blow is None or perf_counter() < until):
                assert perf_counter() - began < MOST_S, "the run hangs"
                sleep(0.1)
            if driver.poll() is not None or blow is None:
                return folder, None, driver.wait()
            moment = Moment(blow.name, perf_counter() - began, len(_started_at(folder)))
            blow.strike(driver)
            told = perf_counter()
            said, _ = driver.communicate(timeout=MOST_S)
            if blow.is_polite:
                moment.exit_seconds = perf_counter() - told
                moment.faults += _impolite(said, moment.exit_seconds, folder, driver.returncode)
            if not before.items() <= _started_at(folder).items():
                moment.faults.append("a finished trial ran again")
            return folder, moment, driver.returncode

    def workers(self, number: int, environment: dict[str, str], strike: Strike) -> None:
        """Kill something under a run that goes on by itself."""
        wanted = len(self.moments) + number
        while len(self.moments) < wanted:
            with (
                self.new_run() as place,
                job(["run", "experiment.yaml"], place, **environment) as driver,
            ):
                folder, mine = folder_in(place), list[Moment]()
                while driver.poll() is None:
                    pause = self.random.uniform(1, 8)
                    sleep(pause)
                    if len(self.moments) < wanted and (what := strike(driver)):
                        mine.append(Moment(what, pause, len(_started_at(folder))))
                        self.moments.append(mine[-1])
                driver.communicate()
                if mine:
                    mine[-1].faults += self.reference.faults(folder)


Strike = Callable[["subprocess.Popen[str]"], str]
"""Kills something of a run, and returns what; an empty string if there was nothing to kill."""


@dataclass(frozen=True)
class Blow:
    """A way to end a driver."""

    name: str
    strike: Callable[[subprocess.Popen[str]], None]
    is_polite: bool


def _kill(name: str) -> Blow:
    return Blow(f"kill -9 {name}", lambda driver: driver.kill(), is_polite=False)


def _send(number: signal.Signals, to_group: bool) -> Blow:
    def strike(driver: subprocess.Popen[str]) -> None:
        if to_group:
            os.killpg(driver.pid, number)
        else:
            driver.send_signal(number)

    return Blow(f"{number.name} to the {'group' if to_group else 'driver'}", strike, is_polite=True)


def _impolite(said: str, seconds: float, folder: RunFolder, code: int) -> list[str]:
    faults = []
    if code == 0:
        return []  # it had ended by itself
    if seconds > SECONDS_TO_EXIT:
        faults.append(f"took {seconds:.0f} s to exit")
    if folder.read_trials() and not folder.exists(REPORT):
        faults.append("no partial report")
    if "--resume" not in said:
        faults.append("no word on how to go on")
    return faults


def _started_at(folder: RunFolder) -> dict[str, str | None]:
    return {t.trial_id: t.started_at for t in folder.read_trials() if t.status in FINISHED}


def kill_a_worker(chance: random.Random) -> Strike:
    """Return how to kill one of the processes that train."""

    def strike(driver: subprocess.Popen[str]) -> str:
        workers = workers_of(driver)
        if not workers:
            return ""
        victim = chance.choice(workers)
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            return ""
        return "kill -9 worker"

    return strike


@contextmanager
def machines() -> Iterator[tuple[dict[str, str], Strike]]:
    """Yield the environment that joins a cluster of two machines, and how to kill one of them."""
    words = [sys.executable, "-m", "tests.two_machines"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=ROOT, text=True, **pipes) as cluster:  # type: ignore[call-overload]
        told = (line.split() for line in cluster.stdout)
        address = next(words[1] for words in told if words[:1] == ["address"])

        def strike(_: subprocess.Popen[str]) -> str:
            for line in ("kill a node\n", "add a node\n"):
                cluster.stdin.write(line)
                cluster.stdin.flush()
            return "kill -9 machine"

        yield {"RAY_ADDRESS": address}, strike
        cluster.stdin.close()
