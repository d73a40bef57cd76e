"""The names of the files and folders in a run folder.

experiment.yaml          the experiment with all defaults
started.json             hashes, versions and settings that a resumed run must share
trials.parquet           a row per trial
evaluations.parquet      a row per evaluation
predictions/*.parquet    a row per test example; a file per finalist and seed, and per baseline
test_texts.parquet       the texts of the test rows; only with `report.texts: true`
screen.parquet           a row per screened model
baselines.parquet        a row per baseline; failures in baseline_failures.parquet
inference.parquet        a row per measured model; failures in inference_failures.parquet
inference_rounds.parquet a row per model and round of its measurement
weights/*/               the best finalist of each model, for `from_pretrained`
best/                    the winner's model, with a model card
tensorboard/*/           event files of each trial; mlflow/ and wandb/ for those trackers
manifest.json            hashes, versions, hardware, timings; written when the run ends
report.md, figures/*.png the report; summary.md is short enough for a comment
report.html              the report as one page that works offline
listing.json             what `raycompare ls` shows of the run
fetched.json             only in copies: where `raycompare fetch` copied the run from
tables/*                 each table of the report as CSV and Parquet
analytics/*.csv          the run in the table formats of SageMaker and SimpleTransformers
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from raycompare.records.rows import (
    BaselineFailure,
    BaselineRecord,
    EvalRecord,
    InferenceFailure,
    InferenceRecord,
    InferenceRound,
    ScreenRecord,
    StoredText,
    TrialRecord,
)

EXPERIMENT, STARTED, MANIFEST, LOCK = "experiment.yaml", "started.json", "manifest.json", ".lock"
FETCHED, LISTING = "fetched.json", "listing.json"
TRIALS, EVALUATIONS = "trials.parquet", "evaluations.parquet"
ROW_FILES: Mapping[type, str] = {
    TrialRecord: TRIALS,
    EvalRecord: EVALUATIONS,
    ScreenRecord: "screen.parquet",
    BaselineRecord: "baselines.parquet",
    BaselineFailure: "baseline_failures.parquet",
    InferenceRecord: "inference.parquet",
    InferenceRound: "inference_rounds.parquet",
    InferenceFailure: "inference_failures.parquet",
    StoredText: "test_texts.parquet",
}
PREDICTIONS, WEIGHTS, BEST, REPORT = "predictions", "weights", "best", "report.md"
SUMMARY = "summary.md"
ONLY_WHILE_IT_RUNS = CHECKPOINTS, RAY, JOB = "checkpoints", "ray", "job"
"""Folders that only a run needs, to be resumed; the second is Ray Tune's, the third SageMaker's."""


def weights_of(trial_id: str) -> str:
    """Return the folder of a finalist's model."""
    return f"{WEIGHTS}/{trial_id}"


_temporary = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def is_temporary(file: str) -> bool:
    """Return whether a file is still being written, or was when its process died."""
    return _temporary.fullmatch(file.rpartition("/")[2]) is not None
