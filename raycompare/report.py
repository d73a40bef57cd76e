"""From a run folder to its report: Markdown, a CSV file and figures; the same bytes every time."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO

from raycompare import report_health, report_pairs, report_run, report_scores, report_search
from raycompare.compare import Comparison, compare
from raycompare.leaderboard import ModelRow, shown_metrics
from raycompare.metrics import MODES
from raycompare.plots import draw_all, png_bytes
from raycompare.records import Records
from raycompare.results import RunFolder

SECTIONS = (
    report_scores.leaderboard_section,
    report_pairs.pairs_section,
    report_scores.hyperparameters_section,
    report_search.search_section,
    report_health.health_section,
)
SECTIONS_AFTER_FIGURES = (
    report_run.failures_section,
    report_run.trials_section,
    report_run.data_section,
    report_run.environment_section,
    report_run.reproduce_section,
)


def write_report(folder: RunFolder) -> Comparison:
    """Write report.md, leaderboard.csv and figures/*.png from the records in the folder.

    Raises:
        UserError: the folder is not that of a finished run.
    """
    comparison = compare(Records.of(folder), folder.read_predictions())
    figures = {}
    for name, figure in draw_all(comparison).items():
        figures[name] = f"figures/{name}.png"
        folder.write_bytes(figures[name], png_bytes(figure))
    folder.write_text("leaderboard.csv", leaderboard_csv(comparison))
    folder.write_text("report.md", render(comparison, figures))
    return comparison


def render(comparison: Comparison, figures: Mapping[str, str]) -> str:
    """Return the report as Markdown; `figures` has the path of each figure by its name."""
    parts = [
        f"# {comparison.experiment.name}",
        report_search.partial_section(comparison),
        comparison.verdict,
        *(section(comparison) for section in SECTIONS),
        report_run.figures_section(comparison, figures),
        *(section(comparison) for section in SECTIONS_AFTER_FIGURES),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def leaderboard_csv(comparison: Comparison) -> str:
    """Return the leaderboard with every digit; an empty cell where there is no value."""
    rows = [_csv_row(comparison, place) for place in enumerate(comparison.leaderboard, 1)]
    stream = StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _csv_row(comparison: Comparison, place: tuple[int, ModelRow]) -> dict[str, object]:
    rank, row = place
    return {
        "rank": rank if row.test else None,
        "model": row.model,
        "tied_with_first": row.model in comparison.tied,
        **_csv_standing(comparison, row),
        "seeds": row.seeds_done,
        "seeds_planned": row.seeds_planned,
        **_csv_scores(row),
        **_csv_intervals(comparison, row),
        f"validation_{comparison.metric}": row.validation,
        "num_parameters": row.num_parameters,
        "train_seconds": row.train_seconds,
        "eval_seconds": row.eval_seconds,
        "steps_to_best": row.steps_to_best,
        **{str(status): number for status, number in row.counts.items()},
        "reason": row.reason,
    }


def _csv_scores(row: ModelRow) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for name in MODES:
        spread = row.test.get(name)
        scores[f"test_{name}_mean"] = spread.mean if spread else None
        scores[f"test_{name}_sd"] = spread.sd if spread else None
    return scores


def _csv_standing(comparison: Comparison, row: ModelRow) -> dict[str, object]:
    ranks = comparison.judgement.ranks.get(row.model)
    return {
        "tier": comparison.judgement.tiers.get(row.model),
        "best_rank": ranks.best if ranks else None,
        "worst_rank": ranks.worst if ranks else None,
    }


def _csv_intervals(comparison: Comparison, row: ModelRow) -> dict[str, float | None]:
    own = comparison.judgement.intervals.get(row.model, {})
    bounds: dict[str, float | None] = {}
    for name in shown_metrics(comparison.judgement.metric):
        interval = own.get(name)
        bounds[f"test_{name}_low"] = interval.low if interval else None
        bounds[f"test_{name}_high"] = interval.high if interval else None
    return bounds
