"""What arguments need of machines is asked of those that trials run on."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from raycompare.cluster import checks as cluster_checks
from raycompare.cluster import requirements
from raycompare.cluster.checks import NodeView, usable_machines
from raycompare.cluster.machines import Node
from raycompare.cluster.nodes import NodeResult
from raycompare.errors import ExperimentError, Problem
from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.spec import Experiment
from raycompare.records.run_folder import RunFolder
from raycompare.records.versions import code_versions

HERE = socket.gethostname()


def node(hostname: str, gpus: float = 0, cpus: float = 4) -> Node:
    return Node(hostname=hostname, cpus=cpus, gpus=gpus, memory_bytes=2**30)


LAPTOP, GPU_BOX = [node(HERE)], [node(HERE, 1)]
OFFLOADED = {
    "gradient_checkpointing": True,
    "gradient_checkpointing_kwargs": {"offload": True},
}
CLUSTER = [node(HERE), node("worker", 1)]


def experiment(**sections: Any) -> Experiment:
    content = {"name": "x", "data": {"dataset": "x"}, "models": ["m"], **sections}
    return TypeAdapter(Experiment).validate_json(json.dumps(content))


def settings_of(**sections: Any) -> list[ModelSettings]:
    return all_settings(experiment(**sections))


def problems(machines: list[Node], capability: float | None = None, **sections: Any) -> list[str]:
    found = requirements.requirement_problems(settings_of(**sections), machines, [capability])
    return [problem.where for problem in found]


@pytest.fixture(autouse=True)
def no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "oldest_capability", lambda: None)
    monkeypatch.setattr(requirements, "_has_mps", lambda: False)


@pytest.mark.parametrize(
    ("machines", "sections", "places"),
    [
        (LAPTOP, {"training": {"bf16": True}}, ["training.bf16"]),
        (LAPTOP, {"training": {"bf16": True, "use_cpu": True}}, []),
        (LAPTOP, {"training": {"bf16": False, "fp16": True}}, []),
        (LAPTOP, {"training": {"tf32": True, "use_cpu": True}}, ["training.tf32"]),
        (LAPTOP, {"search_space": {"bf16": {"choice": [True, False]}}}, ["search_space.bf16"]),
        (GPU_BOX, {"training": {"bf16": True, "tf32": True}}, []),
        (GPU_BOX, {"training": {"bf16": True}, "resources": {"gpu": 0}}, ["training.bf16"]),
        (CLUSTER, {"training": {"bf16": True, "tf32": True}}, []),
        (CLUSTER, {"training": {"bf16": True}, "resources": "auto"}, []),
        (CLUSTER, {"training": {"bf16": True}, "resources": {"gpu": 0}}, ["training.bf16"]),
        (LAPTOP, {"training": OFFLOADED}, ["training.gradient_checkpointing_kwargs"]),
        (GPU_BOX, {"training": OFFLOADED}, []),
        (LAPTOP, {"training": {"optim": "lion_8bit"}}, ["training.optim"]),
        (GPU_BOX, {"training": {"optim": "lion_8bit"}}, ["training.optim"]),
        (CLUSTER, {"training": {"optim": "lion_8bit"}}, []),
        (
            CLUSTER,
            {"training": {"optim": "lion_8bit"}, "resources": {"gpu": 0}},
            ["training.optim"],
        ),
    ],
    ids=str,
)
def test_requirements_of_the_machines_that_trials_run_on(
    machines: list[Node], sections: dict[str, Any], places: list[str]
) -> None:
    """The head of the cluster has no GPU, so that its trials run on the worker."""
    assert problems(machines, **sections) == places


def test_gpus_may_be_too_old_for_tf32() -> None:
    assert problems(CLUSTER, 7.5, training={"tf32": True}) == ["training.tf32"]
    assert problems(CLUSTER, 8.6, training={"tf32": True}) == []
    assert problems(CLUSTER, 7.5, training={"tf32": False}) == []


def test_torch_compile_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = {"torch_compile": True}
    monkeypatch.setattr(requirements.shutil, "which", {"g++": "/usr/bin/g++"}.get)
    assert problems(LAPTOP, training=compiled) == []
    monkeypatch.setattr(requirements.shutil, "which", lambda name: None)
    assert problems(LAPTOP, training=compiled) == ["training.torch_compile"]
    assert problems(LAPTOP, training={**compiled, "torch_compile_backend": "aot_eager"}) == []


def test_a_machine_without_the_tool_of_the_driver_is_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    requirements.oldest_capability.cache_clear()
    assert requirements.oldest_capability() is None


def test_a_worker_is_asked_for_the_package_of_the_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(cluster_checks, "startable", lambda: ())
    asked: list[tuple[str, ...]] = []

    def on_each_node(ask: Any) -> list[NodeResult[NodeView]]:
        modules = ask.keywords["modules"]
        asked.append(modules)
        view = NodeView("worker", code_versions(), unimportable=modules)
        return [NodeResult("worker", view)]

    monkeypatch.setattr(cluster_checks, "on_each_node", on_each_node)
    monkeypatch.setattr(cluster_checks, "_verify_write", lambda answer, marks: answer)
    wants = experiment(training={"optim": "lion_8bit"})
    with pytest.raises(ExperimentError) as caught:
        usable_machines(wants, RunFolder.at(tmp_path), CLUSTER)
    assert asked == [("bitsandbytes",)]
    (problem,) = caught.value.problems
    assert isinstance(problem, Problem)
    assert problem.found == "the module bitsandbytes, which can't be imported on worker"
