"""Section of the report that compares every pair of models; a figure replaces long tables."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.statistics.networks import Networks
from raycompare.analysis.statistics.pairwise import Pair
from raycompare.analysis.verdict import SMALLEST_P
from raycompare.formatting import (
    NOTHING,
    change,
    count,
    escape,
    fold_if_long,
    join_parts,
    listing,
    number_of,
    table,
)
from raycompare.metrics import LABELS
from raycompare.report.figures.pair_matrix import PairMatrixFigure

MOST_OPEN = 10
"""Largest number of pairs in a table that is not folded."""


def pairs_section(comparison: Comparison) -> str:
    """Show the tests of pairs of models; for models with one seed, those of single networks."""
    pairs = comparison.judgement.pairs
    if not pairs:
        return ""
    if PairMatrixFigure(comparison).has_data:
        return join_parts("## Pairs of models", _count(comparison, pairs))
    tests = _tests(comparison, [pair for pair in pairs if pair.test])
    return join_parts("## Pairs of models", tests, _networks(pairs))


def _tests(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    metric = LABELS[comparison.judgement.metric]
    headers = ["first", "second", f"difference in {metric}", "95 %", "p", "p (corrected)"]
    rows = table([*headers, "significant"], map(_cells, pairs), left=2)
    fitted = any(row.trial_id for row in comparison.baselines)
    baselines = " Baselines have no seeds and therefore no error of the seeds." if fitted else ""
    family = f"all {count(len(pairs))} pairs together" if len(pairs) > 1 else "the only pair"
    note = (
        f"*Difference*: mean test {metric} over seeds, first minus second. "
        "*95 %*, *p*: interval and p value of this pair alone; the error accounts for seeds and "
        f"for test rows, which both models share.{baselines} *p (corrected)*: for "
        f"{family}; *significant* means below 0.05."
    )
    return f"{fold_if_long(rows, len(pairs), 'pair', MOST_OPEN)}\n\n{note}"


def _count(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    """Count the significant differences between models that are too many for a table."""
    tested, apart = sum(bool(pair.test) for pair in pairs), sum(pair.apart for pair in pairs)
    sentences, columns = [], []
    if tested:
        differ = "differs" if apart == 1 else "differ"
        of_all = f"{count(apart)} of {number_of(tested, 'tested pair')}"
        sentences.append(f"{of_all} {differ} significantly, at 5 % over all of them together.")
        columns.append("intervals and p values")
    if tested < len(pairs):
        why = comparison.judgement.why_untested(*comparison.judgement.untested)
        untested = number_of(len(pairs) - tested, "pair")
        sentences.append(f"{untested} could not be tested: {why}.")
    if any(pair.networks for pair in pairs):
        columns.append("McNemar's tests of the trained networks if a model has a single seed")
    if columns:
        sentences.append(f"tables/pairs.csv has {listing(columns)}.")
    return " ".join(sentences)


def _cells(pair: Pair) -> list[str]:
    assert pair.test is not None
    interval = pair.test.interval
    return [
        escape(pair.first),
        escape(pair.second),
        change(pair.difference),
        f"[{change(interval.low)}, {change(interval.high)}]",
        _p(pair.test.p),
        _p(pair.test.p_corrected),
        "yes" if pair.apart else "no",
    ]


def _p(p: float | None) -> str:
    if p is None:
        return NOTHING
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def _networks(pairs: Sequence[Pair]) -> str:
    rows = [_network_cells(pair, pair.networks) for pair in pairs if pair.networks]
    if not rows:
        return ""
    headers = ["first", "second", "seeds", "only first correct", "only second correct", "p"]
    note = (
        "In these pairs, at least one of the models has a single seed. McNemar's test (mid-p, not "
        "corrected) compares these two trained networks only: other seeds could give another "
        "result, so nothing is claimed about the models."
    )
    shown = fold_if_long(table(headers, rows, left=2), len(rows), "pair", MOST_OPEN)
    return f"{shown}\n\n{note}"


def _network_cells(pair: Pair, networks: Networks) -> list[str]:
    return [
        escape(pair.first),
        escape(pair.second),
        " and ".join("none" if seed is None else str(seed) for seed in networks.seeds),
        count(networks.only_first),
        count(networks.only_second),
        _p(networks.p),
    ]
