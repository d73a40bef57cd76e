from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raycompare.analysis.refine import Refinement, refine, successor
from raycompare.errors import UserError
from raycompare.experiment.file import parse_draft, read_experiment, write_experiment
from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.ranges import in_range
from raycompare.experiment.space import DOMAINS, LISTED, Domain
from raycompare.experiment.spec import Experiment
from raycompare.records.rows import TrialRecord
from raycompare.records.run_folder import RunFolder
from tests import ROOT, runs

REAL = RunFolder.at(next(ROOT.glob("reports/ag-news/*/report.md")).parent)
STOPPED: dict[str, Any] = {"status": "stopped_early", "ending": "rung", "steps": 100}


def trials(model: str, *tried: tuple[float | None, dict[str, Any]], **changes: Any) -> Any:
    """Make trials of the tune stage from pairs of value and hyperparameters; {} is the default."""
    outcome = {"status": "completed", "ending": "full_budget", "steps": 400, **changes}
    return [
        TrialRecord(
            trial_id=f"{model}-{order}-{outcome['status']}",
            stage="tune",
            model=model,
            order=order,
            seed=42,
            is_default=not searched,
            hyperparameters=json.dumps(searched),
            reason="",
            best_value=value,
            **outcome,
        )
        for order, (value, searched) in enumerate(tried)
    ]


def searching(space: dict[str, Any], **sections: Any) -> Experiment:
    return runs.experiment("m", search_space=space, **sections)


def learnt(key: str, entry: Any, values: list[Any], **sections: Any) -> tuple[Any, str]:
    """Refine a range from trials with these values, best first, and return what the file has."""
    tried = [(0.9 - 0.01 * rank, {key: value}) for rank, value in enumerate(values)]
    found = refine(searching({key: entry}, **sections), trials("m", *tried))
    (model,) = found.experiment.to_file()["models"]
    return model["search_space"][key], words(found, key)


def words(found: Refinement, part: str) -> str:
    return next(change.words for change in found.changes if change.part == part)


def best_are(best: list[Any], worst: Any) -> list[Any]:
    return [*best, *[worst] * 6]


def test_the_best_quarter_spans_the_new_range_with_a_tenth_of_the_old_one_around_it():
    assert learnt("x", {"uniform": [0.0, 10.0]}, best_are([4.0, 5.0], 9.0)) == (
        {"uniform": [3.0, 6.0]},
        "uniform [0.0, 10.0] becomes uniform [3.0, 6.0]: the best 2 of 8 trials lie "
        "between 4 and 5",
    )


def test_at_least_two_trials_span_a_range():
    assert learnt("x", {"uniform": [0, 10]}, [4.0, 5.0, 7.0, 8.0])[0] == {"uniform": [3.0, 6.0]}


def test_what_is_drawn_in_log_space_is_narrowed_in_log_space():
    found, _ = learnt("x", {"loguniform": [1e-6, 1.0]}, best_are([1e-4, 1e-3], 0.1))
    assert found == {"loguniform": [2.51e-5, 3.99e-3]}


def test_a_best_value_at_the_edge_moves_that_edge_out_by_half_the_width():
    found, why = learnt("x", {"uniform": [20.0, 30.0]}, best_are([29.5, 25.0], 21.0))
    assert found == {"uniform": [24.0, 35.0]}
    assert why.endswith("; the best one, 29.5, is at the upper edge, which moves out")


def test_the_edge_of_a_log_range_moves_out_in_log_space():
    found, why = learnt("x", {"loguniform": [1e-5, 1e-3]}, best_are([1.1e-5, 1e-4], 5e-4))
    assert found == {"loguniform": [1e-6, 1.59e-4]}
    assert "at the lower edge, which moves out" in why


def test_only_the_very_best_value_moves_an_edge():
    found, _ = learnt("x", {"uniform": [20.0, 30.0]}, best_are([25.0, 29.5], 21.0))
    assert found == {"uniform": [24.0, 30.0]}


@pytest.mark.parametrize(
    ("old", "best", "new"),
    [
        ([0, 0.5], 0.01, [0.0, 0.06]),
        ([1e-5, 1e-4], 1e-5, [5e-6, 1.9e-5]),
        ([-1.0, 1.0], -1.0, [-2.0, -0.8]),
        ([0.0, 0.9], 0.89, [0.8, 0.95]),
        ([0.0, 1.0], 0.95, [0.85, 1.0]),
        ([0.0, 2.0], 1.95, [1.75, 3.0]),
    ],
)
def test_numbers_stay_above_zero_and_shares_below_one(
    old: list[float], best: float, new: list[float]
):
    assert learnt("x", {"uniform": old}, best_are([best, best], sum(old) / 2))[0] == {
        "uniform": new
    }


def test_bounds_have_three_digits_and_leave_nothing_out():
    found, _ = learnt("x", {"uniform": [0.0, 1.0]}, best_are([0.43219, 0.56781], 0.9))
    assert found == {"uniform": [0.332, 0.668]}


@pytest.mark.parametrize(
    ("old", "best", "new"),
    [
        ({"randint": [0, 101]}, [40, 50], {"randint": [30, 61]}),
        ({"randint": [0, 101]}, [99, 95], {"randint": [85, 151]}),
        ({"randint": [0, 101]}, [1, 5], {"randint": [0, 16]}),
        ({"randint": [0, 2]}, [1, 1], {"randint": [0, 3]}),
        ({"lograndint": [1, 65]}, [8, 16], {"lograndint": [5, 26]}),
        ({"lograndint": [1, 65]}, [1, 2], {"lograndint": [1, 5]}),
        ({"qrandint": [0, 100, 20]}, [40, 60], {"qrandint": [20, 80, 20]}),
        ({"qlograndint": [8, 512, 8]}, [8, 16], {"qlograndint": [8, 32, 8]}),
        ({"quniform": [0, 1, 0.05]}, [0.5, 0.55], {"quniform": [0.4, 0.65, 0.05]}),
        ({"quniform": [0, 0.9, 0.1]}, [0.9, 0.8], {"quniform": [0.7, 0.9, 0.1]}),
        ({"qloguniform": [0.01, 1, 0.01]}, [0.1, 0.2], {"qloguniform": [0.06, 0.32, 0.01]}),
        ({"normal": [0.0, 1.0]}, [0.5, 0.7], {"normal": [0.6, 0.233]}),
        ({"normal": [0.0, 1.0]}, [4.0, 3.0], {"normal": [3.15, 0.283]}),
        ({"qnormal": [0, 1, 0.5]}, [0.5, 1.0], {"qnormal": [0.75, 0.283, 0.5]}),
    ],
)
def test_every_kind_of_range_keeps_to_what_it_draws(
    old: dict[str, Any], best: list[Any], new: dict[str, Any]
):
    (kind,) = old
    worst = old[kind][0]
    assert learnt("x", old, best_are(best, worst))[0] == new


def test_a_range_of_one_number_stays():
    assert learnt("x", {"randint": [3, 4]}, [3] * 8) == (
        {"randint": [3, 4]},
        "unchanged: the best 2 of 8 trials lie between 3 and 3",
    )


@pytest.mark.parametrize("key", ["freeze_layers", "config.num_hidden_layers"])
def test_an_edge_that_the_model_sets_stays(key: str):
    found, why = learnt(key, {"randint": [1, 7]}, best_are([6, 5], 1))
    assert found == {"randint": [4, 7]}
    assert why.endswith("is at the upper edge, which the model dictates")


@pytest.mark.parametrize("kind", ["choice", "grid"])
def test_the_values_of_the_best_are_kept_in_the_order_of_the_file(kind: str):
    found, why = learnt("optim", {kind: ["a", "b", "c"]}, best_are(["c", "a"], "b"))
    assert found == {kind: ["a", "c"]}
    assert why == (
        f'{kind} ["a", "b", "c"] becomes {kind} ["a", "c"]: the best 2 of 8 trials use no others'
    )


def test_the_only_value_left_becomes_a_constant():
    assert learnt("optim", {"choice": ["a", "b"]}, best_are(["b", "b"], "a")) == (
        "b",
        'choice ["a", "b"] becomes constant "b": the best 2 of 8 trials use no others',
    )


def test_a_value_that_is_no_scalar_stays_a_choice_of_one():
    found, _ = learnt("x", {"choice": [{"a": 1}, {"a": 2}]}, best_are([{"a": 2}] * 2, {"a": 1}))
    assert found == {"choice": [{"a": 2}]}


def test_no_constant_is_put_over_a_default_that_is_the_best_known():
    space = {"optim": {"choice": ["a", "b"]}, "lr": {"uniform": [0, 1]}}
    tried = [(0.5, {"optim": "b", "lr": 0.5})] * 4
    known = searching(space, training={"optim": "a"})
    (model,) = refine(known, trials("m", (0.9, {}), *tried)).experiment.to_file()["models"]
    assert model["search_space"]["optim"] == {"choice": ["a", "b"]}
    unknown = searching(space, training={})
    (model,) = refine(unknown, trials("m", (0.9, {}), *tried)).experiment.to_file()["models"]
    assert model["search_space"]["optim"] == {"choice": ["b"]}


def test_the_range_holds_a_default_that_beat_all_that_searched():
    tried = [(0.5, {"x": 8.0}), (0.5, {"x": 7.0}), (0.4, {"x": 1.0}), (0.4, {"x": 2.0})]
    known = searching({"x": {"uniform": [0, 10]}}, training={"x": 4.0})
    found = refine(known, trials("m", (0.9, {}), *tried))
    assert found.experiment.models[0].search_space["x"].args == (3.0, 9.0)
    assert "the untuned default and the best 2 of 4 trials lie between 4" in words(found, "x")
    assert words(found, "training") == (
        "unchanged: the untuned default is the best configuration, MCC 0.900"
    )


def test_a_default_outside_the_range_has_no_say():
    tried = [(0.5, {"x": 8.0}), (0.5, {"x": 7.0}), (0.4, {"x": 1.0}), (0.4, {"x": 2.0})]
    known = searching({"x": {"uniform": [0, 10]}}, training={"x": 40.0})
    found = refine(known, trials("m", (0.9, {}), *tried))
    assert found.experiment.models[0].search_space["x"].args == (6.0, 9.0)


def test_the_best_configuration_becomes_the_default():
    tried = trials("m", (0.5, {}), (0.7, {"x": 0.25}), (0.6, {"x": 0.5}))
    given_training = {"x": 9.0, "bf16": True}
    found = refine(searching({"x": {"uniform": [0, 1]}}, training=given_training), tried)
    (settings,) = all_settings(found.experiment)
    assert settings.training == {"x": 0.25, "bf16": True}
    assert words(found, "training") == (
        "the best configuration, MCC 0.700, becomes the default: x 0.25"
    )


def test_the_lowest_loss_is_the_best():
    tried = [(0.1 * rank, {"x": float(rank)}) for rank in range(1, 9)]
    known = searching({"x": {"uniform": [0, 100]}}, tune={"metric": "loss"})
    found = refine(known, trials("m", *tried))
    assert found.experiment.models[0].training["x"] == 1.0
    assert found.experiment.models[0].search_space["x"].args == (0.0, 12.0)


def test_fewer_than_four_trials_leave_the_ranges_and_say_so():
    space = {"x": {"uniform": [0, 10]}}
    three = trials("m", (0.9, {"x": 4.0}), (0.8, {"x": 5.0}), (0.7, {"x": 6.0}))
    found = refine(searching(space), three)
    assert found.experiment.models[0].search_space == searching(space).search_space
    assert words(found, "search_space") == (
        "unchanged: found 3 trials with a value besides the default, 4 are needed; raise "
        "tune.num_samples, since the same seed draws the same configurations again"
    )


def x_of(*tried: TrialRecord) -> tuple[Any, ...]:
    found = refine(searching({"x": {"uniform": [0, 100]}}), tried)
    return found.experiment.models[0].search_space["x"].args


def test_stopped_trials_have_no_say_where_three_were_completed():
    completed = trials("m", (0.5, {"x": 50.0}), (0.4, {"x": 55.0}), (0.3, {"x": 30.0}))
    stopped = trials("m", *[(0.9, {"x": 80.0})] * 5, **STOPPED)
    assert x_of(*completed, *stopped) == (40.0, 65.0)


def test_trials_that_got_furthest_count_where_fewer_were_completed():
    completed = trials("m", (0.5, {"x": 50.0}), (0.3, {"x": 30.0}))
    late = trials("m", (0.4, {"x": 55.0}), (0.3, {"x": 30.0}), **STOPPED)
    early = trials("m", *[(0.9, {"x": 80.0})] * 5, **{**STOPPED, "steps": 50})
    assert x_of(*completed, *late, *early) == (40.0, 65.0)


@pytest.mark.parametrize(
    "outcome",
    [
        {"status": "stopped_early", "ending": "diverged"},
        {"status": "interrupted", "ending": "cut_short"},
        {"status": "errored", "ending": "error"},
        {"stage": "confirm"},
    ],
)
def test_trials_without_a_fair_value_teach_nothing(outcome: dict[str, Any]):
    fair = trials("m", *[(0.5, {"x": 50.0})] * 4)
    unfair = trials("m", *[(0.9, {"x": 90.0})] * 4)
    changed = [TrialRecord(**{**vars(trial), **outcome}) for trial in unfair]
    not_numbers = trials("m", (float("nan"), {"x": 90.0}), (None, {"x": 90.0}))
    assert x_of(*fair, *changed, *not_numbers) == (40.0, 60.0)


def test_each_model_gets_a_space_of_its_own_and_the_common_one_goes():
    common = {"x": {"uniform": [0, 10]}, "y": {"uniform": [0, 1]}}
    before = runs.experiment(
        "m", {"name": "n", "search_space": {"y": {"uniform": [2, 3]}}}, search_space=common
    )
    of_m = trials("m", *[(0.9, {"x": 4.0, "y": 0.5})] * 4)
    of_n = trials("n", *[(0.9, {"x": 6.0, "y": 2.5})] * 4)
    found = refine(before, [*of_m, *of_n]).experiment
    assert found.search_space == {}
    assert {key: domain.args for key, domain in found.models[0].search_space.items()} == {
        "x": (3.0, 5.0),
        "y": (0.4, 0.6),
    }
    assert found.models[1].search_space["y"].args == (2.4, 2.6)


def test_constants_stay_and_are_no_news():
    space = {"x": {"uniform": [0, 10]}, "weight_decay": 0.01}
    found = refine(searching(space), trials("m", *[(0.9, {"x": 4.0})] * 4))
    assert found.experiment.to_file()["models"][0]["search_space"]["weight_decay"] == 0.01
    assert [change.part for change in found.changes] == ["training", "x"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ag-news", "ag-news-refined"),
        ("ag-news-refined", "ag-news-refined-2"),
        ("ag-news-refined-9", "ag-news-refined-10"),
        ("refined", "refined-refined"),
        ("ag-news-extended", "ag-news-extended-refined"),
    ],
)
def test_names_count_how_often(before: str, after: str):
    assert successor(before, "refined") == after


def test_nothing_can_be_learnt_where_nothing_was_searched():
    with pytest.raises(UserError, match="no search_space, so there is nothing to refine"):
        refine(searching({}), trials("m", (0.9, {})))


def test_nothing_can_be_learnt_before_a_trial_that_searched_has_a_value():
    not_run = trials("m", (None, {"x": 1.0}), status="not_run", ending="not_run")
    with pytest.raises(UserError, match=r"found: 1 completed, 1 not_run.*--resume RUN_DIR"):
        refine(searching({"x": {"uniform": [0, 1]}}), [*trials("m", (0.9, {})), *not_run])


def test_a_real_run_is_refined_into_an_experiment_without_mistakes():
    before = read_experiment(REAL.read_text("experiment.yaml"))
    found = refine(before, REAL.read_trials())
    draft = parse_draft(write_experiment(found.experiment), "refined.yaml")
    assert draft.problems == ()
    assert draft.experiment() == found.experiment
    assert found.experiment.name == "ag-news-refined"
    tune = [trial for trial in REAL.read_trials() if trial.status == "completed"]
    for model in found.experiment.models:
        own = [trial for trial in tune if trial.stage == "tune" and trial.model == model.name]
        best = max(own, key=lambda trial: trial.best_value or 0.0)
        assert model.training == json.loads(best.hyperparameters)  # of an untuned default nothing
    assert all(model.search_space == before.search_space for model in found.experiment.models)
    assert next(str(change) for change in found.changes if change.part == "search_space") == (
        "minilm-2-layers, search_space: unchanged: found 3 trials with a value besides the "
        "default, 4 are needed; raise tune.num_samples, since the same seed draws the same "
        "configurations again"
    )


numbers = st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.6g}"))
positive = st.floats(1e-8, 1e6).map(lambda value: float(f"{value:.6g}"))
counts = st.integers(0, 10_000)


@st.composite
def domains(draw: st.DrawFn) -> Domain:
    """Any range of numbers that the file allows."""
    kind = draw(st.sampled_from([kind for kind in DOMAINS if kind not in LISTED]))
    if kind.endswith("normal"):
        bounds = [draw(numbers), draw(positive)]
    elif kind.startswith("q") or kind.endswith("randint"):
        above_zero = counts.filter(lambda value: "log" not in kind or value > 0)
        bounds = sorted(draw(st.sets(above_zero, min_size=2, max_size=2)))
    else:
        of = positive if "log" in kind else numbers
        bounds = sorted(draw(st.sets(of, min_size=2, max_size=2)))
    step = draw(st.sampled_from([2, 3, 10] if kind.endswith("randint") else [0.05, 0.1, 2]))
    if not kind.startswith("q"):
        return Domain.model_validate({kind: bounds})
    if kind != "qnormal":
        number = int if kind.endswith("randint") else float
        bounds = [number(f"{bound * step:.9g}") for bound in bounds]
    return Domain.model_validate({kind: [*bounds, step]})


def drawn(domain: Domain, share: float) -> float:
    """Return the value at this share of the range's width."""
    first, second, *step = domain.args
    if domain.kind.endswith("normal"):
        value = first + (2 * share - 1) * 3 * second
    elif "log" in domain.kind:
        value = first * (second / first) ** share
    else:
        value = first + share * (second - first)
    if domain.kind.endswith("randint") and not step:
        return min(int(value), second - 1)
    value = round(value / step[0]) * step[0] if step else min(max(value, first), second)
    return int(value) if domain.kind.endswith("randint") else value


@example(Domain.model_validate({"qnormal": [1e6, 0.00195, 0.05]}), [0.0] * 4)
@given(domains(), st.lists(st.floats(0, 1), min_size=4, max_size=12))
def test_a_new_range_is_valid_and_holds_the_best_values(domain: Domain, shares: list[float]):
    values = [drawn(domain, share) for share in shares]
    assert all(in_range(domain, value) for value in values)
    tried = [(-float(rank), {"x": value}) for rank, value in enumerate(values)]
    before = searching({"x": domain.model_dump()})
    found = refine(before, trials("m", *tried)).experiment
    assert parse_draft(write_experiment(found), "refined.yaml").problems == ()
    new = found.models[0].search_space["x"]
    assert new.kind == domain.kind
    if domain.kind == "normal":
        low, high = min(domain.bounds[0], *values), max(domain.bounds[1], *values)
        assert low - abs(low) * 1e-6 <= new.bounds[0]
        assert new.bounds[1] <= high + abs(high) * 1e-6
    if not domain.kind.endswith("normal"):
        assert all(in_range(new, value) for value in values[: max(2, -(-len(values) // 4))])
    if domain.args[0] >= 0 and not domain.kind.endswith("normal"):
        assert new.args[0] >= 0


@given(st.lists(st.sampled_from("abc"), min_size=4), st.sampled_from(LISTED))
def test_a_refined_list_holds_the_best_values_and_no_new_ones(values: list[str], kind: str):
    found, _ = learnt("optim", {kind: ["c", "b", "a"]}, values)
    kept = [found] if isinstance(found, str) else found[kind]
    assert set(kept) == set(values[: max(2, -(-len(values) // 4))])
    assert kept == sorted(kept, reverse=True)
