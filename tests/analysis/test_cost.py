from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.analysis.cost import Cost, cost_of
from raycompare.analysis.spending import StageCost
from raycompare.formatting import dollars
from raycompare.records.rows import TrialRecord
from raycompare.report.sections.cost import budget_note, budget_section, cost_section
from raycompare.report.write import render
from tests import runs

NODE = {"hostname": "node-1", "cpus": 8.0, "gpus": 2.0}
GPU_TRIAL = {"a": {"cpu": 2.0, "gpu": 1.0}}


def run(**cost: Any) -> runs.Run:
    """One machine of 8 CPUs and 2 GPUs, 100 s of tune, 50 s of confirm, 160 s in all."""
    made = runs.empty("a", cost=cost)
    seconds = {"check": 4.0, "tune": 100.0, "confirm": 50.0, "total": 160.0}
    made.manifest = replace(
        made.manifest, hardware=[NODE], seconds=seconds, resources=dict(GPU_TRIAL)
    )
    return made


def trial(run: runs.Run, stage: str = "tune", **changes: Any) -> TrialRecord:
    settings = {
        "train_seconds": 20.0,
        "eval_seconds": 5.0,
        "test_seconds": None,
        "startup_seconds": 1.0,
        "held_seconds": 30.0,
        "starts": 1,
        **changes,
    }
    adds = run.tune if stage == "tune" else run.confirm
    values: Any = (0.5,) if stage == "tune" else ([0.5],)
    adds("a", *values, **settings)
    return run.trials[-1]


def stage(cost: Cost, name: str) -> StageCost:
    return next(stage for stage in cost.stages if stage.name == name)


def test_a_trial_costs_its_share_of_the_machine_for_as_long_as_it_held_it() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    (row,) = cost_of(made.records).trials
    assert (row.processor, row.processor_seconds) == ("GPU", 30.0)
    assert row.machine.total == pytest.approx(15.0), "one of two GPUs"
    assert row.usd == pytest.approx(0.015)
    assert row.machine.train == pytest.approx(10.0)
    assert row.machine.other == pytest.approx((30 - 20 - 5 - 1) / 2)


def test_a_trial_without_a_gpu_is_counted_in_cpu_seconds() -> None:
    made = run(usd_per_hour=3.6)
    made.manifest = replace(made.manifest, resources={"a": {"cpu": 2.0, "gpu": 0.0}})
    trial(made)
    (row,) = cost_of(made.records).trials
    assert (row.processor, row.processor_seconds) == ("CPU", 60.0)
    assert row.machine.total == pytest.approx(7.5), "two of eight CPUs"


def test_what_trials_leave_of_a_stage_is_idle() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    trial(made)
    tune = stage(cost_of(made.records), "tune")
    assert (tune.held.total, tune.idle) == (pytest.approx(30.0), pytest.approx(70.0))
    assert (tune.usd, tune.idle_usd) == (pytest.approx(0.1), pytest.approx(0.07))


def test_all_of_the_wall_clock_is_paid_also_what_lies_between_the_stages() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    cost = cost_of(made.records)
    assert [(s.name, s.seconds) for s in cost.stages] == [
        ("check", 4.0),
        ("tune", 100.0),
        ("confirm", 50.0),
        ("rest", 6.0),
    ]
    assert cost.whole.usd == pytest.approx(0.16)


def test_machines_are_paid_for_as_long_as_they_were_there_and_a_head_without_cpus_is_none() -> None:
    made = run(usd_per_hour=3.6)
    head, late = {**NODE, "hostname": "head", "cpus": 0.0, "gpus": 0.0}, {**NODE, "hostname": "n2"}
    lasted = {"check": 0.0, "tune": 130.0, "confirm": 100.0, "total": 240.0}
    made.manifest = replace(made.manifest, hardware=[head, NODE, late], machine_seconds=lasted)
    trial(made)
    cost = cost_of(made.records)
    assert [machine.hostname for machine in cost.machines] == ["node-1", "n2"]
    tune, rest = stage(cost, "tune"), stage(cost, "rest")
    assert (tune.usd, tune.idle) == (pytest.approx(0.13), pytest.approx(130.0 - 15.0))
    assert (rest.seconds, rest.usd) == (pytest.approx(6.0), pytest.approx(0.01))
    assert cost.whole.usd == pytest.approx(0.24)
    section = cost_section(made.compare())
    assert "time of all 2 machines, each counted while it was part of the cluster" in section


def test_stopped_failed_and_lost_trials_are_paid_too() -> None:
    made = run(usd_per_hour=3.6)
    trial(made, status="stopped_early", ending="rung", steps=100)
    made.fail("a", "tune", "ValueError: no")
    made.trials[-1] = replace(made.trials[-1], held_seconds=8.0, starts=1)
    trial(made, starts=3, held_seconds=80.0)
    cost = cost_of(made.records)
    assert [row.machine.total for row in cost.trials] == pytest.approx([15.0, 4.0, 40.0])
    assert (cost.failed.trials, cost.failed.usd) == (1, pytest.approx(0.004))


def test_stopping_saves_the_steps_that_are_left_at_the_pace_of_the_trial() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    # `Run.tune` scales the training time with the steps: 5 s for 100 of 400, 5 s of evaluation.
    trial(made, status="stopped_early", ending="rung", steps=100)
    saved = cost_of(made.records).saved
    assert (saved.trials, saved.steps) == (1, 300)
    assert saved.seconds == pytest.approx(300 * (5 + 5) / 100 / 2)
    assert saved.usd == pytest.approx(saved.seconds * 0.001)


def test_a_budget_and_a_divergence_save_nothing() -> None:
    made = run(usd_per_hour=3.6)
    trial(made, status="stopped_early", ending="budget", steps=100)
    trial(made, status="stopped_early", ending="diverged", steps=100)
    assert cost_of(made.records).saved.trials == 0


def test_one_more_seed_costs_what_the_tested_ones_did() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    trial(made, "confirm", held_seconds=40.0)
    trial(made, "confirm", held_seconds=20.0, train_seconds=10.0)
    (model,) = cost_of(made.records).models
    assert model.seed is not None
    assert model.seed.usd == pytest.approx(0.015)
    assert (model.tune.trials, model.confirm.trials) == (1, 2)
    assert model.processor_seconds == pytest.approx(30 + 40 + 20)


def test_an_old_record_is_counted_as_far_as_it_is_known_and_the_report_says_so() -> None:
    made = run(usd_per_hour=3.6)
    trial(made, held_seconds=None, starts=0)
    cost = cost_of(made.records)
    assert cost.unmeasured == 1
    assert cost.trials[0].machine.total == pytest.approx(13.0)
    assert cost.trials[0].machine.other == 0
    assert "1 trial recorded by an older version" in cost_section(made.compare())


def test_a_trial_that_never_started_is_not_called_old() -> None:
    made = run()
    made.fail("a", "tune", "ValueError: no")
    made.trials[-1] = replace(
        made.trials[-1], status="not_run", ending="not_run", startup_seconds=None, test_seconds=None
    )
    cost = cost_of(made.records)
    assert (cost.unmeasured, cost.trials[0].machine.total) == (0, 0.0)


def test_an_older_run_without_resources_or_hardware_is_still_counted() -> None:
    made = run()
    trial(made, device="cuda:0", hostname="elsewhere")
    made.manifest = replace(made.manifest, resources={}, hardware=[])
    (row,) = cost_of(made.records).trials
    assert (row.processor, row.machine.total) == ("GPU", pytest.approx(30.0))


def test_what_is_held_beyond_the_wall_clock_is_fitted_into_it_and_said() -> None:
    made = run(usd_per_hour=3.6)
    for _ in range(9):
        trial(made)
    made.manifest.seconds["tune"] = 90.0
    cost = cost_of(made.records)
    assert cost.crowded
    assert stage(cost, "tune").idle == pytest.approx(0.0)
    assert stage(cost, "tune").idle_usd == pytest.approx(0.0)
    assert "held more machine time than the stage had" in cost_section(made.compare())


def test_a_stage_that_an_older_version_cut_off_lasted_at_least_as_long_as_its_trials() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    del made.manifest.seconds["tune"]
    assert stage(cost_of(made.records), "tune").seconds == pytest.approx(15.0)


held = st.floats(0, 400)
shapes = st.sampled_from([(1.0, 0.0), (2.0, 1.0), (8.0, 0.5), (0.5, 2.0), (4.0, 0.0)])


@given(
    trials=st.lists(st.tuples(held, shapes, st.sampled_from(["tune", "confirm"])), max_size=12),
    walls=st.tuples(st.floats(1, 500), st.floats(1, 500), st.floats(0, 50)),
    machines=st.integers(1, 3),
    price=st.floats(0.01, 100),
)
def test_the_parts_add_up_to_all_machines_at_their_price_for_the_whole_time(
    trials: list[tuple[float, tuple[float, float], str]],
    walls: tuple[float, float, float],
    machines: int,
    price: float,
) -> None:
    models = [f"m{number}" for number in range(max(len(trials), 1))]
    made = runs.empty(*models, cost={"usd_per_hour": price})
    tune, confirm, rest = walls
    made.manifest = replace(
        made.manifest,
        hardware=[NODE] * machines,
        seconds={"tune": tune, "confirm": confirm, "total": tune + confirm + rest},
        resources={
            model: {"cpu": cpu, "gpu": gpu}
            for model, (_, (cpu, gpu), _) in zip(models, trials, strict=False)
        },
    )
    for model, (seconds, _, name) in zip(models, trials, strict=False):
        made.fail(model, "tune" if name == "tune" else "confirm", "ValueError: no")
        known = {"held_seconds": seconds, "startup_seconds": None, "test_seconds": None}
        made.trials[-1] = replace(made.trials[-1], starts=1, **known)
    cost = cost_of(made.records)
    total = machines * price / 3600 * (tune + confirm + rest)
    parts = sum(row.usd for row in cost.trials) + sum(s.idle_usd for s in cost.stages)
    assert parts == pytest.approx(total, rel=1e-9)
    assert cost.whole.usd == pytest.approx(total, rel=1e-9)
    assert all(s.idle >= -1e-6 and s.idle_usd >= -1e-9 for s in cost.stages)
    times = sum(row.machine.total for row in cost.trials) + sum(s.idle for s in cost.stages)
    assert times == pytest.approx(machines * (tune + confirm + rest), rel=1e-9)


def test_without_a_price_the_report_has_times_and_says_how_to_get_dollars() -> None:
    made = run()
    trial(made)
    section = cost_section(made.compare())
    assert "$" not in section
    assert "`cost.instance`" in section
    row = "| tune | 1 m 40 s | 15 s | 10 s | 2.5 s | 0.0 s | 0.5 s | 2.0 s | 1 m 25 s |"
    assert row in section.replace("\xa0", " ")


def test_the_price_is_given_with_its_date_and_source_and_an_old_one_is_called_so() -> None:
    made = run(instance="g5.xlarge")
    trial(made)
    new = cost_section(made.compare())
    assert "$1.006 per hour (g5.xlarge, on demand in us-east-1, [" in new
    assert "retrieved on 2026-07-20)" in new
    assert "more than a year old" not in new
    made.manifest = replace(made.manifest, created_at="2027-08-01T00:00:00+00:00")
    assert "more than a year old when the run began" in cost_section(made.compare())


def test_a_doubtful_price_is_called_so() -> None:
    made = run(instance="ml.p5.48xlarge")
    trial(made)
    assert "The price is doubtful: the prices are listed for hosting" in cost_section(
        made.compare()
    )


def test_the_estimate_stands_beside_what_the_run_took() -> None:
    made = run(usd_per_hour=3.6)
    trial(made)
    estimate = {"seconds": 300.0, "usd": 0.3}
    made.manifest = replace(made.manifest, estimate=estimate)
    assert "was at most 5 m 00 s and $0.30; they took 2 m 30 s and $0.15 (50%)" in cost_section(
        made.compare()
    )
    made.manifest = replace(made.manifest, estimate={"seconds": None})
    assert "The estimate" not in cost_section(made.compare())


def test_the_section_stands_in_the_report() -> None:
    assert "## Where the time and money went" in render(runs.typical().compare(), {})


def test_a_run_that_its_dollars_ended_says_what_was_not_confirmed() -> None:
    made = runs.empty("a", "b", cost={"usd_per_hour": 1.0}, tune={"max_usd": 5})
    made.tune("a", 0.5, 0.6)
    made.confirm("a", [0.5])
    cut = {"status": "stopped_early", "ending": "max_usd", "reason": "no more"}
    made.add(replace(made.trials[-1], trial_id="cut", seed=2, **cut), 0.5)
    comparison = made.compare()
    assert budget_note(comparison) == (
        "The run reached its cost limit of $5.00: 2 of 3 seeds of a and 3 of 3 seeds of b were not "
        "confirmed."
    )
    assert "> **Partial.** The run reached its cost limit of $5.00" in render(comparison, {})


def test_a_budget_that_only_ended_the_search_makes_no_partial_report() -> None:
    made = runs.empty("a", cost={"usd_per_hour": 1.0}, tune={"max_usd": 5})
    reason = "the budget is spent (max_usd: 5, 15 s of it kept for the confirm stage)"
    made.tune("a", 0.5)
    made.tune("a", 0.6, status="stopped_early", ending="budget", reason=reason, steps=100)
    made.confirm("a", [0.5])
    assert budget_section(made.compare()) == ""


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0.0, "$0.00"),
        (2e-6, "under $0.0001"),
        (0.00421, "$0.0042"),
        (1.352, "$1.35"),
        (1234.4, "$1,234"),
    ],
)
def test_dollars_are_written_as_people_read_them(usd: float, shown: str) -> None:
    assert dollars(usd) == shown
