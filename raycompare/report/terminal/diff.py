"""Output of `raycompare diff`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from raycompare.analysis.leaderboard import Spread, spread
from raycompare.analysis.run_diff import NOT_THERE, Difference, ModelDiff, RunDiff, Side
from raycompare.analysis.verdict import p_text
from raycompare.formatting import NOTHING, change, dollars, duration, listing
from raycompare.metrics import LABELS, MODES


def text(diff: RunDiff) -> str:
    """Return the differences of the runs, then those of their results, for a terminal."""
    parts = [
        f"first   {_side(diff.first)}\nsecond  {_side(diff.second)}",
        _section("experiment", diff.experiment),
        _section("data", diff.data),
        _section("versions", diff.versions),
        _section("machines (number of each kind)", diff.machines),
        *_results(diff),
        *(f"Note: {caveat}." for caveat in diff.caveats),
    ]
    return "\n\n".join(parts)


def _side(side: Side) -> str:
    usd = "" if side.usd is None else f", {dollars(side.usd)}"
    return f"{side.folder}: {side.state}, {duration(side.seconds)}{usd}"


def _section(title: str, changes: Sequence[Difference]) -> str:
    if not changes:
        return f"{title}: the same"
    lines = [f"  {row.where}: {_value(row.first)} -> {_value(row.second)}" for row in changes]
    return "\n".join([f"{title}:", *lines])


def _value(value: object) -> str:
    return NOT_THERE if value == NOT_THERE else json.dumps(value)


def _results(diff: RunDiff) -> Iterator[str]:
    for model in diff.models:
        yield _model(diff, model)
    for side, names in ((diff.first, diff.only_first), (diff.second, diff.only_second)):
        if names:
            yield f"only in {side.run_id}: {listing(names)}"


def _model(diff: RunDiff, row: ModelDiff) -> str:
    lines = [f"{row.model}: {_claim(diff, row)}"]
    differences = row.differences
    for metric in row.first or row.second:
        values = f"{_mean(row.first.get(metric))} -> {_mean(row.second.get(metric))}"
        by = f"  {change(differences[metric])}" if metric in differences else ""
        lines.append(f"  test {LABELS[metric]:9} {values}{by}")
    return "\n".join(lines)


def _mean(value: Spread | None) -> str:
    return spread(value) if value else NOTHING


def _claim(diff: RunDiff, row: ModelDiff) -> str:
    if row.test is None or row.p_holm is None:
        return f"not tested: {row.untested}"
    label, interval = LABELS[diff.metric], row.test.interval
    bounds = f"{label} {change(interval.low)} to {change(interval.high)}, 95 %"
    test = f"{bounds}; {p_text(row.p_holm)}"
    if not row.apart:
        return f"not significantly different ({test})"
    is_better = (interval.low > 0) == (MODES[diff.metric] == "max")
    return f"{'better' if is_better else 'worse'} in the second run ({test})"
