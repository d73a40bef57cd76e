from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raycompare.analysis.recommendation import Choices, choices
from raycompare.records.rows import InferenceFailure
from raycompare.report.sections.inference import inference_section, milliseconds
from tests import runs


def chosen(run: runs.Run, limit_ms: float | None = None) -> Choices:
    found = run.compare()
    return choices(found.leaderboard, found.judgement, found.inference, found.speed, limit_ms)


def fastest(found: Choices) -> list[str]:
    assert found.top_tier is not None
    return [candidate.model for candidate in found.top_tier.fastest]


def test_the_cheapest_is_of_those_that_cant_be_told_apart_from_the_leader() -> None:
    found = chosen(runs.typical())
    assert found.leader is not None
    assert (found.leader.model, found.leader_is_best) == ("minilm-3", False)
    assert found.top_tier is not None
    assert found.top_tier.models == ("minilm-3", "minilm-2"), "bert|tiny is quicker, and worse"
    assert fastest(found) == [found.top_tier.smallest.model] == ["minilm-2"]
    assert found.within is None


def test_the_smallest_can_be_another_than_the_fastest() -> None:
    run = runs.typical()
    run.measure("minilm-3", 12.0, weight_bytes=10)
    tier = chosen(run).top_tier
    assert tier is not None
    assert (fastest(chosen(run)), tier.smallest.model) == (["minilm-2"], "minilm-3")
    section = inference_section(run.compare())
    assert "the 2 models that may be the best: **minilm-2**, test MCC 0.823, 8.05 ms" in section
    assert "Smallest of them: **minilm-3**" in section


def test_a_leader_that_is_the_fastest_too_is_named_once() -> None:
    run = runs.typical()
    run.measure("minilm-3", 2.0)
    section = inference_section(run.compare())
    assert "It is also the fastest of the 2 models that may be the best" in section


def test_the_fastest_has_its_advantage_with_the_spread_over_rounds() -> None:
    section = inference_section(runs.typical().compare()).replace("\xa0", " ")
    assert "65% of the time of the first model (63% to 67% over rounds)" in section
    assert "| minilm-2 | 8.05 ms | 7.89 to 8.21 ms | 12.1 ms |" in section
    assert "lowest and highest median of 10 rounds" in section


def test_models_whose_order_changes_between_rounds_take_about_the_same_time() -> None:
    run = runs.typical()
    run.take_turns("minilm-3", [12.0] * 10)
    run.take_turns("minilm-2", [8.0] * 8 + [13.0] * 2)
    section = inference_section(run.compare())
    assert "- The 2 models that may be the best take about the same time per text.\n" in section
    assert "Fastest" not in section


def test_a_difference_that_is_small_in_every_round_is_not_one_of_the_models() -> None:
    run = runs.typical()
    run.take_turns("minilm-3", [12.0] * 10)
    run.take_turns("minilm-2", [11.5] * 10)
    assert fastest(chosen(run)) == ["minilm-3", "minilm-2"]
    run.take_turns("minilm-2", [11.3] * 10)
    assert fastest(chosen(run)) == ["minilm-2"]


def test_of_three_models_those_that_are_as_fast_as_the_fastest_are_named() -> None:
    run = tier_of_three()
    for model, time in [("a", 9.0), ("b", 4.0), ("c", 4.1)]:
        run.measure(model, time)
    section = inference_section(run.compare())
    named = "Fastest of the 3 models that may be the best, with about the same time: **b**, test"
    assert named in section
    assert " and **c**, test MCC" in section
    run.measure("a", 4.1)
    run.measure("c", 9.0)
    section = inference_section(run.compare())
    assert (
        "- None of the 3 models that may be the best is faster; **b** takes about the same time.\n"
    ) in section


def test_a_run_without_rounds_has_its_times_but_no_fastest_model() -> None:
    run = runs.typical()
    run.inference_rounds = []
    assert fastest(chosen(run)) == []
    section = inference_section(run.compare()).replace("\xa0", " ")
    assert "It is not known which of the 2 models that may be the best is the fastest." in section
    assert "each of them once. How far their times would differ" in section
    assert "| minilm-2 | 8.05 ms | - | 12.1 ms |" in section


def test_models_that_were_loaded_for_each_round_are_counted() -> None:
    run = runs.typical()
    assert "had to be loaded" not in inference_section(run.compare())
    run.inference_rounds = [
        replace(row, loaded_for_round=row.model == "minilm-2") for row in run.inference_rounds
    ]
    assert "1 model had to be loaded for each round" in inference_section(run.compare())


def test_a_leader_that_is_better_than_all_is_called_the_best_and_has_no_tier() -> None:
    run = two([0.80, 0.81, 0.82], [0.30, 0.31, 0.32])
    found = chosen(run)
    assert found.leader_is_best
    assert found.top_tier is None
    assert "- Best: **a**" in inference_section(run.compare())


def test_one_seed_makes_no_model_a_cheaper_choice() -> None:
    run = two([0.8], [0.3])
    assert run.compare().rivals == ()
    assert chosen(run).top_tier is None


def test_where_nothing_is_claimed_no_cheaper_model_is_named() -> None:
    run = runs.typical()
    run.has_predictions = False
    found = chosen(run)
    assert found.leader is not None
    assert found.top_tier is None


def test_a_leader_that_was_not_measured_is_not_replaced_by_the_second() -> None:
    run = runs.typical()
    run.inference = [row for row in run.inference if row.model != "minilm-3"]
    found = chosen(run)
    assert (found.leader, found.top_tier) == (None, None)


def test_the_only_model_needs_no_answer() -> None:
    run = runs.empty("a")
    run.confirm("a", [0.5, 0.6])
    run.measure("a", 3.0)
    assert chosen(run) == Choices()
    assert "| a | 3.00\xa0ms |" in inference_section(run.compare())


def test_no_model_is_the_cheapest_where_processors_differ() -> None:
    run = runs.typical()
    run.measure("minilm-2", 1.0, device="cuda:0", processor="Example 100", precision="bf16")
    assert chosen(run).top_tier is None
    section = inference_section(run.compare())
    assert "are not comparable" in section
    assert "minilm-2: measured on the GPU (Example 100) of node-1, 4 threads, bf16" in section
    assert "of GPU memory, or without a GPU of the whole process" in section


def tier_of_three() -> runs.Run:
    run = runs.empty("a", "b", "c")
    run.confirm("a", [0.83, 0.84, 0.85])
    run.confirm("b", [0.82, 0.83, 0.85])
    run.confirm("c", [0.81, 0.83, 0.85])
    return run


limits = st.floats(1, 40)


@given(limits)
def test_the_best_within_a_limit_keeps_it_and_none_before_it_does(limit: float) -> None:
    run = COMPARED
    within = choices(run.leaderboard, run.judgement, run.inference, run.speed, limit).within
    assert within is not None
    slow = [row.model for row in run.inference if row.latency_p95_ms > limit]
    names = [row.model for row in run.leaderboard]
    best = names.index(within.best.model) if within.best else len(names)
    assert slow[:best] == names[:best]
    assert names[best : best + 1] == [name for name in names if name not in slow][:1]


COMPARED = runs.typical().compare()


def test_a_limit_is_answered_in_words() -> None:
    assert "Best model that answers 95 % of the texts within 15 ms: **minilm-2**" in said(15)
    assert "No model answers 95 % of the texts within 4.5 ms; the closest is **bert\\|tiny**" in (
        said(4.5)
    )
    assert "within 4.8" not in said(None)


def test_a_limit_that_is_kept_in_some_rounds_only_says_so() -> None:
    assert "(95th percentile 12.1 ms)" in said(15)
    assert "(95th percentile 12.1 ms, but above the limit in 2 of 10 rounds)" in said(12.2)


def said(limit_ms: float | None) -> str:
    run = runs.typical()
    inference: dict[str, Any] = {"max_latency_ms": limit_ms}
    run.experiment = run.experiment.model_copy(
        update={"inference": run.experiment.inference.model_copy(update=inference)}
    )
    return inference_section(run.compare())


def test_a_model_that_could_not_be_measured_is_named_with_the_cause() -> None:
    run = two([0.8, 0.81], [0.7, 0.71])
    run.inference = []
    cause = "OutOfMemoryError: CUDA out of memory | tried"
    run.inference_failures = [InferenceFailure(model="b", cause=cause, error="...")]
    section = inference_section(run.compare())
    assert "- b could not be measured: OutOfMemoryError: CUDA out of memory \\| tried" in section
    assert "- a was not measured, because the run ended before" in section
    run.measure("b", 2.0)
    assert run.compare().inference_failures == ()


def test_without_measurements_there_is_no_section() -> None:
    run = two([0.8, 0.81], [0.7, 0.71])
    run.inference = []
    assert inference_section(run.compare()) == ""


def test_rows_are_in_the_order_of_the_leaderboard_and_the_latest_counts() -> None:
    run = runs.typical()
    run.inference = run.inference[::-1]
    run.measure("minilm-2", 9.0)
    found = run.compare().inference
    assert [row.model for row in found] == ["minilm-3", "minilm-2", "bert|tiny"]
    assert found[1].latency_p50_ms == 9.0


def test_times_have_three_digits() -> None:
    values = (0.0123, 1.0, 9.876, 45.678, 999.4, 1234.5)
    assert [milliseconds(value) for value in values] == [
        "0.012 ms",
        "1.00 ms",
        "9.88 ms",
        "45.7 ms",
        "999 ms",
        "1,234 ms",
    ]


def two(first: list[float], second: list[float]) -> runs.Run:
    run = runs.empty("a", "b")
    run.confirm("a", first)
    run.confirm("b", second)
    run.measure("a", 6.0)
    run.measure("b", 3.0)
    return run
