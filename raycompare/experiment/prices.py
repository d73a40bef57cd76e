"""Price of a machine per hour, as set in the experiment or listed for its instance type.

The listed prices are in prices.toml, next to this module, each with its date and source. They
apply to us-east-1; no price is looked up during a run.
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
"""Age above which a price is reported as old."""
SPOT_HISTORY = "`aws ec2 describe-spot-price-history` shows recent prices"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An instance type; prices in USD per hour."""

    name: str
    on_demand: float
    spot: float | None
    gpus: int
    gpu: str | None
    """`Gpu.name` of its GPUs."""
    retrieved_on: date
    what: str
    url: str
    doubt: str | None = None
    """Reason why the price may be wrong."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU and its peak performance."""

    name: str
    flops: float
    """Peak of dense matrix products at `precision`, in FLOP per second."""
    precision: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Price:
    """Price of one machine, and its source."""

    usd_per_hour: float
    instance: Instance | None = None
    """Instance type with this price; None if the experiment sets the price."""
    spot: bool = False

    def usd(self, machine_seconds: float) -> float:
        """Return the cost of a time in machine seconds, summed over machines."""
        return self.usd_per_hour * machine_seconds / SECONDS_PER_HOUR

    def is_old(self, on: date) -> bool:
        """Return whether the price was more than a year old on a day."""
        return self.instance is not None and (on - self.instance.retrieved_on).days > OLD_DAYS


def price_of(cost: CostSpec) -> Price | None:
    """Return the price of a machine; None if the experiment sets no price and none is listed."""
    if cost.usd_per_hour is not None:
        return Price(usd_per_hour=cost.usd_per_hour, spot=cost.spot)
    instance = instances().get(cost.instance or "")
    if instance is None:
        return None
    usd = instance.spot if cost.spot else instance.on_demand
    return None if usd is None else Price(usd_per_hour=usd, instance=instance, spot=cost.spot)


def price_problems(cost: CostSpec) -> Iterator[Problem]:
    """Find an instance type or a spot price that isn't listed."""
    if cost.usd_per_hour is not None:
        return
    if cost.instance is None:
        if cost.spot:
            yield Problem(
                where="cost.spot",
                found="true, without a price",
                allowed="spot together with cost.usd_per_hour",
                hint=f"set cost.usd_per_hour; {SPOT_HISTORY}",
            )
        return
    instance = instances().get(cost.instance)
    if instance is None:
        yield _unknown(cost.instance)
    elif cost.spot and instance.spot is None:
        yield Problem(
            where="cost.spot",
            found=f"true, but no spot price of {instance.name} is listed",
            allowed="an instance type with a spot price in prices.toml, or cost.usd_per_hour",
            hint=f"set cost.usd_per_hour; {SPOT_HISTORY}",
        )


def _unknown(name: str) -> Problem:
    hint = near(name, instances())
    family = [other for other in instances() if other.rpartition(".")[0] == name.rpartition(".")[0]]
    some = family or [other for other in instances() if other.endswith("g5.xlarge")]
    return Problem(
        where="cost.instance",
        found=f"{name!r}, whose price is not listed",
        allowed=f"an instance type in prices.toml, such as {', '.join(some)}, or any other with "
        "cost.usd_per_hour",
        hint=f"{hint} Otherwise set cost.usd_per_hour" if hint else "set cost.usd_per_hour",
    )


@cache
def instances() -> Mapping[str, Instance]:
    """Return the instance types with listed prices, keyed by name."""
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
        retrieved_on=source["date"],
        what=source["what"],
        url=source["url"],
        doubt="; ".join(doubts) or None,
    )


@cache
def gpus() -> Mapping[str, Gpu]:
    """Return the GPUs whose peak performance is listed, keyed by name."""
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
