"""What a user asks of SageMaker: machines, account, network; and what the machines cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from raycompare.cluster.machines import Node
from raycompare.experiment.prices import Instance, Price, instances
from raycompare.formatting import SECONDS_PER_HOUR

VCPUS_OF_XLARGE = 4
SIZES: Mapping[str, int] = {"medium": 1, "large": 2, "xlarge": VCPUS_OF_XLARGE}


@dataclass(frozen=True, kw_only=True)
class Machines:
    """The instances of a training job."""

    instance_type: str
    count: int = 1
    head_type: str | None = None
    """Of one more instance that drives and runs no trial; None for none."""
    spot: bool = False
    max_hours: float = 24.0
    volume_gb: int = 100
    join_minutes: float = 10.0
    """How long the instances may take to find each other, once their packages are installed."""

    @property
    def max_seconds(self) -> int:
        """When SageMaker stops the job."""
        return int(self.max_hours * SECONDS_PER_HOUR)

    def types(self) -> Iterator[tuple[str, int]]:
        """Yield each type with its number of instances, the head first."""
        if self.head_type:
            yield self.head_type, 1
        yield self.instance_type, self.count

    @property
    def price(self) -> Price | None:
        """Of all together, on demand; None where the price of a type is not known."""
        known = [(instances().get(name), count) for name, count in self.types()]
        if any(instance is None for instance, _ in known):
            return None
        usd = sum(instance.on_demand * count for instance, count in known if instance)
        return Price(usd_per_hour=usd, instance=self.instance)

    def nodes(self) -> tuple[Node, ...]:
        """Return the machines that run trials, as far as their type says what they are."""
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
        """What is known of the machines that run trials."""
        return instances().get(self.instance_type)


def vcpus(instance_type: str) -> int:
    """Return the vCPUs of a type by its size, as AWS has it in all families of today: 4 an xlarge.

    (https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-types.html)
    """
    size = instance_type.rpartition(".")[2]
    times = re.fullmatch(r"(\d+)xlarge", size)
    return int(times[1]) * VCPUS_OF_XLARGE if times else SIZES.get(size, 1)


@dataclass(frozen=True, kw_only=True)
class Network:
    """The VPC of the instances; empty for SageMaker's own."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request:
    """A training job as it is asked for."""

    machines: Machines
    role: str
    """An ARN, or the name of a role of the account."""
    image: str | None = None
    """Left out: AWS's PyTorch image of the torch that is installed here."""
    network: Network = Network()
    kms_key: str | None = None
    """Encrypts the disks of the instances and what they leave."""
    tags: Mapping[str, str] = field(default_factory=dict)
    mlflow: str | None = None
    """Where MLflow is: the ARN of SageMaker's, or the URL of a server without a password."""
