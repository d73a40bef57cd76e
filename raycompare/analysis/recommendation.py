"""Which model to use: the best, the cheapest of the top tier, the best that is quick enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raycompare.analysis.leaderboard import ModelRow
from raycompare.analysis.pairwise import Pair
from raycompare.analysis.significance import Judgement
from raycompare.records.rows import InferenceRecord


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A tested model, and what it takes to use it."""

    row: ModelRow
    inference: InferenceRecord

    @property
    def model(self) -> str:
        """Its name."""
        return self.row.model


@dataclass(frozen=True, kw_only=True)
class TopTier:
    """The leader and the models that were compared with it and can't be told apart from it."""

    leader: Candidate
    models: tuple[str, ...]
    """All that were measured, the leader first; two or more."""
    quickest: Candidate
    """By the median latency."""
    smallest: Candidate
    """By the bytes of the weights; the quickest among equals."""


@dataclass(frozen=True, kw_only=True)
class Within:
    """What there is within the latency that the user asked for."""

    limit_ms: float
    best: Candidate | None
    """The first of the leaderboard whose 95th percentile keeps the limit."""
    nearest: Candidate
    """Of all that were measured, the one with the lowest 95th percentile."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be recommended; None where it would not be true, or would say nothing."""

    leader: Candidate | None = None
    leader_is_best: bool = False
    """Whether it is better than each of the others, by the tests."""
    top_tier: TopTier | None = None
    within: Within | None = None


def choices(
    rows: Sequence[ModelRow],
    judgement: Judgement,
    inference: Sequence[InferenceRecord],
    limit_ms: float | None,
) -> Choices:
    """Choose among the models of a leaderboard.

    The leader is named where there are others, and the cheapest where all were measured on one kind
    of processor. A limit is held against each model's own time wherever it was measured.
    """
    records = {record.model: record for record in inference}
    tested = [row for row in rows if row.test]
    found = [Candidate(row=r, inference=records[r.model]) for r in tested if r.model in records]
    if not found:
        return Choices()
    models = [row.model for row in tested]
    pairs = judgement.of_leader(models)
    leads = len(models) > 1 and found[0].model == models[0]
    comparable = leads and on_one_processor(inference)
    return Choices(
        leader=found[0] if leads else None,
        leader_is_best=bool(pairs) and all(pair.better == pair.first for pair in pairs),
        top_tier=_top_tier(pairs, found) if comparable else None,
        within=_within(limit_ms, found) if limit_ms is not None else None,
    )


def _top_tier(pairs: Sequence[Pair], measured: Sequence[Candidate]) -> TopTier | None:
    """Leave out those of which one seed allows no test: how good they are is not known."""
    leader, *others = measured
    tied = {pair.second for pair in pairs if pair.test and not pair.apart}
    members = [leader, *(other for other in others if other.model in tied)]
    if len(members) == 1:
        return None
    return TopTier(
        leader=leader,
        models=tuple(member.model for member in members),
        quickest=min(members, key=_latency),
        smallest=min(members, key=lambda one: (one.inference.weight_bytes, _latency(one))),
    )


def _latency(contender: Candidate) -> float:
    return contender.inference.latency_p50_ms


def _within(limit_ms: float, measured: Sequence[Candidate]) -> Within:
    quick = (one for one in measured if one.inference.latency_p95_ms <= limit_ms)
    return Within(
        limit_ms=limit_ms,
        best=next(quick, None),
        nearest=min(measured, key=lambda one: one.inference.latency_p95_ms),
    )


def on_one_processor(inference: Iterable[InferenceRecord]) -> bool:
    """Say whether the times can be compared: all from processors or cards of one kind."""
    return len({(record.device.split(":")[0], record.processor) for record in inference}) <= 1
