"""What the instances of a training job do, without Ray: stand-in commands in its place."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.sagemaker import driver as sagemaker_cluster
from raycompare.sagemaker.driver import missing_of, not_joined
from raycompare.sagemaker.entry import JoinError, address_of, answers, failure_of, node_environment
from raycompare.sagemaker.job_environment import (
    MOST_FAILURE,
    Instances,
    Job,
    JobFolders,
    natural,
    shorten,
)


def config(me: str, *hosts: str, **groups: list[str]) -> dict[str, Any]:
    """As SageMaker writes it."""
    given = groups or {"homogeneousCluster": list(hosts)}
    return {
        "current_host": me,
        "hosts": list(hosts),
        "instance_groups": [
            {"instance_group_name": name, "instance_type": "ml.m5.xlarge", "hosts": own}
            for name, own in given.items()
        ],
        "network_interface_name": "eth0",
    }


@given(st.permutations([f"algo-{number}" for number in range(1, 13)]))
def test_instances_are_in_the_order_of_their_numbers(hosts: list[str]) -> None:
    instances = Instances.of(config("algo-10", *hosts))
    assert instances.hosts == tuple(f"algo-{number}" for number in range(1, 13))
    assert instances.head == "algo-1"
    assert not instances.is_head
    assert not instances.head_only_drives


def test_the_head_of_a_group_of_its_own_runs_no_trial() -> None:
    hosts = ["algo-1", "algo-2", "algo-3"]
    instances = Instances.of(config("algo-3", *hosts, gpu=hosts[:2], head=hosts[2:]))
    assert instances.is_head
    assert instances.head_only_drives


def test_a_head_that_is_alone_runs_the_trials() -> None:
    assert not Instances.of(config("algo-1", "algo-1", head=["algo-1"])).head_only_drives


def test_names_without_numbers_can_be_sorted_beside_names_with_them() -> None:
    assert sorted(["b", "a10", "a9", "a", "10"], key=natural) == ["10", "a", "a9", "a10", "b"]


def test_what_a_job_is_told_comes_through_a_file(tmp_path: Path) -> None:
    job = Job(run_dir="s3://b/it's a run", token="0" * 32, join_seconds=7)
    job.write(tmp_path)
    assert Job.read(tmp_path) == job


def test_the_first_cause_of_a_failure_is_kept(tmp_path: Path) -> None:
    place = JobFolders(tmp_path)
    place.fail("the cause")
    place.fail("what came of it")
    assert place.failure.read_text() == "the cause"


@given(st.text(min_size=1, max_size=50), st.integers(MOST_FAILURE + 1, 3 * MOST_FAILURE))
def test_a_long_reason_is_cut_to_what_sagemaker_shows(words: str, size: int) -> None:
    reason = (words * size)[:size]
    cut = shorten(reason)
    assert len(cut) <= MOST_FAILURE
    assert cut.endswith("[more in the log]")
    assert reason.startswith(cut.removesuffix("\n[more in the log]"))


@pytest.mark.parametrize(
    ("code", "says"), [(137, "memory"), (139, "signal 11"), (3, "exited with code 3")]
)
def test_a_comparison_that_says_nothing_has_a_reason_too(code: int, says: str) -> None:
    assert says in failure_of(code)


def test_nodes_have_the_token_and_the_source_and_rays_own_threads() -> None:
    outer = {"OMP_NUM_THREADS": "1", "PYTHONPATH": "/given", "HOME": "/root"}
    made = node_environment(outer, "secret", Path("/code"))
    assert made["PYTHONPATH"] == "/code:/given"
    assert (made["RAY_AUTH_MODE"], made["RAY_AUTH_TOKEN"]) == ("token", "secret")
    assert made["HOME"] == "/root"
    assert "OMP_NUM_THREADS" not in made


def test_a_name_that_stays_unknown_is_an_error() -> None:
    with pytest.raises(JoinError, match=r"nowhere\.invalid can't be resolved"):
        address_of("nowhere.invalid", until=0)


def test_the_instances_that_have_not_joined_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"algo-1": "10.0.0.1", "algo-2": "10.0.0.2"}
    monkeypatch.setattr(sagemaker_cluster, "_address", known.get)
    missing = missing_of(["algo-1", "algo-2", "algo-3"], {"10.0.0.1"})
    assert missing == ["algo-2", "algo-3"]
    says = not_joined(["algo-1", "algo-2", "algo-3"], missing, 600)
    assert says.startswith("1 of 3 instances joined within 600 s; algo-2, algo-3 did not.")


# From here on the entry is a process, and Ray and the comparison are scripts.

HEAD, WORKER = "127.0.0.1", "localhost"
ENTRY = """
import sys
from pathlib import Path
from raycompare.sagemaker import entry
from raycompare.sagemaker.job_environment import Instances, Job, JobFolders
entry.PORT, entry.LOOK_SECONDS, entry.END_SECONDS = int(sys.argv[4]), 0.1, 3.0
here, me, hosts, driver = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(), sys.argv[5]
instances = Instances.of({"current_host": me, "hosts": hosts})
job = Job(run_dir="s3://bucket/run", token="t" * 32, join_seconds=2)
ray = (sys.executable, str(here / "ray.py"))
command = ("bash", "-c", driver)
node = entry.NodeProcess(instances, job, JobFolders(here), entry.Signals(), ray, command)
print("ready", flush=True)
sys.exit(node.run())
"""
RAY = """
import os, sys
with open(os.path.join(os.path.dirname(__file__), "calls"), "a") as file:
    file.write(" ".join([os.environ["RAY_AUTH_TOKEN"][:3], *sys.argv[1:]]) + "\\n")
once = os.path.join(os.path.dirname(__file__), "fail-once")
if sys.argv[1] == "start" and os.path.exists(once):
    os.remove(once)
    sys.exit(1)
"""


class Instance:
    """The entry in a process, with 127.0.0.1 as the head and `localhost` as a worker."""

    def __init__(self, place: Path, me: str, driver: str = "true", port: int = 1) -> None:
        self.place = place
        (place / "ray.py").write_text(textwrap.dedent(RAY))
        (place / "entry.py").write_text(ENTRY)
        hosts = " ".join(sorted({"127.0.0.1", me}))
        command = [
            sys.executable,
            str(place / "entry.py"),
            str(place),
            me,
            hosts,
            str(port),
            driver,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def said(self) -> str:
        output, _ = self.process.communicate(timeout=30)
        return output

    def calls(self) -> list[str]:
        return (self.place / "calls").read_text().splitlines()

    def reason(self) -> str:
        return JobFolders(self.place).failure.read_text()


def wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.05)


def test_the_head_starts_ray_runs_the_comparison_and_stops_ray(tmp_path: Path) -> None:
    driver = f"echo $RAY_ADDRESS $RAYCOMPARE_METRIC_LINES > {tmp_path}/saw"
    head = Instance(tmp_path, HEAD, driver, port=7001)
    head.said()
    assert head.process.returncode == 0
    start, stop = head.calls()
    assert start.startswith("ttt start --head --port=7001 ")
    assert "--node-ip-address=127.0.0.1" in start
    assert stop.startswith("ttt stop")
    assert (tmp_path / "saw").read_text() == "127.0.0.1:7001 1\n"
    assert not JobFolders(tmp_path).failure.exists()


def test_what_a_start_of_ray_that_failed_has_left_is_cleared_before_the_next(
    tmp_path: Path,
) -> None:
    (tmp_path / "fail-once").touch()
    head = Instance(tmp_path, HEAD)
    head.said()
    assert head.process.returncode == 0
    words = [call.split()[1] for call in head.calls()]
    assert words == ["start", "stop", "start", "stop"]
    assert head.calls()[1] == "ttt stop --force"


def test_the_exit_code_of_the_comparison_is_that_of_the_head(tmp_path: Path) -> None:
    head = Instance(tmp_path, HEAD, "exit 2")
    head.said()
    assert head.process.returncode == 2
    assert head.reason() == failure_of(2)


def test_the_reason_that_the_comparison_gave_is_kept(tmp_path: Path) -> None:
    given_reason = f"mkdir -p {tmp_path}/output; echo -n no data > {tmp_path}/output/failure"
    head = Instance(tmp_path, HEAD, f"{given_reason}; exit 1")
    head.said()
    assert (head.process.returncode, head.reason()) == (1, "no data")


def test_a_comparison_that_was_killed_is_a_failure_with_that_reason(tmp_path: Path) -> None:
    head = Instance(tmp_path, HEAD, "kill -9 $$")
    head.said()
    assert head.process.returncode == 137
    assert "SIGKILL" in head.reason()


def test_sigterm_reaches_the_comparison_which_ends_in_order(tmp_path: Path) -> None:
    driver = (
        f"trap 'sleep 1; touch {tmp_path}/in-order; exit 143' TERM; touch {tmp_path}/up; "
        "while :; do sleep 0.1; done"
    )
    head = Instance(tmp_path, HEAD, driver)
    wait_for(tmp_path / "up")
    head.process.send_signal(signal.SIGTERM)
    assert "can be resumed" in head.said()
    assert head.process.returncode == 143
    assert (tmp_path / "in-order").exists()
    assert head.calls()[-1].startswith("ttt stop")
    assert not JobFolders(tmp_path).failure.exists()


def test_a_comparison_that_does_not_end_is_killed_in_time(tmp_path: Path) -> None:
    driver = f"trap '' TERM; touch {tmp_path}/up; while :; do sleep 0.1; done"
    head = Instance(tmp_path, HEAD, driver)
    wait_for(tmp_path / "up")
    began = time.monotonic()
    head.process.send_signal(signal.SIGTERM)
    head.said()
    assert head.process.returncode == 143
    assert 2 < time.monotonic() - began < 15


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_worker_leaves_with_0_when_the_head_is_gone(tmp_path: Path) -> None:
    with listening() as head:
        port = head.getsockname()[1]
        worker = Instance(tmp_path, WORKER, port=port)
        wait_for(tmp_path / "calls")
        time.sleep(0.5)
        assert worker.process.poll() is None
    worker.said()
    assert worker.process.returncode == 0
    assert worker.calls()[0].startswith(f"ttt start --address=127.0.0.1:{port} ")
    assert worker.calls()[-1].startswith("ttt stop")


def test_a_worker_outlasts_sigterm_as_long_as_the_head_is_there(tmp_path: Path) -> None:
    with listening() as head:
        worker = Instance(tmp_path, WORKER, port=head.getsockname()[1])
        wait_for(tmp_path / "calls")
        time.sleep(0.5)
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert worker.process.poll() is None
    worker.said()
    assert worker.process.returncode == 0


def test_a_worker_whose_head_never_comes_says_so(tmp_path: Path) -> None:
    with listening() as free:
        port = free.getsockname()[1]
    worker = Instance(tmp_path, WORKER, port=port)
    worker.said()
    assert worker.process.returncode == 1
    assert "the head 127.0.0.1 did not answer" in worker.reason()


def test_a_port_answers_while_somebody_listens() -> None:
    with listening() as server:
        port = server.getsockname()[1]
        assert answers("127.0.0.1", port)
    assert not answers("127.0.0.1", port)


def test_the_file_of_sagemaker_is_read(tmp_path: Path) -> None:
    place = JobFolders(tmp_path)
    place.resources.parent.mkdir(parents=True)
    place.resources.write_text(json.dumps(config("algo-2", "algo-1", "algo-2")))
    assert Instances.read(place).me == "algo-2"
