"""Where the splits of the data come from, and how much of each is used."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from raycompare.part import Part, not_allowed

SHARE = "a share of train between 0 and 1"


def _split(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and 0 < value < 1:
        return value
    raise not_allowed(f"the name of a split, or {SHARE}")


SplitSource = Annotated[str | float | None, BeforeValidator(_split)]


class SplitSpec(Part):
    """Where each split comes from: a name in the source, or a share carved from train.

    Left out, `validation` and `test` are the splits of that name where the source has them, else
    a tenth and a fifth of train. Shares are stratified by label and drawn with the experiment's
    seed.
    """

    train: str = "train"
    """The name of a split."""
    validation: SplitSource = None
    """The name of a split, or a share of train; it decides what is trained on."""
    test: SplitSource = None
    """The same; looked at once for each finalist."""


Rows = Annotated[int, Field(ge=2)]


class LimitSpec(Part):
    """The most rows to use of each split; a stratified, seeded sample."""

    train: Rows | None = None
    """Left out, all; so are the others."""
    validation: Rows | None = None
    """Of validation."""
    test: Rows | None = None
    """Of test."""
