"""Checkpoints within a trial: the Trainer's files, plus the progress of the trial.

A trial that continues from a checkpoint ends with the same numbers as one that was never
interrupted. The Trainer restores weights, optimizer, schedule, random states and the order of the
batches; this module adds evaluations, clocks and best weights.
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


def save_checkpoint(trainer: Trainer, callback: TrialCallback, reporter: TrialReporter) -> None:
    """Save everything that is needed to continue from this step."""
    output_dir = trainer.args.output_dir
    assert output_dir is not None
    folder = Path(output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}"
    assert trainer.model is not None
    trainer._save_checkpoint(trainer.model, trial=None)
    (folder / PROGRESS).write_text(callback.progress.to_json())
    if callback.best_weights is not None:
        safetensors.torch.save_file(callback.best_weights, folder / BEST_WEIGHTS)
    reporter.save_checkpoint(folder)
    shutil.rmtree(folder, ignore_errors=True)


def restore(callback: TrialCallback, folder: Path) -> None:
    """Restore the progress of a trial; the Trainer reads its own files from the folder."""
    callback.progress = Progress.from_json((folder / PROGRESS).read_text())
    best = folder / BEST_WEIGHTS
    callback.best_weights = safetensors.torch.load_file(best) if best.exists() else None
