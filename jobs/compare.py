"""Run a comparison as one job, on a laptop or with `ray submit cluster.yaml jobs/compare.py`.

    python jobs/compare.py                                   the quickstart
    python jobs/compare.py EXPERIMENT.yaml [--set KEY=VALUE] [--out DIR] [--resume RUN_DIR]

To follow a run through the code: `experiment.file` reads the file, `running.check` finds mistakes,
`running.stages` tunes and confirms on Ray, `records` stores the results, `analysis.comparison` and
`report` turn them into the verdict. `running.run` ties them together.

`ray submit` copies this file alone into the home folder of the head. The cluster files put the
project into ~/raycompare, and the job runs there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from raycompare.cli import main

HERE = Path(__file__).resolve().parent
SYNCED = Path.home() / "raycompare"
QUICKSTART = Path("experiments") / "quickstart.yaml"

if __name__ == "__main__":
    is_copy = Path.home().resolve() == HERE
    if is_copy:
        os.chdir(SYNCED)
    jobs = SYNCED / "jobs" if is_copy else HERE
    arguments = sys.argv[1:] or [str(jobs / QUICKSTART)]
    sys.argv = ["raycompare", "run", *arguments]
    main()
