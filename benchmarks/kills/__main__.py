"""Kill a run's driver, workers and machines, and stop it by signals, all at random moments.

However often that happens, the records, predictions and verdict in the end must be those of a run
that nothing happened to.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.kills.killer import Killer, Moment, Reference, kill_a_worker, machines
from benchmarks.page import Goal, Page, wrap
from raycompare.formatting import table
from tests.real_runs import slow_experiment
from tests.tiny import save_tiny_bert, write_tiny_data

METHOD = """
The experiment of the tests of faults: 2 models, 4 configurations each that pause at a rung, 2 seeds
of the confirm stage, checkpoints every half second. A driver is killed at a random moment of its
first {most} seconds and the run resumed, until it ends; then the next run begins. Workers and
machines are killed at random moments of runs that go on; a lost machine is replaced. Signals go to
the driver alone or to its whole process group, with Ray's processes. Seed {seed}.
"""


def _goals(moments: list[Moment], kinds: dict[str, int]) -> Iterator[Goal]:
    for kind, number in kinds.items():
        mine = [moment for moment in moments if moment.what.startswith(kind)]
        faults = [fault for moment in mine for fault in moment.faults]
        yield Goal(
            name=f"{number} x {kind}: records, predictions and verdict as undisturbed",
            aim="no difference",
            measured="; ".join(sorted(set(faults))) or f"none in {len(mine)}",
            met=not faults and len(mine) >= number,
        )


def _row(moment: Moment) -> list[str]:
    seconds = "-" if moment.exit_seconds is None else f"{moment.exit_seconds:.1f}"
    faults = "; ".join(moment.faults) or "none"
    return [moment.what, faults, f"{moment.seconds:.1f}", str(moment.finished), seconds]


def main() -> None:
    """Kill, compare, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--signals", type=int, default=12)
    parser.add_argument("--most", type=float, default=45.0, help="latest kill of a driver, in s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place, chance = Path(scratch), random.Random(options.seed)
        (place / "data").mkdir()
        content = slow_experiment(save_tiny_bert(place / "model"), write_tiny_data(place / "data"))
        content["failure"]["max_failures"] = 1000
        killer = Killer(Reference.of(content, place / "undisturbed"), place, chance)
        killer.drivers(options.kills, options.most)
        killer.workers(options.kills, {}, kill_a_worker(chance))
        if options.kills:
            with machines() as (environment, strike):
                killer.workers(options.kills, environment, strike)
        killer.signals(options.signals, options.most)
    header = ["what", "faults", "after, s", "finished trials", "exit, s"]
    kinds = {f"kill -9 {what}": options.kills for what in ("driver", "worker", "machine")}
    kinds = {what: number for what, number in {**kinds, "SIG": options.signals}.items() if number}
    Page(
        name="kills" if options.kills else "signals",
        title="Runs that are killed",
        command=f"python -m benchmarks.kills {' '.join(sys.argv[1:])}".strip(),
        method=wrap([METHOD.format(most=f"{options.most:g}", seed=options.seed)]),
        results=f"{killer.runs} runs.\n\n{table(header, map(_row, killer.moments), left=2)}",
        goals=list(_goals(killer.moments, kinds)),
    ).write()


if __name__ == "__main__":
    main()
