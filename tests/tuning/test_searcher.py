from __future__ import annotations

import pickle

from raycompare.records.messages import TrialPlan
from raycompare.tuning.searcher import PLAN, PlanSearcher


def plans(number: int) -> list[TrialPlan]:
    return [
        TrialPlan(
            trial_id=f"t{order}", stage="tune", model="a", order=order, seed=1, is_default=False
        )
        for order in range(number)
    ]


def test_plans_are_handed_out_in_order_until_there_are_no_more() -> None:
    searcher = PlanSearcher(iter(plans(2)))
    given = [searcher.suggest(name) for name in ("x", "y", "z")]
    assert [each[PLAN]["trial_id"] for each in given[:2] if isinstance(each, dict)] == ["t0", "t1"]
    assert given[2] == PlanSearcher.FINISHED


def test_a_plan_that_learns_is_not_made_before_there_is_room_for_it() -> None:
    made: list[str] = []

    def learning() -> object:
        for plan in plans(3):
            made.append(plan.trial_id)
            yield plan

    searcher = PlanSearcher(learning(), lambda live: live < 2)  # type: ignore[arg-type]
    assert pickle.dumps(searcher), "as Tune does, though a generator can't be"
    assert searcher.suggest("x")
    assert searcher.suggest("y")
    assert searcher.suggest("z") is None
    assert made == ["t0", "t1"]
    searcher.on_trial_complete("x")
    assert searcher.suggest("z")
    assert made == ["t0", "t1", "t2"]
