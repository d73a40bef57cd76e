"""The verdict: the first sentence of the report, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from raycompare.analysis.intervals import Interval
from raycompare.analysis.leaderboard import BaselineRow, ModelRow, shown_metrics, spread
from raycompare.analysis.pairwise import ONE_SEED, Pair
from raycompare.analysis.significance import Judgement
from raycompare.experiment.spec import Experiment
from raycompare.formatting import count, escape, listing, number_of, score
from raycompare.metrics import LABELS, MetricName
from raycompare.records.endings import first_line
from raycompare.records.rows import TrialRecord

CHANCE = 0.02
"""A model with an absolute MCC below this value is no better than guessing."""
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
    """Return which model is best, by how much, and how certain that is; or why none finished."""
    leader, *others = rows
    if not leader.test:
        return _none_finished(experiment, cause)
    tested = [row for row in rows if row.test]
    scores = _scores(experiment, leader, judgement, test_rows)
    clauses = [f"{_place(experiment, leader, _is_best(tested, judgement))}: {scores}"]
    clauses += _against_others(tested, judgement, experiment.tune.metric)
    clauses += [
        _against_baseline(row.model, leader, judgement) for row in baselines if row.trial_id
    ]
    if missing := [row.model for row in others if not row.test]:
        clauses.append(f"{_names(missing)} did not finish")
    clauses += _not_pretrained(experiment, leader.model)
    if abs(leader.test["matthews_correlation"].mean) < CHANCE:
        clauses.append(f"it is no better than guessing (|MCC| < {CHANCE})")
    return "; ".join(clauses) + "."


def _is_best(tested: Sequence[ModelRow], judgement: Judgement) -> bool:
    pairs = judgement.of_leader([row.model for row in tested])
    return bool(pairs) and all(pair.better == pair.first for pair in pairs)


def _place(experiment: Experiment, leader: ModelRow, is_best: bool) -> str:
    name, number = f"**{escape(leader.model)}**", len(experiment.models)
    if number == 1:
        return f"{name} was the only model tried on {experiment.name}"
    place = "is the best" if is_best else "ranks first"
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
        return [f"{_names(tied)} cannot be compared with it: {judgement.gap}"] if tied else []
    pairs = judgement.of_leader(models)
    clauses = [
        _differ("better", [pair for pair in pairs if pair.better == pair.first], metric, judgement),
        _differ("worse", [pair for pair in pairs if pair.better == pair.second], metric, judgement),
        _close([pair for pair in pairs if pair.test and not pair.apart], tested, judgement),
        _describe_untested([pair for pair in pairs if not pair.test]),
    ]
    return [clause for clause in clauses if clause]


def _against_baseline(baseline: str, leader: ModelRow, judgement: Judgement) -> str:
    pair, name = judgement.pair(leader.model, baseline), escape(baseline)
    if pair is None:
        return f"{name} cannot be compared with it: {judgement.gap}"
    if pair.test is None:
        return f"{name} cannot be compared with it: {ONE_SEED}"
    by = f"by {score(abs(pair.difference))} {LABELS[judgement.metric]}"
    if pair.better == leader.model:
        return f"{name} is worse than it {by} ({_p(pair)}, Holm)"
    if pair.better == baseline:
        return f"{name} is better than it {by} ({_p(pair)}, Holm): a transformer is not needed"
    return f"{name} is not significantly different from it: a transformer may not be needed"


def _p(pair: Pair) -> str:
    assert pair.p_holm is not None
    return p_text(pair.p_holm)


def _differ(how: str, pairs: Sequence[Pair], metric: MetricName, judgement: Judgement) -> str:
    if not pairs:
        return ""
    largest = max(pair.p_holm for pair in pairs if pair.p_holm is not None)
    several = len(pairs) > 1 and largest >= SMALLEST_P
    p = f"each {p_text(largest, '≤')}" if several else p_text(largest)
    in_metric = "" if metric == judgement.metric else f" in {LABELS[judgement.metric]}"
    return f"it is {how}{in_metric} than {_names([pair.second for pair in pairs])} ({p}, Holm)"


def _close(pairs: Sequence[Pair], tested: Sequence[ModelRow], judgement: Judgement) -> str:
    if not pairs:
        return ""
    names, are = [pair.second for pair in pairs], "is" if len(pairs) == 1 else "are"
    smallest = min(pair.test.detectable for pair in pairs if pair.test)
    seeds = sorted({row.seeds_done for row in tested if row.model in {pairs[0].first, *names}})
    over = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return (
        f"{_names(names)} {are} not significantly different from it: with {over} seeds and "
        f"{number_of(judgement.examples, 'test row')}, differences below {score(smallest)} "
        f"{LABELS[judgement.metric]} are not detectable"
    )


def _describe_untested(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    return f"{_names([pair.second for pair in pairs])} cannot be compared with it: {ONE_SEED}"


def _not_pretrained(experiment: Experiment, leader: str) -> list[str]:
    random = [model.name for model in experiment.models if not model.is_pretrained]
    if not random:
        return []
    models, were = _names(random), "was" if len(random) == 1 else "were"
    if random == [leader]:
        models = "it"
    elif len(random) > MOST_NAMES:
        including = ", including it," if leader in random else ""
        models = f"{len(random)} of the {len(experiment.models)} models{including}"
    return [f"{models} {were} trained from randomly initialised weights"]


def _names(models: Sequence[str]) -> str:
    if len(models) > MOST_NAMES:
        return f"{count(len(models))} other models"
    return listing([escape(model) for model in models])


def _none_finished(experiment: Experiment, cause: TrialRecord | None) -> str:
    number = len(experiment.models)
    none = (
        "The only model did not finish" if number == 1 else f"None of the {number} models finished"
    )
    if cause is None:
        return f"{none} on {experiment.name}: no trial was confirmed."
    why = f"{cause.model}, {cause.stage} stage: {first_line(cause)}".rstrip(".")
    return f"{none} on {experiment.name}; first cause: {escape(why)}."
