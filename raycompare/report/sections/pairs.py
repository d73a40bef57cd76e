"""The section of the report that compares every pair of models."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.pairwise import Networks, Pair
from raycompare.analysis.verdict import SMALLEST_P
from raycompare.formatting import NOTHING, change, count, escape, folded, number_of, score, table
from raycompare.metrics import LABELS

MOST_OPEN = 10
"""Pairs in a table that is not folded away."""


def pairs_section(comparison: Comparison) -> str:
    """Show every pair that was tested, and the networks of those that could not be."""
    pairs = comparison.judgement.pairs
    tested = [pair for pair in pairs if pair.test]
    single = [pair for pair in pairs if pair.networks]
    parts = ["## Pairs of models", _tests(comparison, tested), _networks(single)]
    return "\n\n".join(part for part in parts if part) if pairs else ""


def _tests(comparison: Comparison, pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    metric = LABELS[comparison.judgement.metric]
    headers = [
        "model",
        "and",
        f"difference in {metric}",
        "95 %",
        "p",
        "p, Holm",
        "apart",
        "can see",
    ]
    note = (
        f"The first minus the second, by mean test {metric} over seeds{_why_not_loss(comparison)}. "
        "*95 %* and *p* are of the pair alone, by Student's t: its error is that of the seeds and "
        "that of the test rows, which both models share; Welch-Satterthwaite degrees of freedom. "
        f"{_no_seeds(comparison)}*P, Holm* is corrected for "
        f"{number_of(len(pairs), 'pair')}. *Can see* is the true "
        "difference that this pair alone would show in 80 % of repeats or more (noncentral t); "
        "smaller ones mostly stay hidden."
    )
    return f"{_fold_many(table(headers, map(_cells, pairs), left=2), len(pairs))}\n\n{note}"


def _why_not_loss(comparison: Comparison) -> str:
    return ", since predictions have no loss" if comparison.metric == "loss" else ""


def _no_seeds(comparison: Comparison) -> str:
    fitted = [row for row in comparison.baselines if row.trial_id]
    return "A baseline has no seeds, and so no error of them. " if fitted else ""


def _fold_many(shown: str, pairs: int) -> str:
    if pairs <= MOST_OPEN:
        return shown
    return folded(number_of(pairs, "pair"), shown)


def _cells(pair: Pair) -> list[str]:
    assert pair.test is not None
    interval = pair.test.interval
    return [
        escape(pair.first),
        escape(pair.second),
        change(pair.difference),
        f"[{change(interval.low)}, {change(interval.high)}]",
        _p(pair.test.p),
        _p(pair.p_holm),
        "yes" if pair.apart else "no",
        score(pair.test.detectable),
    ]


def _p(p: float | None) -> str:
    if p is None:
        return NOTHING
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def _networks(pairs: Sequence[Pair]) -> str:
    found = [(pair, pair.networks) for pair in pairs if pair.networks]
    if not found:
        return ""
    headers = ["model", "and", "seeds", "only the first right", "only the second right", "p"]
    note = (
        "One of the two has a single seed. McNemar's test (mid-p, not corrected) is of these two "
        "trained networks alone: with other seeds it could come out otherwise, so it makes no "
        "claim about the models."
    )
    rows = [_network_cells(pair, networks) for pair, networks in found]
    return f"{_fold_many(table(headers, rows, left=2), len(rows))}\n\n{note}"


def _network_cells(pair: Pair, networks: Networks) -> list[str]:
    return [
        escape(pair.first),
        escape(pair.second),
        " and ".join("none" if seed is None else str(seed) for seed in networks.seeds),
        count(networks.only_first),
        count(networks.only_second),
        _p(networks.p),
    ]
