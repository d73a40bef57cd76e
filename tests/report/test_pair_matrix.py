"""The figure that replaces the table of pairs when there are more than eight models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raycompare.analysis.comparison import Comparison
from raycompare.experiment.spec import TF_IDF
from raycompare.report.drawing.draw import draw
from raycompare.report.figures.pair_matrix import (
    MOST_LISTED,
    MOST_SHOWN,
    SAME,
    UNTESTED,
    PairMatrixFigure,
    steps_below,
)
from raycompare.report.page.page import page
from raycompare.report.sections.pairs import pairs_section
from raycompare.report.tables import tables
from raycompare.report.write import around_figures, render
from tests import runs

IMAGES = {"pair_matrix": {"": "figures/pair_matrix.png", "-dark": "figures/pair_matrix-dark.png"}}


def many(models: int, seeds: int = 3) -> runs.Run:
    run = runs.empty(*(f"model-{number}" for number in range(models)))
    for number in range(models):
        quality = 0.9 - 0.015 * number
        run.confirm(f"model-{number}", [quality - 0.004, quality, quality + 0.004][:seeds])
    return run


@pytest.fixture(scope="module")
def eleven() -> Comparison:
    run = many(MOST_LISTED + 2)
    run.baseline(0.83)
    return run.compare()


def test_eight_models_have_a_table_and_nine_a_figure() -> None:
    eight, nine = many(MOST_LISTED).compare(), many(MOST_LISTED + 1).compare()
    assert not PairMatrixFigure(eight).has_data
    assert "<summary>28 pairs</summary>" in pairs_section(eight)
    assert len(PairMatrixFigure(nine).data) == 36
    assert "| first |" not in pairs_section(nine)
    assert tables(nine)["pairs"].num_rows == 36


def test_a_baseline_does_not_count_as_a_model() -> None:
    run = many(MOST_LISTED)
    run.baseline(0.83)
    assert not PairMatrixFigure(run.compare()).has_data


def test_the_section_counts_the_significant_pairs(eleven: Comparison) -> None:
    apart = sum(pair.apart for pair in eleven.judgement.pairs)
    assert 0 < apart < 55
    assert pairs_section(eleven) == (
        f"## Pairs of models\n\n{apart} of 55 tested pairs differ significantly, at 5 % over all "
        "of them together. tables/pairs.csv has intervals and p values."
    )


def test_the_figure_is_in_the_section_of_the_report_and_of_the_page(eleven: Comparison) -> None:
    report = render(eleven, IMAGES)
    section = report.split("## Pairs of models")[1].split("\n## ")[0]
    assert 'src="figures/pair_matrix.png"' in section
    assert report.count("figures/pair_matrix.png") == 1
    html = page(eleven, around_figures(eleven))
    section = html.split(">Pairs of models</h2>")[1].split("<h2 ")[0]
    assert 'data-figure="pair_matrix"' in section
    assert html.count('" data-figure="pair_matrix"') == 1


def test_a_cell_has_the_difference_and_a_ring_unless_it_is_significant(
    eleven: Comparison,
) -> None:
    figure = PairMatrixFigure(eleven)
    (axes,) = draw(figure).axes
    rows = [text.get_text().rsplit("  ", 1) for text in axes.get_yticklabels()]
    names = [name for name, _ in rows]
    numbers = [number for _, number in rows]
    assert numbers == ["1", "2", "3", "4", "5", "b", "6", "7", "8", "9", "10"]
    assert names[5] == TF_IDF
    assert len(axes.texts) == 55
    pairs = {(pair.first, pair.second): pair for pair in eleven.judgement.pairs}
    for text in axes.texts:
        column, row = (int(value) for value in text.get_position())
        pair = pairs[names[column], names[row]]
        ring = "" if pair.apart else f" {SAME}"
        assert text.get_text() == f"{abs(pair.difference):.3f}{ring}"
    assert "b is the baseline" in figure.caption()
    assert f"{SAME}: not significantly different" in figure.caption()


def test_shades_rise_with_the_difference(eleven: Comparison) -> None:
    figure = PairMatrixFigure(eleven)
    (axes,) = draw(figure).axes
    (mesh,) = axes.collections
    shades = mesh.get_array()
    steps = [float(text.get_text().split()[0]) for text in axes.get_legend().get_texts()[1:]]
    places = {name: place for place, name in enumerate(figure._names)}
    for pair in figure.data:
        shade = shades[places[pair.second], places[pair.first]]
        assert shade == sum(abs(pair.difference) >= step for step in steps)
    assert shades.mask[0, 0]


def test_the_page_describes_each_cell_and_escapes_names() -> None:
    run = many(MOST_LISTED)
    name = "<b>bold</b>"
    planned = runs.experiment(*(model.name for model in run.experiment.models), name)
    run.experiment, run.manifest = planned, runs.manifest(planned)
    run.confirm(name, [0.3, 0.31, 0.32])
    heat, marks = PairMatrixFigure(run.compare()).plot().traces
    assert sum(z is not None for row in heat["z"] for z in row) == 36
    last = heat["text"][MOST_LISTED][0]
    assert "&lt;b&gt;bold" in last
    assert "significant, corrected p" in last
    assert "not significant" not in last
    assert "not significant" in heat["text"][1][0]
    assert set(marks["text"]) == {SAME}


def test_models_with_one_seed_are_not_marked_if_none_was_tested() -> None:
    comparison = many(MOST_LISTED + 1, seeds=1).compare()
    figure = PairMatrixFigure(comparison)
    assert figure.plot().traces[1]["text"] == []
    assert "No pair was tested." in figure.caption()
    assert pairs_section(comparison) == (
        "## Pairs of models\n\n36 pairs could not be tested: one seed does not show how much the "
        "score varies. tables/pairs.csv has McNemar's tests of the trained networks if a model "
        "has a single seed."
    )


def test_a_model_with_one_seed_among_others_has_crosses() -> None:
    run = many(MOST_LISTED + 1)
    lone = [t for t in run.trials if t.model == "model-3" and t.seed > 1]
    run.trials = [trial for trial in run.trials if trial not in lone]
    figure = PairMatrixFigure(run.compare())
    assert figure.plot().traces[1]["text"].count(UNTESTED) == MOST_LISTED
    assert f"{UNTESTED}: not tested." in figure.caption()


def test_of_very_many_models_the_first_are_shown(eleven: Comparison) -> None:
    names = [f"m{number}" for number in range(MOST_SHOWN + 10)]
    template = eleven.judgement.pairs[0]
    pairs = tuple(
        replace(template, first=first, second=second)
        for place, first in enumerate(names)
        for second in names[place + 1 :]
    )
    comparison = replace(eleven, judgement=replace(eleven.judgement, pairs=pairs))
    figure = PairMatrixFigure(comparison)
    assert len(figure.data) == MOST_SHOWN * (MOST_SHOWN - 1) // 2
    assert f"Only the first {MOST_SHOWN} of {MOST_SHOWN + 10} are shown." in figure.caption()
    assert tuple(draw(figure).get_size_inches()) == (8.0, 9.0)


@pytest.mark.parametrize(
    ("largest", "steps"),
    [
        (0.0, []),
        (0.3, [0.01, 0.02, 0.05, 0.1, 0.2]),
        (0.1, [0.002, 0.005, 0.01, 0.02, 0.05]),
        (0.91, [0.02, 0.05, 0.1, 0.2, 0.5]),
        (7.0, [0.2, 0.5, 1.0, 2.0, 5.0]),
    ],
)
def test_steps_are_round_and_below_the_largest_difference(
    largest: float, steps: list[float]
) -> None:
    assert steps_below(largest) == steps
