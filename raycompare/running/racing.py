"""Decides which models get a further seed in a confirm stage with `seeds: auto`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from raycompare.analysis.leaderboard import tested_finalists
from raycompare.analysis.statistics.predictions import read_predictions
from raycompare.analysis.statistics.race import Criteria, Race, race_of
from raycompare.experiment.settings import ConfirmSpec
from raycompare.formatting import listing, number_of
from raycompare.records.journal import Journal
from raycompare.tuning.tuner import Shared


def models_still_racing(
    shared: Shared, journal: Journal, say: Callable[[str], None]
) -> Sequence[str]:
    """Return the models that get another seed, and say why the others don't; none at the end."""
    entries = journal.entries.values()
    refused = (entry.refusal for entry in entries if entry.plan.stage == "confirm")
    if refusal := next(filter(None, refused), None):
        say(f"confirm: no further seeds, since {refusal.reason}")
        return ()
    by_loss = journal.metric == "loss"
    answers = read_predictions(
        tested_finalists(journal.trials(), journal.evaluations()),
        {},
        shared.folder.read_predictions(with_probabilities=by_loss),
        with_losses=by_loss,
    )
    if isinstance(answers, str):
        say(f"confirm: no further seeds, since {answers}")
        return ()
    confirm = shared.experiment.confirm
    race = race_of(answers, Criteria(metric=journal.metric, confirm=confirm))
    seeds = number_of(max(map(len, answers.seeds.values())), "seed")
    say(f"confirm: after {seeds}, {'; '.join(_describe(race, confirm))}")
    return () if race.is_decided else race.racing


def _describe(race: Race, confirm: ConfirmSpec) -> Iterator[str]:
    """Yield what has become of the models, in parts of a sentence."""
    worse = [name for name, own in race.standings.items() if not own.may_be_best]
    if worse:
        yield f"{listing(worse)} {'is' if len(worse) == 1 else 'are'} ruled out"
    if race.set_aside:
        chances = [f"{name} ({chance:.0%})" for name, chance in race.set_aside.items()]
        yield f"unlikely to be better than the leader: {listing(chances)}"
    if not race.racing:
        yield "no model has a finite score"
    elif race.same:
        yield f"{listing(race.racing)} are the same within {confirm.margin:g}"
    elif race.is_decided:
        yield f"{listing(race.racing)} leads"
    else:
        yield f"{listing(race.racing)} may still win"
