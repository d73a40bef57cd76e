"""The whole comparison as one job, on a laptop or by `ray submit cluster.yaml jobs/compare.py`.

    python jobs/compare.py                                   the quickstart
    python jobs/compare.py EXPERIMENT.yaml [--set KEY=VALUE] [--out DIR] [--resume RUN_DIR]

The path of a run, each step one module of raycompare: `experiment_file` reads the file, `check`
finds its mistakes, `stages` tunes and confirms on Ray, `results` holds the records, `compare` and
`report` turn them into the verdict. `run` ties them together.
"""

from __future__ import annotations

import sys
from pathlib import Path

from raycompare.cli import main

QUICKSTART = Path(__file__).parent / "experiments" / "quickstart.yaml"

if __name__ == "__main__":
    arguments = sys.argv[1:] or [str(QUICKSTART)]
    sys.argv = ["raycompare", "run", *arguments]
    main()
