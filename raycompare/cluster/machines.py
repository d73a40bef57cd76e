"""Machines that run trials, described alike for a laptop and a cluster."""

from __future__ import annotations

import math
import platform
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from raycompare.experiment.spec import ResourceSpec

BUSY_TIMES = ("user", "nice", "system", "irq", "softirq", "steal")
"""Columns of /proc/stat in which a CPU works, for another virtual machine in the case of steal."""
ROUNDING = 1e-9
"""Tolerance for floating-point shares: ten trials that use 0.1 GPU each fit on one GPU."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine of the cluster."""

    hostname: str
    cpus: float
    gpus: float
    memory_bytes: int
    cpu_model: str | None = None

    def fits(self, resources: ResourceSpec) -> bool:
        """Return whether one trial fits on the machine when nothing else runs there."""
        return resources.cpu <= self.cpus and resources.gpus <= self.gpus

    def holds(self, cpu: float, gpu: float) -> int:
        """Return how many trials with this many CPUs and GPUs fit on the machine together."""
        by_gpu = self.gpus / gpu if gpu else math.inf
        return int(min(self.cpus / cpu, by_gpu) + ROUNDING)


def list_resources(nodes: Iterable[Node]) -> str:
    """Return the CPUs and GPUs of each machine, for a message."""
    return "; ".join(f"{n.hostname}: cpu {n.cpus:g}, gpu {n.gpus:g}" for n in nodes)


def this_machine() -> Node:
    """Describe the machine that this process runs on, with the GPUs visible to CUDA."""
    import torch

    return Node(
        hostname=socket.gethostname(),
        cpus=float(psutil.cpu_count() or 1),
        gpus=float(torch.cuda.device_count()),
        memory_bytes=psutil.virtual_memory().total,
        cpu_model=_cpu_model(),
    )


def _cpu_model() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, None)
    return platform.processor() or None


@dataclass(frozen=True)
class OtherCpuTime:
    """CPU time that all other processes of this machine have used until a moment."""

    seconds: float
    moment: float

    @classmethod
    def now(cls) -> OtherCpuTime:
        """Return the CPU time until now."""
        whole, own = psutil.cpu_times(), psutil.Process().cpu_times()
        busy = sum(getattr(whole, name, 0.0) for name in BUSY_TIMES)
        return cls(busy - own.user - own.system, perf_counter())

    def cpus_until(self, later: OtherCpuTime) -> float:
        """Return the mean number of CPUs in use from this moment to a later one."""
        return max((later.seconds - self.seconds) / (later.moment - self.moment), 0.0)
