"""Whether torch can use the GPUs that Ray counts.

Ray counts the cards of a machine, whatever torch is installed there. With a CPU build, or a driver
that is too old for the build, trials would train on the CPU at the price of the GPU.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

from raycompare.cluster.machines import Node
from raycompare.errors import Problem
from raycompare.experiment.hyperparameters import ModelSettings

PROBE = """
import warnings
warnings.simplefilter("always")
import torch
kinds = [getattr(torch, name) for name in ("cuda", "xpu")]
number = sum(kind.device_count() for kind in kinds if kind.is_available())
print(f"GPUs {number}, torch {torch.__version__}, CUDA {torch.version.cuda or 'not built in'}")
"""
PROBE_S = 50.0
"""Time for importing torch on a new machine, in seconds; within that for all answers."""
_HIDDEN = ("CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "HIP_VISIBLE_DEVICES")
"""Variables with which Ray hides GPUs from tasks that request none."""


def why_unusable() -> str | None:
    """Return why torch can't use the GPUs of this machine, or None if it can.

    It is asked in another process, which sees all GPUs and keeps none of their memory.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _HIDDEN}
    command = [sys.executable, "-c", PROBE]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PROBE_S, env=environment
        )
    except subprocess.CalledProcessError as error:
        return (str(error.stderr).strip().splitlines() or ["torch can't be imported"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    found = answer.stdout.strip()
    if not found.startswith("GPUs 0,"):
        return None
    warned = [line.strip() for line in answer.stderr.splitlines() if "driver" in line.lower()]
    return "; ".join([found, *warned[:1]])


def usability_here(nodes: Iterable[Node]) -> str | None:
    """Return why torch can't use GPUs if Ray counts some on this machine, or None."""
    here = socket.gethostname()
    has_gpus = any(node.gpus for node in nodes if node.hostname == here)
    return why_unusable() if has_gpus else None


def gpu_problems(
    every: Sequence[ModelSettings], unusable: Iterable[tuple[str, str | None]]
) -> Iterator[Problem]:
    """Find machines with GPUs that torch can't use, if some trials would use them."""
    if not any(map(_uses_gpu, every)):
        return
    for hostname, reason in unusable:
        if reason is not None:
            yield Problem(
                where=hostname,
                found=f"GPUs that torch can't use: {reason}",
                allowed="GPUs with a driver for the CUDA version of torch; nvidia-smi shows the "
                "highest one that a driver supports",
                hint="install another build of torch or a newer driver there; or, to train on "
                "CPUs, set resources: {gpu: 0}",
            )


def _uses_gpu(settings: ModelSettings) -> bool:
    on_cpu = all(settings.all_values("use_cpu") or (False,))
    return settings.resources.gpu != 0 and not on_cpu
