"""The section of the report that says what the look before the search was worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy.stats import spearmanr

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import NOTHING, count, duration, escape, listing, number_of, score, table
from raycompare.metrics import LABELS, ScoreName
from raycompare.records.rows import ScreenRecord

NAMES: Mapping[ScoreName, str] = {
    "log_me": "LogME",
    "h_score": "H-score",
    "probe": "linear probe, MCC",
}
FEWEST = 4
"""Models of which a rank correlation says something."""


def screening_section(comparison: Comparison) -> str:
    """Show the scores beside the final ranks; nothing if nothing was screened."""
    if not comparison.screened:
        return ""
    parts = ["## Screening", _what(comparison), _table(comparison)]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in _lines(comparison))])


def _what(comparison: Comparison) -> str:
    records, settings = comparison.screened, comparison.experiment.screen
    assert settings is not None
    kept = sum(record.kept for record in records)
    rows = max(record.rows for record in records)
    went = "all of them" if kept == len(records) else f"the best {kept}"
    return (
        f"Before the search, the frozen features of {number_of(len(records), 'model')} were looked "
        f"at on {number_of(rows, 'row')} of train; {went} by {NAMES[settings.score]} went on."
    )


def _table(comparison: Comparison) -> str:
    final = _final_ranks(comparison)
    headers = ["model", *NAMES.values(), "screened as", "final rank", "took"]
    return table(headers, (_row(record, final) for record in comparison.screened))


def _row(record: ScreenRecord, final: Mapping[str, int]) -> list[str]:
    end = count(final[record.model]) if record.model in final else NOTHING
    return [
        escape(record.model),
        *(score(getattr(record, name)) for name in NAMES),
        NOTHING if record.rank is None else count(record.rank),
        end if record.kept else "left out",
        "known before" if record.cached else duration(record.seconds),
    ]


def _final_ranks(comparison: Comparison) -> dict[str, int]:
    tested = [row.model for row in comparison.leaderboard if row.test]
    return {model: rank for rank, model in enumerate(tested, 1)}


def _lines(comparison: Comparison) -> list[str]:
    lines = [
        _agreement(comparison),
        _winner(comparison),
        *(
            f"{escape(record.model)} could not be screened, and went on: {escape(record.cause)}"
            for record in comparison.screened
            if record.cause
        ),
    ]
    if not all(record.kept for record in comparison.screened):
        lines.append(
            "Models that were left out were not trained: whether one of them would have been "
            "first is not known. `screen.keep` as large as the number of models shows how far the "
            "scores can be trusted on these data."
        )
    return [line for line in lines if line]


def _agreement(comparison: Comparison) -> str:
    metric = comparison.metric
    values = {row.model: row.test[metric].mean for row in comparison.leaderboard if row.test}
    known = [r for r in comparison.screened if r.rank is not None and r.model in values]
    if len(known) < FEWEST:
        return (
            f"{number_of(len(known), 'model')} with both ranks: too few to say how well they agree."
        )
    tested = [values[record.model] for record in known]
    parts = [f"{correlation(known, name, tested)} ({label})" for name, label in NAMES.items()]
    return (
        f"Rank correlation with test {LABELS[metric]} over the {len(known)} models that were "
        f"trained (Spearman; 1 is the same order): {listing(parts)}."
    )


def correlation(records: Sequence[ScreenRecord], name: ScoreName, tested: Sequence[float]) -> str:
    """Return Spearman's rank correlation of a score with test values, or why there is none."""
    scores = [record.score(name) for record in records]
    if len(set(scores)) == 1 or len(set(tested)) == 1:
        return "none, since all are equal"
    return f"{float(spearmanr(scores, tested).statistic):.2f}"


def _winner(comparison: Comparison) -> str:
    final = _final_ranks(comparison)
    first = next((record for record in comparison.screened if final.get(record.model) == 1), None)
    if first is None or first.rank is None:
        return ""
    number = len(comparison.screened)
    return (
        f"{escape(first.model)}, first in the end, was screened as {first.rank} of {number}: "
        f"`keep: {first.rank}` would have been enough."
    )
