"""How fast a processor computes: measured on this machine's CPU, or published of a GPU."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import perf_counter

import torch

from raycompare.experiment.prices import Gpu, gpus
from raycompare.formatting import number_of

GPU_UTILISATION = 0.2
"""Of a card's peak that fine-tuning reaches. Large models are trained at 21 to 46 % (Chowdhery et
al. 2022, arXiv 2204.02311, table 3); small ones, in small batches, keep a card less busy."""
CPU_UTILISATION = 0.4
"""Of the pace of matrix products; the rest is norms, attention, optimizer and Python, and that
trials share what cores share. One to three layers of MiniLM reach 35 to 46 GFLOP/s of about 90,
with a trial on each of two hyperthreads (jobs/experiments/quickstart.yaml)."""
GPU_STEP_SECONDS = 0.02
"""What a step takes on any card, however small the model: Python, and starting some hundred
kernels. Assumed, not measured."""
MEASURE_SECONDS = 0.5
LONGEST, SHORTEST = 2048, 64
"""Rows of a matrix that is measured."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one trial computes."""

    flops: float
    """FLOP per second."""
    basis: str
    """Where the figure is from, in words."""
    step_seconds: float = 0.0
    """What each optimizer step takes beside its arithmetic."""

    def seconds(self, flop: float, steps: int) -> float:
        """Return what a trial of so much work takes."""
        return flop / self.flops + steps * self.step_seconds


def gpu_speed(gpu: Gpu, share: float = 1.0) -> Speed:
    """Return what a trial is taken to do that has a card, or a share of one."""
    basis = (
        f"{GPU_UTILISATION:.0%} of the published peak of the {gpu.name}, "
        f"{gpu.flops / 1e12:g} TFLOP/s in {gpu.precision}"
    )
    flops = gpu.flops * GPU_UTILISATION * min(share, 1.0)
    return Speed(flops=flops, basis=basis, step_seconds=GPU_STEP_SECONDS)


def named_gpu(device: str) -> Gpu | None:
    """Return the card of a name such as Tesla T4, as the driver gives it; None if unknown."""
    words = re.split(r"[^A-Za-z0-9]+", device)
    return next((gpu for name, gpu in gpus().items() if name in words), None)


def gpu_here() -> Gpu | None:
    """Return the first card of this machine; None if there is none, or one that is not known."""
    return named_gpu(torch.cuda.get_device_name(0)) if torch.cuda.device_count() else None


def cpu_speed(rows: int, width: int, threads: int) -> Speed:
    """Measure half a second of matrix products of a layer's shape with so many threads."""
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
