from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from benchmarks import page
from benchmarks.replay.__main__ import HEADERS, main
from benchmarks.replay.contenders import (
    DEFAULT_GRACE,
    Contender,
    contenders,
    exhaustive,
    median,
    pasha,
    per_model_halving,
    pooled_asha,
    top_k_after_first_rung,
)
from benchmarks.replay.curves import load
from benchmarks.replay.simulator import Outcome, TrialOutcome, simulate
from benchmarks.replay.studies import Archive, chosen_configurations, draw, replay
from benchmarks.replay.summary import (
    KEPT_AIM,
    Options,
    Summary,
    cheapest,
    default_setting,
    replay_all,
    summarise,
)
from raycompare.experiment.settings import TuneSpec
from raycompare.tuning.rule_scheduler import RuleScheduler
from raycompare.tuning.schedulers.registry import rung_positions
from tests.synthetic_curves import (
    BEST_CONFIG,
    BUDGET,
    CONFIGS,
    EVERY,
    MODELS,
    synthetic_rows,
    write_curves,
)
from tests.whole.test_replay_curves import StopAt


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("curves")
    return Archive(load(write_curves(folder / "curves.parquet", list(synthetic_rows()))))


def drawn(archive: Archive, seed: int = 0, configurations: int = CONFIGS) -> Any:
    return draw(archive, np.random.default_rng(seed), configurations)


def run(archive: Archive, contender: Contender, workers: int, seed: int = 0) -> Outcome:
    trials = drawn(archive, seed)
    scheduler = contender.make([trial.plan for trial in trials])
    return simulate(trials, scheduler, workers, contender.max_t)


def decisions(outcome: Outcome) -> dict[str, tuple[int, bool]]:
    return {t.trial.plan.trial_id: (t.steps, t.completed) for t in outcome.trials}


def halving(archive: Archive) -> Contender:
    return per_model_halving(archive.recording, DEFAULT_GRACE, 2)


def pooled(archive: Archive) -> Contender:
    return pooled_asha(archive.recording, DEFAULT_GRACE, 2)


def top_k(archive: Archive, k: int = 2) -> Contender:
    return top_k_after_first_rung(archive.recording, DEFAULT_GRACE, k)


def short_pasha(archive: Archive) -> Contender:
    return pasha(archive.recording, Fraction(1, 16), 2)


def below_median(archive: Archive) -> Contender:
    return median(archive.recording, DEFAULT_GRACE)


ours = pytest.mark.parametrize("make", [halving, top_k, short_pasha, below_median])


def test_the_draw_is_planned_as_the_program_plans(archive: Archive) -> None:
    plans = [trial.plan for trial in drawn(archive, configurations=5)]
    defaults, rest = plans[: len(MODELS)], plans[len(MODELS) :]
    assert {plan.model for plan in defaults} == set(MODELS)
    assert all(plan.is_default for plan in defaults)
    assert not any(plan.is_default for plan in rest)
    assert [plan.order for plan in plans] == list(range(5 * len(MODELS)))
    assert len({plan.trial_id for plan in plans}) == len(plans)
    first = [plan.model for plan in rest[: len(MODELS)]]
    assert len({plan.seed for plan in plans}) > 1
    assert [plan.model for plan in rest] != sorted(first * 4), "shuffled over models"


def test_fifo_does_every_step_and_names_the_best(archive: Archive) -> None:
    trials = drawn(archive)
    finding = replay(archive, trials, exhaustive(), workers=8)
    assert finding.steps == len(MODELS) * CONFIGS * BUDGET
    assert finding.evaluations == len(MODELS) * CONFIGS * BUDGET // EVERY
    per_step = sum(seconds for _, _, seconds in MODELS.values())
    assert finding.seconds == pytest.approx(CONFIGS * (BUDGET + 16 * 10) * per_step)
    assert (finding.named, finding.right, finding.exact, finding.regret) == ("slow", True, True, 0)
    assert finding.shortfall == 0


def test_the_shortfall_is_that_of_all_models_and_the_regret_that_of_the_best(
    archive: Archive,
) -> None:
    def stop_the_best_of_fast(plans: Any) -> StopAt:
        searched = {"config": BEST_CONFIG}
        stopped = (p.trial_id for p in plans if (p.model, p.hyperparameters) == ("fast", searched))
        return StopAt(*stopped)

    contender = Contender(scheduler="unfair", make=stop_the_best_of_fast)
    finding = replay(archive, drawn(archive), contender, workers=8)
    instead = chosen_configurations(archive, run(archive, contender, 8))["fast"]
    short = archive.truth["fast"] - archive.confirmed["fast"][instead]
    assert finding.shortfall == pytest.approx(100 * short / len(MODELS))
    assert finding.shortfall > finding.regret == 0


def test_the_best_configuration_by_validation_is_chosen(archive: Archive) -> None:
    chosen = chosen_configurations(archive, run(archive, exhaustive(), 8))
    assert chosen == dict.fromkeys(MODELS, BEST_CONFIG)


def test_a_stopped_trial_is_chosen_only_where_none_completed(archive: Archive) -> None:
    outcome = run(archive, exhaustive(), 8)
    stopped = tuple(
        replace(t, completed=not (t.trial.plan.model == "slow" or is_best_config(t)))
        for t in outcome.trials
    )
    chosen = chosen_configurations(archive, replace(outcome, trials=stopped))
    assert chosen.pop("slow") == BEST_CONFIG
    assert set(chosen.values()) <= {BEST_CONFIG - 1, BEST_CONFIG + 1}


def is_best_config(outcome: TrialOutcome) -> bool:
    return outcome.trial.plan.hyperparameters.get("config") == BEST_CONFIG


def test_where_none_completed_the_best_of_those_that_got_furthest_is_chosen(
    archive: Archive,
) -> None:
    outcome = run(archive, short_pasha(archive), 8)
    chosen = chosen_configurations(archive, outcome)
    ended = {model: [t for t in outcome.trials if t.trial.plan.model == model] for model in MODELS}
    unfinished = [model for model in MODELS if not any(t.completed for t in ended[model])]
    assert unfinished
    for model in unfinished:
        furthest = max(t.steps for t in ended[model])
        assert furthest < BUDGET
        best = max((t for t in ended[model] if t.steps == furthest), key=value_at_the_end)
        assert chosen[model] == best.trial.plan.hyperparameters.get("config", 0)


def value_at_the_end(outcome: TrialOutcome) -> float:
    value: float = outcome.trial.timeline.results[outcome.evaluations - 1]["accuracy"]
    return value


def test_all_trials_wait_at_the_first_rung_and_the_best_k_go_on(archive: Archive) -> None:
    outcome = run(archive, top_k(archive, 2), 8)
    for model in MODELS:
        ended = [t for t in outcome.trials if t.trial.plan.model == model]
        completed = [t for t in ended if t.completed]
        out = [t for t in ended if not t.completed]
        assert (len(completed), len(out)) == (2, CONFIGS - 2)
        assert {t.steps for t in completed} == {BUDGET}
        assert {t.steps for t in out} == {BUDGET * DEFAULT_GRACE}
        at_the_rung = {t: t.trial.timeline.results[3]["accuracy"] for t in ended}
        assert min(at_the_rung[t] for t in completed) > max(at_the_rung[t] for t in out)


def test_waiting_for_others_lengthens_the_makespan_and_costs_nothing(archive: Archive) -> None:
    alone, together = (run(archive, top_k(archive, 1), workers) for workers in (1, 8))
    assert alone.makespan == pytest.approx(alone.seconds), "no worker ever waits, no step is twice"
    assert together.seconds == alone.seconds
    assert together.makespan > 1.5 * together.seconds / 8


def test_the_default_is_the_program_with_nothing_set(archive: Archive) -> None:
    (default,) = (each for each in contenders(archive.recording) if each.is_default)
    scheduler = default.make([])
    assert isinstance(scheduler, RuleScheduler)
    budgets = dict.fromkeys(MODELS, BUDGET)
    steps = {model: rule.steps for model, rule in scheduler._rules.items()}
    assert steps == rung_positions(TuneSpec(), budgets) == dict.fromkeys(MODELS, (80, 160))


@ours
@pytest.mark.parametrize("seed", range(3))
def test_our_schedulers_decide_the_same_with_one_worker_and_eight(
    archive: Archive, make: Any, seed: int
) -> None:
    alone, together = (run(archive, make(archive), workers, seed) for workers in (1, 8))
    assert decisions(alone) == decisions(together)
    assert alone.makespan > together.makespan
    assert not all(trial.completed for trial in alone.trials)


def test_pooled_asha_lets_trials_complete_at_full_budget(archive: Archive) -> None:
    outcome = run(archive, pooled(archive), 8)
    completed = [trial for trial in outcome.trials if trial.completed]
    assert completed
    assert all(trial.steps == BUDGET for trial in completed)
    assert all(trial.steps < BUDGET for trial in outcome.trials if not trial.completed)


def test_pooled_asha_stops_the_slow_starter_more_often(archive: Archive) -> None:
    def stopped(contender: Contender) -> int:
        outcomes = (run(archive, contender, 8, seed) for seed in range(5))
        ended = (trial for outcome in outcomes for trial in outcome.trials)
        return sum(t.trial.plan.model == "slow" and not t.completed for t in ended)

    assert stopped(pooled(archive)) > 1.5 * stopped(halving(archive)) > 0


def summaries(archive: Archive) -> list[Summary]:
    compared = contenders(archive.recording)
    findings = replay_all(archive, compared, Options(replays=4))
    return [summarise(c, found, findings[0]) for c, found in zip(compared, findings, strict=True)]


def test_a_seed_decides_everything(archive: Archive) -> None:
    compared = [exhaustive(), pooled(archive), halving(archive)]
    once, again, other = (
        replay_all(archive, compared, Options(replays=2, seed=seed)) for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other


def test_what_is_kept_is_counted_where_the_exhaustive_search_is_right(archive: Archive) -> None:
    found = replay(archive, drawn(archive), exhaustive(), workers=8)
    wrong = replace(found, right=False)
    every = [found, found, found, wrong]
    other = summarise(exhaustive(), [found, wrong, wrong, found], every)
    assert (other.right, other.kept) == (0.5, pytest.approx(1 / 3))
    assert summarise(exhaustive(), every, every).kept == 1
    assert np.isnan(summarise(exhaustive(), every, [wrong] * 4).kept)


def test_a_goal_is_held_to_the_cheapest_that_is_right_often_enough(archive: Archive) -> None:
    made = summaries(archive)
    assert (made[0].cost, made[0].steps, made[0].makespan, made[0].kept) == (1, 1, 1, 1)
    default = default_setting(made)
    assert (default.contender.grace, default.contender.factor) == (DEFAULT_GRACE, 2)
    assert 0 < default.cost < 1
    own = [each for each in made if each.contender.scheduler == default.contender.scheduler]
    often = [replace(each, kept=KEPT_AIM) for each in made]
    assert cheapest(often).cost == min(each.cost for each in made)
    assert cheapest(often, default.contender.scheduler).cost == min(each.cost for each in own)
    wrong = [replace(each, kept=KEPT_AIM - 0.01 * (each.cost < 0.5)) for each in made]
    assert cheapest(wrong).cost == min(each.cost for each in made if each.cost >= 0.5)
    rarely = [replace(each, kept=each.cost / 2) for each in made]
    assert cheapest(rarely) == rarely[0]
    assert cheapest(rarely, default.contender.scheduler).cost == max(each.cost for each in own)


def test_the_command_leaves_a_page(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGES", tmp_path)
    curves = write_curves(tmp_path / "curves.parquet", list(synthetic_rows()))
    main(replays=2, workers=3, configurations=4, path=curves)
    (written,) = tmp_path.glob("*-replay.md")
    text = written.read_text()
    compared = contenders(archive.recording)
    assert all(" | ".join(HEADERS) in text and each.scheduler in text for each in compared)
    assert f"{2 * len(compared)} experiments were replayed" in text
    assert "the program's default (grace 1/4, factor 2)" in text.splitlines()[-1]


def test_the_command_says_what_is_wrong_with_the_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        main(path=tmp_path / "nowhere.parquet")
    assert caught.value.exit_code == 2
    assert "does not exist" in capsys.readouterr().err
