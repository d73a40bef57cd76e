"""Times `raycompare ls` on 1,000 runs: `python -m benchmarks.scale.listing`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.page import Goal, Page, wrap
from benchmarks.scale.report_time import seconds
from raycompare.formatting import table
from raycompare.records.layout import LISTING
from tests import runs

RUNS, MOST_SECONDS = 1000, 3.0
COMMAND = [sys.executable, "-m", "raycompare"]
METHOD = f"""
{RUNS:,} copies of one finished run of three models, made by formula, each with its report.
`raycompare ls` runs in a separate process, 5 times; the median counts. Then the file `{LISTING}`,
which a report leaves and runs of earlier versions don't have, is deleted from all of them.
"""


def main() -> None:
    """Copy, time, write the page."""
    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "reports" / "typical" / "20260101-000000-abcdef"
        runs.typical().write(first)
        subprocess.run([*COMMAND, "report", str(first)], check=True, stdout=subprocess.DEVNULL)
        for number in range(1, RUNS):
            shutil.copytree(first, first.with_name(f"20260101-{number:06d}-abcdef"))
        ls = [*COMMAND, "ls", str(first.parents[1])]
        timed = {f"with {LISTING}": seconds(ls)}
        for path in first.parent.glob(f"*/{LISTING}"):
            path.unlink()
        timed["without it"] = seconds(ls)
    rows = [
        [name, f"{median(times):.2f} s", f"{min(times):.2f} to {max(times):.2f} s"]
        for name, times in timed.items()
    ]
    took = median(timed[f"with {LISTING}"])
    Page(
        name="listing",
        title="A list of 1,000 runs",
        command="python -m benchmarks.scale.listing",
        method=wrap([METHOD]),
        results=table(["", "median", "range"], rows),
        goals=[
            Goal(
                name=f"{RUNS:,} runs on a local disk",
                aim="<= 3 s",
                measured=f"{took:.2f} s",
                met=took <= MOST_SECONDS,
            )
        ],
    ).write()


if __name__ == "__main__":
    main()
