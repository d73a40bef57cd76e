from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.report.drawing.draw import draw
from raycompare.report.drawing.label_layout import Anchor, Box, Ground, place_labels
from raycompare.report.drawing.registry import shown_figures
from raycompare.report.figures.pareto import ParetoFigure, front
from tests import runs

Points = dict[str, tuple[float, float]]
few = st.integers(1, 6).map(float)
points = st.lists(st.tuples(few, few), max_size=12).map(
    lambda pairs: {f"m{number}": pair for number, pair in enumerate(pairs)}
)


def dominates(one: tuple[float, float], other: tuple[float, float], higher: bool) -> bool:
    gain = one[1] - other[1] if higher else other[1] - one[1]
    return one[0] <= other[0] and gain >= 0 and one != other


@given(points, st.booleans())
def test_no_point_of_the_front_is_dominated_and_each_other_is_by_one_on_it(
    found: Points, higher: bool
) -> None:
    best = front(found, higher)
    for name, point in found.items():
        rivals = [found[rival] for rival in best]
        assert any(dominates(rival, point, higher) for rival in rivals) == (name not in best)


def test_a_quick_model_and_a_good_one_are_both_on_the_front() -> None:
    found = {"quick": (1.0, 0.5), "good": (9.0, 0.9), "neither": (9.5, 0.8)}
    assert front(found, higher_is_better=True) == {"quick", "good"}
    assert front(found, higher_is_better=False) == {"quick"}


def test_points_have_the_latency_the_mean_and_the_interval_of_their_model() -> None:
    comparison = runs.typical().compare()
    points = ParetoFigure(comparison).data
    (point,) = [p for p in points if p.model == "minilm-2"]
    row = next(row for row in comparison.leaderboard if row.model == "minilm-2")
    interval = comparison.judgement.intervals["minilm-2"]["matthews_correlation"]
    assert (point.latency_ms, point.value) == (8.05, row.test["matthews_correlation"].mean)
    assert (point.low, point.high) == (interval.low, interval.high)
    assert (point.latency_low_ms, point.latency_high_ms) == pytest.approx((7.889, 8.211))
    assert [p.model for p in points] == [
        "minilm-3",
        "minilm-2",
        "bert|tiny",
    ]


def test_a_run_without_rounds_has_points_without_a_range() -> None:
    run = runs.typical()
    with_rounds = len(draw(ParetoFigure(run.compare())).axes[0].lines)
    assert "range over the rounds" in ParetoFigure(run.compare()).caption()
    run.inference_rounds = []
    figure = ParetoFigure(run.compare())
    assert {point.latency_low_ms for point in figure.data} == {None}
    assert len(draw(figure).axes[0].lines) == with_rounds - 3
    assert "range over the rounds" not in figure.caption()


def test_models_that_were_not_tested_or_not_measured_are_no_points() -> None:
    run = runs.empty("a", "b", "c", tune={"metric": "loss"})
    for model in "ab":
        run.confirm(model, [0.5, 0.6])
    for model in "ac":
        run.measure(model, 3.0)
    assert [point.model for point in ParetoFigure(run.compare()).data] == ["a"]
    run.evaluations = [replace(row, loss=nan) for row in run.evaluations]
    assert ParetoFigure(run.compare()).data == []


def test_times_of_different_processors_are_not_compared() -> None:
    run = runs.typical()
    run.measure("minilm-2", 1.0, processor="Example 100")
    assert ParetoFigure(run.compare()).data == []


def measured(models: int, ratio: float = 30.0) -> runs.Run:
    run = runs.many(models)
    for number, spec in enumerate(run.experiment.models):
        run.measure(spec.name, 2 * ratio ** (-number / max(models - 1, 1)))
    return run


@pytest.mark.parametrize("models", [2, 3, 12])
def test_every_model_has_its_name_by_its_point_and_none_hides_another(models: int) -> None:
    figure = draw(ParetoFigure(measured(models).compare()))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == models
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])


def test_of_very_many_models_only_those_on_the_front_are_named() -> None:
    run = measured(13)
    slow = run.experiment.models[-1].name
    run.measure(slow, 500.0)
    names = {text.get_text() for text in draw(ParetoFigure(run.compare())).axes[0].texts}
    assert len(names) == 12
    assert slow not in names


@pytest.mark.parametrize(("ratio", "scale"), [(9.0, "linear"), (11.0, "log")])
def test_the_axis_is_logarithmic_where_the_times_are_far_apart(ratio: float, scale: str) -> None:
    figure = ParetoFigure(measured(3, ratio).compare())
    assert draw(figure).axes[0].get_xscale() == scale


def test_one_model_makes_no_figure() -> None:
    shown = shown_figures(measured(1).compare())
    assert "pareto" not in [figure.name for figure in shown]


sizes = st.floats(5, 60)


@given(st.lists(st.builds(Anchor, st.floats(0, 400), st.floats(0, 300), sizes, sizes), max_size=6))
def test_labels_are_as_large_as_asked_and_do_not_cover_their_own_points(
    anchors: list[Anchor],
) -> None:
    ground = Ground(frame=Box(-100, -100, 500, 400), points=[], lines=[])
    boxes = place_labels(anchors, ground)
    for anchor, box in zip(anchors, boxes, strict=True):
        assert box.right - box.left == pytest.approx(anchor.width)
        assert box.top - box.bottom == pytest.approx(anchor.height)
        assert box.distance(anchor.x, anchor.y) > 0


def test_a_label_goes_where_nothing_is_hidden() -> None:
    right_of_it = Box(5, -50, 60, 50)
    frame = Box(-200, -200, 200, 200)
    (box,) = place_labels([Anchor(0, 0, 40, 10)], Ground(frame, [right_of_it], []))
    assert box.overlap(right_of_it) == 0
    (crossing,) = place_labels([Anchor(0, 0, 40, 10)], Ground(frame, [], [right_of_it]))
    assert crossing.overlap(right_of_it) == 0
