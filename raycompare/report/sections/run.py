"""The sections of the report that say how the run went and how to make it again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import (
    NOTHING,
    count,
    duration,
    escape,
    fenced,
    folded,
    number_of,
    score,
    setting,
    table,
)
from raycompare.metrics import LABELS, MODES
from raycompare.records.endings import STATUS_WORDS, first_line
from raycompare.records.rows import TrialRecord

BYTES_PER_GIB = 2**30
MOST_RETRIED = 20
MOST_ROWS, MOST_FAILURES = 100, 100
"""Trials of one model, and failures, that a table shows. Nobody reads more, and GitHub promises to
show Markdown only below 2 MB, which the rows of 10,000 trials exceed."""


def failures_section(comparison: Comparison) -> str:
    """Show the first line of every error, of very many the first; nothing if there was none."""
    if not comparison.failures:
        return ""
    shown = comparison.failures[:MOST_FAILURES]
    rows = [
        [escape(fail.model), fail.stage, str(fail.seed), escape(fail.trial_id), escape(fail.error)]
        for fail in shown
    ]
    headers = ["model", "stage", "seed", "trial", "error"]
    note = "The first line of each error; the column *error* of trials.parquet has the tracebacks."
    if len(shown) < len(comparison.failures):
        note = f"These are the first {len(shown)} of {len(comparison.failures):,} failures. {note}"
    return "\n\n".join(["## Failures", table(headers, rows, left=5), note])


def trials_section(comparison: Comparison) -> str:
    """Show the trials, folded away; of a model with very many the best."""
    metric = LABELS[comparison.metric]
    headers = [
        "model",
        "stage",
        "trial",
        "hyperparameters",
        "status",
        "reason",
        "seed",
        f"best {metric}",
        "at step",
        "steps",
        "training",
        "evaluation",
    ]
    direction = "highest" if MODES[comparison.metric] == "max" else "lowest"
    shown = _select_rows(comparison.trials)
    total = number_of(len(comparison.trials), "trial")
    title, summary, rest = "## Every trial", total, ""
    if len(shown) < len(comparison.trials):
        title, summary = "## The best trials of each model", f"{len(shown):,} of {total}"
        rest = (
            f" Shown are the first {MOST_ROWS} of each model and its confirm trials; "
            f"trials.parquet has all {total}."
        )
    return "\n\n".join(
        [
            title,
            folded(summary, table(headers, map(_trial, shown), left=6)),
            f"By model as in the leaderboard, then {direction} validation {metric} first. *Steps* "
            f"are those trained, of those planned.{rest}",
        ]
    )


def _select_rows(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [
        trial
        for _, own in groupby(trials, key=lambda trial: trial.model)
        for place, trial in enumerate(own)
        if place < MOST_ROWS or trial.stage == "confirm"
    ]


def _trial(trial: TrialRecord) -> list[str]:
    return [
        escape(trial.model),
        trial.stage,
        escape(trial.trial_id),
        _settings(trial),
        STATUS_WORDS[trial.status],
        escape(first_line(trial)),
        str(trial.seed),
        score(trial.best_value),
        count(trial.best_step),
        f"{count(trial.steps)} of {count(trial.planned_steps)}",
        duration(trial.train_seconds),
        duration(trial.eval_seconds),
    ]


def _settings(trial: TrialRecord) -> str:
    if trial.is_default:
        return "untuned default"
    searched = json.loads(trial.hyperparameters)
    return ", ".join(f"{escape(name)} {setting(searched[name])}" for name in sorted(searched))


def environment_section(comparison: Comparison) -> str:
    """Say what the numbers were made with."""
    manifest = comparison.manifest
    confirm = ", ".join(str(seed) for seed in manifest.seeds.get("confirm", ()))
    facts = [
        f"- Run {escape(manifest.run_id)}, {manifest.created_at} to {manifest.finished_at}",
        f"- raycompare's git revision: {manifest.git_revision or 'none, it was installed'}",
        f"- Seeds: {manifest.seeds.get('experiment')} for splits, samples and the tune stage; "
        f"{confirm} for the confirm stage",
        f"- Wall-clock: {_stages(manifest.seconds)}",
        *(
            f"- {escape(name)} was off and has not all of this run: {escape(failure)}"
            for name, failure in manifest.trackers.items()
            if failure
        ),
        *_list_retries(comparison.trials),
    ]
    return "\n\n".join(
        [
            "## Environment",
            "\n".join(facts),
            _hardware(manifest.hardware),
            table(["package", "version"], _pairs(manifest.versions), left=2),
        ]
    )


def _list_retries(trials: Sequence[TrialRecord]) -> list[str]:
    """Name the trials that lost their machine and went on elsewhere; of very many the first."""
    names = [escape(trial.trial_id) for trial in trials if trial.retries]
    if not names:
        return []
    more = f" and {len(names) - MOST_RETRIED} more" if len(names) > MOST_RETRIED else ""
    again = f"{number_of(len(names), 'trial')} started again from the last checkpoint"
    return [
        f"- Workers or machines were lost, and {again}: {', '.join(names[:MOST_RETRIED])}{more}"
    ]


def _stages(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items())


def _pairs(versions: Mapping[str, str]) -> Iterable[Sequence[str]]:
    return ([escape(name), escape(version)] for name, version in versions.items())


def _hardware(nodes: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [
            escape(str(node.get("hostname", NOTHING))),
            escape(str(node.get("cpu_model") or NOTHING)),
            f"{node.get('cpus', 0):g}",
            f"{node.get('gpus', 0):g}",
            _memory(node.get("memory_bytes")),
        ]
        for node in nodes
    ]
    return table(["machine", "processor", "CPUs", "GPUs", "memory"], rows, left=2)


def _memory(size: float | None) -> str:
    return NOTHING if size is None else f"{size / BYTES_PER_GIB:,.0f} GiB"


def reproduce_section(comparison: Comparison) -> str:
    """Give the command that makes the same run again."""
    manifest = comparison.manifest
    return "\n\n".join(
        [
            "## Reproduce",
            "With the experiment.yaml beside this report "
            f"(hash {manifest.experiment_hash}) and the versions above:",
            fenced(manifest.command),
        ]
    )
