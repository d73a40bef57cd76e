"""A checkpoint within a trial: what the Trainer saves, and how far the trial has come.

A trial that goes on from it ends with the numbers of one that was never interrupted: weights,
optimizer, schedule, random states and the order of the batches are the Trainer's to restore, the
evaluations, clocks and best weights are put beside them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import safetensors.torch
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from raycompare.training.callback import Progress, TrialCallback
from raycompare.training.task import TrialReporter

PROGRESS, BEST_WEIGHTS = "progress.json", "best.safetensors"


def save_checkpoint(trainer: Trainer, course: TrialCallback, sink: TrialReporter) -> None:
    """Hand the sink all that is needed to go on from this step."""
    output_dir = trainer.args.output_dir
    assert output_dir is not None
    folder = Path(output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"
    assert trainer.model is not None
    trainer._save_checkpoint(trainer.model, trial=None)
    (folder / PROGRESS).write_text(course.progress.to_json())
    if course.best_weights is not None:
        safetensors.torch.save_file(course.best_weights, folder / BEST_WEIGHTS)
    sink.save_checkpoint(folder)
    shutil.rmtree(folder, ignore_errors=True)


def restore(course: TrialCallback, folder: Path) -> None:
    """Give the course what it knew; the Trainer reads its own part of the folder."""
    course.progress = Progress.from_json((folder / PROGRESS).read_text())
    best = folder / BEST_WEIGHTS
    course.best_weights = safetensors.torch.load_file(best) if best.exists() else None
