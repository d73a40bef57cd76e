"""What the driver and the processes of Ray take of this machine; they are all children of ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import psutil

PARTS = ("driver", "GCS", "raylets", "agents")


def cpu_seconds() -> dict[str, float]:
    """Return the CPU seconds used so far, by kind of process."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for process in (psutil.Process(), *_of_ray()):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds[_kind(process)] += times.user + times.system
    return dict(seconds)


def own_memory() -> int:
    """Return the bytes that the processes of Ray don't share with others."""
    size = 0
    for process in _of_ray():
        with suppress(psutil.NoSuchProcess):
            size += process.memory_full_info().uss
    return size


def _of_ray() -> Iterator[psutil.Process]:
    yield from psutil.Process().children(recursive=True)


def _kind(process: psutil.Process) -> str:
    if process == psutil.Process():
        return "driver"
    match process.name():
        case "raylet":
            return "raylets"
        case "gcs_server":
            return "GCS"
        case name if name.startswith("ray::") and not name.endswith("Agent"):
            return "workers"
    return "agents"
