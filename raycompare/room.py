"""Whether there is room for what a run writes: records, predictions, weights and checkpoints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from raycompare.data import LabelledData
from raycompare.errors import Problem
from raycompare.models import locate
from raycompare.spec import Experiment, ModelSpec

SPARE_BYTES = 500 * 2**20
"""What must stay free on the disk beside the records: Ray's session, Tune's files, logs."""
BYTES_PER_PREDICTION = 64
"""Upper bound beside the probabilities, before compression."""
WEIGHTS_PER_CHECKPOINT = 4
"""Weights, AdamW's two moments of each, and a finalist's best weights."""


def room_problems(experiment: Experiment, data: LabelledData, out: str) -> Iterator[Problem]:
    """Find what keeps a run from writing at `out`; remote filesystems are taken to be endless."""
    if "://" in out:
        return
    folder = Path(out).expanduser().absolute()
    standing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(standing, os.W_OK) or not standing.is_dir():
        yield Problem(where="--out", found=out, allowed="a folder that can be written to")
        return
    needed, free = bytes_needed(experiment, data), shutil.disk_usage(standing).free
    if free < needed:
        yield Problem(
            where="--out",
            found=f"{free / 2**20:,.0f} MiB free at {standing}",
            allowed=f"at least {needed / 2**20:,.0f} MiB for this experiment",
            hint="free some space, or name another disk or a bucket with --out",
        )


def bytes_needed(experiment: Experiment, data: LabelledData) -> int:
    """Return what a run needs at most at a time, as far as the checkpoints are on this machine.

    The best weights of each model stay; beside them each trial that runs has a checkpoint.
    """
    finalists = len(experiment.models) * len(experiment.confirm.seeds)
    bytes_per_row = BYTES_PER_PREDICTION + 4 * len(data.label_names)
    weights = [_weights(model) for model in experiment.models]
    running = experiment.tune.max_concurrent_trials or os.cpu_count() or 1
    return (
        SPARE_BYTES
        + finalists * len(data.test) * bytes_per_row
        + sum(weights)
        + running * WEIGHTS_PER_CHECKPOINT * max(weights)
    )


def _weights(model: ModelSpec) -> int:
    """Return the bytes of a checkpoint's weights; 0 where a hub has them and not this machine."""
    folder = Path(locate(model.checkpoint))
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
