"""Warnings about a run, from its records, each with a suggestion.

A warning is a hint, not a test. Its limits are rules of thumb.
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
"""Standard errors by which the accuracy on validation may exceed that on test."""
CUT = 0.05
"""Share of truncated training texts above which there is a warning."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One warning."""

    about: str
    """A model, a baseline, or `data`."""
    found: str
    """The finding."""
    advice: str
    """A suggestion of what to do."""


def flags(records: Records) -> tuple[Flag, ...]:
    """Return the warnings about models, in the order of the experiment, baselines and data."""
    of_models: list[Flag] = []
    for model in records.experiment.models:
        for warn in (_chance, _divergence, _under_trained, _at_the_edge, _gap):
            of_models += warn(records, model.name)
    return (*of_models, *_baseline_flags(records), *_data_flags(records.manifest.data))


def _baseline_flags(records: Records) -> Iterator[Flag]:
    fitted = {row.name for row in records.baselines}
    for failure in records.baseline_failures:
        if failure.name not in fitted:
            yield Flag(
                about=failure.name,
                found=f"it could not be fitted: {failure.cause}",
                advice="see its traceback in baseline_failures.parquet; `raycompare run --resume` "
                "with this folder tries again",
            )
    for row in records.baselines:
        if not json.loads(row.hyperparameters)["converged"]:
            yield Flag(
                about=row.name,
                found="its fit ended before it converged",
                advice="do not rely on small differences from it",
            )


def _chance(records: Records, model: str) -> Iterator[Flag]:
    labels = len(records.manifest.data.get("labels", ()))
    trials = records.trials_of(model, "tune") + records.trials_of(model, "confirm")
    # Trials that were stopped early had no time to learn.
    ended = [trial for trial in trials if trial.status == "completed"]
    last = [rows[-1] for trial in ended if (rows := records.rows(trial, "validation"))]
    guessing = [row for row in last if _is_guessing(row, labels)]
    if guessing:
        yield Flag(
            about=model,
            found=f"{len(guessing)} of {number_of(len(last), 'trial')} ended at chance level "
            f"(|MCC| < {CHANCE}, or the loss of random guessing)",
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
            found=f"the loss of {number_of(len(diverged), 'trial')} became NaN or infinite",
            advice="lower the upper bound of learning_rate, or set max_grad_norm",
        )


def _under_trained(records: Records, model: str) -> Iterator[Flag]:
    finalists = [t for t in records.trials_of(model, "confirm") if t.ending == "full_budget"]
    if finalists and all(_still_rises(records, trial) for trial in finalists):
        yield Flag(
            about=model,
            found="every finalist was still improving at its last evaluation",
            advice="train it longer with `raycompare extend`",
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
    confirmed = records.trials_of(model, "confirm")
    chosen: Mapping[str, Any] = json.loads(confirmed[0].hyperparameters) if confirmed else {}
    space = settings_of(records.experiment, model).space
    for name, value in chosen.items():
        edge = edge_at(space[name], value) if name in space else None
        if edge is not None:
            yield Flag(
                about=model,
                found=f"the best {name}, {value:.3g}, is at the edge of its range ({edge:.3g})",
                advice="search beyond that edge: `raycompare refine` moves it out",
            )


def _gap(records: Records, model: str) -> Iterator[Flag]:
    """Warn if the accuracy on validation, which selection inflates, is far above that on test."""
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
            advice="use more validation rows, and check that both splits have texts of one kind",
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
                advice=f"remove them: a model can memorise them, which inflates the {split} score",
            )
    if contradictory:
        yield Flag(
            about="data",
            found=f"{number_of(contradictory, 'text')} with more than one label",
            advice="check them: no model can predict both labels, which limits the accuracy",
        )
    for model, cut in data.get("cut", {}).items():
        if cut > CUT:
            yield Flag(
                about=model,
                found=f"{cut:.0%} of the training texts are longer than max_length and truncated",
                advice="try a larger data.max_length, or search it: `max_length: {choice: [...]}`",
            )


def _copies(data: Mapping[str, Any]) -> tuple[Mapping[str, int], int]:
    """Return the rows per split whose text is also in train, and the texts with several labels.

    Older manifests have both without a survey, and count texts with several labels in train only.
    """
    if not data.get("survey"):
        return data.get("also_in_train", {}), data.get("two_labels", 0)
    survey = Survey.from_plain(data["survey"])
    copies = {split.split: split.also_in.get("train", 0) for split in survey.splits}
    return copies, survey.contradictory_texts
