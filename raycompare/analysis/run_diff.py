"""Differences between two runs and their results, for `raycompare diff`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np

from raycompare.analysis.before_after import AFTER, RunPredictions, judge_runs
from raycompare.analysis.cost import cost_of
from raycompare.analysis.leaderboard import Spread, leaderboard, shown_metrics
from raycompare.analysis.statistics.pairwise import LEVEL, PairTest
from raycompare.experiment.spec import Experiment
from raycompare.metrics import MetricName
from raycompare.records.manifest import TOTAL
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import Snapshot, State

NOT_THERE = "(not there)"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A value that differs between two runs."""

    where: str
    """A dotted path of the experiment file, a package, or a kind of machine."""
    first: Any
    second: Any


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two runs."""

    folder: str
    run_id: str
    state: State
    seconds: float
    usd: float | None

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Return the folder, state, duration and cost of a run."""
        manifest, cost = snapshot.records.manifest, cost_of(snapshot.records)
        return cls(
            folder=snapshot.folder.shown,
            run_id=manifest.run_id,
            state=snapshot.state,
            seconds=manifest.seconds.get(TOTAL, 0.0),
            usd=cost.whole.usd if cost.price else None,
        )


@dataclass(frozen=True, kw_only=True)
class ModelDiff:
    """A model of both runs. Differences are the second run minus the first."""

    model: str
    first: Mapping[MetricName, Spread]
    """Test scores in the first run; empty if the model was not tested."""
    second: Mapping[MetricName, Spread]
    test: PairTest | None
    """The test that the report uses for two models, by the deciding metric."""
    p_holm: float | None
    """p value with Holm's correction for all tested models."""
    untested: str | None
    """The reason why there is no test."""

    @property
    def differences(self) -> dict[MetricName, float]:
        """Differences of the mean test scores."""
        if not self.second:
            return {}
        return {name: self.second[name].mean - own.mean for name, own in self.first.items()}

    @property
    def apart(self) -> bool:
        """Whether the two differ significantly, at 5 % over all models together."""
        return self.p_holm is not None and self.p_holm < LEVEL


@dataclass(frozen=True, kw_only=True)
class RunDiff:
    """Differences between two runs."""

    first: Side
    second: Side
    metric: MetricName
    """The deciding metric of the first run."""
    experiment: tuple[Difference, ...]
    data: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    machines: tuple[Difference, ...]
    models: tuple[ModelDiff, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    caveats: tuple[str, ...]


def diff(first: RunFolder, second: RunFolder) -> RunDiff:
    """Compare two runs; of a run in progress, what it has so far.

    Raises:
        UserError: a folder is not a run folder.
    """
    now = datetime.now(UTC)
    sides = Snapshot.of(first, now), Snapshot.of(second, now)
    records = sides[0].records, sides[1].records
    manifests = records[0].manifest, records[1].manifest
    experiments = records[0].experiment, records[1].experiment
    names = tuple([model.name for model in side.models] for side in experiments)
    return RunDiff(
        first=Side.of(sides[0]),
        second=Side.of(sides[1]),
        metric=_decides(sides[0]),
        experiment=_changes(_settings(side, {*names[0]} & {*names[1]}) for side in experiments),
        data=_changes(_data(side.data) for side in manifests),
        versions=_changes(
            {
                **side.versions,
                "raycompare's git revision": side.git_revision,
                "raycompare's sources": side.source_hash,
            }
            for side in manifests
        ),
        machines=_changes(_machines(side.hardware) for side in manifests),
        models=_models(*sides),
        only_first=tuple(name for name in names[0] if name not in names[1]),
        only_second=tuple(name for name in names[1] if name not in names[0]),
        caveats=tuple(_caveats(*sides)),
    )


def _settings(experiment: Experiment, spelled_out: Collection[str]) -> dict[str, Any]:
    """Return all settings keyed by dotted path; only the checkpoint of models of one run."""
    content = experiment.to_file()
    models = {model.pop("name"): model for model in content.pop("models")}
    shown = {
        name: model if name in spelled_out else model["checkpoint"]
        for name, model in models.items()
    }
    return dict(_flat({**content, "models": shown}))


def _flat(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        where = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, where)
        else:
            yield where, value


def _changes(sides: Iterable[Mapping[str, Any]]) -> tuple[Difference, ...]:
    """Return the differences, in the order of the first side, then what only the second has."""
    first, second = sides
    return tuple(
        Difference(where=where, first=values[0], second=values[1])
        for where in dict.fromkeys([*first, *second])
        if (values := (first.get(where, NOT_THERE), second.get(where, NOT_THERE)))
        and values[0] != values[1]
    )


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    rows = {f"rows.{split}": number for split, number in data.get("rows", {}).items()}
    made_from = {f"checkpoints.{k}": text for k, text in data.get("checkpoints", {}).items()}
    return {"dataset": data.get("dataset"), "hash": data.get("hash"), **rows, **made_from}


def _machines(hardware: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return dict(
        Counter(
            f"{row.get('cpu_model') or 'unknown processor'}, {row.get('cpus', 0):g} CPUs, "
            f"{row.get('gpus', 0):g} GPUs"
            for row in hardware
        )
    )


def _decides(first: Snapshot) -> MetricName:
    return first.records.experiment.tune.metric


def _scores(side: Snapshot, metric: MetricName) -> dict[str, dict[MetricName, Spread]]:
    return {
        row.model: {name: row.test[name] for name in shown_metrics(metric) if name in row.test}
        for row in leaderboard(side.records)
    }


def _models(first: Snapshot, second: Snapshot) -> tuple[ModelDiff, ...]:
    tested = (
        RunPredictions.of(first.folder, first.records),
        RunPredictions.of(second.folder, second.records),
    )
    scores = _scores(first, _decides(first)), _scores(second, _decides(first))
    models = []
    for name in (name for name in scores[0] if name in scores[1]):
        result = _test(first, second, tested, name)
        models.append(
            ModelDiff(
                model=name,
                first=scores[0][name],
                second=scores[1][name],
                test=result if isinstance(result, PairTest) else None,
                p_holm=None,
                untested=result if isinstance(result, str) else None,
            )
        )
    p = iter(holm([model.test.p_corrected for model in models if model.test]))
    return tuple(replace(model, p_holm=next(p)) if model.test else model for model in models)


def holm(p: Sequence[float]) -> list[float]:
    """Return the p values with Holm's step-down correction (1979), in the same order."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return [float(value) for value in adjusted]


def _test(
    first: Snapshot, second: Snapshot, tested: tuple[RunPredictions, RunPredictions], model: str
) -> PairTest | str:
    """Test one model of both runs, or return why that is not possible."""
    for side, own in zip((first, second), tested, strict=True):
        if not any(trial.model == model for trial in own.finalists):
            return f"it was not tested in {side.records.manifest.run_id}"
    datasets = [side.records.experiment.data.dataset for side in (first, second)]
    if datasets[0] != datasets[1]:
        return f"the test rows come from different data: {datasets[0]}, {datasets[1]}"
    judgement = judge_runs(*tested, model, _decides(first))
    if judgement.gap is not None:
        return f"no paired test: {judgement.gap}"
    (pair,) = judgement.pairs
    assert pair.first == AFTER
    return pair.test or judgement.why_untested(pair.first, pair.second)


def _caveats(first: Snapshot, second: Snapshot) -> Iterator[str]:
    records = first.records, second.records
    hashes = [side.manifest.data.get("hash") for side in records]
    metrics = [side.experiment.tune.metric for side in records]
    if hashes[0] != hashes[1]:
        yield (
            "the data differs (see its hash): models are tested only if the test rows of both "
            "runs have the same numbers and labels; their texts are assumed to be the same"
        )
    if metrics[0] != metrics[1]:
        yield f"the runs selected by different metrics: {metrics[0]}, {metrics[1]}"
    for side in (first, second):
        if side.state != "finished":
            yield f"{side.records.manifest.run_id} has not finished ({side.state})"
