"""The schedulers of an experiment file: their names, and what others have to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SchedulerName = Literal["asha", "pooled-asha", "pasha", "top-k-after-first-rung", "median", "fifo"]
RUNGS = frozenset({"grace_period", "time_attr"})
"""Settings of `tune` that every scheduler reads that compares trials at rungs."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What is to be known of a scheduler beside its rule, which is in `rule_book`."""

    subject: str
    """Of the report's sentence on what it stopped."""
    reads: frozenset[str] = frozenset()
    """The settings of `tune` that not every scheduler reads, and this one does."""
    pauses: bool = False
    """Whether it lets trials wait for others, and go on later from a checkpoint."""


ABOUT: Mapping[SchedulerName, About] = {
    "asha": About(subject="ASHA", reads=RUNGS | {"reduction_factor"}),
    "pooled-asha": About(
        subject="ASHA, with all models in one bracket,", reads=RUNGS | {"reduction_factor"}
    ),
    "pasha": About(subject="PASHA", reads=RUNGS | {"reduction_factor"}, pauses=True),
    "median": About(subject="The median rule", reads=RUNGS | {"reduction_factor"}),
    "top-k-after-first-rung": About(
        subject="The best of the first rung went on; it", reads=RUNGS | {"top_k"}, pauses=True
    ),
    "fifo": About(subject="Nothing"),
}
READ_BY_SOME = ("top_k", "grace_period", "time_attr", "reduction_factor")
"""The settings that a scheduler may leave unread, in the order of the file."""
