"""What a job or an endpoint wants of an account, and what checks have found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Self

from raycompare.errors import Problem
from raycompare.sagemaker.request import Request

LONGEST_RUN = "Longest run time for a training job"
"""Quota of an account, in seconds; five days in new ones."""


@dataclass
class Findings:
    """Mistakes, and notes about checks that were not possible."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    account: str | None = None

    @property
    def can_use_bucket(self) -> bool:
        """Whether the place for files is in a bucket that this account may use."""
        return self.account is not None and "--out" not in {p.where for p in self.problems}


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A quota of the account, and how much of it is wanted."""

    where: str
    wanted: float
    shown: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Everything that a job or an endpoint needs in an account."""

    role: str
    out: str
    image: str | None = None
    kms_key: str | None = None
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """Keyed by the name of the quota."""

    @classmethod
    def of(cls, request: Request, out: str) -> Self:
        """Return what a training job needs."""
        machines = request.machines
        kind = "spot training job" if machines.spot else "training job"
        quotas = {
            f"{name} for {kind} usage": Quota(where=option, wanted=n, shown=f"{n} of {name}")
            for option, name, n in machines.options()
        }
        if isfinite(machines.max_hours):
            shown = f"{machines.max_seconds:,} seconds"
            longest = Quota(where="--max-hours", wanted=machines.max_seconds, shown=shown)
            quotas[LONGEST_RUN] = longest
        return cls(
            role=request.role,
            out=out,
            image=request.image,
            kms_key=request.kms_key,
            quotas=quotas,
        )
