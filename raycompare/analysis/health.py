"""What looks wrong with a run, from its records: each flag says what was found and what to do.

A flag is a hint to look, not a test; the limits are rules of thumb and are named below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raycompare.analysis.verdict import CHANCE
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.ranges import edge_at
from raycompare.formatting import count, number_of, score, share
from raycompare.metrics import MODES, better
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_records import Records
from raycompare.records.survey import Survey

GAP = 3.0
"""Validation may be above test by so many standard errors of the two sizes of samples."""
CUT = 0.05
"""Of the training texts; if more are cut, what the model does not see may matter."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One thing to look at."""

    about: str
    """A model, or `data`."""
    found: str
    advice: str


def flags(records: Records) -> tuple[Flag, ...]:
    """Return what to look at: by model as in the experiment, then what is about the data."""
    found: list[Flag] = []
    for model in records.experiment.models:
        for about in (_chance, _divergence, _under_trained, _at_the_edge, _gap):
            found += about(records, model.name)
    return (*found, *_baseline_flags(records), *_data_flags(records.manifest.data))


def _baseline_flags(records: Records) -> Iterator[Flag]:
    fitted = {row.name for row in records.baselines}
    for failure in records.baseline_failures:
        if failure.name not in fitted:
            yield Flag(
                about=failure.name,
                found=f"it could not be fitted: {failure.cause}",
                advice="baseline_failures.parquet has the traceback; `raycompare run --resume` "
                "with this folder tries again",
            )
    for row in records.baselines:
        if not json.loads(row.hyperparameters)["converged"]:
            yield Flag(
                about=row.name,
                found="its fit was cut off before it had converged",
                advice="do not build on a small gap to it",
            )


def _chance(records: Records, model: str) -> Iterator[Flag]:
    labels = len(records.manifest.data.get("labels", ()))
    trials = records.trials_of(model, "tune") + records.trials_of(model, "confirm")
    # One that was stopped early had no time to learn.
    ended = [trial for trial in trials if trial.status == "completed"]
    last = [rows[-1] for trial in ended if (rows := records.rows(trial, "validation"))]
    guessing = [row for row in last if _is_guessing(row, labels)]
    if guessing:
        yield Flag(
            about=model,
            found=f"{len(guessing)} of {number_of(len(last), 'trial')} ended at chance level "
            f"(|MCC| < {CHANCE}, or the loss of guessing)",
            advice="lower the upper bound of learning_rate, or train for more steps",
        )


def _is_guessing(row: EvalRecord, labels: int) -> bool:
    by_loss = labels > 1 and abs(row.loss / math.log(labels) - 1) < CHANCE
    return abs(row.matthews_correlation) < CHANCE or by_loss


def _divergence(records: Records, model: str) -> Iterator[Flag]:
    trials = records.trials_of(model, "tune") + records.trials_of(model, "confirm")
    diverged = [trial for trial in trials if trial.ending == "diverged"]
    if diverged:
        yield Flag(
            about=model,
            found=f"the loss of {number_of(len(diverged), 'trial')} became no number",
            advice="lower the upper bound of learning_rate, or set max_grad_norm",
        )


def _under_trained(records: Records, model: str) -> Iterator[Flag]:
    """The best evaluation of every finalist is its last, and the one before was worse."""
    finalists = [t for t in records.trials_of(model, "confirm") if t.ending == "full_budget"]
    if finalists and all(_still_rises(records, trial) for trial in finalists):
        yield Flag(
            about=model,
            found="every finalist was best at its last evaluation, and still getting better",
            advice="train it longer: `raycompare extend`",
        )


def _still_rises(records: Records, trial: TrialRecord) -> bool:
    metric = records.experiment.tune.metric
    values = [getattr(row, metric) for row in records.rows(trial, "validation")]
    others = values[:-1]
    if not others:
        return False
    best = max(others) if MODES[metric] == "max" else min(others)
    return better(values[-1], best, MODES[metric])


def _at_the_edge(records: Records, model: str) -> Iterator[Flag]:
    """The confirmed value of a hyperparameter lies within a tenth of an edge of its range."""
    confirmed = records.trials_of(model, "confirm")
    chosen: Mapping[str, Any] = json.loads(confirmed[0].hyperparameters) if confirmed else {}
    space = settings_of(records.experiment, model).space
    for name, value in chosen.items():
        edge = edge_at(space[name], value) if name in space else None
        if edge is not None:
            yield Flag(
                about=model,
                found=f"the best {name}, {value:.3g}, is at the edge of its range ({edge:.3g})",
                advice="search beyond it: `raycompare refine` widens that edge",
            )


def _gap(records: Records, model: str) -> Iterator[Flag]:
    """Accuracy on validation, by which the best was chosen, far above that on test."""
    rows = records.manifest.data.get("rows", {})
    pairs = [
        (best.accuracy, test[-1].accuracy)
        for trial in records.trials_of(model, "confirm")
        if (best := _best(records, trial)) and (test := records.rows(trial, "test"))
    ]
    if not pairs or not rows.get("validation") or not rows.get("test"):
        return
    validation, test_ = (sum(values) / len(values) for values in zip(*pairs, strict=True))
    spread = test_ * (1 - test_) * (1 / rows["validation"] + 1 / rows["test"])
    if validation - test_ > GAP * math.sqrt(max(spread, 0.0)) > 0:
        yield Flag(
            about=model,
            found=f"accuracy is {score(validation)} on validation and {score(test_)} on test",
            advice="use more validation rows, and look whether both splits are of one kind",
        )


def _best(records: Records, trial: TrialRecord) -> EvalRecord | None:
    rows = records.rows(trial, "validation")
    return next((row for row in rows if row.step == trial.best_step), None)


def _data_flags(data: Mapping[str, Any]) -> Iterator[Flag]:
    sizes = data.get("rows", {})
    also_in_train, contradictory = _copies(data)
    for split, copies in also_in_train.items():
        if copies:
            yield Flag(
                about="data",
                found=f"{count(copies)} of the {count(sizes.get(split))} texts of {split} are "
                f"also in train ({share(copies, sizes.get(split) or copies)})",
                advice="remove them: they are remembered, not understood",
            )
    if contradictory:
        yield Flag(
            about="data",
            found=f"{number_of(contradictory, 'text')} with more than one label",
            advice="look at them: no model can be right on both, so accuracy has a limit",
        )
    for model, cut in data.get("cut", {}).items():
        if cut > CUT:
            yield Flag(
                about=model,
                found=f"{cut:.0%} of the training texts are longer than max_length and are cut",
                advice="try a larger data.max_length, or search it: `max_length: {choice: [...]}`",
            )


def _copies(data: Mapping[str, Any]) -> tuple[Mapping[str, int], int]:
    """Count the rows of other splits whose text is in train, and the texts with several labels.

    Older manifests have both without a survey; their second count was of train alone.
    """
    if not data.get("survey"):
        return data.get("also_in_train", {}), data.get("two_labels", 0)
    survey = Survey.from_plain(data["survey"])
    copies = {split.split: split.also_in.get("train", 0) for split in survey.splits}
    return copies, survey.contradictory_texts
