"""Builds the records of runs that never took place, by formula; for tests of what reads them.

`python -m tests.runs` writes tests/golden/report.md again; look at its diff before you keep it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from raycompare.analysis.comparison import Comparison, compare
from raycompare.experiment.file import write_experiment
from raycompare.experiment.spec import TF_IDF, Experiment
from raycompare.metrics import MODES
from raycompare.records.manifest import Manifest
from raycompare.records.messages import Stage
from raycompare.records.rows import (
    BaselineFailure,
    BaselineRecord,
    EvalRecord,
    InferenceFailure,
    InferenceRecord,
    InferenceRound,
    ScreenRecord,
    TrialRecord,
)
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.report.drawing.registry import shown_figures
from raycompare.report.drawing.style import THEMES
from raycompare.report.write import render

GOLDEN = Path(__file__).parent / "golden" / "report.md"
STEPS_BETWEEN, PLANNED_STEPS = 50, 400
LABEL_PROBABILITY = exp(-1.4 / 0.75)
"""Of the right label in a wrong answer, so that the mean loss is that of `scores`."""
ROUNDS, NOISE = 10, (0.99, 1.0, 1.02, 1.0, 0.98)
"""How often models were measured, and what the machine made of it."""
STOP = "not in the best part of the rung at step 100"


@dataclass
class Run:
    """All that a report is made of."""

    experiment: Experiment
    manifest: Manifest
    trials: list[TrialRecord] = field(default_factory=list)
    evaluations: list[EvalRecord] = field(default_factory=list)
    baselines: list[BaselineRecord] = field(default_factory=list)
    baseline_failures: list[BaselineFailure] = field(default_factory=list)
    inference: list[InferenceRecord] = field(default_factory=list)
    inference_rounds: list[InferenceRound] = field(default_factory=list)
    inference_failures: list[InferenceFailure] = field(default_factory=list)
    screened: list[ScreenRecord] = field(default_factory=list)
    has_predictions: bool = True

    def add(self, trial: TrialRecord, quality: float, test: float | None = None) -> TrialRecord:
        """Add a trial whose validation MCC rises towards `quality`, with its evaluations."""
        began = 30.0 * (len(self.trials) // 4)
        rows = _course(trial, quality, began)
        metric = self.experiment.tune.metric
        pick = max if MODES[metric] == "max" else min
        best = pick(rows, key=lambda row: getattr(row, metric), default=None)
        if best:
            trial = replace(trial, best_step=best.step, best_value=getattr(best, metric))
        self.trials.append(trial)
        self.evaluations += rows
        if test is not None:
            last = rows[-1]
            self.evaluations.append(
                replace(last, split="test", **scores(test), experiment_seconds=999.0)
            )
        return trial

    def tune(self, model: str, *qualities: float, **changes: Any) -> None:
        """Add trials of the tune stage; the first is the untuned default."""
        for quality in qualities:
            is_default = not any(t.stage == "tune" and t.model == model for t in self.trials)
            self.add(self._trial(model, "tune", 42, is_default, changes), quality)

    def confirm(
        self, model: str, tests: Sequence[float], is_default: bool = False, **changes: Any
    ) -> None:
        """Add tested finalists, one per seed, with these test MCCs."""
        for seed, test in enumerate(tests, 1):
            self.add(self._trial(model, "confirm", seed, is_default, changes), test + 0.01, test)

    def fail(self, model: str, stage: Stage, error: str, seed: int = 42) -> None:
        """Add a trial that raised before its first evaluation."""
        trial = self._trial(model, stage, seed, is_default=False, changes={})
        self.trials.append(
            replace(
                trial,
                status="errored",
                ending="error",
                reason=error,
                error=f"Traceback (most recent call last):\n  ...\n{error}",
                steps=0,
                train_seconds=None,
                eval_seconds=None,
            )
        )

    def baseline(self, mcc: float, **changes: Any) -> None:
        """Add TF-IDF with this test MCC."""
        record = BaselineRecord(
            name=TF_IDF,
            trial_id="baseline-tf-idf",
            hyperparameters=json.dumps({"C": 10.0, "converged": True}),
            num_parameters=400_004,
            seconds=12.3,
            hostname="node-1",
            validation=scores(mcc + 0.01)[self.experiment.tune.metric],
            **scores(mcc),
        )
        self.baselines.append(replace(record, **changes))

    def measure(self, model: str, milliseconds: float, **changes: Any) -> None:
        """Add what it takes to use a model, a text of which takes so long."""
        record = InferenceRecord(
            model=model,
            device="cpu",
            hostname="node-1",
            processor="Example 9000",
            num_threads=4,
            precision="fp32",
            texts=200,
            latency_p50_ms=milliseconds,
            latency_p95_ms=1.5 * milliseconds,
            batch_size=64,
            texts_per_second=2500 / milliseconds,
            num_parameters=round(2e6 * milliseconds),
            weight_bytes=round(8e6 * milliseconds),
            peak_memory_bytes=round(6e8 + 1e7 * milliseconds),
        )
        self.inference.append(replace(record, **changes))
        others = len({row.model for row in self.inference_rounds} - {model})
        noise = [NOISE[(1 + others) * number % len(NOISE)] for number in range(ROUNDS)]
        self.take_turns(model, [milliseconds * factor for factor in noise])

    def take_turns(self, model: str, times: Sequence[float], busy_cpus: float = 0.1) -> None:
        """Replace the rounds of a model by ones with these median latencies."""
        others = [row for row in self.inference_rounds if row.model != model]
        turns = [
            InferenceRound(
                model=model,
                round=number,
                place=1 + (number + len(others)) % 3,
                texts=20,
                latency_p50_ms=time,
                latency_p95_ms=1.5 * time,
                texts_per_second=2500 / time,
                busy_cpus=busy_cpus,
                cpus=16,
                loaded_for_round=False,
            )
            for number, time in enumerate(times, 1)
        ]
        self.inference_rounds = [*others, *turns]

    def compare(self) -> Comparison:
        """Compare the models by the records so far."""
        return compare(self.records, self.predictions())

    @property
    def records(self) -> Records:
        """Return all but the predictions."""
        return Records(
            experiment=self.experiment,
            manifest=self.manifest,
            trials=self.trials,
            evaluations=self.evaluations,
            baselines=self.baselines,
            baseline_failures=self.baseline_failures,
            inference=self.inference,
            inference_rounds=self.inference_rounds,
            inference_failures=self.inference_failures,
            screened=self.screened,
        )

    def predictions(self) -> list[tuple[str, pa.Table]]:
        """Return what each tested finalist and baseline answered, by its trial id."""
        tests = [row for row in self.evaluations if row.split == "test" and self.has_predictions]
        fitted = self.baselines if self.has_predictions else []
        mccs = {row.trial_id: row.matthews_correlation for row in tests}
        finalists = [trial for trial in self.trials if trial.trial_id in mccs]
        return [
            *((t.trial_id, answers(t.model, t.seed, mccs[t.trial_id])) for t in finalists),
            *((row.trial_id, answers(row.name, 42, row.matthews_correlation)) for row in fitted),
        ]

    def write(self, place: Path) -> RunFolder:
        """Write the run folder, manifest last."""
        folder = RunFolder.at(place)
        folder.write_text("experiment.yaml", write_experiment(self.experiment))
        folder.write_rows(self.trials, TrialRecord)
        folder.write_rows(self.evaluations, EvalRecord)
        if self.baselines:
            folder.write_rows(self.baselines, BaselineRecord)
        folder.write_rows(self.baseline_failures, BaselineFailure)
        folder.write_rows(self.inference, InferenceRecord)
        folder.write_rows(self.inference_rounds, InferenceRound)
        folder.write_rows(self.inference_failures, InferenceFailure)
        if self.screened:
            folder.write_rows(self.screened, ScreenRecord)
        for trial_id, table in self.predictions():
            name = f"predictions/{trial_id.replace('/', '-')}.parquet"
            ids = pa.array([trial_id] * table.num_rows)
            folder.write_table(name, table.append_column("trial_id", ids))
        folder.write_manifest(self.manifest)
        return folder

    def _trial(
        self, model: str, stage: Stage, seed: int, is_default: bool, changes: Mapping[str, Any]
    ) -> TrialRecord:
        order = sum(trial.stage == stage for trial in self.trials)
        rank = [spec.name for spec in self.experiment.models].index(model)
        number = order if stage == "tune" else rank
        searched = {"learning_rate": 1.234567e-5 * (1 + number), "warmup_steps": 10 * number}
        trial = TrialRecord(
            trial_id=f"{model}-{stage}-{order:02}",
            stage=stage,
            model=model,
            order=order,
            seed=seed,
            is_default=is_default,
            hyperparameters=json.dumps({} if is_default else searched),
            status="completed",
            ending="full_budget",
            reason="full budget",
            steps=PLANNED_STEPS,
            planned_steps=PLANNED_STEPS,
            num_parameters=14_000_000 + 8_000_000 * rank,
            train_seconds=60.0 + 23.4 * rank,
            eval_seconds=4.2 + rank,
            test_seconds=2.0,
            startup_seconds=0.5,
            started_at="2026-01-02T03:04:05+00:00",
            device="cpu",
            hostname="node-1",
            num_threads=4,
        )
        trial = replace(trial, **changes)
        assert trial.train_seconds is not None
        return replace(trial, train_seconds=trial.train_seconds * trial.steps / PLANNED_STEPS)


def scores(mcc: float) -> dict[str, Any]:
    """Return all metrics of a four-class test with this MCC."""
    accuracy = 0.25 + 0.75 * mcc
    return {
        "loss": 1.4 * (1 - mcc),
        "matthews_correlation": mcc,
        "accuracy": accuracy,
        "macro_f1": accuracy - 0.002,
        "macro_precision": accuracy,
        "macro_recall": accuracy,
    }


def answers(model: str, seed: int, mcc: float) -> pa.Table:
    """Return answers to 1,000 examples of four classes with about this MCC, and the loss of it.

    Some examples are hard for all; each trial adds its own luck.
    """
    rows = 1000
    luck = np.random.default_rng([seed, *model.encode()])
    difficulty = np.random.default_rng(5).random(rows) + 0.3 * luck.random(rows)
    labels = np.arange(rows) % 4
    wrong = round(0.75 * (1 - mcc) * rows)
    hardest = np.argsort(-difficulty)[:wrong]
    predictions = labels.copy()
    predictions[hardest] = (labels[hardest] + 1 + np.arange(wrong) % 3) % 4
    probabilities = np.eye(4)[predictions]
    probabilities[hardest] *= 1 - LABEL_PROBABILITY
    probabilities[hardest, labels[hardest]] = LABEL_PROBABILITY
    return pa.table(
        {
            "example_id": np.arange(rows),
            "label": labels,
            "prediction": predictions,
            "probabilities": list(probabilities.astype(np.float32)),
        }
    )


def _course(trial: TrialRecord, quality: float, began: float) -> list[EvalRecord]:
    return [
        EvalRecord(
            trial_id=trial.trial_id,
            stage=trial.stage,
            model=trial.model,
            split="validation",
            step=step,
            epoch=step / 100,
            examples_seen=16 * step,
            train_seconds=0.15 * step,
            experiment_seconds=began + 0.17 * step,
            **scores(quality * (1 - exp(-step / 90)) - 0.08 * exp(-step / 40)),
        )
        for step in range(STEPS_BETWEEN, trial.steps + 1, STEPS_BETWEEN)
    ]


def experiment(*models: str, **sections: Any) -> Experiment:
    """Return an experiment on news with these models."""
    content = {
        "name": "ag-news",
        "data": {"dataset": "fancyzhx/ag_news", "limit": {"train": 2000, "test": 1000}},
        "models": list(models),
        "training": {"learning_rate": 5e-5, "num_train_epochs": 4},
        "search_space": {
            "learning_rate": {"loguniform": [1e-5, 1e-4]},
            "warmup_steps": {"randint": [0, 500]},
        },
        **sections,
    }
    return TypeAdapter(Experiment).validate_json(json.dumps(content))


def manifest(of: Experiment) -> Manifest:
    """Return the manifest of a run of this experiment on one machine."""
    return Manifest(
        run_id="20260102-030405-abc123",
        name=of.name,
        experiment_hash=of.content_hash,
        created_at="2026-01-02T03:04:05+00:00",
        finished_at="2026-01-02T03:24:05+00:00",
        command="raycompare run experiment.yaml",
        data={
            "dataset": of.data.dataset,
            "hash": "0123456789abcdef",
            "labels": ["World", "Sports", "Business", "Sci/Tech"],
            "rows": {"train": 2000, "validation": 500, "test": 1000},
            "max_length": {model.name: 256 for model in of.models},
            "test_label_counts": {"World": 251, "Sports": 256, "Business": 249, "Sci/Tech": 244},
        },
        seeds={"experiment": of.seed, "confirm": list(of.confirm.seeds)},
        versions={"python": "3.11.9", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.23.0"},
        git_revision="9f8e7d6c5b4a39281706f5e4d3c2b1a098765432",
        hardware=[
            {
                "hostname": "node-1",
                "cpus": 16.0,
                "gpus": 1.0,
                "cpu_model": "Example 9000",
                "memory_bytes": 128 * 2**30,
            }
        ],
        seconds={"check": 4.2, "tune": 741.0, "confirm": 455.0, "total": 1200.2},
    )


def empty(*models: str, **sections: Any) -> Run:
    """Return a run in which nothing has happened yet."""
    planned = experiment(*models, **sections)
    return Run(planned, manifest(planned))


def typical() -> Run:
    """Return a run of three models: two close ones, one behind; stops, a failure, divergence."""
    run = empty("minilm-2", "minilm-3", "bert|tiny")
    run.tune("minilm-2", 0.80, 0.83)
    run.tune("minilm-3", 0.82, 0.86)
    run.tune("bert|tiny", 0.70, 0.66)
    for model, quality in [("minilm-2", 0.5), ("minilm-3", 0.4), ("bert|tiny", 0.1)]:
        run.tune(model, quality, status="stopped_early", ending="rung", reason=STOP, steps=100)
    patience = "no better for 3 evaluations"
    run.tune("minilm-2", 0.81, ending="patience", reason=patience, steps=300)
    run.tune(
        "bert|tiny",
        -0.02,
        status="stopped_early",
        ending="diverged",
        reason="loss is nan at step 160",
        steps=150,
    )
    run.fail("minilm-3", "tune", "OutOfMemoryError: CUDA out of memory | tried <2 GiB>")
    run.confirm("minilm-3", [0.826, 0.830, 0.836])
    run.confirm("minilm-2", [0.815, 0.824, 0.829])
    run.confirm("bert|tiny", [0.690, 0.700, 0.705], is_default=True)
    for model, milliseconds in [("minilm-3", 12.34), ("minilm-2", 8.05), ("bert|tiny", 3.2)]:
        run.measure(model, milliseconds)
    return run


def many(models: int) -> Run:
    """Return a run of many models with three trials each."""
    names = [f"organisation/a-pretrained-model-{number:02}" for number in range(models)]
    run = empty(*names)
    for number, name in enumerate(names):
        quality = 0.9 - 0.03 * number
        run.tune(name, quality - 0.05, quality)
        run.tune(name, quality - 0.3, status="stopped_early", ending="rung", reason=STOP, steps=100)
    for number, name in enumerate(names):
        quality = 0.9 - 0.03 * number
        run.confirm(name, [quality - 0.005, quality, quality + 0.004])
    return run


def typical_report() -> str:
    """Return the report that tests/golden/report.md holds."""
    run = typical()
    run.baseline(0.76)
    comparison = run.compare()
    paths = {
        figure.name: {theme.suffix: f"figures/{figure.name}{theme.suffix}.png" for theme in THEMES}
        for figure in shown_figures(comparison)
    }
    return render(comparison, paths)


if __name__ == "__main__":
    GOLDEN.write_text(typical_report(), encoding="utf-8")
