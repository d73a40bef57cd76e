from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.by_hand.example import METRICS, Example, example, examples, lasts, numbers, shown

STATUSES = {
    "completed": "completed",
    "stopped_early": "stopped early",
    "errored": "failed",
    "interrupted": "interrupted",
    "not_run": "not run",
}


def best(own: Example, values: pd.Series) -> float:
    """Return the best value of the deciding metric, or NaN without values."""
    return float(values.max() if own.sign > 0 else values.min())


@examples
def test_the_best_value_of_a_trial_is_that_of_its_best_evaluation(folder: Path) -> None:
    own = example(folder)
    evaluations = own.rows("evaluations").query("split == 'validation'")
    evaluated = own.trials[own.trials.best_value.notna()]
    assert len(evaluated)
    for trial in evaluated.itertuples():
        rows = evaluations[evaluations.trial_id == trial.trial_id].set_index("step")
        assert trial.best_value == best(own, rows[own.metric])
        assert rows.loc[trial.best_step, own.metric] == trial.best_value


@examples
def test_the_gain_from_tuning_is_that_of_completed_trials(folder: Path) -> None:
    own = example(folder)
    table = own.csv("hyperparameters").set_index("model")
    tune = own.trials[own.trials.stage == "tune"]
    printed = {row["model"]: row for row in own.markdown("model", "gain from tuning")}
    metric = METRICS[own.metric]
    for model, trials in tune.groupby("model"):
        default = best(own, trials[trials.is_default].best_value)
        sampled = trials[~trials.is_default & (trials.status == "completed")]
        tuned = best(own, sampled.best_value)
        gain = own.sign * (tuned - default)
        expected = {"default_value": default, "tuned_value": tuned, "gain": gain}
        for name, value in expected.items():
            assert table.loc[model, name] == pytest.approx(value, nan_ok=True)
        if model not in printed:
            continue
        headers = (f"default, {metric}", f"best tuned, {metric}", "gain from tuning")
        for header, value in zip(headers, expected.values(), strict=True):
            cell = printed[str(model)][header]
            assert cell == "-" if np.isnan(value) else shown(cell, value)


@examples
def test_the_configuration_that_was_confirmed_is_that_of_the_best_completed_trial(
    folder: Path,
) -> None:
    own = example(folder)
    tune = own.trials[(own.trials.stage == "tune") & (own.trials.status == "completed")]
    for model, finalists in own.finalists.groupby("model"):
        trials = tune[tune.model == model].sort_values("order")
        if len(trials):
            place = (own.sign * trials.best_value).argmax()
            chosen = json.loads(trials.iloc[place].hyperparameters)
            assert all(json.loads(each) == chosen for each in finalists.hyperparameters)


@examples
def test_the_means_of_finalists_are_those_of_their_trials(folder: Path) -> None:
    own = example(folder)
    board = own.csv("leaderboard").set_index("model")
    printed = {row["model"]: row for row in own.markdown("#", "model", "may be best")}
    for model, trials in own.finalists.groupby("model"):
        row = board.loc[model]
        assert row[f"validation_{own.metric}"] == pytest.approx(trials.best_value.mean())
        assert row.train_seconds == pytest.approx(trials.train_seconds.mean())
        assert row.eval_seconds == pytest.approx(trials.eval_seconds.mean())
        assert row.steps_to_best == trials.best_step.median()
        assert row.seeds == trials.seed.nunique()
        cells = printed[str(model)]
        assert shown(cells[f"validation {METRICS[own.metric]}"], trials.best_value.mean())
        assert lasts(cells["training"], trials.train_seconds.mean())
        assert numbers(cells["parameters"])[0] == trials.num_parameters.iloc[0]


@examples
def test_trials_are_counted_by_status(folder: Path) -> None:
    own = example(folder)
    rows = own.markdown("model", "completed", "stopped early")
    assert {row["model"] for row in rows} == set(own.trials.model)
    for row in rows:
        counts = own.trials[own.trials.model == row["model"]].status.value_counts()
        for status, header in STATUSES.items():
            assert int(row[header]) == counts.get(status, 0)


@examples
def test_the_steps_saved_are_those_that_stopped_trials_had_left(folder: Path) -> None:
    own = example(folder)
    tune = own.trials[(own.trials.stage == "tune") & (own.trials.planned_steps > 0)]
    stopped = tune[tune.ending == "rung"]
    saved = int((stopped.planned_steps - stopped.steps).sum())
    sentence = re.search(r"^- .* stopped .* in the tune stage early.*$", own.report, re.MULTILINE)
    if sentence is None:
        assert saved == 0
        return
    trials, steps, planned, share = numbers(sentence[0])
    assert (trials, steps, planned) == (len(stopped), saved, tune.planned_steps.sum())
    assert share == pytest.approx(100 * steps / planned, abs=0.51)


@examples
def test_the_expected_best_is_the_mean_over_all_choices_of_trials(folder: Path) -> None:
    own = example(folder)
    table = own.csv("expected_best")
    tune = own.trials[(own.trials.stage == "tune") & own.trials.best_value.notna()]
    assert len(table) == sum(len(rows) for _, rows in tune.groupby("model") if len(rows) > 1)
    pick = max if own.sign > 0 else min
    for (model, number), rows in table.groupby(["model", "trials"]):
        values = tune.best_value[tune.model == model].to_list()
        mean = np.mean([pick(chosen) for chosen in combinations(values, int(number))])
        assert rows.value.item() == pytest.approx(mean)


@examples
def test_the_times_of_inference_are_summarized_over_rounds(folder: Path) -> None:
    own = example(folder)
    records, rounds = own.rows("inference"), own.rows("inference_rounds")
    for row in own.markdown("model", "median latency"):
        record = records[records.model == row["model"]].iloc[0]
        turns = rounds[rounds.model == row["model"]] if len(rounds) else rounds
        latency = numbers(row["median latency"])[0]
        assert latency == pytest.approx(record.latency_p50_ms, rel=0.005)
        assert numbers(row["95th percentile"])[0] == pytest.approx(record.latency_p95_ms, rel=0.005)
        if not len(turns):
            assert row["over rounds"] == "-"
            continue
        ends = [turns.latency_p50_ms.min(), turns.latency_p50_ms.max()]
        assert numbers(row["over rounds"]) == pytest.approx(ends, rel=0.005)
        assert ends[0] <= record.latency_p50_ms <= ends[1]
        assert record.texts == turns.texts.sum()
