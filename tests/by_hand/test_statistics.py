from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.by_hand.estimates import (
    Array,
    Estimate,
    Simulated,
    add_four,
    band,
    estimate,
    half_width,
    near,
    quantiles,
    simulate,
)
from tests.by_hand.example import FOLDERS, METRICS, example, examples, numbers, shown

LEVEL, POWER = 0.05, 0.8
SEED = 77
HEADLINE = ("accuracy", "macro_f1", "matthews_correlation")
LOWEST = {"matthews_correlation": -1.0}
HIGHEST = {"loss": np.inf}
QUADRATURE = 0.005
"""Share by which an integral over 1,000 quantiles may differ from a finer one."""

pytestmark = pytest.mark.timeout(300)


@cache
def estimates(
    folder: Path, metric: str, plus_four: bool = False, last: int = 10**9
) -> dict[str, Estimate]:
    """Estimate the mean scores, by the seeds up to a number."""
    own = example(folder)
    return {
        model: estimate(
            add_four(answers) if plus_four and metric != "loss" else answers, metric, own.classes
        )
        for model, whole in own.answers.items()
        for answers in [whole.up_to(last)]
        if len(answers.predicted)
    }


@cache
def simulated(
    folder: Path, names: tuple[str, ...], drawn: bool = True, last: int = 10**9
) -> Simulated:
    """Simulate errors by the deciding metric."""
    every = estimates(folder, example(folder).metric, last=last)
    return simulate({name: every[name] for name in names}, SEED + drawn, drawn=drawn)


def with_variance(folder: Path, has_seeds: tuple[bool, ...], last: int = 10**9) -> tuple[str, ...]:
    """Return the models, baselines or both whose variance can be estimated."""
    every = estimates(folder, example(folder).metric, last=last)
    return tuple(n for n, own in every.items() if own.is_testable and own.has_seeds in has_seeds)


@examples
def test_the_intervals_integrate_over_the_variance_of_the_seeds(folder: Path) -> None:
    own = example(folder)
    board = own.csv("leaderboard").set_index("model")
    for metric in {own.metric, *HEADLINE}:
        for model, plus in estimates(folder, metric, plus_four=True).items():
            low, high = bounds(folder, metric, model, half_width(plus))
            near = QUADRATURE * (high - low) + 1e-9
            assert board.loc[model, f"test_{metric}_low"] == pytest.approx(low, abs=near)
            assert board.loc[model, f"test_{metric}_high"] == pytest.approx(high, abs=near)


def bounds(
    folder: Path, metric: str, model: str, width: float, lucky: float = 0.0
) -> tuple[float, float]:
    """Return an interval around the score with four more rows, which is wider where luck was."""
    observed = estimates(folder, metric)[model].mean
    centre = estimates(folder, metric, plus_four=True)[model].mean
    wide = max(width, lucky)
    below, above = (width, wide) if metric == "loss" else (wide, width)
    low, high = min(observed, centre - below), max(observed, centre + above)
    return max(LOWEST.get(metric, 0.0), low), min(HIGHEST.get(metric, 1.0), high)


@examples
def test_the_printed_intervals_are_those_of_the_table(folder: Path) -> None:
    own = example(folder)
    board = own.csv("leaderboard").set_index("model")
    for row in own.markdown("#", "model", "may be best"):
        if row["model"] in own.answers:
            printed = numbers(row["95 %"])
            for value, side in zip(printed, ("low", "high"), strict=True):
                expected = board.loc[row["model"], f"test_{own.metric}_{side}"]
                assert value == pytest.approx(expected, abs=0.0005 + 1e-9)


@examples
def test_the_interval_of_the_verdict_allows_for_the_luck_of_the_first(folder: Path) -> None:
    own = example(folder)
    board = own.csv("leaderboard").set_index("model")
    leader, *others = own.order
    rivals = [name for name in others if board.loc[name, "may_be_best"] in (True, "true", "True")]
    plus = estimates(folder, own.metric, plus_four=True)
    draws = simulate({name: plus[name] for name in (leader, *rivals)}, SEED)
    ratios = draws.ratios_of_means()
    most = np.max([draws.surprises(own) for own in ratios], axis=0)
    critical = draws.critical(ratios[0], most, 0.025)
    deviation = float(np.sqrt(plus[leader].variance))
    found = re.search(r"95 % interval (-?[\d.]+) to (-?[\d.]+)", own.report)
    assert found
    low, high = map(float, found.groups())
    width = half_width(plus[leader])
    ends = [bounds(folder, own.metric, leader, width, q * deviation) for q in critical]
    rounding = 0.0005 + QUADRATURE * 2 * width
    for printed, side in ((low, 0), (high, 1)):
        sides = sorted(end[side] for end in ends)
        assert sides[0] - rounding <= printed <= sides[1] + rounding


@examples
def test_each_pair_alone_is_compared_with_the_errors_of_its_difference(folder: Path) -> None:
    own = example(folder)
    every = estimates(folder, own.metric)
    names = with_variance(folder, (True, False))
    draws = simulated(folder, names)
    pairs = own.csv("pairs")
    assert len(pairs) == len(every) * (len(every) - 1) / 2
    for _, row in pairs.iterrows():
        difference = every[row["first"]].mean - every[row["second"]].mean
        assert row.difference == pytest.approx(difference, abs=1e-6)
        if not {row["first"], row["second"]} <= set(names):
            assert np.isnan(row.p)
            continue
        pair = row["first"], row["second"]
        assert row.standard_error == pytest.approx(draws.standard_error(*pair), rel=1e-6)
        errors = np.abs(draws.error(*pair))
        low, high = quantiles(errors, 1 - LEVEL)
        assert low <= row.high - difference <= high
        assert low <= difference - row.low <= high
        share = float(np.mean(errors >= abs(difference)))
        assert row.p == pytest.approx(share, abs=band(share))


@examples
def test_all_pairs_together_are_compared_stepping_down(folder: Path) -> None:
    own = example(folder)
    every = estimates(folder, own.metric)
    draws = simulated(folder, with_variance(folder, (True, False)))
    tested = own.csv("pairs").dropna(subset=["p"])
    statistics = {
        (one, other): abs(every[one].mean - every[other].mean) / draws.standard_error(one, other)
        for one, other in zip(tested["first"], tested["second"], strict=True)
    }
    ranges = {
        pair: draws.surprise(np.abs(draws.ratios(*pair)), ratio)
        for pair, ratio in statistics.items()
    }
    largest, shares = np.full(1, -np.inf), {}
    for pair in sorted(ranges, key=lambda pair: ranges[pair]):
        largest = np.maximum(largest, draws.surprises(np.abs(draws.ratios(*pair))))
        shares[pair] = [float(np.mean(largest >= surprise)) for surprise in ranges[pair][::-1]]
    least = most = 0.0
    factor = own.price_of_rounds(own.rounds[-1])
    for pair in sorted(ranges, key=lambda pair: ranges[pair], reverse=True):
        least, most = max(least, shares[pair][0]), max(most, shares[pair][1])
        (row,) = (r for _, r in tested.iterrows() if (r["first"], r["second"]) == pair)
        low = factor * max(draws.safety * near(least)[0], row.p)
        high = factor * max(draws.safety * near(most)[1], row.p)
        assert min(low, 1.0) - 1e-6 <= row.p_corrected <= min(high, 1.0) + 1e-6
        assert row.apart == (row.p_corrected < LEVEL)


@examples
def test_the_models_that_may_be_the_best_are_compared_with_the_best_of_the_others(
    folder: Path,
) -> None:
    own = example(folder)
    board = own.csv("leaderboard").set_index("model")
    last = own.rounds[-1]
    models = with_variance(folder, (True,))
    races = {model: own.rounds for model in models if len(models) > 1}
    races |= {name: [last] for name in with_variance(folder, (False,)) if models}
    assert set(board.index[board.p_best.notna()]) == races.keys()
    for model, rounds in races.items():
        row = board.loc[model]
        assert any(low <= row.p_best <= high for low, high in p_values(folder, model, rounds))
        assert row.may_be_best == (row.p_best >= LEVEL)
        if len(own.rounds) == 1 and not np.isnan(row.detectable):
            least, most = detectable(folder, model)
            assert least <= row.detectable <= most


def field_of(folder: Path, model: str, last: int) -> tuple[str, ...]:
    """Return the models that a model or baseline is compared with, and itself."""
    models = with_variance(folder, (True,), last)
    return models if model in models else (*models, model)


def p_values(folder: Path, model: str, rounds: list[int]) -> Iterator[tuple[float, float]]:
    """Yield bounds of the p value after each round in which it may have decided."""
    for last in rounds:
        low, high = p_of_best(folder, model, last)
        if low < LEVEL or last == rounds[-1]:
            yield low, high
        if high < LEVEL:
            return


def lead(folder: Path, rival: str, model: str, last: int = 10**9) -> float:
    """Return by how much a rival is better."""
    own = example(folder)
    every = estimates(folder, own.metric, last=last)
    return own.sign * (every[rival].mean - every[model].mean)


def largest_surprise(folder: Path, model: str, last: int) -> Array:
    """Return how surprising drawn leads of rivals are, of the rival where they are most."""
    names = field_of(folder, model, last)
    draws, sign = simulated(folder, names, last=last), example(folder).sign
    rivals = [rival for rival in names if rival != model]
    surprises = [draws.surprises(sign * draws.ratios(rival, model)) for rival in rivals]
    return np.asarray(np.max(surprises, axis=0))


def p_of_best(folder: Path, model: str, last: int) -> tuple[float, float]:
    """Return two values between which the smallest p value of a better rival lies."""
    names, sign = field_of(folder, model, last), example(folder).sign
    draws, largest = simulated(folder, names, last=last), largest_surprise(folder, model, last)
    factor = example(folder).price_of_rounds(last)
    bounds: dict[int, list[float]] = {-1: [], 1: []}
    for rival in names:
        if rival == model:
            continue
        ahead = lead(folder, rival, model, last)
        alone = float(np.mean(sign * draws.error(rival, model) >= ahead))
        ratios = sign * draws.ratios(rival, model)
        ends = draws.surprise(ratios, ahead / draws.standard_error(rival, model))
        for (side, own), end in zip(bounds.items(), ends[::-1], strict=True):
            family = float(np.mean(largest >= end))
            together = draws.safety * (family + side * band(family))
            own.append(min(1.0, factor * max(alone + side * band(alone), together)))
    return min(bounds[-1]), min(bounds[1])


def detectable(folder: Path, model: str) -> tuple[float, float]:
    """Return two values between which the difference lies that is found in 80 % of other runs."""
    own = example(folder)
    last, every = own.rounds[-1], estimates(folder, own.metric)
    names = field_of(folder, model, last)
    draws = simulated(folder, names, last=last)
    again = simulated(folder, names, drawn=False)
    leader = max(names, key=lambda name: own.sign * every[name].mean)
    ratios = own.sign * draws.ratios(leader, model)
    largest = largest_surprise(folder, model, last)
    together = draws.critical(ratios, largest, LEVEL / draws.safety)
    alone = quantiles(own.sign * draws.error(leader, model), 1 - LEVEL)
    error = draws.standard_error(leader, model)
    ends = []
    for side in (0, 1):
        critical = max(together[side], alone[side] / error)
        needed = critical * again.standard_errors(leader, model)
        ends.append(quantiles(needed - own.sign * again.error(leader, model), POWER)[side])
    return ends[0], ends[1]


@examples
def test_models_share_a_letter_if_and_only_if_they_are_not_apart(folder: Path) -> None:
    own = example(folder)
    pairs = own.csv("pairs")
    apart = {
        frozenset(pair)
        for pair in pairs[pairs.apart][["first", "second"]].itertuples(index=False, name=None)
    }
    board = own.csv("leaderboard").set_index("model")
    letters = {
        model: set(re.findall(r"[a-zA-Z]\d*", board.loc[model, "tier"])) for model in own.answers
    }
    for one, other in combinations(own.answers, 2):
        assert bool(letters[one] & letters[other]) == (frozenset((one, other)) not in apart)
    models = own.order
    for model in models:
        beaten = [other for other in models if frozenset((model, other)) in apart]
        better = sum(lead(folder, other, model) > 0 for other in beaten)
        assert board.loc[model, "best_rank"] == 1 + better
        assert board.loc[model, "worst_rank"] == len(models) - (len(beaten) - better)


@examples
def test_networks_of_one_seed_are_compared_by_mcnemars_test(folder: Path) -> None:
    own = example(folder)
    pairs = own.csv("pairs")
    for _, row in pairs[pairs.networks_p.notna()].iterrows():
        one, two = own.answers[row["first"]], own.answers[row["second"]]
        first, second = one.predicted[0] == one.labels, two.predicted[0] == two.labels
        counts = int((first & ~second).sum()), int((second & ~first).sum())
        assert (row.networks_only_first_right, row.networks_only_second_right) == counts
        fewer = stats.binom(sum(counts), 0.5)
        p = 2 * fewer.cdf(min(counts)) - fewer.pmf(min(counts))
        assert row.networks_p == pytest.approx(p)
    assert set(pairs.index[pairs.networks_p.notna()]) == set(pairs.index[pairs.p.isna()])


@examples
def test_the_printed_pairs_are_those_of_the_table(folder: Path) -> None:
    own = example(folder)
    table = own.csv("pairs").set_index(["first", "second"])
    for row in own.markdown("first", "second", "p (corrected)"):
        expected = table.loc[(row["first"], row["second"])]
        assert shown(row[f"difference in {METRICS[own.metric]}"], expected.difference)
        if row["p"].startswith("<") or not numbers(row["p"]):
            assert np.isnan(expected.p) or expected.p < 0.001
            continue
        assert shown(row["p"], expected.p)
        assert numbers(row["95 %"]) == pytest.approx([expected.low, expected.high], abs=0.00051)
        corrected = row["p (corrected)"]
        small = corrected.startswith("<")
        assert expected.p_corrected < 0.001 if small else shown(corrected, expected.p_corrected)
        assert row["significant"] == ("yes" if expected.apart else "no")


def test_every_committed_example_is_recomputed() -> None:
    assert len(FOLDERS) >= 2
