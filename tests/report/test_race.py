"""Reports of runs whose confirm stage added seeds to some models only."""

from __future__ import annotations

from raycompare.report.write import render
from tests import runs


def raced(**confirm: object) -> runs.Run:
    run = runs.empty("a", "b", "far", confirm={"seeds": "auto", "most": 4, **confirm})
    run.confirm("a", [0.80, 0.82, 0.79, 0.81])
    run.confirm("b", [0.79, 0.81, 0.80, 0.80])
    run.confirm("far", [0.60, 0.66])
    return run


def test_a_model_that_was_set_aside_is_neither_a_rival_nor_ruled_out():
    run = raced()
    compared = run.compare()
    assert "far" in compared.judgement.set_aside
    assert compared.rivals == ("b",)
    assert "b may be better" in compared.verdict
    assert "far was set aside after 2 seeds as unlikely to be better" in compared.verdict
    report = render(compared, {}).replace("\xa0", " ")
    (row,) = (line for line in report.splitlines() if line.startswith("| 3 | far |"))
    assert "| set aside |" in row
    assert "(2 to 4 planned)" in report
    assert f"p values are multiplied by {compared.judgement.peeking:.1f}" in report
    assert "was below 7 %" in report
    assert "finished 2 of" not in report


def test_with_a_list_of_seeds_nothing_is_set_aside_and_nothing_corrected():
    run = runs.empty("a", "far")
    run.confirm("a", [0.80, 0.81, 0.80])
    run.confirm("far", [0.60, 0.66, 0.64])
    compared = run.compare()
    assert compared.judgement.peeking == 1
    assert not compared.judgement.set_aside
    assert "set aside" not in render(compared, {}).lower()


def test_models_within_the_margin_are_called_the_same():
    wide = raced(margin=0.2).compare()
    assert "b is the same within 0.2: take the cheapest" in wide.verdict
    assert "more seed" not in wide.verdict
    narrow = raced(margin=0.001).compare()
    assert "the same" not in narrow.verdict


def test_what_would_settle_it_has_its_price():
    run = runs.empty("a", "b", cost={"usd_per_hour": 3.6})
    run.confirm("a", [0.78, 0.82, 0.86])
    run.confirm("b", [0.72, 0.75, 0.78])
    compared = run.compare()
    verdict, number = compared.verdict, compared.judgement.further_seeds
    assert number is not None
    assert f"{number} more seeds of a and b (about " in verdict
    assert "of machine time, $" in verdict
    assert "would probably settle which is the best" in verdict


def test_a_seed_that_failed_counts_as_planned():
    run = raced()
    run.fail("far", "confirm", "ValueError: broken", seed=3)
    assert "far finished 2 of 3 seeds" in render(run.compare(), {})
