"""`raycompare diff`: what two runs did differently, and what came of it, as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from raycompare.analysis.before_after import AFTER, RunPredictions, judge_runs
from raycompare.analysis.cost import cost_of
from raycompare.analysis.leaderboard import ModelRow, Spread, leaderboard, shown_metrics
from raycompare.analysis.pairwise import LEVEL, MeanTest, holm
from raycompare.experiment.spec import Experiment
from raycompare.metrics import MetricName
from raycompare.records.manifest import TOTAL
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import Snapshot, State

NOT_THERE = "(not there)"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not the same."""

    where: str
    """A dotted path of the experiment file, a package, or a machine's name in words."""
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
        """Name a run, and what it took."""
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
    """Of the test; empty if it was not tested."""
    second: Mapping[MetricName, Spread]
    test: MeanTest | None
    """The report's test of two models, by the metric that decides; its `p` is of this one alone."""
    p_holm: float | None
    """Corrected for the models that were tested."""
    untested: str | None
    """Why there is no test."""

    @property
    def differences(self) -> dict[MetricName, float]:
        """Of the mean test values."""
        if not self.second:
            return {}
        return {name: self.second[name].mean - own.mean for name, own in self.first.items()}

    @property
    def apart(self) -> bool:
        """Whether the two differ, at 5 % over all models together."""
        return self.p_holm is not None and self.p_holm < LEVEL


@dataclass(frozen=True, kw_only=True)
class RunDiff:
    """What is not the same in two runs."""

    first: Side
    second: Side
    metric: MetricName
    """That the first run's experiment decides by, or MCC where it is the loss."""
    experiment: tuple[Difference, ...]
    data: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    machines: tuple[Difference, ...]
    models: tuple[ModelDiff, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    caveats: tuple[str, ...]


def diff(first: RunFolder, second: RunFolder) -> RunDiff:
    """Compare two runs; one that has not ended, as far as it is.

    Raises:
        UserError: one of the folders is not that of a run.
    """
    now = datetime.now(UTC)
    sides = Snapshot.of(first, now), Snapshot.of(second, now)
    records = sides[0].records, sides[1].records
    manifests = records[0].manifest, records[1].manifest
    experiments = records[0].experiment, records[1].experiment
    names = tuple([model.name for model in one.models] for one in experiments)
    return RunDiff(
        first=Side.of(sides[0]),
        second=Side.of(sides[1]),
        metric=_decides(sides[0]),
        experiment=tuple(
            changes(*(settings(one, {*names[0]} & {*names[1]}) for one in experiments))
        ),
        data=tuple(changes(*(_data(one.data) for one in manifests))),
        versions=tuple(
            changes(
                *(
                    {**one.versions, "raycompare's git revision": one.git_revision}
                    for one in manifests
                )
            )
        ),
        machines=tuple(changes(*(_machines(one.hardware) for one in manifests))),
        models=_models(*sides),
        only_first=tuple(name for name in names[0] if name not in names[1]),
        only_second=tuple(name for name in names[1] if name not in names[0]),
        caveats=tuple(_caveats(*sides)),
    )


def settings(experiment: Experiment, spelled_out: Collection[str]) -> dict[str, Any]:
    """Return every setting by its dotted path, defaults filled in; models go by their names.

    Of a model that is not among `spelled_out` there is only the checkpoint.
    """
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


def changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    """Return what differs, in the order of the first, then what only the second has."""
    for where in dict.fromkeys([*first, *second]):
        values = first.get(where, NOT_THERE), second.get(where, NOT_THERE)
        if values[0] != values[1]:
            yield Difference(where=where, first=values[0], second=values[1])


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    known = {"dataset": data.get("dataset"), "hash": data.get("hash")}
    return {**known, **{f"rows.{name}": rows for name, rows in data.get("rows", {}).items()}}


def _machines(hardware: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the machines of each kind."""
    return dict(
        Counter(
            f"{row.get('cpu_model') or 'unknown processor'}, {row.get('cpus', 0):g} CPUs, "
            f"{row.get('gpus', 0):g} GPUs"
            for row in hardware
        )
    )


def _decides(first: Snapshot) -> MetricName:
    metric = first.records.experiment.tune.metric
    return "matthews_correlation" if metric == "loss" else metric


def _rows(side: Snapshot) -> dict[str, ModelRow]:
    return {row.model: row for row in leaderboard(side.records)}


def _models(first: Snapshot, second: Snapshot) -> tuple[ModelDiff, ...]:
    rows = _rows(first), _rows(second)
    tested = (
        RunPredictions.of(first.folder, first.records),
        RunPredictions.of(second.folder, second.records),
    )
    shown = shown_metrics(_decides(first))
    found = [
        _model(
            name,
            tuple({m: r[name].test[m] for m in shown if m in r[name].test} for r in rows),
            _test(first, second, tested, name),
        )
        for name in rows[0]
        if name in rows[1]
    ]
    p = iter(holm([model.test.p for model in found if model.test]))
    return tuple(replace(model, p_holm=next(p)) if model.test else model for model in found)


def _model(
    name: str,
    tests: Sequence[Mapping[MetricName, Spread]],
    outcome: MeanTest | str,
) -> ModelDiff:
    first, second = tests
    tested, why = (outcome, None) if isinstance(outcome, MeanTest) else (None, outcome)
    return ModelDiff(model=name, first=first, second=second, test=tested, p_holm=None, untested=why)


def _test(
    first: Snapshot, second: Snapshot, tested: tuple[RunPredictions, RunPredictions], model: str
) -> MeanTest | str:
    """Test one model of both runs, or say why that is not possible."""
    for side, own in zip((first, second), tested, strict=True):
        if not any(trial.model == model for trial in own.finalists):
            return f"it was not tested in {side.records.manifest.run_id}"
    datasets = [side.records.experiment.data.dataset for side in (first, second)]
    if datasets[0] != datasets[1]:
        return f"the test rows are of other data: {datasets[0]}, {datasets[1]}"
    judgement = judge_runs(*tested, model, _decides(first))
    if judgement.gap is not None:
        return f"no paired test: {judgement.gap}"
    (pair,) = judgement.pairs
    assert pair.first == AFTER
    return pair.test or "one seed says nothing of others"


def _caveats(first: Snapshot, second: Snapshot) -> Iterator[str]:
    records = first.records, second.records
    hashes = [one.manifest.data.get("hash") for one in records]
    metrics = [one.experiment.tune.metric for one in records]
    if hashes[0] != hashes[1]:
        yield (
            "the data differs (see its hash): tests are made only where the test rows of both "
            "have the same numbers and labels, and their texts are taken to be the same"
        )
    if metrics[0] != metrics[1]:
        yield f"the runs chose by other metrics: {metrics[0]}, {metrics[1]}"
    for side in (first, second):
        if side.state != "finished":
            yield f"{side.records.manifest.run_id} is not finished ({side.state})"
