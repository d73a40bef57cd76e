"""What a machine costs an hour: as the experiment says, or by the name of its instance type.

The figures are in prices.toml beside this module, each with its date and where it was found. They
are of us-east-1, and none is looked up while a run goes on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from raycompare.errors import Problem, near
from raycompare.experiment.settings import CostSpec
from raycompare.formatting import SECONDS_PER_HOUR

OLD_DAYS = 365
"""A price older than this is said to be old."""
SPOT_HISTORY = "`aws ec2 describe-spot-price-history` says what it is"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A type of machine; prices in USD per hour."""

    name: str
    on_demand: float
    spot: float | None
    gpus: int
    gpu: str | None
    """As `Gpu.name`."""
    found: date
    what: str
    url: str
    doubt: str | None = None
    """Why the figure may not hold."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A card, and what it can compute at most."""

    name: str
    flops: float
    """Dense matrix products, FLOP per second, at `precision`."""
    precision: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one machine costs, and who says so."""

    usd_per_hour: float
    instance: Instance | None = None
    """None where the experiment gives the price itself."""
    spot: bool = False

    def usd(self, machine_seconds: float) -> float:
        """Return the cost of one machine for a time, or of several for the sum of their times."""
        return self.usd_per_hour * machine_seconds / SECONDS_PER_HOUR

    def is_old(self, on: date) -> bool:
        """Say whether the figure was found more than a year before a day."""
        return self.instance is not None and (on - self.instance.found).days > OLD_DAYS


def price_of(cost: CostSpec) -> Price | None:
    """Return the price of a machine; None if the experiment names none that is known."""
    if cost.usd_per_hour is not None:
        return Price(usd_per_hour=cost.usd_per_hour, spot=cost.spot)
    instance = instances().get(cost.instance or "")
    if instance is None:
        return None
    usd = instance.spot if cost.spot else instance.on_demand
    return None if usd is None else Price(usd_per_hour=usd, instance=instance, spot=cost.spot)


def price_problems(cost: CostSpec) -> Iterator[Problem]:
    """Find an instance type, or a spot price, that is not known."""
    if cost.usd_per_hour is not None:
        return
    if cost.instance is None:
        if cost.spot:
            yield Problem(
                where="cost.spot",
                found="true, and no price",
                allowed="spot beside cost.usd_per_hour or cost.instance",
                hint=f"set cost.usd_per_hour; {SPOT_HISTORY}",
            )
        return
    instance = instances().get(cost.instance)
    if instance is None:
        yield _unknown(cost.instance)
    elif cost.spot and instance.spot is None:
        yield Problem(
            where="cost.spot",
            found=f"true, and no spot price of {instance.name} is known",
            allowed="an instance type with a spot price in prices.toml, or cost.usd_per_hour",
            hint=f"set cost.usd_per_hour; {SPOT_HISTORY}",
        )


def _unknown(name: str) -> Problem:
    hint = near(name, instances())
    family = [known for known in instances() if known.rpartition(".")[0] == name.rpartition(".")[0]]
    some = family or [known for known in instances() if known.endswith("g5.xlarge")]
    return Problem(
        where="cost.instance",
        found=f"{name!r}, of which no price is known",
        allowed=f"an instance type in prices.toml, such as {', '.join(some)}; or any other, with "
        "cost.usd_per_hour",
        hint=f"{hint} Else set cost.usd_per_hour" if hint else "set cost.usd_per_hour",
    )


@cache
def instances() -> Mapping[str, Instance]:
    """Return the types of machines whose price is known, by their name."""
    content = _content()
    return {
        name: _instance(name, row, content["sources"][row["source"]])
        for name, row in content["instances"].items()
    }


def _instance(name: str, row: Mapping[str, Any], source: Mapping[str, Any]) -> Instance:
    doubts = [doubt for doubt in (source.get("doubt"), row.get("doubt")) if doubt]
    return Instance(
        name=name,
        on_demand=float(row["usd"]),
        spot=float(row["spot"]) if "spot" in row else None,
        gpus=row.get("gpus", 0),
        gpu=row.get("gpu"),
        found=source["date"],
        what=source["what"],
        url=source["url"],
        doubt="; ".join(doubts) or None,
    )


@cache
def gpus() -> Mapping[str, Gpu]:
    """Return the cards whose peak is known, by their name."""
    return {
        name: Gpu(
            name=name,
            flops=row["tflops"] * 1e12,
            precision=row["precision"],
            url=row["url"],
        )
        for name, row in _content()["gpus"].items()
    }


@cache
def _content() -> Mapping[str, Any]:
    text = files("raycompare.experiment").joinpath("prices.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
