"""The recorded learning curves: the schema of their Parquet file, its loader, frozen types.

A curve is what one fine-tuning run at full budget reported: its evaluations on the validation
split in the order of their steps, and the test metrics of its best validation checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raycompare.errors import UserError
from raycompare.records.messages import Evaluation

PATH = Path(__file__).parent / "curves.parquet"
MANIFEST_KEY = b"raycompare"
"""The key of the file's metadata under which the recording's manifest lies, as JSON."""

METRICS = ("loss", "accuracy", "macro_f1", "matthews_correlation")
_text, _int, _float = pa.string(), pa.int64(), pa.float64()

SCHEMA = pa.schema(
    [
        pa.field("model", _text, nullable=False),
        pa.field("config", _int, nullable=False),
        pa.field("hyperparameters", _text, nullable=False),
        pa.field("seed", _int, nullable=False),
        pa.field("split", _text, nullable=False),
        pa.field("step", _int, nullable=False),
        pa.field("examples_seen", _int, nullable=False),
        pa.field("train_seconds", _float, nullable=False),
        pa.field("eval_seconds", _float, nullable=False),
        *(pa.field(metric, _float, nullable=False) for metric in METRICS),
    ]
)
"""A row per evaluation on validation, and one row on test per run, whose step is the last.

`config` numbers the configurations of a model, 0 is its untuned default; `hyperparameters` is a
JSON object; `step` counts optimizer steps; seconds are sums since the run's first step.
"""

Key = tuple[str, int, int]
"""Model, configuration, seed."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One recorded run of one configuration of a model, with one seed, at full budget."""

    model: str
    config: int
    seed: int
    hyperparameters: str
    """A JSON object; what was searched."""
    evaluations: tuple[Evaluation, ...]
    """On the validation split, with rising steps; the last is at full budget."""
    test_metrics: Mapping[str, float]
    """Of the best validation checkpoint."""

    @property
    def budget(self) -> int:
        """Optimizer steps of the whole run."""
        return self.evaluations[-1].step


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long the parts of a run take."""

    seconds_per_step: float
    seconds_per_evaluation: float


@dataclass(frozen=True)
class Recording:
    """All curves of a file, by model, configuration and seed, and how they were recorded."""

    curves: Mapping[Key, Curve]
    manifest: Mapping[str, Any]

    @cached_property
    def seeds(self) -> Mapping[str, Mapping[int, tuple[int, ...]]]:
        """The recorded seeds of each configuration of each model, all in the file's order."""
        found: dict[str, dict[int, tuple[int, ...]]] = {}
        for model, config, seed in self.curves:
            of_model = found.setdefault(model, {})
            of_model[config] = (*of_model.get(config, ()), seed)
        return found

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""
        return tuple(self.seeds)

    def budget_of(self, model: str) -> int:
        """Return the optimizer steps of the model's untuned default."""
        return self.curves[model, 0, self.seeds[model][0][0]].budget

    def pace_of(self, model: str) -> Pace:
        """Return the model's median seconds per optimizer step and per evaluation.

        Medians over its runs, not each run's own times: the recording machine was shared.
        """
        runs = [curve.evaluations for curve in self.curves.values() if curve.model == model]
        return Pace(
            seconds_per_step=median(run[-1].train_seconds / run[-1].step for run in runs),
            seconds_per_evaluation=median(run[-1].eval_seconds / len(run) for run in runs),
        )

    def test_mean(self, model: str, config: int, metric: str) -> float:
        """Return a test metric of a configuration, the mean over its recorded seeds."""
        seeds = self.seeds[model][config]
        return fmean(self.curves[model, config, seed].test_metrics[metric] for seed in seeds)


def load(path: Path = PATH) -> Recording:
    """Read a file of curves.

    Raises:
        UserError: there is no such file, or it isn't one of whole curves; names every fault.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist. Expected the file of recorded learning curves.")
    table = pq.read_table(path)
    _require(path, _column_problems(table.schema))
    groups: dict[Key, list[dict[str, Any]]] = {}
    for row in table.select(SCHEMA.names).to_pylist():
        groups.setdefault((row["model"], row["config"], row["seed"]), []).append(row)
    _require(path, _curve_problems(groups))
    manifest = json.loads((table.schema.metadata or {}).get(MANIFEST_KEY, b"{}"))
    return Recording({key: _curve(rows) for key, rows in groups.items()}, manifest)


def _require(path: Path, problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise UserError(
            f"{path} is no file of learning curves: {'; '.join(found)}. Record it again with "
            "the schema of benchmarks.replay.curves."
        )


def _column_problems(schema: pa.Schema) -> Iterator[str]:
    missing = [name for name in SCHEMA.names if name not in schema.names]
    if missing:
        yield f"columns missing: {', '.join(missing)}"
    for field in SCHEMA:
        if field.name in schema.names and schema.field(field.name).type != field.type:
            found = schema.field(field.name).type
            yield f"column {field.name} is {found}, expected {field.type}"


def _curve_problems(groups: Mapping[Key, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    if not groups:
        yield "it has no rows"
    for model in dict.fromkeys(model for model, _, _ in groups):
        if all((model, 0) != key[:2] for key in groups):
            yield f"{model} has no configuration 0, its untuned default"
    for (model, config, seed), rows in groups.items():
        where = f"{model}, configuration {config}, seed {seed}"
        steps = [row["step"] for row in rows if row["split"] == "validation"]
        tests = [row["step"] for row in rows if row["split"] == "test"]
        if not steps or steps != sorted(set(steps)) or steps[0] < 1:
            yield f"{where}: steps on validation don't rise from at least 1: {steps}"
        elif tests != steps[-1:]:
            yield f"{where}: expected one row on test at step {steps[-1]}, found steps {tests}"


def _curve(rows: Sequence[Mapping[str, Any]]) -> Curve:
    (test,) = (row for row in rows if row["split"] == "test")
    return Curve(
        model=test["model"],
        config=test["config"],
        seed=test["seed"],
        hyperparameters=test["hyperparameters"],
        evaluations=tuple(_evaluation(row) for row in rows if row["split"] == "validation"),
        test_metrics=_metrics(test),
    )


def _evaluation(row: Mapping[str, Any]) -> Evaluation:
    return Evaluation(
        step=row["step"],
        epoch=math.nan,  # not recorded: no scheduler reads it
        examples_seen=row["examples_seen"],
        train_seconds=row["train_seconds"],
        eval_seconds=row["eval_seconds"],
        metrics=_metrics(row),
    )


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    return {metric: row[metric] for metric in METRICS}
