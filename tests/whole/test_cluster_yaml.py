"""The cluster files, as Ray's launcher reads them; nothing is started and no cloud is asked."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.command_runner import SSHCommandRunner
from ray.autoscaler._private.util import prepare_config, validate_config

from tests import ROOT
from tests.rig.cloud import cluster_file

FILES = sorted(ROOT.glob("cluster*.yaml"))


def content(path: Path = ROOT / "cluster.yaml") -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def prepared(path: Path = ROOT / "cluster.yaml") -> dict[str, Any]:
    made: dict[str, Any] = prepare_config(content(path))
    return made


def starts(config: dict[str, Any]) -> list[str]:
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [command for command in commands if "ray start" in command]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_ray_accepts_the_file(path: Path) -> None:
    validate_config(prepared(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_trials_have_the_threads_of_their_cpus(path: Path) -> None:
    started = starts(prepared(path))
    assert len(started) == 2
    assert [command for command in started if "unset OMP_NUM_THREADS" not in command] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_port_is_open_without_the_token(path: Path) -> None:
    config = prepared(path)
    commands = " ".join([*config["setup_commands"], *starts(config)])
    assert "RAY_AUTH_MODE=token" in commands
    assert "RAY_AUTH_MODE=disabled" not in commands
    assert "--dashboard-host" not in commands  # Ray's default is the loopback
    assert "~/.ray/auth_token" in config["cluster_synced_files"]
    assert [command for command in starts(config) if "--metrics-export-port=8090" in command] == (
        starts(config)
    )  # this one needs no token, and a firewall has to know it


def test_the_head_runs_no_trial() -> None:
    config = prepared()
    head = config["available_node_types"][config["head_node_type"]]
    (command,) = (c for c in config["head_start_ray_commands"] if "ray start" in c)
    assert head["resources"] == {"CPU": 0}
    assert {"--num-cpus=0", "--num-gpus=0"} <= set(shlex.split(command))
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_are_of_the_spot_market_and_come_with_the_work() -> None:
    config = prepared()
    workers = [t for t in config["available_node_types"] if t != config["head_node_type"]]
    assert workers
    for name in workers:
        kind = config["available_node_types"][name]
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert 0 == kind["min_workers"] < kind["max_workers"] <= config["max_workers"]
        assert kind["idle_timeout_s"] > 0


def test_every_machine_has_an_image_a_profile_and_a_fast_disk() -> None:
    for kind in prepared()["available_node_types"].values():
        node = kind["node_config"]
        assert node["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/ami/x86_64/")
        assert node["IamInstanceProfile"]
        (disk,) = node["BlockDeviceMappings"]
        assert disk["Ebs"]["VolumeType"] == "gp3"
        assert disk["Ebs"]["VolumeSize"] >= 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_installed_is_pinned(path: Path) -> None:
    config = prepared(path)
    commands = [*config["head_setup_commands"], *config["worker_setup_commands"]]
    installing = [command for command in commands if "pip install" in command]
    assert [command for command in installing if "constraints.txt" not in command] == []


def test_the_project_is_sent_without_what_git_ignores(tmp_path: Path) -> None:
    for name in (
        "raycompare/a.py",
        "raycompare/data/b.py",
        "raycompare/models/c.py",
        "jobs/b.yaml",
        ".git/config",
        ".venv/c",
        "data/d",
        "x/__pycache__/e",
    ):
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "project" / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    options = {key: content()[key] for key in ("rsync_exclude", "rsync_filter")}
    filters = SSHCommandRunner._create_rsync_filter_args(None, options)
    command = ["rsync", "-a", *filters, f"{tmp_path}/project/", f"{tmp_path}/sent/"]
    subprocess.run(command, check=True, timeout=60)
    sent = {
        str(p.relative_to(tmp_path / "sent")) for p in (tmp_path / "sent").rglob("*") if p.is_file()
    }
    package = {"raycompare/a.py", "raycompare/data/b.py", "raycompare/models/c.py"}
    assert sent == {*package, "jobs/b.yaml", ".gitignore"}


def test_what_the_rig_starts_is_what_is_shipped() -> None:
    shipped, derived = content(), yaml.safe_load(cluster_file("subnet-1", "ami-1", {"A": "1"}, 15))
    validate_config(prepare_config(derived))
    changed = {key for key in shipped if shipped[key] != derived[key]}
    assert shipped.keys() == derived.keys()
    assert changed == {
        *("max_workers", "provider", "auth", "available_node_types"),
        *("setup_commands", "head_setup_commands"),
    }
    for name, kind in shipped["available_node_types"].items():
        node, other = kind["node_config"], derived["available_node_types"][name]["node_config"]
        new = {key for key in other if other[key] != node.get(key)}
        assert new == {"InstanceType", "ImageId", "KeyName", "SubnetIds"}
        assert node.keys() <= other.keys()
    assert set(derived["setup_commands"][1:]) < set(shipped["setup_commands"])
    assert "A=1" in derived["setup_commands"][0]
