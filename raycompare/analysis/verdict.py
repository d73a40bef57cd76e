"""The verdict: the first sentences of the report, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from raycompare.analysis.health.training import CHANCE
from raycompare.analysis.leaderboard import BaselineRow, ModelRow, spread
from raycompare.analysis.spending import Sum
from raycompare.analysis.statistics.estimate import Interval
from raycompare.analysis.statistics.judgement import Judgement
from raycompare.analysis.statistics.outlook import MOST_SEEDS
from raycompare.experiment.spec import Experiment
from raycompare.formatting import count, dollars, duration, escape, listing, number_of, score
from raycompare.metrics import LABELS, MODES, MetricName
from raycompare.records.endings import first_line
from raycompare.records.rows import TrialRecord

MOST_NAMES = 3
SMALLEST_P = 0.001


def verdict(
    experiment: Experiment,
    rows: Sequence[ModelRow],
    judgement: Judgement,
    cause: TrialRecord | None,
    baselines: Sequence[BaselineRow] = (),
    seeds: Mapping[str, Sum] | None = None,
) -> str:
    """Return which model to use, how good it is, and how certain that is; or why none finished.

    `seeds` is the expected cost of a further seed, keyed by model.
    """
    leader, *others = rows
    if not leader.test:
        return _none_finished(experiment, cause)
    tested = [row for row in rows if row.test]
    sentences = [
        f"{_place(experiment, tested, judgement)}: {_score(experiment, leader, judgement)}",
        *_against_models(tested, judgement),
        *(_against_baseline(row, leader, judgement) for row in baselines if row.trial_id),
        *_set_aside(tested, judgement),
        *_missed(tested, judgement),
        *_outlook(tested, judgement, seeds or {}),
    ]
    if missing := [row.model for row in others if not row.test]:
        sentences.append(f"{_names(missing)} did not finish")
    sentences += _not_pretrained(experiment, leader.model)
    if abs(leader.test["matthews_correlation"].mean) < CHANCE:
        sentences.append(f"It is no better than guessing (|MCC| < {CHANCE})")
    return " ".join(f"{sentence}." for sentence in sentences)


def _place(experiment: Experiment, tested: Sequence[ModelRow], judgement: Judgement) -> str:
    leader, metric = tested[0], experiment.tune.metric
    name, number = f"**{escape(leader.model)}**", len(experiment.models)
    models = f"{number} models"
    if len(tested) < number:
        models = f"the {len(tested)} models that finished"
    by = f"of {models} on {experiment.name} by {LABELS[metric]}"
    if len(tested) == 1:
        only = f"is the only one of {number} models that finished"
        only = only if number > 1 else "was the only model tried"
        return f"{name} {only} on {experiment.name}"
    if ties := _ties(tested, metric):
        names = listing([name, *(f"**{escape(tie)}**" for tie in ties)])
        return f"{names} tie for the first place {by}"
    rivals = rivals_of(leader.model, tested, judgement)
    if rivals and judgement.same:
        are = "is" if len(rivals) == 1 else "are"
        margin = f"{experiment.confirm.margin:g}"
        return (
            f"{name} ranks first {by}, and {_names(rivals)} {are} the same within {margin}: "
            "take the cheapest"
        )
    if rivals:
        return f"{name} ranks first {by}, but {_names(rivals)} may be better"
    if _is_best(leader.model, tested, judgement):
        return f"{name} is the best {by}"
    return f"{name} ranks first {by}"


def _ties(tested: Sequence[ModelRow], metric: MetricName) -> list[str]:
    """Return the models with exactly the leader's score."""
    first, *others = tested
    return [row.model for row in others if row.test[metric].mean == first.test[metric].mean]


def rivals_of(leader: str, tested: Sequence[ModelRow], judgement: Judgement) -> list[str]:
    """Return the other models that compete for the first place; none if that was not tested."""
    return judgement.rivals_of(leader, [row.model for row in tested])


def _is_best(leader: str, tested: Sequence[ModelRow], judgement: Judgement) -> bool:
    """Return whether every other model was ruled out."""
    others = [row.model for row in tested if row.model != leader]
    standing = judgement.may_be_best(leader)
    return bool(standing and others) and all(
        judgement.may_be_best(model) is False for model in others
    )


def _score(experiment: Experiment, leader: ModelRow, judgement: Judgement) -> str:
    metric = experiment.tune.metric
    value = leader.test[metric]
    if judgement.selected is None:
        return f"test {LABELS[metric]} {spread(value)} ({_over_seeds(leader)})"
    low, high = (score(bound) for bound in (judgement.selected.low, judgement.selected.high))
    only = " of the test rows only" if leader.seeds_done == 1 else ""
    return (
        f"test {LABELS[metric]} {score(value.mean)}, 95 % interval {low} to {high}{only} "
        f"({_over_seeds(leader)}, {number_of(judgement.examples, 'test row')})"
    )


def bounds(interval: Interval) -> str:
    """Return an interval such as [0.790, 0.834]."""
    return f"[{score(interval.low)}, {score(interval.high)}]"


def _over_seeds(row: ModelRow) -> str:
    of_planned = f" of {row.seeds_planned}" if row.seeds_done < row.seeds_planned else ""
    if row.seeds_done == 1:
        return f"one{of_planned} seeds" if of_planned else "one seed"
    return f"{row.seeds_done}{of_planned} seeds"


def p_text(p: float, sign: str = "=") -> str:
    """Return a p value such as p = 0.012 or p < 0.001."""
    return f"p < {SMALLEST_P}" if p < SMALLEST_P else f"p {sign} {p:.3f}"


def _against_models(tested: Sequence[ModelRow], judgement: Judgement) -> Iterator[str]:
    leader, *others = [row.model for row in tested]
    if judgement.gap is not None:
        if others:
            yield f"{_names(others)} cannot be compared with it: {judgement.gap}"
        return
    if not others:
        return
    if leader in judgement.untested:
        yield f"Whether it is the best was not tested: {judgement.why_untested(leader)}"
        return
    standings = judgement.standings
    worse = [model for model in others if model in standings and standings[model].better]
    of_leader = [model for model in worse if leader in standings[model].better]
    if of_leader:
        yield f"It is better than {_names(of_leader)}"
    if by_others := [model for model in worse if model not in of_leader]:
        are = "is" if len(by_others) == 1 else "are"
        yield f"{_names(by_others)} {are} not the best either: another model is better"
    if untested := [model for model in others if model not in standings]:
        yield f"{_names(untested)} cannot be compared with it: {judgement.why_untested(*untested)}"


def _missed(tested: Sequence[ModelRow], judgement: Judgement) -> Iterator[str]:
    """Say which differences between the models that may be the best would have been missed."""
    leader = tested[0]
    rivals = rivals_of(leader.model, tested, judgement)
    missed = [judgement.standings[model].missed for model in rivals]
    largest = max((value for value in missed if value is not None), default=None)
    if largest is None:
        return
    seeds = sorted({row.seeds_done for row in tested if row.model in {leader.model, *rivals}})
    over = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    chance = f"With {over} seeds and {number_of(judgement.examples, 'test row')}"
    if largest >= room(leader.test[judgement.metric].mean, judgement.metric):
        yield f"{chance}, hardly any difference could have been found"
    else:
        yield (
            f"{chance}, a difference below about {score(largest)} {LABELS[judgement.metric]} would "
            "probably have been missed"
        )


def _set_aside(tested: Sequence[ModelRow], judgement: Judgement) -> Iterator[str]:
    aside = [row for row in tested if row.model in judgement.set_aside]
    if not aside:
        return
    were = "was" if len(aside) == 1 else "were"
    done = sorted({row.seeds_done for row in aside})
    number = number_of(done[-1], "seed") if len(done) == 1 else f"{done[0]} to {done[-1]} seeds"
    yield (
        f"{_names([row.model for row in aside])} {were} set aside after {number} as unlikely to "
        "be better, but not ruled out"
    )


def _outlook(
    tested: Sequence[ModelRow], judgement: Judgement, seeds: Mapping[str, Sum]
) -> Iterator[str]:
    """Say how many further seeds would settle which model is the best, and what they cost."""
    leader, *others = [row.model for row in tested]
    contenders = [model for model in others if judgement.may_be_best(model)]
    untested = judgement.may_be_best(leader) is None
    if untested or not contenders or judgement.same or _ties(tested, judgement.metric):
        return
    racing, number = [leader, *contenders], judgement.further_seeds
    if number is None:
        yield (
            f"Even if the differences are as measured, {MOST_SEEDS} more seeds would probably not "
            "settle which is the best"
        )
        return
    costs = [seeds[model] for model in racing if model in seeds]
    usd = number * sum(cost.usd for cost in costs)
    money = f", {dollars(usd)}" if usd else ""
    took = duration(number * sum(cost.seconds for cost in costs))
    each = "1 more seed" if number == 1 else f"{number} more seeds"
    yield (
        f"If the differences are as measured, {each} of {_all_names(racing)} (about {took} of "
        f"machine time{money}) would probably settle which is the best"
    )


def _all_names(models: Sequence[str]) -> str:
    if len(models) > MOST_NAMES:
        return f"these {count(len(models))} models"
    return listing([escape(model) for model in models])


def room(value: float, metric: MetricName) -> float:
    """Return how much worse than `value` a model can be that is no worse than guessing."""
    return value if MODES[metric] == "max" else float("inf")


def _against_baseline(row: BaselineRow, leader: ModelRow, judgement: Judgement) -> str:
    name = escape(row.model)
    pair, standing = judgement.pair(leader.model, row.model), judgement.standings.get(row.model)
    if pair is None:
        return f"{name} cannot be compared with it: {judgement.gap}"
    if standing is None or pair.test is None:
        why = judgement.why_untested(leader.model, row.model)
        return f"{name} cannot be compared with it: {why}"
    by = f"{score(abs(pair.difference))} {LABELS[judgement.metric]}"
    if pair.better == row.model:
        return f"{name} is {by} better: a transformer is not needed"
    if leader.model in standing.better:
        return f"{name} is {by} worse"
    return f"{name} may be as good: a transformer may not be needed"


def _not_pretrained(experiment: Experiment, leader: str) -> list[str]:
    random = [model.name for model in experiment.models if not model.is_pretrained]
    if not random:
        return []
    models, were = _names(random), "was" if len(random) == 1 else "were"
    if random == [leader]:
        models = "It"
    elif len(random) > MOST_NAMES:
        including = ", including the first," if leader in random else ""
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
