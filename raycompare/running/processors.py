"""Speed of processors: measured for the CPU of this machine, published for GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import perf_counter

import torch

from raycompare.experiment.prices import Gpu, gpus
from raycompare.formatting import number_of

GPU_UTILISATION = 0.2
"""Share of a GPU's peak that fine-tuning reaches. Large models are trained at 21 to 46 % (Chowdhery
et al. 2022, arXiv 2204.02311, table 3); small ones, in small batches, keep a GPU less busy."""
CPU_UTILISATION = 0.4
"""Share of the speed of matrix products that training reaches, because of norms, attention, the
optimizer, Python, and trials that compete for caches. One to three layers of MiniLM reach 35 to 46
GFLOP/s of about 90, with a trial on each of two hyperthreads."""
GPU_STEP_SECONDS = 0.02
"""Overhead of a step on any GPU: Python, and some hundred kernel launches. An assumption."""
MEASURE_SECONDS = 0.5
LONGEST, SHORTEST = 2048, 64
"""Most and fewest rows of a measured matrix."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The speed of one trial."""

    flops: float
    """FLOP per second."""
    basis: str
    """Source of the speed."""
    step_seconds: float = 0.0
    """Overhead of each optimizer step, in addition to its arithmetic."""

    def seconds(self, flop: float, steps: int) -> float:
        """Return the time that a trial takes."""
        return flop / self.flops + steps * self.step_seconds


def gpu_speed(gpu: Gpu, share: float = 1.0) -> Speed:
    """Return the assumed speed of a trial on a GPU, or on a share of one."""
    basis = (
        f"{GPU_UTILISATION:.0%} of the published peak of the {gpu.name}, "
        f"{gpu.flops / 1e12:g} TFLOP/s in {gpu.precision}"
    )
    flops = gpu.flops * GPU_UTILISATION * min(share, 1.0)
    return Speed(flops=flops, basis=basis, step_seconds=GPU_STEP_SECONDS)


def named_gpu(device: str) -> Gpu | None:
    """Return the GPU for a name that the driver reports, such as Tesla T4; None if unknown."""
    words = re.split(r"[^A-Za-z0-9]+", device)
    return next((gpu for name, gpu in gpus().items() if name in words), None)


def gpu_here() -> Gpu | None:
    """Return the first GPU of this machine; None if there is none, or if it is unknown."""
    return named_gpu(torch.cuda.get_device_name(0)) if torch.cuda.device_count() else None


def cpu_speed(rows: int, width: int, threads: int) -> Speed:
    """Measure the speed of matrix products of a layer's shape for half a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        flops = _products(max(min(rows, LONGEST), SHORTEST), width)
    finally:
        torch.set_num_threads(before)
    basis = (
        f"{CPU_UTILISATION:.0%} of {flops / 1e9:,.0f} GFLOP/s, which matrix products reach here "
        f"with {number_of(threads, 'thread')}"
    )
    return Speed(flops=flops * CPU_UTILISATION, basis=basis)


def _products(rows: int, width: int) -> float:
    """Return the FLOP per second of a feed-forward layer's first product."""
    left, right = torch.ones(rows, width), torch.ones(width, 4 * width)
    out = left @ right
    done, began = 0, perf_counter()
    while (took := perf_counter() - began) < MEASURE_SECONDS:
        torch.matmul(left, right, out=out)
        done += 1
    return done * 2 * rows * width * 4 * width / took
