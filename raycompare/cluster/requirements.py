"""What training arguments need of the machines that trials run on: GPUs and packages."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from raycompare.cluster.machines import Node
from raycompare.errors import Problem
from raycompare.experiment.hyperparameters import ModelSettings
from raycompare.experiment.needs import (
    DISTRIBUTIONS,
    OPTIMIZERS,
    is_importable,
    optimizer_modules,
)

COMPILERS = ("g++", "clang++", "c++", "gcc")
"""C++ compilers that torch looks for."""
_CHECKPOINTED = ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
_OFFLOAD = "offload"
TF32_SINCE = 8.0
"""First compute capability with TF32: Ampere."""


def requirement_problems(
    every: Iterable[ModelSettings],
    machines: Sequence[Node],
    capabilities: Sequence[float | None] = (),
) -> Iterator[Problem]:
    """Find arguments that don't work where trials run.

    `machines` includes this one if trials run here; `capabilities` are the compute capabilities of
    the GPUs of the others.
    """
    for settings in every:
        yield from device_problems(settings, machines)
        is_here = any(_can_run(settings, node, machines) for node in machines if _is_this(node))
        own = oldest_capability() if is_here else None
        yield from old_gpu_problems(settings, [*capabilities, own])
        if is_here:
            yield from package_problems(settings)
            yield from compiler_problems(settings)


def _is_this(node: Node) -> bool:
    return node.hostname == socket.gethostname()


def _can_run(settings: ModelSettings, node: Node, machines: Sequence[Node]) -> bool:
    uses_gpu = settings.resources.gpu != 0 and any(other.gpus for other in machines)
    return settings.resources.cpu <= node.cpus and (node.gpus > 0 or not uses_gpu)


def is_installed(optim: str) -> bool:
    """Return whether the package of an optimizer can be imported here."""
    return optim not in OPTIMIZERS or is_importable(OPTIMIZERS[optim])


def package_problems(settings: ModelSettings) -> Iterator[Problem]:
    """Find optimizers whose package isn't installed on this machine."""
    for optim, module in optimizer_modules(settings).items():
        if not is_importable(module):
            yield Problem(
                where=settings.place("optim"),
                found=f"{optim}, which needs the package {module}; it is not installed",
                allowed="an optimizer whose package is installed where trials run",
                hint=f"pip install {DISTRIBUTIONS.get(module, module)}, or use adamw_torch",
            )


def compiler_problems(settings: ModelSettings) -> Iterator[Problem]:
    """Find a use of `torch_compile` on a machine without a C++ compiler."""
    backends = settings.all_values("torch_compile_backend") or ("inductor",)
    is_used = True in settings.all_values("torch_compile") and "inductor" in backends
    if is_used and not any(map(shutil.which, (os.environ.get("CXX", "c++"), *COMPILERS))):
        yield Problem(
            where=settings.place("torch_compile"),
            found="torch_compile: true, without a C++ compiler",
            allowed=f"torch_compile where one of these is installed: {', '.join(COMPILERS)}",
            hint="install one, such as g++, or set torch_compile_backend: aot_eager",
        )


def device_problems(settings: ModelSettings, machines: Sequence[Node]) -> Iterator[Problem]:
    """Find number formats, and places for activations, that need a GPU which trials don't have."""
    if all(settings.all_values("use_cpu") or (False,)):
        yield from _cpu_problems(settings, ("tf32",), "use_cpu is set")
    elif settings.resources.gpu == 0 or not any(node.gpus for node in machines):
        formats = ("tf32",) if _has_mps() else ("bf16", "tf32")
        yield from _cpu_problems(settings, formats, "its trials have no GPU")
    else:
        return
    for name in _CHECKPOINTED:
        if any(
            isinstance(kwargs, dict) and kwargs.get(_OFFLOAD) for kwargs in settings.values(name)
        ):
            yield Problem(
                where=settings.place(name),
                found=f"{_OFFLOAD} for {settings.name}, whose trials have no GPU",
                allowed="activations that are kept where they are computed",
                hint=f"remove {_OFFLOAD}",
            )


def _has_mps() -> bool:
    """Return whether trials compute on the GPU of a Mac, which has bf16."""
    import torch

    return torch.backends.mps.is_available()


def _cpu_problems(settings: ModelSettings, names: Sequence[str], reason: str) -> Iterator[Problem]:
    hints = {"bf16": "remove it: each GPU that supports bf16 uses it; or set use_cpu: true too"}
    for name in names:
        if True in settings.all_values(name):
            yield Problem(
                where=settings.place(name),
                found=f"{name}: true for {settings.name}, but {reason}",
                allowed=f"{name} for trials on a GPU",
                hint=hints.get(name, "remove it"),
            )


def old_gpu_problems(
    settings: ModelSettings, capabilities: Iterable[float | None]
) -> Iterator[Problem]:
    """Find arguments that the GPUs are too old for."""
    old = [each for each in capabilities if each is not None and each < TF32_SINCE]
    if old and True in settings.all_values("tf32"):
        yield Problem(
            where=settings.place("tf32"),
            found=f"tf32: true for {settings.name}, on a GPU of compute capability {min(old):g}",
            allowed=f"tf32 on GPUs of compute capability {TF32_SINCE:g} or higher (Ampere)",
            hint="remove it",
        )


@cache
def oldest_capability() -> float | None:
    """Return the lowest compute capability of this machine's GPUs; None if it is unknown.

    It is read with the driver's tool, because CUDA would occupy GPU memory in this process.
    """
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
        return min(float(line) for line in answer.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
