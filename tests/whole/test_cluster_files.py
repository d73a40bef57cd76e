"""cluster.local.yaml and the job, without machines; test_cluster_yaml has what both files have."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.rig.hosts import missing
from tests.rig.launched import ROOT, SHIPPED, cluster_file


@pytest.fixture
def shipped() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return content


@pytest.fixture
def derived() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(cluster_file("10.0.0.1", ["10.0.0.2"], {"A": "1"}))
    return content


def start_command(content: dict[str, Any], kind: str) -> str:
    (command,) = (c for c in content[f"{kind}_start_ray_commands"] if "ray start" in c)
    return str(command)


def test_all_workers_are_started(shipped: dict[str, Any]) -> None:
    assert "RAY_enable_autoscaler_v2=0" in shlex.split(start_command(shipped, "head"))
    prepared = prepare_config(shipped)
    (kind,) = prepared["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(shipped["provider"]["worker_ips"])


def test_what_the_rig_starts_is_what_is_shipped(
    shipped: dict[str, Any], derived: dict[str, Any]
) -> None:
    changed = {key for key in shipped if shipped[key] != derived[key]}
    assert shipped.keys() == derived.keys()
    assert changed == {"provider", "auth", "setup_commands"}
    assert derived["provider"] == {
        "type": "local",
        "head_ip": "10.0.0.1",
        "worker_ips": ["10.0.0.2"],
    }
    (profile, *rest) = derived["setup_commands"]
    assert set(rest) < set(shipped["setup_commands"])
    assert "RAY_AUTH_MODE=token" in profile
    assert f"PATH={sys.prefix}/bin:$PATH" in profile
    validate_config(prepare_config(derived))


@pytest.mark.parametrize(
    ("given", "taken"),
    [(["x.yaml", "--wait-nodes", "3"], "x.yaml --wait-nodes 3"), ([], "quickstart.yaml")],
)
def test_the_copy_of_the_job_starts_where_the_project_is(
    tmp_path: Path, given: list[str], taken: str
) -> None:
    shutil.copy(ROOT / "jobs" / "compare.py", tmp_path)
    package = tmp_path / "raycompare" / "raycompare"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    says = "import os, sys; main = lambda: print(os.getcwd(), *sys.argv)"
    (package / "cli.py").write_text(says)
    said = subprocess.run(
        [sys.executable, "compare.py", *given],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(package.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith(f"{tmp_path}/raycompare raycompare run ")
    assert said.rstrip().endswith(taken)


def test_the_rig_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in str(missing())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    assert "rsync" in str(missing())
    assert "apt-get install" in str(missing())
