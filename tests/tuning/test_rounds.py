from __future__ import annotations

from collections.abc import Iterator, Sequence

from raycompare.records.messages import TrialPlan
from raycompare.tuning.rounds import Rounds
from raycompare.tuning.searcher import PlanSearcher


def plan(name: str) -> TrialPlan:
    return TrialPlan(trial_id=name, stage="confirm", model="a", order=0, seed=1, is_default=True)


def test_a_round_is_made_only_after_the_last_trial_of_the_one_before():
    made: list[str] = []

    def rounds() -> Iterator[Sequence[TrialPlan]]:
        for names in ("ab", "", "c"):
            made.append(names)
            yield [plan(name) for name in names]

    plans = Rounds(rounds())
    searcher = PlanSearcher(plans, plans.has_plan)
    assert searcher.suggest("1")
    assert searcher.suggest("2")
    assert searcher.suggest("3") is None
    searcher.on_trial_complete("1")
    assert searcher.suggest("3") is None
    assert made == ["ab"]
    searcher.on_trial_complete("2")
    assert searcher.suggest("3")
    assert made == ["ab", "", "c"], "an empty round is one that an earlier session finished"
    assert searcher.suggest("4") is None
    searcher.on_trial_complete("3")
    assert searcher.suggest("4") == PlanSearcher.FINISHED


def test_no_rounds_are_an_end():
    plans = Rounds(iter([[]]))
    assert PlanSearcher(plans, plans.has_plan).suggest("1") == PlanSearcher.FINISHED
