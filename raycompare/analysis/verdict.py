"""The verdict: the one sentence that the report begins with, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.analysis.intervals import Interval
from raycompare.analysis.leaderboard import BaselineRow, ModelRow, shown_metrics, spread
from raycompare.analysis.pairwise import Pair
from raycompare.analysis.significance import Judgement
from raycompare.experiment.spec import Experiment
from raycompare.formatting import count, escape, listing, number_of, score
from raycompare.metrics import LABELS, MetricName
from raycompare.records.endings import first_line
from raycompare.records.rows import TrialRecord

CHANCE = 0.02
"""An MCC closer to 0 is that of guessing."""

MOST_NAMES = 3


SMALLEST_P = 0.001


def verdict(
    experiment: Experiment,
    rows: Sequence[ModelRow],
    judgement: Judgement,
    cause: TrialRecord | None,
    test_rows: int | None,
    baselines: Sequence[BaselineRow] = (),
) -> str:
    """Say which model is best, by how much, and how sure that is; or why none finished."""
    leader, *others = rows
    if not leader.test:
        return _none_finished(experiment, cause)
    tested = [row for row in rows if row.test]
    scores = _scores(experiment, leader, judgement, test_rows)
    clauses = [f"{_place(experiment, leader, _is_best(tested, judgement))}: {scores}"]
    clauses += _against_others(tested, judgement, experiment.tune.metric)
    clauses += [_against(row.model, leader, judgement) for row in baselines if row.trial_id]
    if missing := [row.model for row in others if not row.test]:
        clauses.append(f"{_names(missing)} did not finish")
    clauses += _not_pretrained(experiment, leader.model)
    if abs(leader.test["matthews_correlation"].mean) < CHANCE:
        clauses.append(f"it does no better than guessing (|MCC| < {CHANCE})")
    return "; ".join(clauses) + "."


def _is_best(tested: Sequence[ModelRow], judgement: Judgement) -> bool:
    pairs = judgement.of_leader([row.model for row in tested])
    return bool(pairs) and all(pair.better == pair.first for pair in pairs)


def _place(experiment: Experiment, leader: ModelRow, is_best: bool) -> str:
    name, number = f"**{escape(leader.model)}**", len(experiment.models)
    if number == 1:
        return f"{name} is the only model that was tried on {experiment.name}"
    place = "is the best" if is_best else "comes first"
    metric = LABELS[experiment.tune.metric]
    return f"{name} {place} of {number} models on {experiment.name} by {metric}"


def _scores(
    experiment: Experiment, leader: ModelRow, judgement: Judgement, test_rows: int | None
) -> str:
    own = judgement.intervals.get(leader.model, {})
    scores = [
        f"{LABELS[name]} {_score(leader, name, own.get(name))}"
        for name in shown_metrics(experiment.tune.metric)
    ]
    rows = f", {number_of(test_rows, 'test row')}" if test_rows else ""
    return f"test {', '.join(scores)} ({_over_seeds(leader, bool(own))}{rows})"


def _score(row: ModelRow, name: MetricName, interval: Interval | None) -> str:
    if interval is None:
        return spread(row.test[name])
    return f"{score(row.test[name].mean)} {bounds(interval)}"


def bounds(interval: Interval) -> str:
    """Return an interval such as [0.790, 0.834]."""
    return f"[{score(interval.low)}, {score(interval.high)}]"


def _over_seeds(row: ModelRow, has_interval: bool) -> str:
    of_planned = f" of {row.seeds_planned}" if row.seeds_done < row.seeds_planned else ""
    if row.seeds_done == 1:
        return f"one{of_planned} seeds" if of_planned else "one seed"
    what = "mean and 95 % interval" if has_interval else "mean ± sd"
    return f"{what} over {row.seeds_done}{of_planned} seeds"


def p_text(p: float, sign: str = "=") -> str:
    """Return a p value such as p = 0.012 or p < 0.001."""
    return f"p < {SMALLEST_P}" if p < SMALLEST_P else f"p {sign} {p:.3f}"


def _against_others(
    tested: Sequence[ModelRow], judgement: Judgement, metric: MetricName
) -> list[str]:
    models = [row.model for row in tested]
    if judgement.gap is not None:
        tied = judgement.ties_with_first(models)
        return [f"{_names(tied)} can't be told apart from it: {judgement.gap}"] if tied else []
    pairs = judgement.of_leader(models)
    by = "" if metric == judgement.metric else f" by {LABELS[judgement.metric]}"
    clauses = [
        _apart(f"better{by} than", [pair for pair in pairs if pair.better == pair.first]),
        _apart(f"worse{by} than", [pair for pair in pairs if pair.better == pair.second]),
        _close([pair for pair in pairs if pair.test and not pair.apart], tested, judgement),
        _describe_untested([pair for pair in pairs if not pair.test]),
    ]
    return [clause for clause in clauses if clause]


def _against(baseline: str, leader: ModelRow, judgement: Judgement) -> str:
    """Say whether something simpler than a network would do."""
    pair, name = judgement.pair(leader.model, baseline), escape(baseline)
    if pair is None:
        return f"{name} can't be told apart from it: {judgement.gap}"
    if pair.test is None:
        return f"{name} can't be told apart from it: one seed says nothing of others"
    by = f"by {score(abs(pair.difference))} {LABELS[judgement.metric]}"
    if pair.better == leader.model:
        return f"better than {name} {by} ({_p(pair)}, Holm)"
    if pair.better == baseline:
        return f"{name} is better {by} ({_p(pair)}, Holm): a transformer is not needed"
    return f"{name} can't be told apart from it: a transformer may not be needed"


def _p(pair: Pair) -> str:
    assert pair.p_holm is not None
    return p_text(pair.p_holm)


def _apart(how: str, pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    largest = max(pair.p_holm for pair in pairs if pair.p_holm is not None)
    several = len(pairs) > 1 and largest >= SMALLEST_P
    p = f"each {p_text(largest, '≤')}" if several else p_text(largest)
    return f"{how} {_names([pair.second for pair in pairs])} ({p}, Holm)"


def _close(pairs: Sequence[Pair], tested: Sequence[ModelRow], judgement: Judgement) -> str:
    if not pairs:
        return ""
    names = [pair.second for pair in pairs]
    smallest = min(pair.test.detectable for pair in pairs if pair.test)
    seeds = sorted({row.seeds_done for row in tested if row.model in {pairs[0].first, *names}})
    over = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        f"{_names(names)} can't be told apart from it: a gap under {score(smallest)} "
        f"{LABELS[judgement.metric]} can't be seen with {over} seeds and "
        f"{number_of(judgement.examples, 'test row')}"
    )


def _describe_untested(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    names = _names([pair.second for pair in pairs])
    return f"{names} can't be told apart from it: one seed says nothing of others"


def _not_pretrained(experiment: Experiment, leader: str) -> list[str]:
    random = [model.name for model in experiment.models if not model.is_pretrained]
    if not random:
        return []
    if random == [leader]:
        return ["it began with random weights and was not pretrained"]
    who, were = _names(random), "was" if len(random) == 1 else "were"
    if len(random) > MOST_NAMES:
        among = ", it among them," if leader in random else ""
        who = f"{len(random)} of the {len(experiment.models)} models{among}"
    return [f"{who} began with random weights and {were} not pretrained"]


def _names(models: Sequence[str]) -> str:
    if len(models) > MOST_NAMES:
        return f"{count(len(models))} other models"
    return listing([escape(model) for model in models])


def _none_finished(experiment: Experiment, cause: TrialRecord | None) -> str:
    number = len(experiment.models)
    whom = "The only model" if number == 1 else f"None of the {number} models"
    did = "did not finish" if number == 1 else "finished"
    if cause is None:
        return f"{whom} {did} on {experiment.name}: no trial was confirmed."
    why = f"{cause.model}, {cause.stage} stage: {first_line(cause)}".rstrip(".")
    return f"{whom} {did} on {experiment.name}; the first cause: {escape(why)}."
