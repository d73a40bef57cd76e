"""Warnings about the measurement of inference."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from raycompare.analysis.health.flag import Flag
from raycompare.records.run_records import Records

LONG_TAIL = 3.0
"""Ratio of the 95th percentile to the median above which latencies are uneven."""
FEW_CPUS = 0.5
"""Number of CPUs that other processes may always use."""


def uneven_latency(records: Records, model: str) -> Iterator[Flag]:
    """Warn if some texts take far longer than most."""
    for row in records.inference:
        if row.model == model and row.latency_p95_ms > LONG_TAIL * row.latency_p50_ms:
            ratio = row.latency_p95_ms / row.latency_p50_ms
            yield Flag(
                about=model,
                found=f"the 95th percentile of its latency is {ratio:.1f} times the median",
                advice="check whether the lengths of your texts differ that much; otherwise the "
                "machine was busy, and the latency should be measured again",
            )


def busy_machine(records: Records) -> Iterator[Flag]:
    """Warn if other processes used more than half of the CPUs that the measurement left free."""
    threads = {row.model: row.num_threads for row in records.inference}
    rounds = [row for row in records.inference_rounds if row.model in threads]
    busy = [
        row for row in rounds if row.busy_cpus > max(FEW_CPUS, (row.cpus - threads[row.model]) / 2)
    ]
    if busy:
        used, cpus = fmean(row.busy_cpus for row in busy), max(row.cpus for row in busy)
        yield Flag(
            about="inference",
            found=f"other processes used {used:.1f} of {cpus} CPUs in {len(busy)} of "
            f"{len(rounds)} measurements",
            advice="do not rely on the times; to measure again on an idle machine, delete "
            "inference.parquet and resume the run",
        )
