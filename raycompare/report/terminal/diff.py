"""What `raycompare diff` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from raycompare.analysis.leaderboard import Spread, spread
from raycompare.analysis.run_diff import NOT_THERE, Difference, ModelDiff, RunDiff, Side
from raycompare.analysis.verdict import p_text
from raycompare.formatting import NOTHING, change, dollars, duration, listing, score
from raycompare.metrics import LABELS


def text(found: RunDiff) -> str:
    """Return a page for a terminal: what was changed, then what came of it."""
    parts = [
        _sides(found.first, found.second),
        *_section("experiment", found.experiment),
        *_section("data", found.data),
        *_section("versions", found.versions),
        *_section("machines, how many of a kind", found.machines),
        *_results(found),
        *(f"Mind: {caveat}." for caveat in found.caveats),
    ]
    return "\n\n".join(parts)


def _sides(first: Side, second: Side) -> str:
    lines = [f"{name}  {_side(side)}" for name, side in (("first ", first), ("second", second))]
    return "\n".join(lines)


def _side(side: Side) -> str:
    usd = "" if side.usd is None else f", {dollars(side.usd)}"
    return f"{side.folder}: {side.state}, {duration(side.seconds)}{usd}"


def _section(title: str, changes: Sequence[Difference]) -> Iterator[str]:
    if not changes:
        yield f"{title}: the same"
        return
    lines = [f"  {row.where}: {_value(row.first)} -> {_value(row.second)}" for row in changes]
    yield "\n".join([f"{title}:", *lines])


def _value(value: object) -> str:
    return NOT_THERE if value == NOT_THERE else json.dumps(value)


def _results(found: RunDiff) -> Iterator[str]:
    for model in found.models:
        yield _model(found, model)
    for side, names in ((found.first, found.only_first), (found.second, found.only_second)):
        if names:
            yield f"only in {side.run_id}: {listing(names)}"


def _model(found: RunDiff, row: ModelDiff) -> str:
    lines = [f"{row.model}: {_claim(found, row)}"]
    differences = row.differences
    for metric in row.first or row.second:
        values = f"{_mean(row.first.get(metric))} -> {_mean(row.second.get(metric))}"
        by = f"  {change(differences[metric])}" if metric in differences else ""
        lines.append(f"  test {LABELS[metric]:9} {values}{by}")
    return "\n".join(lines)


def _mean(value: Spread | None) -> str:
    return spread(value) if value else NOTHING


def _claim(found: RunDiff, row: ModelDiff) -> str:
    if row.test is None or row.p_holm is None:
        return f"not tested: {row.untested}"
    label, interval = LABELS[found.metric], row.test.interval
    seen = f"{label} {change(interval.low)} to {change(interval.high)}, 95 %; {p_text(row.p_holm)}"
    if not row.apart:
        least = score(row.test.detectable)
        return f"can't be told apart ({seen}; a gap under {least} can't be seen)"
    return f"{'better' if interval.low > 0 else 'worse'} in the second ({seen})"
