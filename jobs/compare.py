"""The whole comparison as one job, on a laptop or by `ray submit cluster.yaml jobs/compare.py`.

    python jobs/compare.py                                   the quickstart
    python jobs/compare.py EXPERIMENT.yaml [--set KEY=VALUE] [--out DIR] [--resume RUN_DIR]

The path of a run, each step one module of raycompare: `experiment_file` reads the file, `check`
finds its mistakes, `stages` tunes and confirms on Ray, `results` holds the records, `compare` and
`report` turn them into the verdict. `run` ties them together.

`ray submit` copies this one file into the home folder of the head; the project is beside it, in
~/raycompare, where the cluster files put it. There the job starts.
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
