"""Checks of account, role, bucket, image and quota before a training job is submitted.

A check that the user has no permission for is not a mistake; it becomes a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from raycompare.errors import Problem, near
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.request import Request

SERVICE = "sagemaker.amazonaws.com"
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
ABSENT = ("404", "NoSuchBucket", "NoSuchEntity", "ImageNotFoundException")
NO_REPOSITORY = "RepositoryNotFoundException"
ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:.*))?"
)


@dataclass
class Findings:
    """Mistakes, and notes about checks that were not possible."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    account: str | None = None


def findings(request: Request, out: str, aws: Aws) -> Findings:
    """Check everything in the account that the job needs, without changing anything."""
    from botocore.exceptions import ClientError

    found = Findings()
    found.problems += network_problems(request)
    if aws.region is None:
        found.problems.append(
            Problem(
                where="--region",
                found="no region, neither in AWS_REGION nor in ~/.aws/config",
                allowed="an AWS region, such as us-east-1",
            )
        )
        return found
    found.problems += type_problems(request, aws)
    found.account = _account(aws, found)
    if found.account is None:
        return found
    looks: dict[str, Look] = {
        "role": _look_at_role,
        "bucket": _look_at_bucket,
        "image": _look_at_image,
        "quota": _look_at_quota,
    }
    for name, look in looks.items():
        try:
            look(request, out, aws, found)
        except ClientError as error:
            found.notes.append(f"the {name} was not checked: {error}")
    return found


Look = Callable[[Request, str, Aws, Findings], None]


def _account(aws: Aws, found: Findings) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return str(aws.client("sts").get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        found.problems.append(
            Problem(
                where="credentials",
                found=str(error),
                allowed="valid AWS credentials",
                hint="run aws configure, or aws sso login",
            )
        )
        return None


def network_problems(request: Request) -> Iterator[Problem]:
    """Find incomplete VPC settings and impossible machine settings."""
    network, machines = request.network, request.machines
    if bool(network.subnets) != bool(network.security_groups):
        yield Problem(
            where="--subnet, --security-group",
            found=f"{len(network.subnets)} subnets, {len(network.security_groups)} groups",
            allowed="both, or neither",
        )
    if machines.max_hours <= 0:
        yield Problem(
            where="--max-hours", found=f"{machines.max_hours:g}", allowed="a number above 0"
        )


def type_problems(request: Request, aws: Aws) -> Iterator[Problem]:
    """Find instance types on which SageMaker does not train."""
    model = aws.client("sagemaker").meta.service_model
    known = model.shape_for("TrainingInstanceType").enum
    options = {"--head-type": request.machines.head_type}
    options["--instance-type"] = request.machines.instance_type
    for option, name in options.items():
        if name and name not in known:
            yield Problem(
                where=option,
                found=repr(name),
                allowed="an instance type that SageMaker trains on, such as ml.g5.xlarge",
                hint=near(name, known),
            )


def _code(error: Any) -> str:
    return str(error.response["Error"]["Code"])


def _look_at_role(request: Request, out: str, aws: Aws, found: Findings) -> None:
    from botocore.exceptions import ClientError

    name = request.role.rpartition("/")[2]
    try:
        role = aws.client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if _code(error) not in ABSENT:
            raise
        found.problems.append(
            Problem(
                where="--role",
                found=f"{request.role!r}, which does not exist in account {found.account}",
                allowed="the name or ARN of a role that SageMaker may assume",
                hint="see docs/sagemaker.md for its policy",
            )
        )
        return
    if not trusts(role["AssumeRolePolicyDocument"]):
        found.problems.append(
            Problem(
                where="--role",
                found=f"{request.role!r}, which does not trust {SERVICE}",
                allowed=f"a role whose trust policy allows sts:AssumeRole to {SERVICE}",
                hint="see docs/sagemaker.md for the trust policy",
            )
        )


def trusts(policy: Mapping[str, Any] | str) -> bool:
    """Return whether a trust policy lets SageMaker assume the role."""
    return SERVICE in unquote(str(policy))


def _look_at_bucket(request: Request, out: str, aws: Aws, found: Findings) -> None:
    from botocore.exceptions import ClientError

    bucket = bucket_of(out)
    try:
        if not bucket:
            not_a_bucket(found, out)
            return
        aws.client("s3").head_bucket(Bucket=bucket)
    except ClientError as error:
        if _code(error) not in (*ABSENT, *DENIED):
            raise
        absent = _code(error) in ABSENT
        found.problems.append(
            Problem(
                where="--out",
                found=f"{out}, whose bucket {'does not exist' if absent else 'denies you access'}",
                allowed="a bucket that you and the role can read and write",
                hint=f"aws s3 mb s3://{bucket}" if absent else None,
            )
        )


def not_a_bucket(found: Findings, out: str) -> None:
    """Add the problem that run folders of a job must be in a bucket, which outlives its disks."""
    found.problems.append(
        Problem(where="--out", found=out, allowed="s3://BUCKET/PREFIX, which outlives the job")
    )


def bucket_of(uri: str) -> str | None:
    """Return the bucket of an S3 URI; None for any other path or URI."""
    match = re.match(r"s3://([^/]+)", uri)
    return match[1] if match else None


def _look_at_image(request: Request, out: str, aws: Aws, found: Findings) -> None:
    from botocore.exceptions import ClientError

    match = ECR.fullmatch(request.image or "")
    if match is None or match["account"] != found.account:
        return  # an AWS image from the SDK, or one that only the job can access
    key = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"]}
    try:
        aws.client("ecr").describe_images(repositoryName=match["repository"], imageIds=[key])
    except ClientError as error:
        if _code(error) not in (*ABSENT, NO_REPOSITORY):
            raise
        found.problems.append(
            Problem(
                where="--image",
                found=f"{request.image}, which is not in the registry",
                allowed="an image in your registry; without --image, the AWS image is used",
            )
        )


def _look_at_quota(request: Request, out: str, aws: Aws, found: Findings) -> None:
    pages = aws.client("service-quotas").get_paginator("list_service_quotas")
    kind = "spot training job" if request.machines.spot else "training job"
    wanted = {f"{name} for {kind} usage": (name, n) for name, n in request.machines.types()}
    for page in pages.paginate(ServiceCode="sagemaker"):
        for quota in page["Quotas"]:
            name, count = wanted.get(quota["QuotaName"], ("", 0))
            if count > quota["Value"]:
                found.problems.append(
                    Problem(
                        where="--instances",
                        found=f"{count} of {name}",
                        allowed=f"{quota['Value']:g}, the account's quota {quota['QuotaName']!r}",
                        hint="request an increase in the console: Service Quotas, Amazon SageMaker",
                    )
                )
