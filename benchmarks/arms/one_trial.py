"""One trial of the study as a script by itself: Trainer defaults, whole budget, all cores.

    python -m benchmarks.arms.one_trial REQUEST.json INDEX ANSWER.json

Nothing is saved on the way, which is kinder than the Trainer's defaults.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from benchmarks.arms.request import Answer, Request
from benchmarks.arms.script import trained, trainer_of


def main(request: Path, index: int, answer: Path) -> None:
    """Train one configuration of the request."""
    began = perf_counter()
    trainer = trainer_of(Request.read(request), index, "longest", {})
    trainer.train()
    done = [trained(trainer, index)]
    Answer(search_seconds=perf_counter() - began, trials=done).write(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
