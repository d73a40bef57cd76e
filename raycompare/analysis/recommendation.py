"""Recommendations: the best model, the cheapest of the contenders, the best in a latency limit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from raycompare.analysis.leaderboard import ModelRow
from raycompare.analysis.round_times import RoundTimes
from raycompare.analysis.statistics.judgement import Judgement
from raycompare.analysis.verdict import rivals_of
from raycompare.records.rows import InferenceRecord


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A tested model with its inference measurements."""

    row: ModelRow
    inference: InferenceRecord

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.row.model


@dataclass(frozen=True, kw_only=True)
class TopTier:
    """The leader and the other models that may be the best."""

    leader: Candidate
    models: tuple[str, ...]
    """Two or more measured models, the leader first."""
    fastest: tuple[Candidate, ...]
    """Models that no other is faster than, in the order of the leaderboard; empty if not known."""
    smallest: Candidate
    """Model with the fewest bytes of weights; the first of several."""


@dataclass(frozen=True, kw_only=True)
class Within:
    """The best model within a latency limit."""

    limit_ms: float
    best: Candidate | None
    """First model of the leaderboard whose 95th percentile is within the limit."""
    nearest: Candidate
    """Measured model with the lowest 95th percentile."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Recommended models; None where there is nothing to recommend."""

    leader: Candidate | None = None
    leader_is_best: bool = False
    """Whether every other model is ruled out."""
    top_tier: TopTier | None = None
    within: Within | None = None


def choices(
    rows: Sequence[ModelRow],
    judgement: Judgement,
    inference: Sequence[InferenceRecord],
    speed: RoundTimes,
    limit_ms: float | None,
) -> Choices:
    """Recommend models of a leaderboard.

    The leader is named if there are other models. The fastest and the smallest are named if all
    models were measured on the same kind of processor. The limit is compared with the latency of
    each model, wherever it was measured.
    """
    records = {record.model: record for record in inference}
    tested = [row for row in rows if row.test]
    measured = [Candidate(row=r, inference=records[r.model]) for r in tested if r.model in records]
    if not measured:
        return Choices()
    models = [row.model for row in tested]
    rivals = rivals_of(models[0], tested, judgement)
    standings = [judgement.may_be_best(model) for model in models[1:]]
    leads = len(models) > 1 and measured[0].model == models[0]
    comparable = leads and on_one_processor(inference)
    return Choices(
        leader=measured[0] if leads else None,
        leader_is_best=bool(standings) and all(may is False for may in standings),
        top_tier=_top_tier(rivals, measured, speed) if comparable else None,
        within=_within(limit_ms, measured) if limit_ms is not None else None,
    )


def _top_tier(
    rivals: Collection[str], measured: Sequence[Candidate], speed: RoundTimes
) -> TopTier | None:
    leader, *others = measured
    members = [leader, *(other for other in others if other.model in rivals)]
    if len(members) == 1:
        return None
    models = tuple(member.model for member in members)
    fastest = speed.fastest(models)
    return TopTier(
        leader=leader,
        models=models,
        fastest=tuple(member for member in members if member.model in fastest),
        smallest=min(members, key=lambda member: member.inference.weight_bytes),
    )


def _within(limit_ms: float, measured: Sequence[Candidate]) -> Within:
    quick = (model for model in measured if model.inference.latency_p95_ms <= limit_ms)
    return Within(
        limit_ms=limit_ms,
        best=next(quick, None),
        nearest=min(measured, key=lambda model: model.inference.latency_p95_ms),
    )


def on_one_processor(inference: Iterable[InferenceRecord]) -> bool:
    """Return whether all models were measured on the same kind of CPU or GPU."""
    return len({(record.device.split(":")[0], record.processor) for record in inference}) <= 1
