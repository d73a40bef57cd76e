from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.by_hand.example import Example, example, examples, lasts, numbers, seconds

PARTS = ("train", "evaluate", "test", "start_up", "other")
REST = "rest"


def resources(own: Example, trial: Any) -> dict[str, float]:
    """Return the CPUs and GPUs of a trial; the threads, if an older version did not record them."""
    recorded: dict[str, float] | None = (own.manifest.get("resources") or {}).get(trial.model)
    return recorded or {"cpu": float(trial.num_threads)}


def machine_share(own: Example, trial: Any) -> float:
    """Return the share of its machine that a trial holds: of CPUs or GPUs, the larger one."""
    machines = [row for row in own.manifest["hardware"] if row["cpus"] or row.get("gpus")]
    machine = next((m for m in machines if m["hostname"] == trial.hostname), machines[0])
    needs = resources(own, trial)
    shares = [
        (needs.get(kind) or 0) / machine[f"{kind}s"]
        for kind in ("cpu", "gpu")
        if machine.get(f"{kind}s")
    ]
    return float(min(max(shares), 1.0))


def trial_costs(own: Example) -> pd.DataFrame:
    """Return the machine seconds of each trial by activity, and its processor time."""
    rows = []
    for trial in own.trials.itertuples():
        held = [trial.train_seconds, trial.eval_seconds, trial.test_seconds, trial.startup_seconds]
        spent = [0.0 if pd.isna(value) else float(value) for value in held]
        whole = getattr(trial, "held_seconds", np.nan)  # older versions did not record it
        spent.append(max(whole - sum(spent), 0.0) if whole > 0 else 0.0)
        share, needs = machine_share(own, trial), resources(own, trial)
        parts = {name: share * value for name, value in zip(PARTS, spent, strict=True)}
        processors = needs.get("gpu") or needs["cpu"]
        facts = {"trial_id": trial.trial_id, "model": trial.model, "stage": trial.stage}
        rows.append({**facts, **parts, "processor_seconds": sum(spent) * processors})
    table = pd.DataFrame(rows).set_index("trial_id")
    for stage in ("tune", "confirm"):
        own_rows = table.stage == stage
        held = table.loc[own_rows, list(PARTS)].to_numpy().sum()
        factor = min(machine_seconds(own, stage) / held, 1.0) if held else 1.0
        table.loc[own_rows, list(PARTS)] *= factor
    table["held"] = table[list(PARTS)].sum(axis=1)
    return table


def wall_clock(own: Example, stage: str) -> float:
    """Return the duration of a stage, or of the time outside of all stages."""
    recorded = own.manifest["seconds"]
    stages = sum(value for name, value in recorded.items() if name != "total")
    return float(recorded["total"] - stages if stage == REST else recorded[stage])


def machine_seconds(own: Example, stage: str) -> float:
    """Return the time of all machines during a stage."""
    counted = own.manifest.get("machine_seconds") or {}
    machines = sum(bool(row["cpus"] or row.get("gpus")) for row in own.manifest["hardware"])
    if stage == REST and "total" in counted:
        return float(counted["total"]) - sum(
            machine_seconds(own, name) for name in own.manifest["seconds"] if name != "total"
        )
    return float(counted.get(stage, wall_clock(own, stage) * machines))


@examples
def test_the_time_of_each_trial_is_its_share_of_the_machine(folder: Path) -> None:
    own = example(folder)
    costs, table = trial_costs(own), own.csv("cost_trials").set_index("trial_id")
    assert set(table.index) == set(costs.index)
    for trial_id, row in costs.iterrows():
        for part in PARTS:
            assert table.loc[trial_id, f"machine_seconds_{part}"] == pytest.approx(row[part])
        assert table.loc[trial_id, "processor_seconds"] == pytest.approx(row.processor_seconds)
        assert table.loc[trial_id, "usd"] == pytest.approx(row.held * (own.usd_per_second or 0))


@examples
def test_the_time_of_each_stage_is_held_by_its_trials_or_idle(folder: Path) -> None:
    own = example(folder)
    costs, table = trial_costs(own), own.csv("cost_stages").set_index("stage")
    stages = [name for name in own.manifest["seconds"] if name != "total"] + [REST]
    assert set(table.index) == {*stages, "all"}
    for stage in stages:
        held = costs[costs.stage == stage]
        whole = machine_seconds(own, stage)
        row = table.loc[stage]
        assert row.seconds == pytest.approx(wall_clock(own, stage))
        for part in PARTS:
            assert row[f"machine_seconds_{part}"] == pytest.approx(held[part].sum())
        assert row.machine_seconds_idle == pytest.approx(whole - held.held.sum(), abs=1e-6)
        assert row.usd == pytest.approx(whole * (own.usd_per_second or 0))
    for column in table.columns:
        assert table.loc["all", column] == pytest.approx(table.loc[stages, column].sum())
    assert table.loc["all", "seconds"] == pytest.approx(own.manifest["seconds"]["total"])


@examples
def test_the_printed_times_of_the_stages_are_those_of_the_table(folder: Path) -> None:
    own = example(folder)
    table = own.csv("cost_stages").set_index("stage")
    for row in own.markdown("stage", "wall-clock", "held"):
        expected = table.loc[REST if row["stage"] == "outside stages" else row["stage"]]
        held = sum(expected[f"machine_seconds_{part}"] for part in PARTS)
        assert lasts(row["wall-clock"], expected.seconds)
        assert lasts(row["idle"], max(expected.machine_seconds_idle, 0.0))
        assert lasts(row["held"], held) if held else row["held"] == "-"
        for part in PARTS if held else ():
            value = expected[f"machine_seconds_{part}"]
            assert lasts(row[part.replace("_", "-")], value)
        if own.usd_per_second:
            assert numbers(row["USD"])[0] == pytest.approx(expected.usd, rel=0.05, abs=0.005)
    (line,) = re.findall(r"^- Wall-clock time: (.*)$", own.report, re.MULTILINE)
    for part in line.split(", "):
        name, _, value = part.partition(" ")
        assert lasts(value, own.manifest["seconds"][name])


@examples
def test_each_model_has_the_sum_of_its_trials(folder: Path) -> None:
    own = example(folder)
    costs, table = trial_costs(own), own.csv("cost_models").set_index("model")
    printed = {row["model"]: row for row in own.markdown("model", "trials", "processor time")}
    assert set(table.index) == set(costs.model) == set(printed)
    for model, rows in costs.groupby("model"):
        cells, row = printed[str(model)], table.loc[model]
        sums = rows.groupby("stage").held.sum()
        tested = rows.loc[rows.index.isin(own.finalists.trial_id), "held"]
        expected = {
            "tune": sums.get("tune", 0.0),
            "confirm": sums.get("confirm", 0.0),
            "one_more_seed": tested.mean(),
        }
        for name, value in expected.items():
            assert row[f"{name}_seconds"] == pytest.approx(value)
            assert row[f"{name}_usd"] == pytest.approx(value * (own.usd_per_second or 0))
        assert row.processor_seconds == pytest.approx(rows.processor_seconds.sum())
        assert int(cells["trials"]) == len(rows)
        if own.usd_per_second is None:
            assert lasts(cells["total"], rows.held.sum())
            assert lasts(cells["per further seed"], tested.mean())
            for stage in ("tune", "confirm"):
                assert lasts(cells[stage], expected[stage]) or cells[stage] == "-"


@examples
def test_the_time_that_stopping_saved_is_at_the_pace_of_each_trial(folder: Path) -> None:
    own = example(folder)
    costs, trials = trial_costs(own), own.trials.set_index("trial_id")
    ended = trials.ending.isin(["rung", "patience"]) & (trials.stage == "tune")
    stopped = trials[ended & (trials.steps > 0)]
    left = stopped.planned_steps - stopped.steps
    pace = (stopped.train_seconds + stopped.eval_seconds) / stopped.steps
    parts = ["train_seconds", "eval_seconds", "test_seconds", "startup_seconds", "held_seconds"]
    recorded = stopped.reindex(columns=parts).fillna(0.0).astype(float)
    held = np.maximum(recorded[parts[:-1]].sum(axis=1), recorded.held_seconds)
    machine = costs.held[stopped.index] / held
    sentence = re.search(
        r"^- Stopping (.*) early saved (.*); .*, that is (.*) of machine time", own.report, re.M
    )
    if sentence is None:
        assert not len(stopped)
        return
    assert numbers(sentence[1]) == [len(stopped)]
    assert numbers(sentence[2]) == [left.sum()]
    assert lasts(sentence[3], float((left * pace * machine).sum()))


@examples
def test_the_estimate_is_compared_with_the_time_of_both_stages(folder: Path) -> None:
    own = example(folder)
    recorded = own.manifest["seconds"]
    took = recorded.get("tune", 0.0) + recorded.get("confirm", 0.0)
    sentence = re.search(r"at most ([\d hms.]+).*; they took ([\d hms.]+).* \((\d+)%\)", own.report)
    estimated = (own.manifest.get("estimate") or {}).get("seconds")
    assert (sentence is None) == (not estimated)
    if sentence:
        assert lasts(sentence[1], estimated)
        assert lasts(sentence[2], took)
        assert seconds(sentence[2])[0] > 0
        assert int(sentence[3]) == pytest.approx(100 * took / estimated, abs=0.51)
