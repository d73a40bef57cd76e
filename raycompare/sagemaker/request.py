"""A requested training job: instances with their price, role, image and network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from raycompare.cluster.machines import Node
from raycompare.experiment.prices import Instance, Price, instances
from raycompare.formatting import SECONDS_PER_HOUR

VCPUS_OF_XLARGE = 4
SIZES: Mapping[str, int] = {"medium": 1, "large": 2, "xlarge": VCPUS_OF_XLARGE}
LOCAL_FAMILIES = ("g5", "g6", "g7", "p5", "p6", "trn")
"""Families of instances with local storage whose name has no d."""
WAIT_FACTOR = 2
"""For spot jobs, the maximum total time including waits, as a multiple of the run time."""
LONGEST_BY_DEFAULT = 5 * 24 * SECONDS_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class Machines:
    """The instances of a training job."""

    instance_type: str
    count: int = 1
    head_type: str | None = None
    """Instance type of an extra head node that runs no trials; None for no such node."""
    spot: bool = False
    max_hours: float = 24.0
    volume_gb: int = 100
    join_minutes: float = 10.0
    """How long instances may take to join after installing their packages, in minutes."""

    @property
    def max_seconds(self) -> int:
        """Run time after which SageMaker stops the job."""
        return int(self.max_hours * SECONDS_PER_HOUR)

    @property
    def max_wait_seconds(self) -> int:
        """Time after which SageMaker stops a spot job, waits included.

        It stays within the longest run time that a new account has, if the run time does.
        """
        return min(WAIT_FACTOR * self.max_seconds, max(self.max_seconds, LONGEST_BY_DEFAULT))

    def options(self) -> Iterator[tuple[str, str, int]]:
        """Yield the option, type and number of instances; with one type, its number decides."""
        if self.head_type == self.instance_type:
            yield "--instances", self.instance_type, self.count + 1
            return
        if self.head_type:
            yield "--head-type", self.head_type, 1
        yield "--instances", self.instance_type, self.count

    @property
    def with_local_storage(self) -> tuple[str, ...]:
        """Types whose disks are part of the instance, with a fixed size and their own key."""
        return tuple(dict.fromkeys(name for name, _ in self.types() if has_local_storage(name)))

    @property
    def has_volumes(self) -> bool:
        """Whether some instances have a volume of a size and key that can be chosen."""
        return any(not has_local_storage(name) for name, _ in self.types())

    def types(self) -> Iterator[tuple[str, int]]:
        """Yield each type with its number of instances, the head first."""
        if self.head_type:
            yield self.head_type, 1
        yield self.instance_type, self.count

    @property
    def price(self) -> Price | None:
        """On-demand price of all instances; None if the price of a type is unknown."""
        known = [(instances().get(name), count) for name, count in self.types()]
        if any(instance is None for instance, _ in known):
            return None
        usd = sum(instance.on_demand * count for instance, count in known if instance)
        return Price(usd_per_hour=usd, instance=self.instance)

    def nodes(self) -> tuple[Node, ...]:
        """Return the machines that run trials, with CPUs and GPUs derived from their type."""
        instance = instances().get(self.instance_type)
        node = Node(
            hostname=self.instance_type,
            cpus=vcpus(self.instance_type),
            gpus=instance.gpus if instance else 0,
            memory_bytes=0,
        )
        return (node,) * self.count

    @property
    def instance(self) -> Instance | None:
        """Price and hardware of the machines that run trials, if listed."""
        return instances().get(self.instance_type)


def has_local_storage(instance_type: str) -> bool:
    """Return whether the disks of a type are local NVMe, as its family says.

    Sources: VolumeSizeInGB and VolumeKmsKeyId in the SageMaker API reference, and
    `volume_size_supported` of the SDK.
    """
    family = instance_type.removeprefix("ml.").partition(".")[0]
    return "d" in family or family.startswith(LOCAL_FAMILIES)


def vcpus(instance_type: str) -> int:
    """Return the vCPUs of an instance type by its size: 4 for an xlarge, in all current families.

    Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html
    """
    size = instance_type.rpartition(".")[2]
    times = re.fullmatch(r"(\d+)xlarge", size)
    return int(times[1]) * VCPUS_OF_XLARGE if times else SIZES.get(size, 1)


@dataclass(frozen=True, kw_only=True)
class Network:
    """The VPC of the instances; empty for SageMaker's default network."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """A training job to submit."""

    machines: Machines
    role: str
    """ARN, or name of a role in the account."""
    image: str | None = None
    """Default: AWS's PyTorch image for the torch version installed here."""
    network: Network = Network()
    kms_key: str | None = None
    """Key for SageMaker's own results, and for disks that are volumes."""
    tags: Mapping[str, str] = field(default_factory=dict)
    mlflow: str | None = None
    """ARN of a SageMaker MLflow server, or URL of an MLflow server without a password."""
