"""The policies in the docs, evaluated as IAM does it; and no secret where others can read it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from raycompare.cluster import ports
from raycompare.cluster.ports import keep_token_private, only_loopback
from tests import ROOT

ACCOUNT = "123456789012"
INSTANCE = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1"
PROFILE = f"arn:aws:iam::{ACCOUNT}:instance-profile/raycompare"
RUN = "arn:aws:s3:::my-bucket/raycompare/ag-news/1/report.md"
BUCKET = "arn:aws:s3:::my-bucket"
OURS = {"ec2:ResourceTag/ray-cluster-name": "raycompare"}
NEW = {
    "aws:RequestTag/ray-cluster-name": "raycompare",
    "ec2:InstanceProfile": f"{PROFILE}-worker",
}
TO_EC2 = {"iam:PassedToService": "ec2.amazonaws.com"}
FILES = sorted(ROOT.glob("cluster*.yaml"))


def policies(page: str) -> list[dict[str, Any]]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return [json.loads(block) for block in blocks if '"Statement"' in block]


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def allows(
    policy: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Return whether a statement allows an action; the policies have no Deny."""
    known = context or {}
    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        and all(
            known.get(key) == value
            for wanted in statement.get("Condition", {}).values()
            for key, value in wanted.items()
        )
        for statement in policy["Statement"]
    )


WORKER, HEAD = policies("cluster.md")
(JOB,) = policies("sagemaker.md")
S3 = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


@pytest.mark.parametrize("policy", [WORKER, HEAD, JOB], ids=["worker", "head", "job"])
def test_all_use_the_folder_of_runs_and_nothing_else_of_the_bucket(policy: Any) -> None:
    assert all(allows(policy, action, RUN) for action in S3)
    assert allows(policy, "s3:ListBucket", BUCKET)
    assert not any(allows(policy, action, f"{BUCKET}/other/x") for action in S3)
    assert not any(allows(policy, action, "arn:aws:s3:::other/raycompare/x") for action in S3)
    assert not allows(policy, "s3:DeleteBucket", BUCKET)


@pytest.mark.parametrize("policy", [WORKER, JOB], ids=["worker", "job"])
def test_code_of_trials_can_neither_start_nor_end_machines_nor_pass_roles(policy: Any) -> None:
    granted = {action for part in policy["Statement"] for action in listed(part["Action"])}
    assert not [action for action in granted if action.startswith(("ec2:", "iam:", "sts:"))]
    assert not [action for action in granted if "*" in action]


def test_the_head_starts_tags_and_ends_the_workers_of_its_cluster() -> None:
    assert allows(HEAD, "ec2:RunInstances", INSTANCE, NEW)
    for part in ("subnet/s", "security-group/g", "key-pair/k", "network-interface/n", "volume/v"):
        assert allows(HEAD, "ec2:RunInstances", f"arn:aws:ec2:us-east-1:{ACCOUNT}:{part}")
    assert allows(HEAD, "ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1")
    assert allows(HEAD, "ec2:CreateTags", INSTANCE, {"ec2:CreateAction": "RunInstances"})
    assert allows(HEAD, "ec2:CreateTags", INSTANCE, OURS)
    assert allows(HEAD, "ec2:TerminateInstances", INSTANCE, OURS)
    assert allows(HEAD, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/raycompare-worker", TO_EC2)
    for action in ("ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeImages"):
        assert allows(HEAD, action, "*")
    parameter = "arn:aws:ssm:us-east-1::parameter/aws/service/deeplearning/ami/x/latest/ami-id"
    assert allows(HEAD, "ssm:GetParameters", parameter)


OTHER = {"ec2:ResourceTag/ray-cluster-name": "of-others"}


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("ec2:TerminateInstances", INSTANCE, {}),
        ("ec2:TerminateInstances", INSTANCE, OTHER),
        ("ec2:CreateTags", INSTANCE, {}),
        ("ec2:CreateTags", INSTANCE, OTHER),
        ("ec2:RunInstances", INSTANCE, {}),
        ("ec2:RunInstances", INSTANCE, {**NEW, "ec2:InstanceProfile": f"{PROFILE}-head"}),
        ("ec2:RunInstances", INSTANCE, {"ec2:InstanceProfile": f"{PROFILE}-worker"}),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/raycompare-head", TO_EC2),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", TO_EC2),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/raycompare-worker", {}),
        ("ssm:GetParameters", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/secret", {}),
        ("iam:CreateRole", "*", {}),
    ],
)
def test_the_head_can_do_nothing_else(
    action: str, resource: str, context: Mapping[str, str]
) -> None:
    assert not allows(HEAD, action, resource, context)


def test_the_policies_are_those_of_the_cluster_file() -> None:
    content = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    assert content["cluster_name"] == "raycompare", "the tag in the policy of the head"
    names = {
        name: kind["node_config"]["IamInstanceProfile"]["Name"]
        for name, kind in content["available_node_types"].items()
    }
    head = names.pop(content["head_node_type"])
    assert (head, set(names.values())) == ("raycompare-head", {"raycompare-worker"})
    out = next(c for c in content["setup_commands"] if "RAYCOMPARE_OUT" in c)
    assert "RAYCOMPARE_OUT=s3://my-bucket/raycompare'" in out


SECRET = re.compile(r"(?i)\b(\w*(?:token|secret|password|api_key|access_key)\w*)\s*[=:]\s*\S")


def secrets_in(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if SECRET.search(line)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_cluster_file_has_a_secret_that_ray_would_write_for_all_to_read(path: Path) -> None:
    assert secrets_in(["export HF_TOKEN=x"])
    assert secrets_in(path.read_text(encoding="utf-8").splitlines()) == []


def test_the_docs_put_no_secret_into_commands_of_a_cluster_file() -> None:
    lines = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8").splitlines()
    asked = [line for line in lines if "setup_commands" in line]
    words = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "ACCESS_KEY")
    assert [line for line in asked if any(word in line for word in words)] == []
    assert secrets_in(lines) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize("earlier", [None, 0o644])
def test_the_environment_of_a_machine_is_readable_by_its_user_alone(
    path: Path, earlier: int | None, tmp_path: Path
) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    command = content["setup_commands"][0]
    place = tmp_path / ".raycompare"
    if earlier is not None:
        place.touch(earlier)
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", command], env=environment, check=True, timeout=20)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert "RAY_AUTH_MODE=token" in place.read_text()


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ports.OWN_TOKEN:
        monkeypatch.delenv(name, raising=False)
    place = tmp_path / ".ray" / "auth_token"
    monkeypatch.setattr(ports, "token_file", lambda: place)
    return place


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


def test_a_new_token_is_readable_by_its_owner_alone(token: Path) -> None:
    keep_token_private(create=False)
    assert not token.exists()
    keep_token_private(create=True)
    assert mode(token) == 0o600
    assert len(token.read_text()) == 64
    before = token.read_text()
    keep_token_private(create=True)
    assert token.read_text() == before


@pytest.mark.parametrize("create", [True, False])
def test_the_token_of_an_earlier_ray_is_closed(token: Path, create: bool) -> None:
    token.parent.mkdir()
    token.write_text("x")
    token.chmod(0o644)
    keep_token_private(create)
    assert (mode(token), token.read_text()) == (0o600, "x")


def test_a_token_of_the_user_is_left_alone(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    keep_token_private(create=True)
    assert not token.exists()


def test_a_local_ray_is_told_to_use_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import ray_constants, services  # noqa: PLC0415

    monkeypatch.delenv(ports.LOOPBACK, raising=False)
    before = ray_constants.ENABLE_RAY_CLUSTER
    with only_loopback():
        assert services.get_node_ip_address() == "127.0.0.1"
        assert os.environ[ports.LOOPBACK] == "0"
    assert before == ray_constants.ENABLE_RAY_CLUSTER
    assert ports.LOOPBACK not in os.environ
