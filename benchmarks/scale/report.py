"""The page of `make bench-scale`: what was measured, and what it says of 64 real nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.page import Goal, Page
from benchmarks.scale.driver_queue import Queue
from benchmarks.scale.measure import Measured
from benchmarks.scale.processes import PARTS
from raycompare.formatting import count, table

REAL_NODES, AIM = 64, 0.95
SHOWN_NODES = (1, 16, REAL_NODES, 256, 1024)

METHOD = """
Ray runs on this machine with many small nodes (`ray.cluster_utils.Cluster`), each a separate raylet
that holds one trial. They share the machine with the driver, so their number is limited by its
memory and every wait here includes the wait for a CPU.

The trials go through what a run goes through: `raycompare.tuning.tuner.run_stage`
with the journal, the scheduler (halving per model over {models} models), Tune's callbacks,
messages and the run folder.
Only the training is missing: a trial of {seconds:g} s sleeps {asleep:.3f} s, a factor of
{factor:g}, in {evaluations} parts, and reports an evaluation on a seeded random curve after each. A
worker here sends as many messages as {factor:g} real ones; *load of real nodes* says how many came.
The driver's part is not shortened. Few nodes get fewer trials, or they would take the longest.

*Utilisation* is the requested sleep, as a share of the nodes' time between the moment when
each had a trial and the moment when the last trial began: a sleep that overran, reports, and the
change from one trial to the next are not work. Before that, *start* is when workers start and
import; after it nodes run out of trials one by one, which has to do with the number of trials and
not with the driver. *Idle* is what a trial's worker does not work. *Serial* is the CPU time of
the driver's main thread, where Tune, scheduler and journal take turns.
"""

MODEL = """
What a trial and what a message take of the driver's main thread comes from two stages on {nodes}
nodes, of {first} and of {second} messages for {trials} trials each: **{trial_ms:.1f} ms a trial and
{message_ms:.2f} ms a message**. A trial waits for things other than the driver for {other_ms:.1f}
ms: the rest of its idle time on one node, scaled with its messages.

The driver is one queue with one server. With n workers, each of which works t seconds a trial, the
utilisation is t / (t + other + R(n)) with R(n) = d (1 + Q(n-1)) and Q(n) = n R(n) / (t + other +
R(n)), where d is the driver's time a trial: exact mean value analysis. *Predicted* above puts in
the shortened trials, so the model is tested at loads far above those of {real} real nodes; where
it predicts more than was measured, the nodes also waited for the CPUs that they share.

What the model leaves out: that workers start (once a stage, each node for itself), that the last
trials end at different times, and the network between nodes, which adds its round trip to each
message.
"""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Fitted seconds of the driver's main thread, and of waiting for anything else."""

    trial: float
    message: float
    other_of_a_message: float

    @classmethod
    def of(cls, alone: Measured, many: Measured, whole: Measured) -> Self:
        """Solve for the costs; `whole` has as many trials as `many` and fewer messages."""
        message = max((many.serial - whole.serial) / (many.messages - whole.messages), 0.0)
        trial = max((many.serial - message * many.messages) / many.trials, 0.0)
        messages = alone.messages / alone.trials
        other = max(alone.idle - trial - message * messages, 0.0)
        return cls(trial=trial, message=message, other_of_a_message=other / messages)

    def queue(self, messages: float) -> Queue:
        """Return the queue for trials with this many messages."""
        return Queue(
            driver_seconds=self.trial + messages * self.message,
            other_seconds=messages * self.other_of_a_message,
        )


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of trial, unshortened."""

    name: str
    seconds: float
    messages: float

    def utilisation(self, costs: Costs, nodes: int) -> float:
        """Return the share of their time that the nodes work."""
        return costs.queue(self.messages).utilisation(nodes, self.seconds)


def page(stages: Sequence[Measured], whole: Measured, quick: bool) -> Page:
    """Make the page; `whole` is a stage like the last one, with one evaluation a trial."""
    last = stages[-1]
    costs = Costs.of(stages[0], last, whole)
    work = last.work
    full = Kind(
        name=f"{work.seconds:g} s, none stopped",
        seconds=work.seconds,
        messages=work.evaluations + 2,
    )
    mean = last.worked / last.trials * work.factor
    halved = Kind(
        name=f"as halving left them, {mean:.1f} s on average",
        seconds=mean,
        messages=last.messages / last.trials,
    )
    return Page(
        name="scale-quick" if quick else "scale",
        title="Scale: how busy the workers of a large cluster stay",
        command="python -m benchmarks.scale --quick" if quick else "make bench-scale",
        method=METHOD.format(
            models=4,
            seconds=work.seconds,
            asleep=work.asleep * work.evaluations,
            factor=work.factor,
            evaluations=work.evaluations,
        ),
        results="\n\n".join(
            [
                _measured([*stages, whole], costs),
                _cpu([*stages, whole]),
                _model(last, whole, costs),
                _extrapolated([full, halved], costs),
            ]
        ),
        goals=[_goal(kind, costs) for kind in (halved, full)],
    )


def _measured(stages: Sequence[Measured], costs: Costs) -> str:
    headers = ["nodes", "trials", "stopped", "messages", "wall", "start"]
    headers += ["utilisation", "predicted", "idle a trial", "load of real nodes"]
    return table(headers, [_measured_row(stage, costs) for stage in stages])


def _measured_row(stage: Measured, costs: Costs) -> list[str]:
    queue = costs.queue(stage.messages / stage.trials)
    predicted = queue.utilisation(stage.nodes, stage.worked / stage.trials)
    return [
        str(stage.nodes),
        count(stage.trials),
        count(stage.stopped),
        count(stage.messages),
        f"{stage.wall:.1f} s",
        f"{stage.start:.1f} s",
        f"{stage.utilisation:.1%}",
        f"{predicted:.1%}",
        f"{stage.idle * 1000:.0f} ms",
        count(round(stage.nodes * stage.work.factor * stage.utilisation)),
    ]


def _cpu(stages: Sequence[Measured]) -> str:
    headers = ["nodes", "serial", "serial a trial", *PARTS, "memory of Ray"]
    rows = [
        [
            str(stage.nodes),
            f"{stage.serial:.1f} s",
            f"{stage.serial / stage.trials * 1000:.1f} ms",
            *(f"{stage.cpu.get(part, 0.0):.1f} s" for part in PARTS),
            f"{stage.memory / 2**30:.1f} GiB",
        ]
        for stage in stages
    ]
    return (
        f"CPU seconds of the same stages; the last has one evaluation a trial.\n\n"
        f"{table(headers, rows)}"
    )


def _model(last: Measured, whole: Measured, costs: Costs) -> str:
    queue = costs.queue(last.messages / last.trials)
    return MODEL.strip().format(
        nodes=last.nodes,
        first=count(last.messages),
        second=count(whole.messages),
        trials=count(last.trials),
        trial_ms=costs.trial * 1000,
        message_ms=costs.message * 1000,
        other_ms=queue.other_seconds * 1000,
        real=REAL_NODES,
    )


def _extrapolated(kinds: Sequence[Kind], costs: Costs) -> str:
    headers = ["trials", "real nodes", "utilisation", "driver busy"]
    rows = [
        [
            kind.name,
            count(nodes),
            f"{kind.utilisation(costs, nodes):.2%}",
            f"{costs.queue(kind.messages).driver_share(nodes, kind.seconds):.1%}",
        ]
        for kind in kinds
        for nodes in SHOWN_NODES
    ]
    return f"Extrapolated to trials that are not shortened:\n\n{table(headers, rows)}"


def _goal(kind: Kind, costs: Costs) -> Goal:
    reached = kind.utilisation(costs, REAL_NODES)
    return Goal(
        name=f"utilisation of {REAL_NODES} nodes, extrapolated: trials {kind.name}",
        aim=f">= {AIM:.0%}",
        measured=f"{reached:.2%}",
        met=reached >= AIM,
    )
