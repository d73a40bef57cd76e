"""What SageMaker's API refuses is found before anything is sent, by its own description."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("botocore")

from raycompare.sagemaker.limits import endpoint_problems, training_problems
from raycompare.sagemaker.request import Machines, Network, Request, has_local_storage
from raycompare.sagemaker.trust_policy import trusts

pytestmark = pytest.mark.sagemaker

OUT = "s3://bucket/runs"
PLAIN: dict[str, Any] = {"role": "raycompare"}


def wheres(out: str = OUT, **changes: Any) -> set[str]:
    machines = Machines(**{"instance_type": "ml.g5.xlarge", **changes.pop("machines", {})})
    request = Request(machines=machines, **{**PLAIN, **changes})
    return {problem.where for problem in training_problems(request, out)}


def test_what_is_valid_is_let_through() -> None:
    network = Network(subnets=("subnet-1",), security_groups=("sg-1",))
    assert wheres() == set()
    assert not wheres(
        network=network,
        kms_key="arn:aws:kms:us-east-1:123456789012:key/1234-abcd",
        tags={"team": "nlp", "straße:größe": "ja / nein=1+2@home.x"},
        mlflow="arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/x",
        role="arn:aws:iam::123456789012:role/service-role/x",
        image="123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1",
        machines={"head_type": "ml.m5.large", "max_hours": 28 * 24, "spot": True},
    )


REFUSED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "characters of a tag": ({"tags": {"a!": "b"}}, {"--tag"}),
    "characters of its value": ({"tags": {"a": "b\n!"}}, {"--tag"}),
    "length of a value": ({"tags": {"a": "x" * 257}}, {"--tag"}),
    "length of a key": ({"tags": {"k" * 129: "x"}}, {"--tag"}),
    "number of tags": ({"tags": {f"k{i}": "" for i in range(51)}}, {"--tag"}),
    "tags of AWS": ({"tags": {"aws:x": "1"}}, {"--tag"}),
    "security groups": (
        {"network": Network(subnets=("s",), security_groups=tuple("abcdef"))},
        {"--security-group"},
    ),
    "subnets": (
        {"network": Network(subnets=tuple(map(str, range(17))), security_groups=("s",))},
        {"--subnet"},
    ),
    "name of a subnet": (
        {"network": Network(subnets=("sub net",), security_groups=("s",))},
        {"--subnet"},
    ),
    "length of a variable": ({"mlflow": "https://" + "x" * 600}, {"--mlflow"}),
    "a password": ({"mlflow": "https://me:secret@server"}, {"--mlflow"}),
    "key": ({"kms_key": "my key"}, {"--kms-key"}),
    "role": ({"role": "my role"}, {"--role"}),
    "role of another service": ({"role": "arn:aws:iam::123456789012:user/x"}, {"--role"}),
    "image": ({"image": "x" * 256}, {"--image"}),
    "credentials in a place": ({"out": "s3://KEY:secret@bucket/x"}, {"--out"}),
    "length of a place": ({"out": f"s3://bucket/{'x' * 1100}"}, {"--out"}),
    "type": ({"machines": {"instance_type": "ml.g5.xlrage"}}, {"--instance-type"}),
    "type of the head": ({"machines": {"head_type": "m5.large"}}, {"--head-type"}),
    **{
        f"{hours} hours": ({"machines": {"max_hours": hours}}, {"--max-hours"})
        for hours in (0, -1, 1e-4, 1000, 673, float("nan"), float("inf"))
    },
    **{
        f"{minutes} minutes": ({"machines": {"join_minutes": minutes}}, {"--join-minutes"})
        for minutes in (0, -1, float("nan"), float("inf"))
    },
    "several": (
        {"tags": {"!": ""}, "kms_key": "my key", "machines": {"max_hours": 0}},
        {"--tag", "--kms-key", "--max-hours"},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_api_refuses_is_named_by_its_option(name: str) -> None:
    changes, expected = REFUSED[name]
    assert wheres(**changes) == expected


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (("my_endpoint!", "role", None), "--name"),
        (("x" * 100, "role", None), "--name"),
        (("-x", "role", None), "--name"),
        (("x", "my role", None), "--role"),
        (("x", "role", "ml.g5.xlrage"), "--instance-type"),
        (("x", "role", "ml.trn1.bad"), "--instance-type"),
    ],
)
def test_endpoints_are_checked_as_jobs_are(
    options: tuple[str, str, str | None], where: str
) -> None:
    assert {problem.where for problem in endpoint_problems(*options)} == {where}
    assert list(endpoint_problems("my-endpoint", "role", "ml.g4dn.xlarge")) == []


@pytest.mark.parametrize(
    ("kind", "local"),
    [
        *((name, True) for name in ("ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge")),
        *((name, True) for name in ("ml.p4d.24xlarge", "ml.p5.48xlarge", "ml.trn1.2xlarge")),
        *((name, True) for name in ("ml.r5d.large", "ml.p3dn.24xlarge", "ml.p6-b300.48xlarge")),
        *(
            (name, False)
            for name in ("ml.m5.large", "ml.p3.2xlarge", "ml.c6i.large", "ml.p2.xlarge")
        ),
    ],
)
def test_local_storage_is_known_by_the_family(kind: str, local: bool) -> None:
    assert has_local_storage(kind) is local


@pytest.mark.parametrize(
    ("hours", "seconds"), [(1, 2 * 3600), (60, 5 * 86400), (100, 5 * 86400), (150, 150 * 3600)]
)
def test_waiting_for_spot_stays_within_the_usual_quota(hours: float, seconds: int) -> None:
    machines = Machines(instance_type="ml.g5.xlarge", max_hours=hours)
    assert machines.max_wait_seconds == seconds


ASSUME = {"Action": "sts:AssumeRole", "Principal": {"Service": "sagemaker.amazonaws.com"}}


@pytest.mark.parametrize(
    ("statements", "may"),
    [
        ([{"Effect": "Allow", **ASSUME}], True),
        ({"Effect": "Allow", **ASSUME}, True),
        ([{"Effect": "Allow", **ASSUME, "Action": ["sts:TagSession", "sts:*"]}], True),
        ([{"Effect": "Allow", **ASSUME, "Principal": "*"}], True),
        ([{"Effect": "Deny", **ASSUME}], False),
        ([{"Effect": "Allow", **ASSUME}, {"Effect": "Deny", **ASSUME}], False),
        ([{"Effect": "Allow", **ASSUME, "Action": "sts:TagSession"}], False),
        ([{"Effect": "Allow", **ASSUME, "Principal": {"Service": "ec2.amazonaws.com"}}], False),
        ([{"Sid": "sagemaker.amazonaws.com", "Effect": "Allow"}], False),
        ([], False),
    ],
)
def test_a_trust_policy_is_read_not_searched(statements: Any, may: bool) -> None:
    assert trusts({"Statement": statements}) is may
    assert trusts(json.dumps({"Statement": statements})) is may
