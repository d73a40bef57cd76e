"""Section of the report that compares the screening scores with the final ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import (
    NOTHING,
    count,
    duration,
    escape,
    join_parts,
    listing,
    number_of,
    score,
    table,
)
from raycompare.metrics import LABELS, ScoreName
from raycompare.records.rows import ScreenRecord

NAMES: Mapping[ScoreName, str] = {
    "log_me": "LogME",
    "h_score": "H-score",
    "probe": "linear probe, MCC",
}
FEWEST = 4
"""Smallest number of models for a rank correlation."""


def screening_section(comparison: Comparison) -> str:
    """Show screening scores and final ranks; return nothing if no models were screened."""
    if not comparison.screened:
        return ""
    lines = "\n".join(f"- {line}" for line in _lines(comparison))
    return join_parts("## Screening", _describe(comparison), _table(comparison), lines)


def _describe(comparison: Comparison) -> str:
    records, settings = comparison.screened, comparison.experiment.screen
    assert settings is not None
    kept = sum(record.kept for record in records)
    rows = max(record.rows for record in records)
    result = "all were kept" if kept == len(records) else f"the best {kept} were kept"
    return (
        f"Before the search, {number_of(len(records), 'model')} were screened by their frozen "
        f"features on {number_of(rows, 'training row')}; by {NAMES[settings.score]}, {result}."
    )


def _table(comparison: Comparison) -> str:
    final = _final_ranks(comparison)
    headers = ["model", *NAMES.values(), "screening rank", "final rank", "time"]
    return table(headers, (_row(record, final) for record in comparison.screened))


def _row(record: ScreenRecord, final: Mapping[str, int]) -> list[str]:
    end = count(final[record.model]) if record.model in final else NOTHING
    return [
        escape(record.model),
        *(score(getattr(record, name)) for name in NAMES),
        NOTHING if record.rank is None else count(record.rank),
        end if record.kept else "dropped",
        "cached" if record.cached else duration(record.seconds),
    ]


def _final_ranks(comparison: Comparison) -> dict[str, int]:
    tested = [row.model for row in comparison.leaderboard if row.test]
    return {model: rank for rank, model in enumerate(tested, 1)}


def _lines(comparison: Comparison) -> list[str]:
    lines = [
        _agreement(comparison),
        _winner(comparison),
        *(
            f"{escape(record.model)} could not be screened and was kept: {escape(record.cause)}"
            for record in comparison.screened
            if record.cause
        ),
    ]
    if not all(record.kept for record in comparison.screened):
        lines.append(
            "Dropped models were not trained, so one of them might have been first. To see how "
            "well the scores predict the ranks on this data, set `screen.keep` to the number of "
            "models."
        )
    return [line for line in lines if line]


def _agreement(comparison: Comparison) -> str:
    metric = comparison.metric
    values = {row.model: row.test[metric].mean for row in comparison.leaderboard if row.test}
    ranked = [r for r in comparison.screened if r.rank is not None and r.model in values]
    if len(ranked) < FEWEST:
        return f"Only {number_of(len(ranked), 'model')} with both ranks: too few to compare them."
    tested = [values[record.model] for record in ranked]
    parts = [f"{correlation(ranked, name, tested)} ({label})" for name, label in NAMES.items()]
    return (
        f"Rank correlation with test {LABELS[metric]} over the {len(ranked)} trained models "
        f"(Spearman; 1 means the same order): {listing(parts)}."
    )


def correlation(records: Sequence[ScreenRecord], name: ScoreName, tested: Sequence[float]) -> str:
    """Return Spearman's rank correlation of a score with test scores, or why there is none."""
    scores = [record.score(name) for record in records]
    if len(set(scores)) == 1 or len(set(tested)) == 1:
        return "undefined, all are equal"
    from scipy.stats import spearmanr  # noqa: PLC0415 - takes more than a second to import

    return f"{float(spearmanr(scores, tested).statistic):.2f}"


def _winner(comparison: Comparison) -> str:
    final = _final_ranks(comparison)
    first = next((record for record in comparison.screened if final.get(record.model) == 1), None)
    if first is None or first.rank is None:
        return ""
    number = len(comparison.screened)
    return (
        f"The final winner, {escape(first.model)}, had screening rank {first.rank} of {number}: "
        f"`keep: {first.rank}` would have been enough."
    )
