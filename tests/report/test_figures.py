from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from raycompare.analysis.curves import Curve, learning_curves
from raycompare.report.drawing.draw import draw_figures, draw_images, font_families
from raycompare.report.drawing.style import MOST_LINES, Line, label, time_unit, y_limits
from raycompare.report.figures.best_so_far import BestSoFarFigure
from raycompare.report.figures.confusion import MOST_LABELS
from raycompare.report.figures.learning_curves import MOST_CURVES, SOME_OTHERS, select_curves
from raycompare.report.figures.wall_clock import WallClockFigure
from raycompare.report.sections.figures import figures_section
from tests import runs


def drawn(run: runs.Run) -> dict[str, Figure]:
    return draw_figures(run.compare())


def curves_of(run: runs.Run) -> tuple[Curve, ...]:
    return learning_curves(run.records)


def progress_of(run: runs.Run) -> list[Line]:
    return list(BestSoFarFigure(run.compare()).data.values())


def test_curves_hold_every_evaluated_tune_trial_and_mark_the_best_of_each_model():
    run = runs.typical()
    curves = curves_of(run)
    evaluated = [t.trial_id for t in run.trials if t.stage == "tune" and t.best_value is not None]
    assert [curve.trial_id for curve in curves] == evaluated
    best = {curve.model: max(curve.values) for curve in curves if curve.is_best}
    assert best == {
        model: max(max(curve.values) for curve in curves if curve.model == model) for model in best
    }
    assert len(best) == 3


def test_a_stopped_curve_ends_where_the_trial_did():
    stopped = [curve for curve in curves_of(runs.typical()) if curve.stopped_early]
    assert sorted(curve.steps[-1] for curve in stopped) == [100, 100, 100, 150]


def test_a_model_that_was_not_tuned_shows_its_confirm_trials():
    run = runs.empty("a", "b")
    run.tune("a", 0.5, 0.6)
    run.confirm("a", [0.6])
    run.confirm("b", [0.7, 0.8])
    curves = curves_of(run)
    assert sum(curve.model == "a" for curve in curves) == 2
    assert sum(curve.model == "b" for curve in curves) == 2
    assert {curve.steps for curve in curves} == {tuple(range(50, 401, 50))}


def test_best_so_far_only_improves_and_keeps_its_end():
    run = runs.empty("a")
    run.tune("a", 0.8)
    run.tune("a", 0.3)
    first, second = (
        [row for row in run.evaluations if row.trial_id == trial.trial_id] for trial in run.trials
    )
    second = [replace(row, experiment_seconds=row.experiment_seconds + 20) for row in second]
    run.evaluations = [*second, *first]
    (progress,) = progress_of(run)
    seconds, values = progress
    assert values[:-1] == [row.matthews_correlation for row in first]
    assert seconds[:-1] == [row.experiment_seconds for row in first]
    assert seconds[-1] == second[-1].experiment_seconds > seconds[-2]
    assert values[-1] == values[-2]


def test_best_so_far_falls_where_the_metric_is_the_loss():
    run = runs.empty("a", tune={"metric": "loss"})
    run.tune("a", 0.8)
    ((_, values),) = progress_of(run)
    assert list(values) == sorted(values, reverse=True)
    assert len(set(values)) > 1


def test_best_so_far_leaves_the_confirm_stage_out():
    run = runs.empty("a")
    run.confirm("a", [0.8])
    assert progress_of(run) == []


def test_wall_clock_is_the_mean_of_the_confirm_trials_only():
    run = runs.empty("a")
    run.tune("a", 0.5, train_seconds=1000.0)
    run.confirm("a", [0.5], train_seconds=10.0, eval_seconds=2.0)
    run.confirm("a", [0.5], train_seconds=30.0, eval_seconds=4.0)
    assert WallClockFigure(run.compare()).data == [("a", 20.0, 3.0)]


@pytest.mark.parametrize("models", [2, 7, 12])
def test_every_model_gets_a_panel_a_line_and_a_bar(models: int):
    run = runs.many(models)
    figures = drawn(run)
    panels = [panel for panel in figures["learning_curves"].axes if panel.get_visible()]
    assert len({panel.get_title() for panel in panels}) == models
    lines = figures["best_so_far"].axes[0].get_lines()
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == models
    assert len(figures["wall_clock"].axes[0].get_yticklabels()) == models


def test_the_best_line_reaches_to_the_end_of_its_model():
    run = runs.empty("a")
    run.tune("a", 0.8, 0.2)
    ((seconds, _),) = progress_of(run)
    (line,) = drawn(run)["best_so_far"].axes[0].get_lines()
    assert line.get_xdata()[-1] == seconds[-1]


def test_a_cross_is_explained_only_where_there_is_one():
    run = runs.empty("a")
    run.tune("a", 0.5, 0.6)
    assert _legend(run) == ["best trial of the model", "other trials"]
    run.tune("a", 0.1, status="stopped_early", ending="rung", reason=runs.STOP, steps=100)
    assert _legend(run)[-1] == "stopped early here"


def _legend(run: runs.Run) -> list[str]:
    (legend,) = drawn(run)["learning_curves"].legends
    return [text.get_text() for text in legend.get_texts()]


def test_nothing_is_drawn_without_data():
    run = runs.empty("a")
    run.fail("a", "tune", "boom")
    assert drawn(run) == {}


def test_names_with_dollars_are_not_read_as_mathematics():
    run = runs.empty("$\\frac$")
    run.confirm("$\\frac$", [0.5])
    assert all(png for themes in draw_images(run.compare()).values() for png in themes.values())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("short/name", "short/name"),
        ("x" * 30, "x" * 30),
        ("x" * 40, "…" + "x" * 29),
        ("google/electra-small-discriminator", "…/electra-small-discriminator"),
        ("a-very-long-folder-with-a-model/v2", "…y-long-folder-with-a-model/v2"),
        ("新闻" * 10, "…" + "新闻" * 7),
        ("", ""),
    ],
)
def test_a_long_name_is_cut_to_its_end_by_its_width(name: str, shown: str):
    assert label(name) == shown


def test_a_font_of_any_region_is_used_for_chinese(monkeypatch: pytest.MonkeyPatch):
    installed = ["DejaVu Sans", "Noto Sans CJK TC"]
    monkeypatch.setattr(font_manager.fontManager, "get_font_names", lambda: installed)
    font_families.cache_clear()
    try:
        assert font_families() == installed
    finally:
        font_families.cache_clear()


def test_the_first_screen_has_room_for_the_scores_of_forty_models():
    width, height = drawn(runs.many(40))["scores"].get_size_inches()
    assert height < 1.5 * width


def test_limits_follow_negative_scores_and_stop_at_the_bound():
    low, high = y_limits([-0.3, 0.999], [0.999], "matthews_correlation")
    assert low < -0.3
    assert 0.999 < high <= 1.01


def test_an_exploding_loss_leaves_the_axis_and_does_not_stretch_it():
    low, high = y_limits([0.3, 1.4, 1e6], [0.3, 1.4], "loss")
    assert 0 <= low < 0.3
    assert 1.4 < high < 5


def test_limits_of_a_single_value_are_apart():
    low, high = y_limits([0.5], [0.5], "accuracy")
    assert low < 0.5 < high


@pytest.mark.parametrize(
    ("longest", "unit"), [(0, "seconds"), (179, "seconds"), (180, "minutes"), (10_800, "hours")]
)
def test_the_unit_of_time_suits_the_longest(longest: float, unit: str):
    assert time_unit(longest)[0] == unit
    assert time_unit(longest)[1] <= max(longest, 1) < inf


def test_of_very_many_trials_a_panel_shows_some_from_the_best_to_the_worst():
    run = runs.empty("a", "b")
    for number in range(200):
        run.tune("a", 0.4 + 0.002 * number)
    run.tune("b", 0.5, 0.6)
    curves = curves_of(run)
    kept = select_curves(curves, "matthews_correlation")
    assert [sum(curve.model == model for curve in kept) for model in "ab"] == [MOST_CURVES, 2]
    assert {curves[0].trial_id, curves[199].trial_id} <= {curve.trial_id for curve in kept}
    panel = drawn(run)["learning_curves"].axes[0]
    assert len(panel.get_lines()) == MOST_CURVES
    assert SOME_OTHERS in _legend(run)


def test_of_very_many_models_a_figure_has_lines_for_the_leaders_and_says_so():
    run = runs.many(40)
    figures = drawn(run)
    for name in ("best_so_far", "expected_best"):
        assert len(figures[name].axes[0].get_lines()) == MOST_LINES
    paths = {name: {"": "light.png", "-dark": "dark.png"} for name in figures}
    section = figures_section(run.compare(), paths)
    assert "Only the first 12 of 40 models; tables/expected_best.csv has all." in section


def test_a_cell_of_the_confusion_figure_has_its_share_and_a_readable_ink():
    run = runs.typical()
    report = run.compare().judgement.classes
    assert report is not None
    texts = drawn(run)["confusion"].axes[0].texts
    assert len(texts) == len(report.labels) ** 2
    share = report.matrix[0][0] / sum(report.matrix[0])
    assert texts[0].get_text() == f"{100 * share:.0f}"
    assert texts[0].get_color() != texts[1].get_color()


def test_more_labels_than_can_be_named_have_no_confusion_figure():
    run = runs.typical()
    run.manifest.data["labels"] = [str(number) for number in range(MOST_LABELS + 1)]
    assert "confusion" not in drawn(run)
