from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from raycompare.cluster import checks as cluster_checks
from raycompare.cluster.checks import (
    MARKS,
    NodeView,
    ask_others,
    login_problems,
    model_problems,
    room_problems,
    storage_problems,
    usable_machines,
    version_problems,
)
from raycompare.cluster.connection import is_remote
from raycompare.cluster.machines import Node
from raycompare.cluster.nodes import NodeResult, NodeType, node_types, wait_for_nodes
from raycompare.errors import ExperimentError, Problem, RunError
from raycompare.records.run_folder import RunFolder
from tests.runs import experiment

HERE = {"training": "2", "torch": "2.13.0"}
S3 = RunFolder("s3://bucket/runs/1")
LOCAL = RunFolder("/runs/1")


def node(hostname: str, cpus: float = 4, gpus: float = 0) -> Node:
    return Node(hostname=hostname, cpus=cpus, gpus=gpus, memory_bytes=2**30)


def gpu_worker(**resources: float) -> NodeType:
    return NodeType(name="gpu_worker", most=4, resources=resources)


def sees(hostname: str, **changes: Any) -> NodeResult[NodeView]:
    return NodeResult(hostname, NodeView(**{"node_id": hostname, "versions": HERE, **changes}))


def only(problems: Iterator[Problem]) -> Problem:
    (problem,) = problems
    return problem


def test_machines_that_see_the_same_are_no_problem() -> None:
    answers = [sees("w1"), sees("w2")]
    assert list(storage_problems(LOCAL, answers, [])) == []
    assert list(version_problems(answers, HERE)) == []
    assert list(model_problems(answers)) == []


def test_a_folder_that_others_do_not_see_is_named_with_them() -> None:
    answers = [sees("w1"), sees("w2", storage="it does not exist")]
    problem = only(storage_problems(LOCAL, answers, []))
    assert problem.where == "--out"
    assert problem.found == "/runs/1: on w2, it does not exist"
    assert "s3://" in str(problem.hint)


def test_a_local_folder_needs_a_machine_to_try_it_on_where_others_will_come() -> None:
    problem = only(storage_problems(LOCAL, [], [gpu_worker(CPU=4)]))
    assert "--wait-nodes" in str(problem.hint)
    assert list(storage_problems(S3, [], [gpu_worker(CPU=4)])) == []
    assert list(storage_problems(LOCAL, [sees("w1")], [gpu_worker(CPU=4)])) == []
    assert list(storage_problems(LOCAL, [], [])) == [], "one machine needs nobody"


def test_versions_that_differ_are_shown_from_both_sides() -> None:
    answers = [sees("w1", versions={"training": "2", "torch": "2.9.0"}), sees("w2")]
    problem = only(version_problems(answers, HERE))
    assert (problem.where, problem.found) == ("w1", "torch 2.9.0")
    assert problem.allowed.startswith("torch 2.13.0")


def test_a_machine_that_does_not_answer_is_a_problem() -> None:
    problem = only(version_problems([NodeResult("w1", failure="no answer within 60 s")], HERE))
    assert (problem.where, problem.found) == ("w1", "no answer within 60 s")


def test_a_model_folder_is_named_once_with_all_that_lack_it() -> None:
    answers = [sees("w1", missing=("/models/a",)), sees("w2", missing=("/models/a",))]
    assert only(model_problems(answers)).found == "/models/a, which does not exist on w1, w2"


def test_private_models_need_a_token_on_each_machine() -> None:
    answers = [sees("w1", has_token=False), sees("w2")]
    problem = only(login_problems(answers, ["org/private"]))
    assert "org/private" in problem.found
    assert "no token on w1" in problem.found
    assert list(login_problems(answers, [])) == []
    assert list(login_problems([sees("w2")], ["org/private"])) == []


def test_resources_are_those_of_the_section_that_asks() -> None:
    asking = experiment(
        "small", {"name": "large", "resources": {"gpu": 2}}, resources={"cpu": 8, "gpu": 0}
    )
    nodes = [node("head", 4), node("w1", 16, 1)]
    problem = only(room_problems(asking, nodes, ()))
    assert problem.where == "models.1.resources"
    assert problem.found == "cpu 1, gpu 2"
    assert "head: cpu 4, gpu 0; w1: cpu 16, gpu 1" in problem.allowed


def test_what_the_autoscaler_can_start_counts() -> None:
    asking = experiment("small", resources={"gpu": 1})
    head = [node("head", 0)]
    assert list(room_problems(asking, head, [gpu_worker(CPU=4, GPU=1)])) == []
    refused = only(room_problems(asking, head, [gpu_worker(CPU=4)]))
    assert "gpu_worker (can be started): cpu 4, gpu 0" in refused.allowed


def test_a_gpu_that_is_left_to_the_cluster_is_asked_of_none() -> None:
    for gpu in (None, "auto"):
        asking = experiment("small", resources={"gpu": gpu})
        assert list(room_problems(asking, [node("head")], ())) == []


def test_it_is_said_when_what_could_be_started_is_not_known() -> None:
    asking = experiment("small", resources={"gpu": 1})
    assert "unknown whether" in str(only(room_problems(asking, [node("head")], None)).hint)
    late = NodeType(name="local.cluster.node", most=2, resources={})
    hint = only(room_problems(asking, [node("head")], [late])).hint
    assert "--wait-nodes N" in str(hint)
    assert "local.cluster.node" in str(hint)


def test_node_types_are_those_of_workers() -> None:
    config = {
        "available_node_types": {
            "head": {"resources": {"CPU": 0}, "max_workers": 0},
            "gpu_worker": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 3},
        }
    }
    assert node_types(config) == (
        NodeType(name="gpu_worker", most=3, resources={"CPU": 4, "GPU": 1}),
    )


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(cluster_checks, "startable", lambda: ())


def answering(folder: Path, names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have machines answer that see the run folder at `folder`."""

    def on_each_node(ask: Any) -> list[NodeResult[NodeView]]:
        _, mark, folders = ask.args
        seen = RunFolder.at(folder)
        return [NodeResult(n, cluster_checks._look(seen, mark, folders, n)) for n in names]

    monkeypatch.setattr(cluster_checks, "on_each_node", on_each_node)


def test_a_shared_folder_is_tried_by_writing_and_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.at(tmp_path / "run")
    answering(tmp_path / "run", ["w1", "w2"], monkeypatch)
    answers = ask_others(experiment("small"), folder)
    assert [answer.value.storage for answer in answers if answer.value] == [None, None]
    assert not folder.exists(MARKS)


def test_a_folder_of_the_same_name_elsewhere_is_not_taken_for_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunFolder.at(tmp_path / "other").write_text(f"{MARKS}/mark", "of an earlier run")
    for place in ("nowhere", "other"):
        answering(tmp_path / place, ["w1"], monkeypatch)
        (answer,) = ask_others(experiment("small"), RunFolder.at(tmp_path / "run"))
        assert answer.value is not None
        assert answer.value.storage


def test_what_is_written_but_does_not_come_through_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(folder: RunFolder, mark: str, folders: Any, node_id: str) -> NodeView:
        return NodeView(node_id=node_id, versions={})

    monkeypatch.setattr(cluster_checks, "_look", look)
    answering(tmp_path / "run", ["w1"], monkeypatch)
    (answer,) = ask_others(experiment("small"), RunFolder.at(tmp_path / "run"))
    assert answer.value == NodeView("w1", {}, "files written there do not arrive here")


@pytest.mark.usefixtures("remote")
def test_all_problems_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    asking = experiment({"name": "m", "checkpoint": str(tmp_path / "model")}, resources={"gpu": 3})
    answers = [sees("w1", storage="it does not exist", versions={}, missing=("/model",))]
    monkeypatch.setattr(cluster_checks, "on_each_node", lambda ask: answers)
    with pytest.raises(ExperimentError) as caught:
        usable_machines(asking, RunFolder.at(tmp_path / "run"), [node("head")])
    assert [problem.where for problem in caught.value.problems] == ["--out", "models", "resources"]


@pytest.mark.usefixtures("remote")
def test_machines_that_can_be_started_are_among_the_machines_and_none_is_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_checks, "startable", lambda: (gpu_worker(CPU=4, GPU=1),))
    answering(tmp_path, ["w1"], monkeypatch)
    there = [node("head", 0), node("w1", gpus=1)]
    machines = usable_machines(experiment("m"), RunFolder.at(tmp_path), there)
    assert [(m.hostname, m.gpus) for m in machines] == [
        ("head", 0),
        ("w1", 1),
        *[("gpu_worker (can be started)", 1)] * 3,
    ]


def test_one_machine_of_its_own_is_not_asked(tmp_path: Path) -> None:
    assert os.environ["RAY_ADDRESS"] == "local"
    here = [node("laptop")]
    folder = RunFolder.at(tmp_path / "run")
    assert usable_machines(experiment("m", resources={"gpu": 9}), folder, here) == tuple(here)
    assert not folder.exists("")


def test_a_cluster_is_the_one_named_or_the_one_started_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not is_remote()
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert is_remote()
    monkeypatch.delenv("RAY_ADDRESS")
    for address, remote in (("10.0.0.1:6379", True), (None, False)):
        monkeypatch.setattr("ray._private.utils.read_ray_address", lambda found=address: found)
        assert is_remote() is remote


def test_waiting_ends_with_the_last_machine_or_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = [{"NodeManagerHostname": "head", "Alive": True}]
    said: list[str] = []
    monkeypatch.setattr("ray.nodes", lambda: list(joined))
    monkeypatch.setattr(
        "raycompare.cluster.nodes.sleep",
        lambda _: joined.append({"NodeManagerHostname": "w1", "Alive": len(joined) > 1}),
    )
    wait_for_nodes(2, said.append)
    assert said == ["waiting for 2 machines; 1 have joined: head"]
    monkeypatch.setattr("raycompare.cluster.nodes.sleep", lambda _: None)
    with pytest.raises(RunError, match="2 of 5 machines joined within 0 s: head, w1"):
        wait_for_nodes(5, said.append, seconds=0)
