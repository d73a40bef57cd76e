"""Sections of the report on the run itself: failures, trials, environment, command."""

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
    fence,
    fold,
    join_parts,
    name_first,
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
"""Largest numbers of trials per model, and of failures, in a table. GitHub only shows Markdown
below 2 MB, which 10,000 trials exceed."""


def failures_section(comparison: Comparison) -> str:
    """Show the first line of each error, for at most MOST_FAILURES; nothing without failures."""
    if not comparison.failures:
        return ""
    shown = comparison.failures[:MOST_FAILURES]
    rows = [
        [escape(fail.model), fail.stage, str(fail.seed), escape(fail.trial_id), escape(fail.error)]
        for fail in shown
    ]
    headers = ["model", "stage", "seed", "trial", "error"]
    note = "Only the first line of each error; for tracebacks, see *error* in trials.parquet."
    if len(shown) < len(comparison.failures):
        note = f"These are the first {len(shown)} of {len(comparison.failures):,} failures. {note}"
    return join_parts("## Failures", table(headers, rows, left=5), note)


def trials_section(comparison: Comparison) -> str:
    """Show the trials, folded; for a model with very many, the best ones."""
    metric = LABELS[comparison.metric]
    headers = ["model", "stage", "trial", "hyperparameters", "status", "reason", "seed"]
    headers += [f"best {metric}", "at step", "steps", "training", "evaluation"]
    direction = "highest" if MODES[comparison.metric] == "max" else "lowest"
    shown = _select_rows(comparison.trials)
    total = number_of(len(comparison.trials), "trial")
    title, summary, rest = "## All trials", total, ""
    if len(shown) < len(comparison.trials):
        title, summary = "## Best trials of each model", f"{len(shown):,} of {total}"
        rest = (
            f" The table shows the first {MOST_ROWS} of each model and its confirm trials; "
            f"trials.parquet has all {total}."
        )
    note = (
        f"Models are in the order of the leaderboard, their trials by validation {metric}, "
        f"{direction} first. *Steps*: trained of planned.{rest}"
    )
    return join_parts(title, fold(summary, table(headers, map(_trial, shown), left=6)), note)


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


def _confirm_seeds(comparison: Comparison) -> Sequence[int]:
    """Return the seeds that were planned; with `seeds: auto`, the manifest lists all possible."""
    if comparison.experiment.confirm.is_race:
        return sorted({trial.seed for trial in comparison.records.confirm_trials})
    seeds: Sequence[int] = comparison.manifest.seeds.get("confirm", ())
    return seeds


def environment_section(comparison: Comparison) -> str:
    """Describe the run, its machines and the versions of its packages."""
    manifest = comparison.manifest
    confirm = ", ".join(str(seed) for seed in _confirm_seeds(comparison))
    facts = [
        f"- Run {escape(manifest.run_id)}, {manifest.created_at} to {manifest.finished_at}",
        f"- Git revision of raycompare: {manifest.git_revision or 'none (installed package)'}",
        f"- Seeds: {manifest.seeds.get('experiment')} for splits, samples and the tune stage; "
        f"{confirm} for the confirm stage",
        f"- Wall-clock time: {_stages(manifest.seconds)}",
        *(
            f"- {escape(name)} was turned off during the run and is incomplete: {escape(failure)}"
            for name, failure in manifest.trackers.items()
            if failure
        ),
        *_list_retries(comparison.trials),
    ]
    versions = [[escape(name), escape(version)] for name, version in manifest.versions.items()]
    packages = table(["package", "version"], versions, left=2)
    return join_parts("## Environment", "\n".join(facts), _hardware(manifest.hardware), packages)


def _list_retries(trials: Sequence[TrialRecord]) -> list[str]:
    names = [escape(trial.trial_id) for trial in trials if trial.retries]
    if not names:
        return []
    restarted = f"{number_of(len(names), 'trial')} restarted from the last checkpoint"
    return [f"- Lost workers or machines; {restarted}: {name_first(names, MOST_RETRIED)}"]


def _stages(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {duration(value)}" for stage, value in seconds.items())


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
    """Show the command that repeats the run."""
    manifest = comparison.manifest
    needs = f"With experiment.yaml from this folder (hash {manifest.experiment_hash})"
    return join_parts("## Reproduce", f"{needs} and the versions above:", fence(manifest.command))
