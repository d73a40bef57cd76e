"""What the stored predictions say about the models: intervals, tests, and who may be the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pyarrow as pa

from raycompare.analysis.leaderboard import shown_metrics
from raycompare.analysis.per_class import ClassReport, class_report
from raycompare.analysis.statistics.contenders import (
    Standing,
    standings_of,
    standings_of_baselines,
)
from raycompare.analysis.statistics.estimate import Interval, ScoreEstimate
from raycompare.analysis.statistics.intervals import intervals, selected_interval
from raycompare.analysis.statistics.outlook import seeds_to_settle
from raycompare.analysis.statistics.pairwise import Pair, compare_pairs
from raycompare.analysis.statistics.predictions import FinalistPredictions, read_predictions
from raycompare.analysis.statistics.race import Criteria, are_the_same, race_of
from raycompare.analysis.statistics.tiers import Ranks, ranks, tiers
from raycompare.metrics import MetricName
from raycompare.records.rows import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Intervals, tests and standings of the tested models; empty if `gap` is set."""

    metric: MetricName
    """Metric that the models are compared by."""
    gap: str | None = None
    """The reason why the predictions can't be used; then nothing is claimed."""
    examples: int = 0
    """Number of test examples."""
    intervals: Mapping[str, Mapping[MetricName, Interval]] = field(default_factory=dict)
    """Intervals of each model on its own."""
    selected: Interval | None = None
    """Interval of the leader's score by `metric`, corrected for having been selected."""
    standings: Mapping[str, Standing] = field(default_factory=dict)
    """Standings of models and baselines that can be tested; empty for fewer than two."""
    untested: Mapping[str, str] = field(default_factory=dict)
    """The reasons why models can't be tested, keyed by model."""
    pairs: tuple[Pair, ...] = ()
    set_aside: Mapping[str, float] = field(default_factory=dict)
    """Models that got fewer seeds with `seeds: auto`, although they were not ruled out, with their
    chance of being better than the leader on these test examples."""
    same: bool = False
    """Whether the leader and its rivals are the same within `confirm.margin`."""
    further_seeds: int | None = None
    """Number of further seeds of the models that may be the best that would probably rule out all
    but the leader; None if there are no others, or not even `MOST_SEEDS` would."""
    peeking: float = 1.0
    """Factor of the p values, if tests were made after several rounds of seeds."""
    tiers: Mapping[str, str] = field(default_factory=dict)
    ranks: Mapping[str, Ranks] = field(default_factory=dict)
    classes: ClassReport | None = None
    """Scores of the leader per label."""

    @classmethod
    def of(
        cls,
        answers: FinalistPredictions,
        models: Sequence[str],
        criteria: Criteria,
    ) -> Self:
        """Compare models and baselines, best first.

        Baselines have no ranks, and don't count for the ranks of models.
        """
        metric, confirm = criteria.metric, criteria.confirm
        ranked = [model for model in models if answers.seeds[model]]
        estimates = {model: ScoreEstimate.of(answers, model, metric) for model in models}
        finite = [model for model in models if estimates[model].is_finite]
        by_metric = {name: intervals(answers, finite, name) for name in shown_metrics(metric)}
        race = race_of(answers, criteria) if confirm.is_race else None
        peeking = race.peeking if race else 1.0
        own = {model: estimates[model] for model in ranked}
        baselines = {model: estimates[model] for model in models if model not in ranked}
        standings = race.standings if race else standings_of(own, metric)
        pairs = compare_pairs(answers, models, metric, peeking)
        judgement = cls(
            metric=metric,
            examples=answers.examples,
            intervals={
                model: {name: own[model] for name, own in by_metric.items()} for model in finite
            },
            standings={**standings, **standings_of_baselines(own, baselines, metric, peeking)},
            untested={name: why for name, own in estimates.items() if (why := own.untested)},
            pairs=pairs,
            set_aside=race.set_aside if race else {},
            peeking=peeking,
            tiers=tiers(models, [(pair.first, pair.second) for pair in pairs if pair.apart]),
            ranks=ranks(ranked, _better(pairs, ranked)),
        )
        if ranked[0] not in finite:
            return judgement
        return judgement._with_leader(answers, own, confirm.margin)

    def _with_leader(
        self,
        answers: FinalistPredictions,
        estimates: Mapping[str, ScoreEstimate],
        margin: float | None,
    ) -> Self:
        """Add what is claimed of the first of the models."""
        leader, *others = estimates
        contenders = [leader, *(model for model in others if self.may_be_best(model))]
        rivals = self.rivals_of(leader, others)
        racing = {model: estimates[model] for model in (leader, *rivals)}
        return replace(
            self,
            selected=selected_interval(answers, contenders, self.metric),
            same=margin is not None and are_the_same(racing, margin, self.peeking),
            further_seeds=seeds_to_settle(estimates, contenders, self.metric, self.peeking),
        )

    def rivals_of(self, leader: str, models: Iterable[str]) -> list[str]:
        """Return those of the models that compete with the leader for the first place.

        They may be the best, and were not set aside; none if the leader can't be tested.
        """
        if self.may_be_best(leader) is None:
            return []
        others = [model for model in models if model != leader and model not in self.set_aside]
        return [model for model in others if self.may_be_best(model)]

    def pair(self, one: str, other: str) -> Pair | None:
        """Return the comparison of two models in either order; None if nothing is claimed."""
        return next((p for p in self.pairs if {p.first, p.second} == {one, other}), None)

    def why_untested(self, *models: str) -> str:
        """Return the reasons why some of these models can't be tested."""
        return "; ".join(dict.fromkeys(self.untested[m] for m in models if m in self.untested))

    def may_be_best(self, model: str) -> bool | None:
        """Return whether a model may be the best; None if that was not tested."""
        standing = self.standings.get(model)
        return standing.may_be_best if standing else None


def _better(pairs: Iterable[Pair], models: Sequence[str]) -> list[tuple[str, str]]:
    return [
        (pair.better, pair.second if pair.better == pair.first else pair.first)
        for pair in pairs
        if pair.better is not None and {pair.first, pair.second} <= set(models)
    ]


def judge(
    finalists: Sequence[TrialRecord],
    predictions: Iterable[tuple[str, pa.Table]],
    models: Sequence[str],
    criteria: Criteria,
    label_names: Sequence[str] = (),
    baselines: Mapping[str, str] | None = None,
) -> Judgement:
    """Compare the models by the predictions of their tested finalists.

    Args:
        finalists: Confirm trials that were tested.
        predictions: Trial ids with their tables.
        models: Models with finalists and baselines, best first.
        criteria: Metric of the experiment, and settings of its confirm stage.
        label_names: Names of the labels, by number.
        baselines: Trial ids keyed by the name of the baseline.
    """
    answers = read_predictions(
        finalists, baselines or {}, predictions, with_losses=criteria.metric == "loss"
    )
    if isinstance(answers, str):
        return Judgement(metric=criteria.metric, gap=answers)
    judgement = Judgement.of(answers, models, criteria)
    leader = next(model for model in models if answers.seeds[model])
    return replace(judgement, classes=class_report(answers, leader, label_names))
