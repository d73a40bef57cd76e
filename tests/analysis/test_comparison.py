from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.analysis.comparison import Comparison, compare
from raycompare.analysis.leaderboard import Spread, majority
from raycompare.analysis.statistics.estimate import ONE_SEED, Interval
from raycompare.analysis.statistics.tiers import Ranks
from raycompare.experiment.spec import TF_IDF
from raycompare.records.rows import BaselineFailure
from tests import runs
from tests.references import sklearn_metrics


def order(run: runs.Run) -> list[str]:
    return [row.model for row in run.compare().leaderboard]


def test_the_highest_mean_leads_and_negative_scores_rank_last():
    run = runs.empty("below-chance", "good", "middling")
    run.confirm("below-chance", [-0.2, -0.1, -0.15])
    run.confirm("good", [0.8, 0.7, 0.75])
    run.confirm("middling", [0.0, 0.1, 0.05])
    assert order(run) == ["good", "middling", "below-chance"]
    assert run.compare().leaderboard[2].test["matthews_correlation"].mean == pytest.approx(-0.15)


def test_the_lowest_mean_leads_where_the_metric_is_the_loss():
    run = runs.empty("high-loss", "low-loss", tune={"metric": "loss"})
    run.confirm("high-loss", [0.5, 0.5])
    run.confirm("low-loss", [0.9, 0.9])
    assert order(run) == ["low-loss", "high-loss"]
    found = run.compare()
    assert (
        "**low-loss** is the best of 2 models on ag-news by loss: test loss 0.140" in found.verdict
    )
    (pair,) = found.judgement.pairs
    assert (pair.difference, pair.better) == (pytest.approx(-0.56), "low-loss")


def test_a_row_holds_the_sample_statistics_of_its_seeds():
    run = runs.empty("m")
    run.confirm("m", [0.6, 0.7, 0.8])
    (row,) = run.compare().leaderboard
    assert row.test["matthews_correlation"] == Spread(
        mean=pytest.approx(0.7), sd=pytest.approx(0.1), n=3
    )
    assert row.test["accuracy"].mean == pytest.approx(0.25 + 0.75 * 0.7)
    best = [trial.best_value for trial in run.trials]
    assert row.validation == pytest.approx(sum(best) / 3)
    assert (row.train_seconds, row.eval_seconds, row.steps_to_best) == (60.0, 4.2, 400)


def test_a_test_row_never_comes_from_validation():
    run = runs.empty("m")
    run.confirm("m", [0.6])
    run.evaluations = [row for row in run.evaluations if row.split == "validation"]
    assert run.compare().leaderboard[0].test == {}


def test_one_seed_has_no_spread_and_is_not_tested():
    run = runs.empty("a", "b", confirm={"seeds": [1]})
    run.confirm("a", [0.9])
    run.confirm("b", [0.1])
    found = run.compare()
    assert found.leaderboard[0].test["accuracy"].sd is None
    assert found.rivals == ()
    assert "of the test rows only (one seed, 1,000 test rows). " in found.verdict
    assert found.verdict.endswith(f" Whether it is the best was not tested: {ONE_SEED}.")


def test_exact_ties_have_no_winner():
    run = runs.empty("a", "b", "c")
    for model in "abc":
        run.confirm(model, [0.7, 0.7, 0.7] if model != "c" else [0.3, 0.3, 0.3])
    verdict = run.compare().verdict
    assert verdict.startswith("**a** and **b** tie for the first place of 3 models on ag-news")


def test_a_model_of_two_seeds_is_compared_where_another_has_one():
    run = runs.empty("a", "b", "c")
    run.confirm("a", [0.9, 0.905, 0.91])
    run.confirm("b", [0.5])
    run.confirm("c", [0.3, 0.305, 0.31])
    found = run.compare()
    assert found.verdict.startswith("**a** ranks first of 3 models")
    assert "It is better than c. b cannot be compared with it" in found.verdict


@pytest.mark.parametrize(
    ("rival", "rivals"), [([0.74, 0.76, 0.78], ("b",)), ([0.60, 0.62, 0.64], ())]
)
def test_models_are_rivals_where_no_test_rules_them_out(
    rival: list[float], rivals: tuple[str, ...]
):
    run = runs.empty("a", "b")
    run.confirm("a", [0.76, 0.78, 0.80])
    run.confirm("b", rival)
    found = run.compare()
    assert found.rivals == rivals
    assert ("is the best of 2 models" in found.verdict) == (not rivals)
    assert ("but b may be better: " in found.verdict) == bool(rivals)


def test_a_metric_that_is_no_number_ranks_below_and_is_not_called_apart():
    run = runs.empty("broken", "fine", tune={"metric": "loss"})
    run.confirm("broken", [0.9, 0.9])
    run.confirm("fine", [0.5, 0.6])
    run.evaluations = [
        replace(row, loss=float("nan")) if row.split == "test" and row.model == "broken" else row
        for row in run.evaluations
    ]
    assert order(run) == ["fine", "broken"]
    nothing = pa.array([[float("nan")] * 4] * 1000, pa.list_(pa.float32()))
    found = compare(
        run.records,
        [
            (name, table.set_column(3, "probabilities", nothing) if "broken" in name else table)
            for name, table in run.predictions()
        ],
    )
    assert "broken cannot be compared with it: a score is not a number." in found.verdict
    assert (found.rivals, found.judgement.pairs[0].test) == ((), None)
    assert "broken" not in found.judgement.intervals


def test_the_verdict_says_what_was_tested_and_what_could_not_be_seen():
    found = runs.typical().compare()
    missed = found.judgement.standings["minilm-2"].missed
    interval = found.judgement.selected
    assert interval is not None
    assert found.verdict == (
        "**minilm-3** ranks first of 3 models on ag-news by MCC, but minilm-2 may be better: test "
        f"MCC 0.831, 95 % interval {interval.low:.3f} to {interval.high:.3f} (3 seeds, 1,000 test "
        "rows). It is better than bert\\|tiny. With 3 seeds and 1,000 test rows, a difference "
        f"below about {missed:.3f} MCC would probably have been missed. Even if the differences "
        "are as measured, 10 more seeds would probably not settle which is the "
        "best."
    )


def test_the_interval_of_the_first_is_wider_below_than_that_of_the_model_alone():
    found = runs.typical().compare()
    alone, selected = _interval(found, "minilm-3"), found.judgement.selected
    assert selected is not None
    assert selected.low < alone.low
    assert selected.high == pytest.approx(alone.high, abs=0.002)


def _interval(found: Comparison, model: str) -> Interval:
    return found.judgement.intervals[model]["matthews_correlation"]


def test_the_best_is_called_so_where_it_beats_every_other_model():
    run = runs.empty("a", "b", "c")
    for model, mcc in (("a", 0.9), ("b", 0.6), ("c", 0.3)):
        run.confirm(model, [mcc - 0.01, mcc, mcc + 0.01])
    found = run.compare()
    assert found.verdict.startswith("**a** is the best of 3 models")
    assert found.verdict.endswith(" It is better than b and c.")
    assert dict(found.judgement.tiers) == {"a": "a", "b": "b", "c": "c"}
    assert [found.judgement.ranks[model].worst for model in "abc"] == [1, 2, 3]


def test_without_predictions_nothing_is_claimed():
    run = runs.empty("a", "b")
    run.confirm("a", [0.9, 0.91, 0.92])
    run.confirm("b", [0.1, 0.11, 0.12])
    run.has_predictions = False
    found = run.compare()
    assert found.rivals == ()
    assert (found.judgement.pairs, found.judgement.tiers) == ((), {})
    assert "ranks first of 2 models" in found.verdict
    assert "test MCC 0.910 ± 0.010 (3 seeds)" in found.verdict
    assert found.verdict.endswith(
        "b cannot be compared with it: the run folder has no predictions of a-confirm-00 "
        "and 5 more."
    )


def _without_the_first(run: runs.Run) -> list[tuple[str, pa.Table]]:
    return run.predictions()[1:]


def _of_other_examples(run: runs.Run) -> list[tuple[str, pa.Table]]:
    (name, table), *others = run.predictions()
    return [(name, table.slice(1)), *others]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (_without_the_first, "no predictions of a-confirm-00"),
        (_of_other_examples, "not tested on the same examples"),
    ],
)
def test_predictions_that_do_not_cover_all_finalists_claim_nothing(
    broken: Callable[[runs.Run], list[tuple[str, pa.Table]]], says: str
):
    run = runs.empty("a", "b")
    run.confirm("a", [0.9, 0.9])
    run.confirm("b", [0.1, 0.1])
    found = compare(run.records, broken(run))
    assert says in str(found.judgement.gap)
    assert found.rivals == ()


def test_the_order_of_the_examples_in_a_file_does_not_matter():
    run = runs.typical()
    turned = [(name, table.take(np.arange(1000)[::-1])) for name, table in run.predictions()]
    found = compare(run.records, turned)
    assert found == run.compare()


def test_where_the_loss_decides_equal_losses_have_no_winner():
    """A model that is right more often is not better by loss for that."""
    run = runs.empty("often-right", "seldom-right", tune={"metric": "loss"})
    run.confirm("often-right", [0.9, 0.91, 0.92])
    run.confirm("seldom-right", [0.5, 0.51, 0.52])
    even = pa.array([[0.25] * 4] * 1000, pa.list_(pa.float32()))
    found = compare(
        run.records,
        [(name, t.set_column(3, "probabilities", even)) for name, t in run.predictions()],
    )
    (pair,) = found.judgement.pairs
    assert (pair.difference, pair.apart) == (0, False)
    assert "ranks first of 2 models on ag-news by loss, but seldom-right may be" in found.verdict


def test_a_model_whose_finalists_failed_is_last_with_its_reason():
    run = runs.empty("unlucky", "fine")
    run.tune("unlucky", 0.9)
    for seed in (1, 2, 3):
        run.fail("unlucky", "confirm", f"OSError: disk {seed} full", seed)
    run.confirm("fine", [0.1, 0.2, 0.3])
    found = run.compare()
    last = found.leaderboard[1]
    assert (last.model, last.reason) == ("unlucky", "confirm: OSError: disk 1 full")
    assert last.counts["errored"] == 3
    assert last.num_parameters == 14_000_000
    assert found.rivals == ()
    assert found.verdict.startswith("**fine** is the only one of 2 models that finished on ag-news")
    assert found.verdict.endswith(" unlucky did not finish.")


def test_the_verdict_ranks_the_models_that_finished():
    run = runs.empty("a", "b", "c")
    run.confirm("a", [0.9, 0.9, 0.9])
    run.confirm("b", [0.5, 0.5, 0.5])
    run.fail("c", "confirm", "OSError: disk full")
    assert run.compare().verdict.startswith(
        "**a** is the best of the 2 models that finished on ag-news by MCC: "
    )


def test_steps_to_best_is_the_median():
    run = runs.empty("a")
    run.confirm("a", [0.5, 0.6, 0.7])
    run.trials = [
        replace(t, best_step=step) for t, step in zip(run.trials, (50, 100, 400), strict=True)
    ]
    assert run.compare().leaderboard[0].steps_to_best == 100


def test_why_a_model_has_no_test_is_looked_for_in_the_confirm_stage_first():
    run = runs.empty("a", "b", "c")
    run.fail("a", "tune", "ValueError: harmless, another was chosen")
    run.fail("a", "confirm", "OSError: this is why")
    run.fail("b", "tune", "ValueError: never got further")
    run.tune("c", 0.5)
    reasons = {row.model: row.reason for row in run.compare().leaderboard}
    assert reasons == {
        "a": "confirm: OSError: this is why",
        "b": "tune: ValueError: never got further",
        "c": "tuned, but not confirmed",
    }


def test_a_lost_seed_is_said_and_not_averaged():
    run = runs.empty("a", "b")
    run.confirm("a", [0.8, 0.82])
    run.fail("a", "confirm", "boom", seed=3)
    run.confirm("b", [0.1, 0.12, 0.14])
    found = run.compare()
    assert (found.leaderboard[0].seeds_done, found.leaderboard[0].seeds_planned) == (2, 3)
    assert "(2 of 3 seeds, 1,000 test rows)" in found.verdict


def test_when_all_fail_the_verdict_gives_the_first_cause():
    run = runs.empty("a", "b")
    run.tune("b", 0.5, status="interrupted", ending="cut_short", reason="interrupted", steps=100)
    run.fail("a", "tune", "ValueError: bad head\nmore")
    run.fail("b", "tune", "RuntimeError: later")
    assert run.compare().verdict == (
        "None of the 2 models finished on ag-news; "
        "first cause: a, tune stage: ValueError: bad head."
    )


def test_a_run_without_any_record_has_a_verdict_too():
    assert runs.empty("a").compare().verdict == (
        "The only model did not finish on ag-news: no trial was confirmed."
    )


def test_one_model_is_not_called_the_best():
    run = runs.empty("a")
    run.confirm("a", [0.5, 0.6, 0.7])
    assert run.compare().verdict.startswith("**a** was the only model tried on ag-news: ")


def test_a_leader_at_chance_level_is_called_so():
    run = runs.empty("a", "b")
    run.confirm("a", [0.01, 0.012, 0.014])
    run.confirm("b", [-0.3, -0.31, -0.32])
    assert "no better than guessing" in run.compare().verdict


def test_savings_count_the_steps_that_the_scheduler_spared():
    found = runs.typical().compare()
    # 12 trials of 400 steps: three stopped at 100, one out of patience at 300, one nan at 150
    assert (found.stopped.trials, found.stopped.steps) == (3, 900)
    assert (found.out_of_patience.trials, found.out_of_patience.steps) == (1, 100)
    assert (found.diverged.trials, found.diverged.steps) == (1, 250)
    assert found.stopped.planned_steps == 12 * 400


def test_trials_that_never_started_save_nothing():
    run = runs.empty("a")
    run.tune("a", 0.5)
    run.tune(
        "a", 0.5, status="not_run", ending="not_run", reason="not run", steps=0, planned_steps=None
    )
    found = run.compare()
    assert (found.stopped.trials, found.stopped.steps, found.stopped.planned_steps) == (0, 0, 400)


def test_what_tuning_bought_compares_completed_trials_with_the_default():
    run = runs.empty("a", "b")
    run.tune("a", 0.5, 0.7)
    run.tune("a", 0.95, status="stopped_early", ending="rung", reason=runs.STOP, steps=350)
    run.tune("b", 0.6, 0.4)
    gains = {row.model: row for row in run.compare().configurations}
    default, tuned = (trial.best_value for trial in run.trials[:2])
    assert (gains["a"].default_value, gains["a"].tuned_value) == (default, tuned)
    assert gains["a"].gain == pytest.approx(tuned - default)
    assert gains["b"].gain < 0
    assert gains["b"].is_default
    assert not gains["b"].confirmed


def test_a_lower_loss_is_a_gain():
    run = runs.empty("a", tune={"metric": "loss"})
    run.tune("a", 0.5, 0.7)
    (row,) = run.compare().configurations
    assert row.tuned_value < row.default_value
    assert row.gain == pytest.approx(row.default_value - row.tuned_value)


def test_the_confirmed_configuration_is_the_one_shown():
    run = runs.empty("a")
    run.tune("a", 0.5, 0.9)
    run.confirm("a", [0.5], is_default=True)
    (row,) = run.compare().configurations
    assert row.confirmed
    assert row.is_default
    assert row.hyperparameters == {}


def test_trials_come_by_leaderboard_then_best_first_with_the_unevaluated_last():
    trials = runs.typical().compare().trials
    models = [trial.model for trial in trials]
    assert list(dict.fromkeys(models)) == ["minilm-3", "minilm-2", "bert|tiny"]
    values = [trial.best_value for trial in trials if trial.model == "minilm-3"]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=True)


def test_order_of_the_records_does_not_matter():
    run = runs.typical()
    backwards = replace(run, trials=run.trials[::-1], evaluations=run.evaluations[::-1])
    found = run.compare()
    assert replace(backwards.compare(), records=found.records) == found


@given(st.lists(st.integers(0, 30), min_size=2, max_size=6).filter(lambda c: sum(map(bool, c)) > 1))
def test_the_majority_class_scores_what_always_answering_it_scores(counts: list[int]):
    label_counts = {f"label {place}": count for place, count in enumerate(counts)}
    labels = np.repeat(np.arange(len(counts)), counts)
    answers = np.full(len(labels), int(np.argmax(counts)))
    found = majority(label_counts)
    assert found.model == f"majority class (label {answers[0]})"
    assert found.test == pytest.approx(sklearn_metrics(labels, answers))


def test_the_majority_class_is_the_first_by_name_among_equals():
    assert majority({"b": 30, "a": 30}).model == "majority class (a)"


def test_without_label_counts_there_is_no_majority_class():
    run = runs.empty("a")
    del run.manifest.data["test_label_counts"]
    assert run.compare().baselines == ()


def with_baseline(mcc: float, *tests: float, **sections: Any) -> Comparison:
    run = runs.empty("better", "worse", **sections)
    run.confirm("better", tests)
    run.confirm("worse", [test - 0.3 for test in tests])
    run.baseline(mcc)
    return run.compare()


@pytest.mark.parametrize(
    ("mcc", "order"),
    [
        (0.9, [TF_IDF, "better", "worse", "majority class (Sports)"]),
        (0.6, ["better", TF_IDF, "worse", "majority class (Sports)"]),
        (-0.1, ["better", "worse", "majority class (Sports)", TF_IDF]),
    ],
)
def test_a_baseline_stands_where_its_score_puts_it(mcc: float, order: list[str]):
    assert [line.model for line in with_baseline(mcc, 0.7, 0.71, 0.72).standings] == order


def test_where_the_loss_decides_the_majority_class_stands_last_of_what_was_tested():
    found = with_baseline(0.6, 0.7, 0.71, tune={"metric": "loss"})
    assert [line.model for line in found.standings][-1] == "majority class (Sports)"
    assert [line.model for line in found.standings][1] == TF_IDF


def test_a_baseline_has_a_tier_and_pairs_and_an_interval_but_no_rank():
    found = with_baseline(0.6, 0.7, 0.71, 0.72)
    assert dict(found.judgement.tiers) == {"better": "a", TF_IDF: "b", "worse": "c"}
    assert found.judgement.ranks == {
        "better": Ranks(best=1, worst=1),
        "worse": Ranks(best=2, worst=2),
    }
    interval = _interval(found, TF_IDF)
    assert interval.low < 0.6 < interval.high
    assert len(found.judgement.pairs) == 3
    assert found.judgement.may_be_best(TF_IDF) is False
    assert found.rivals == ()
    assert found.judgement.classes is not None
    assert found.judgement.classes.model == "better"


def test_a_leader_below_a_baseline_is_still_the_leader_of_the_models():
    found = with_baseline(0.9, 0.7, 0.71, 0.72)
    assert found.verdict.startswith("**better** is the best of 2 models")
    assert (
        " TF-IDF + logistic regression is 0.190 MCC better: a transformer is not needed."
    ) in found.verdict
    assert found.judgement.may_be_best(TF_IDF)
    assert found.judgement.classes is not None
    assert found.judgement.classes.model == "better"


def test_a_leader_above_a_baseline_is_better_by_so_much():
    found = with_baseline(0.6, 0.7, 0.71, 0.72)
    assert found.verdict.endswith(" TF-IDF + logistic regression is 0.110 MCC worse.")


def test_a_baseline_close_to_the_leader_asks_whether_a_transformer_is_needed():
    found = with_baseline(0.70, 0.70, 0.71, 0.72)
    assert found.verdict.endswith(
        " TF-IDF + logistic regression may be as good: a transformer may not be needed."
    )


def test_with_one_seed_nothing_is_claimed_of_a_baseline_either():
    found = with_baseline(0.2, 0.9, confirm={"seeds": [1]})
    assert not any(pair.apart for pair in found.judgement.pairs)
    assert found.verdict.endswith(
        f"TF-IDF + logistic regression cannot be compared with it: {ONE_SEED}."
    )


def test_without_predictions_nothing_is_claimed_of_a_baseline():
    run = runs.empty("a")
    run.confirm("a", [0.9, 0.91])
    run.baseline(0.1)
    run.has_predictions = False
    assert run.compare().verdict.endswith(
        "TF-IDF + logistic regression cannot be compared with it: the run folder has no "
        "predictions of a-confirm-00 and 2 more."
    )


def test_the_baseline_is_compared_by_loss_where_the_loss_decides():
    verdict = with_baseline(0.6, 0.7, 0.71, 0.72, tune={"metric": "loss"}).verdict
    assert verdict.endswith(" TF-IDF + logistic regression is 0.154 loss worse.")


def test_a_baseline_that_could_not_be_fitted_is_said():
    run = runs.typical()
    assert not [flag for flag in run.compare().flags if flag.about == TF_IDF]
    run.baseline_failures.append(BaselineFailure(name=TF_IDF, cause="ValueError: no", error="..."))
    (flag,) = [flag for flag in run.compare().flags if flag.about == TF_IDF]
    assert flag.found == "it could not be fitted: ValueError: no"
    run.baseline(0.5)
    assert not [flag for flag in run.compare().flags if flag.about == TF_IDF]


def test_a_baseline_that_did_not_converge_is_said():
    run = runs.typical()
    run.baseline(0.5, hyperparameters='{"converged": false}')
    (flag,) = [flag for flag in run.compare().flags if flag.about == TF_IDF]
    assert "ended before it converged" in flag.found
