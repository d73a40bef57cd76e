"""GPUs that Ray counts and torch can't use are found before the first trial, on each machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from raycompare.cluster import checks as cluster_checks
from raycompare.cluster import gpus
from raycompare.cluster.checks import NodeView, usable_machines
from raycompare.cluster.gpus import why_unusable
from raycompare.cluster.machines import Node
from raycompare.cluster.nodes import NodeResult
from raycompare.errors import ExperimentError
from raycompare.records.run_folder import RunFolder
from tests.runs import experiment

HERE = socket.gethostname()
OLD = "the NVIDIA driver on your system is too old (found version 12020)"


def node(hostname: str, gpus: float) -> Node:
    return Node(hostname=hostname, cpus=4, gpus=gpus, memory_bytes=2**30)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU that torch can use")
def test_torch_is_asked_in_a_process_that_sees_all_gpus() -> None:
    assert f"GPUs 0, torch {torch.__version__}" in str(why_unusable())


@pytest.mark.parametrize(
    ("said", "warned", "reason"),
    [
        ("GPUs 1, torch 2.13.0, CUDA 13.3", "", None),
        ("GPUs 8, torch 2.13.0, CUDA 13.3", "a warning of the driver", None),
        ("GPUs 0, torch 2.13.0, CUDA 13.3", f"x.py:1: UserWarning: {OLD}", OLD),
        ("GPUs 0, torch 2.13.0+cpu, CUDA not built in", "", "not built in"),
    ],
)
def test_a_driver_that_is_too_old_is_the_reason(
    said: str, warned: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def run(*_: object, env: dict[str, str], **__: object) -> Any:
        seen.update(env)
        return SimpleNamespace(stdout=f"{said}\n", stderr=f"{warned}\n")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as in tasks that request no GPU
    monkeypatch.setattr(gpus.subprocess, "run", run)
    assert (reason or "") in str(why_unusable() or "")
    assert (why_unusable() is None) == (reason is None)
    assert "CUDA_VISIBLE_DEVICES" not in seen
    assert seen["PATH"] == os.environ["PATH"]


ASKING: dict[str, tuple[dict[str, Any], bool]] = {
    "the default": ({}, True),
    "auto": ({"resources": "auto"}, True),
    "a GPU": ({"resources": {"gpu": 1}}, True),
    "no GPU": ({"resources": {"gpu": 0}}, False),
    "the CPU": ({"training": {"use_cpu": True}}, False),
}


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("where", ["here", "alone", "elsewhere"])
def test_no_trial_starts_on_a_gpu_that_is_not_used(
    name: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections, refused = ASKING[name]
    if where != "alone":
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        monkeypatch.setattr(cluster_checks, "startable", lambda: ())
    fault = OLD if where == "elsewhere" else None
    view = NodeView("w1", cluster_checks.code_versions(), unusable_gpus=fault)
    monkeypatch.setattr(cluster_checks, "on_each_node", lambda ask: [NodeResult("w1", view)])
    monkeypatch.setattr(cluster_checks, "_verify_write", lambda answer, marks: answer)
    monkeypatch.setattr(gpus, "why_unusable", lambda: None if where == "elsewhere" else OLD)
    nodes = [node(HERE, 1), node("w1", 1)][: 1 if where == "alone" else 2]
    of, folder = experiment("m", **sections), RunFolder.at(tmp_path)
    if not refused:
        assert usable_machines(of, folder, nodes)
        return
    with pytest.raises(ExperimentError) as caught:
        usable_machines(of, folder, nodes)
    (problem,) = caught.value.problems
    assert problem.where == ("w1" if where == "elsewhere" else HERE)
    assert OLD in problem.found


def test_machines_without_gpus_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "why_unusable", lambda: pytest.fail("asked"))
    assert gpus.usability_here([node(HERE, 0), node("other", 4)]) is None
