"""All tables of the report at full precision, for CSV and Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

import pyarrow as pa
import pyarrow.csv as pa_csv

from raycompare.analysis.comparison import Comparison, Configuration
from raycompare.analysis.leaderboard import BaselineRow, ModelRow, shown_metrics
from raycompare.analysis.spending import ModelCost, StageCost, TrialCost
from raycompare.analysis.statistics.pairwise import Pair
from raycompare.metrics import MODES
from raycompare.records.arrow import table_of
from raycompare.records.rows import TrialRecord
from raycompare.report.drawing.registry import figures_of

Row = Mapping[str, object]


def tables(comparison: Comparison) -> dict[str, pa.Table]:
    """Return the tables that have rows, keyed by name."""
    rows: dict[str, Iterable[Row]] = {
        "leaderboard": _leaderboard(comparison),
        "pairs": map(_pair, comparison.judgement.pairs),
        "hyperparameters": map(_configuration, comparison.configurations),
        "importance": _importance(comparison),
        "search": map(_search, comparison.leaderboard),
        "screening": map(asdict, comparison.screened),
        "classes": _classes(comparison),
        "doubtful_rows": _doubtful_rows(comparison),
        "flags": map(asdict, comparison.flags),
        "failures": map(asdict, comparison.failures),
        "inference": map(asdict, comparison.inference),
        "inference_rounds": map(asdict, comparison.records.inference_rounds),
        "cost_stages": map(_stage_cost, [*comparison.cost.stages, comparison.cost.whole]),
        "cost_models": map(_model_cost, comparison.cost.models),
        "cost_trials": map(_trial_cost, comparison.cost.trials),
        "data": _data(comparison),
        "machines": comparison.manifest.hardware,
        "packages": _packages(comparison),
        **{figure.name: figure.rows() for figure in figures_of(comparison)},
    }
    made = {name: _table(list(own)) for name, own in rows.items()}
    made["trials"] = table_of(comparison.trials, TrialRecord)
    return {name: table for name, table in made.items() if table.num_rows}


def csv_text(table: pa.Table) -> str:
    """Return a table as CSV, with empty cells for missing values."""
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(quoting_style="needed"))
    return str(sink.getvalue().to_pybytes().decode())


def _table(rows: Sequence[Row]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _leaderboard(comparison: Comparison) -> Iterator[Row]:
    models = {row.model: rank for rank, row in enumerate(comparison.leaderboard, 1)}
    columns = _place(comparison, 1, comparison.leaderboard[0])
    for line in comparison.standings:
        if isinstance(line, BaselineRow):
            yield {**dict.fromkeys(columns), **_baseline(comparison, line)}
        else:
            yield _place(comparison, models[line.model], line)


def _baseline(comparison: Comparison, row: BaselineRow) -> Row:
    return {
        "model": row.model,
        "kind": "baseline",
        **_standing(comparison, row.model),
        "tier": comparison.judgement.tiers.get(row.model),
        **{f"test_{name}_mean": value for name, value in row.test.items()},
        **_intervals(comparison, row.model),
        f"validation_{comparison.metric}": row.validation,
        "num_parameters": row.num_parameters,
        "train_seconds": row.seconds,
    }


def _place(comparison: Comparison, rank: int, row: ModelRow) -> Row:
    ranks = comparison.judgement.ranks.get(row.model)
    return {
        "rank": rank if row.test else None,
        "model": row.model,
        "kind": "model",
        **_standing(comparison, row.model),
        "tier": comparison.judgement.tiers.get(row.model),
        "best_rank": ranks.best if ranks else None,
        "worst_rank": ranks.worst if ranks else None,
        "seeds": row.seeds_done,
        "seeds_planned": row.seeds_planned,
        **_scores(row),
        **_intervals(comparison, row.model),
        f"validation_{comparison.metric}": row.validation,
        "num_parameters": row.num_parameters,
        "train_seconds": row.train_seconds,
        "eval_seconds": row.eval_seconds,
        "steps_to_best": row.steps_to_best,
        **{str(status): number for status, number in row.counts.items()},
        "reason": row.reason,
    }


def _standing(comparison: Comparison, model: str) -> Row:
    standing = comparison.judgement.standings.get(model)
    return {
        "may_be_best": standing.may_be_best if standing else None,
        "p_best": standing.p if standing else None,
        "detectable": standing.missed if standing else None,
    }


def _scores(row: ModelRow) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for name in MODES:
        spread = row.test.get(name)
        scores[f"test_{name}_mean"] = spread.mean if spread else None
        scores[f"test_{name}_sd"] = spread.sd if spread else None
    return scores


def _intervals(comparison: Comparison, model: str) -> dict[str, float | None]:
    own = comparison.judgement.intervals.get(model, {})
    bounds: dict[str, float | None] = {}
    for name in shown_metrics(comparison.judgement.metric):
        interval = own.get(name)
        bounds[f"test_{name}_low"] = interval.low if interval else None
        bounds[f"test_{name}_high"] = interval.high if interval else None
    return bounds


def _search(row: ModelRow) -> Row:
    return {"model": row.model, **{str(status): number for status, number in row.counts.items()}}


def _pair(pair: Pair) -> Row:
    test, networks = pair.test, pair.networks
    return {
        "first": pair.first,
        "second": pair.second,
        "difference": pair.difference,
        "low": test.interval.low if test else None,
        "high": test.interval.high if test else None,
        "standard_error": test.standard_error if test else None,
        "p": test.p if test else None,
        "p_corrected": test.p_corrected if test else None,
        "apart": pair.apart,
        "networks_only_first_right": networks.only_first if networks else None,
        "networks_only_second_right": networks.only_second if networks else None,
        "networks_p": networks.p if networks else None,
    }


def _configuration(row: Configuration) -> Row:
    return {**asdict(row), "hyperparameters": json.dumps(row.hyperparameters, sort_keys=True)}


def _importance(comparison: Comparison) -> Iterator[Row]:
    explained = comparison.importance.explained if comparison.importance else {}
    for name, own in explained.items():
        yield {"hyperparameter": name, **asdict(own)}


def _classes(comparison: Comparison) -> Iterator[Row]:
    report = comparison.judgement.classes
    for scores in report.scores if report else ():
        yield {"model": report.model if report else None, **asdict(scores)}


def _doubtful_rows(comparison: Comparison) -> Iterator[Row]:
    doubtful = comparison.doubtful_rows
    for row in doubtful.rows if doubtful else ():
        yield {name: value for name, value in asdict(row).items() if value is not None}


def _stage_cost(stage: StageCost) -> Row:
    return {
        "stage": stage.name,
        "seconds": stage.seconds,
        **{f"machine_seconds_{part}": value for part, value in asdict(stage.held).items()},
        "machine_seconds_idle": stage.idle,
        "usd": stage.usd,
        "usd_idle": stage.idle_usd,
    }


def _model_cost(row: ModelCost) -> Row:
    parts = {"tune": row.tune, "confirm": row.confirm, "one_more_seed": row.seed}
    return {
        "model": row.model,
        "processor": row.processor,
        "processor_seconds": row.processor_seconds,
        **{
            f"{name}_{what}": value
            for name, part in parts.items()
            if part
            for what, value in asdict(part).items()
        },
    }


def _trial_cost(row: TrialCost) -> Row:
    return {
        "trial_id": row.trial.trial_id,
        "model": row.trial.model,
        "stage": row.trial.stage,
        "status": row.trial.status,
        "processor": row.processor,
        "processor_seconds": row.processor_seconds,
        **{f"machine_seconds_{part}": value for part, value in asdict(row.machine).items()},
        "usd": row.usd,
    }


def _data(comparison: Comparison) -> Iterator[Row]:
    for split, rows in comparison.manifest.data.get("rows", {}).items():
        yield {"split": split, "rows": rows}


def _packages(comparison: Comparison) -> Iterator[Row]:
    for package, version in comparison.manifest.versions.items():
        yield {"package": package, "version": version}
