"""Tiers and possible ranks of models, from the pairs that differ significantly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from string import ascii_letters


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Ranks that no test rules out; 1 is the best."""

    best: int
    worst: int


def tiers(models: Sequence[str], apart: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return letters such that models share one if and only if they are not in `apart`.

    This is a compact letter display, by inserting and absorbing columns (Piepho 2004). Models are
    given best first; the best gets the letter a.
    """
    columns = [frozenset(models)]
    for pair in apart:
        columns = _drop_subsets(_split_by_pair(columns, pair))
    place = {model: index for index, model in enumerate(models)}
    columns.sort(key=lambda column: sorted(place[model] for model in column))
    return {
        model: "".join(letter(index) for index, column in enumerate(columns) if model in column)
        for model in models
    }


def _split_by_pair(
    columns: Iterable[frozenset[str]], pair: tuple[str, str]
) -> Iterable[frozenset[str]]:
    for column in columns:
        if column.issuperset(pair):
            yield from (column - {model} for model in pair)
        else:
            yield column


def _drop_subsets(columns: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    unique = list(dict.fromkeys(columns))
    return [column for column in unique if not any(column < other for other in unique)]


def letter(index: int) -> str:
    """Return a, b, ..., Z, then a2, b2, ..."""
    again, place = divmod(index, len(ascii_letters))
    return ascii_letters[place] + (str(again + 1) if again else "")


def ranks(models: Sequence[str], better: Collection[tuple[str, str]]) -> dict[str, Ranks]:
    """Return the possible ranks of each model; `better` has pairs (better, worse)."""
    above = [worse for _, worse in better]
    below = [winner for winner, _ in better]
    return {
        model: Ranks(best=1 + above.count(model), worst=len(models) - below.count(model))
        for model in models
    }
