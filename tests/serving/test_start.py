"""What `serve` checks before it starts, and what it says of replicas that don't."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from raycompare.cluster.machines import Node
from raycompare.errors import RunError, UserError
from raycompare.models.loading import WeightsError
from raycompare.serving import start
from raycompare.serving.start import await_replicas, require_port, require_room, telling_cause


def node(cpus: float, gpus: float = 0) -> Node:
    return Node(hostname="here", cpus=cpus, gpus=gpus, memory_bytes=0)


@pytest.mark.parametrize(
    ("replicas", "nodes", "allowed"),
    [
        (4, [node(2)], "at most 2: each replica takes a CPU,"),
        (2, [node(1.5), node(0.5)], "at most 1"),
        (3, [node(8, 1), node(8), node(1, 4)], "at most 2: each replica takes a CPU and a GPU"),
    ],
)
def test_more_replicas_than_fit_are_refused(replicas: int, nodes: list[Node], allowed: str) -> None:
    with pytest.raises(UserError, match=f"found {replicas}, allowed {allowed}"):
        require_room(replicas, nodes)
    require_room(replicas - 1 if "at most 1" not in allowed else 1, [node(16, 16)])


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"--port: found .* which is in use by another program"):
            require_port("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["203.0.113.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    shown = rf"\[{host}\]" if ":" in host else host
    with pytest.raises(UserError, match=f"--host: found {shown}:"):
        require_port(host, 8000)


def states(*each: dict[str, Any]) -> Any:
    """Stand in for Serve: each call of `status` returns the next state, and the last for ever."""
    waiting = list(each)

    def status() -> Any:
        state = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        deployment = SimpleNamespace(
            replica_states=state.get("replicas", {}), message=state.get("message", "")
        )
        return SimpleNamespace(
            status=state["status"], message="", deployments={"Replica": deployment}
        )

    return status


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(available_resources=dict, cluster_resources=lambda: {"CPU": 2.0})
    monkeypatch.setattr(start, "ray", free)
    monkeypatch.setattr(start, "POLL_SECONDS", 0)
    monkeypatch.setattr(start, "NEWS_SECONDS", 0)


DEPLOYING = {"status": "DEPLOYING", "replicas": {"RUNNING": 1, "STARTING": 1}}


def test_it_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    status = states(DEPLOYING, {"status": "RUNNING"})
    said: list[str] = []
    await_replicas(status, 2, said.append)
    assert said[0].startswith("1 of 2 replicas ready; waiting for a free CPU")


def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    status = states(DEPLOYING)
    monkeypatch.setattr(start, "START_SECONDS", 0)
    with pytest.raises(RunError, match=r"1 of 2 replicas ready; .* Stopped after 0 s"):
        await_replicas(status, 2, print)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (WeightsError('m lacks 2 weights, including "a".\nCopy {it} again.'), UserError),
        (RunError("no memory"), RunError),
        (ValueError("shape {1}\nmore"), RunError),
    ],
)
def test_the_cause_of_a_failed_start_is_told_without_its_traceback(
    cause: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError) as raised, telling_cause():
        raise cause
    message = f"It failed 1 times. Traceback ...\n  File {{x}}\nRuntimeError: {raised.value}\n"
    status = states({"status": "DEPLOY_FAILED", "message": message})
    with pytest.raises(kind) as failed:
        await_replicas(status, 1, print)
    assert "Traceback" not in str(failed.value)
    assert str(cause).splitlines()[0] in str(failed.value)


def test_a_replica_that_died_without_a_word_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"status": "DEPLOY_FAILED", "message": "Traceback\n\nThe actor died: killed\n"}
    status = states(state)
    with pytest.raises(RunError, match="the server did not start: The actor died: killed"):
        await_replicas(status, 1, print)
