"""Checks of account, role, bucket, image and quota before a training job is submitted.

A check that the user has no permission for is not a mistake; it becomes a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from raycompare.errors import Problem, near
from raycompare.sagemaker.account import Findings, Wanted
from raycompare.sagemaker.aws import Aws, no_region, region_hint
from raycompare.sagemaker.limits import training_problems
from raycompare.sagemaker.request import Request
from raycompare.sagemaker.trust_policy import SERVICE, trusts
from raycompare.uris import hide_credentials

DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403")
ABSENT = ("404", "NoSuchBucket", "NoSuchEntity", "ImageNotFoundException")
ELSEWHERE = ("301", "PermanentRedirect", "IllegalLocationConstraintException")
REGION_HEADER = "x-amz-bucket-region"
NOT_ENCRYPTED = "ServerSideEncryptionConfigurationNotFoundError"
NO_REPOSITORY = "RepositoryNotFoundException"
ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<repository>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:.*))?"
)


def findings(request: Request, out: str, aws: Aws) -> Findings:
    """Check everything in the account that the job needs, without changing anything."""
    found = Findings()
    found.problems += network_problems(request)
    found.problems += training_problems(request, out)
    look_at_account(Wanted.of(request, out), aws, found)
    return found


def look_at_account(wanted: Wanted, aws: Aws, found: Findings) -> None:
    """Add what is wrong with region, credentials, role, bucket, image and quotas."""
    from botocore.exceptions import BotoCoreError, ClientError

    region = list(region_problems(aws))
    found.problems += region
    if region:
        return
    found.account = _account(aws, found)
    if found.account is None:
        return
    looks: dict[str, Look] = {
        "role": _look_at_role,
        "bucket": _look_at_bucket,
        "encryption": _look_at_encryption,
        "image": _look_at_image,
        "quota": _look_at_quota,
    }
    for name, look in looks.items():
        try:
            look(wanted, aws, found)
        except (BotoCoreError, ClientError) as error:
            found.notes.append(f"the {name} was not checked: {error}")


Look = Callable[[Wanted, Aws, Findings], None]


def region_problems(aws: Aws) -> Iterator[Problem]:
    """Find a region that is missing, or that SageMaker doesn't have."""
    if aws.region is None:
        yield Problem(
            where="--region",
            found=no_region(),
            allowed="an AWS region, such as us-east-1",
            hint=region_hint(),
        )
    elif aws.region not in (regions := aws.regions("sagemaker")):
        yield Problem(
            where="--region",
            found=repr(aws.region),
            allowed="a region of SageMaker that this version of boto3 has",
            hint=near(aws.region, regions) or "pip install -U boto3, if it is new",
        )


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
    """Find incomplete VPC settings."""
    network = request.network
    if bool(network.subnets) != bool(network.security_groups):
        yield Problem(
            where="--subnet, --security-group",
            found=f"{len(network.subnets)} subnets, {len(network.security_groups)} groups",
            allowed="both, or neither",
        )


def _code(error: Any) -> str:
    return str(error.response["Error"]["Code"])


def _look_at_role(wanted: Wanted, aws: Aws, found: Findings) -> None:
    from botocore.exceptions import ClientError

    name = wanted.role.rpartition("/")[2]
    absent = f"{wanted.role!r}, which does not exist in account {found.account}"
    try:
        role = aws.client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if _code(error) not in ABSENT:
            raise
        found.problems.append(_role_problem(absent, "the name or ARN of a role of this account"))
        return
    if wanted.role.startswith("arn:") and wanted.role != role["Arn"]:
        shown = f"{absent}; {name} is {role['Arn']} there"
        found.problems.append(_role_problem(shown, "the name or ARN of a role of this account"))
    elif not trusts(role["AssumeRolePolicyDocument"]):
        found.problems.append(
            _role_problem(
                f"{wanted.role!r}, which does not trust {SERVICE}",
                f"a role whose trust policy allows sts:AssumeRole to {SERVICE}",
            )
        )


def _role_problem(shown: str, allowed: str) -> Problem:
    hint = "see docs/sagemaker.md for its policies"
    return Problem(where="--role", found=shown, allowed=allowed, hint=hint)


def _look_at_bucket(wanted: Wanted, aws: Aws, found: Findings) -> None:
    from botocore.exceptions import ClientError, ParamValidationError

    bucket = bucket_of(wanted.out)
    try:
        if not bucket:
            not_a_bucket(found, wanted.out)
            return
        response = aws.client("s3").head_bucket(Bucket=bucket)
    except ParamValidationError:
        not_a_bucket(found, wanted.out)
        return
    except ClientError as error:
        if _code(error) not in (*ABSENT, *DENIED, *ELSEWHERE):
            raise
        absent, moved = _code(error) in ABSENT, _code(error) in ELSEWHERE
        region = error.response["ResponseMetadata"]["HTTPHeaders"].get(REGION_HEADER)
        state = "does not exist" if absent else "denies you access"
        state = f"is in {region or 'another region'}, not in {aws.region}" if moved else state
        _add_bucket_problem(
            found, wanted.out, state, f"aws s3 mb s3://{bucket}" if absent else None
        )
        return
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    region = response.get("BucketRegion") or headers.get(REGION_HEADER) or aws.region
    if region != aws.region:
        state = f"is in {region}, not in {aws.region}"
        _add_bucket_problem(found, wanted.out, state, f"--region {region}")


def _add_bucket_problem(found: Findings, out: str, state: str, hint: str | None) -> None:
    found.problems.append(
        Problem(
            where="--out",
            found=f"{hide_credentials(out)}, whose bucket {state}",
            allowed="a bucket in the region of the job that you and the role can read and write",
            hint=hint,
        )
    )


def _look_at_encryption(wanted: Wanted, aws: Aws, found: Findings) -> None:
    """Note a bucket that encrypts with another key: run folders get the key of their bucket."""
    from botocore.exceptions import ClientError

    bucket = bucket_of(wanted.out)
    if not wanted.kms_key or not bucket or not found.can_use_bucket:
        return
    try:
        encryption = aws.client("s3").get_bucket_encryption(Bucket=bucket)
        rules = encryption["ServerSideEncryptionConfiguration"]["Rules"]
    except ClientError as error:
        if _code(error) != NOT_ENCRYPTED:
            raise
        rules = []
    keys = [rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID", "") for rule in rules]
    if not any(
        key and (key.endswith(wanted.kms_key) or wanted.kms_key.endswith(key)) for key in keys
    ):
        found.notes.append(
            f"--kms-key encrypts SageMaker's own results; run folder and source get the default "
            f"key of the bucket {bucket}, which is another one. Set it with "
            "`aws s3api put-bucket-encryption`"
        )


def not_a_bucket(found: Findings, out: str) -> None:
    """Add the problem that run folders of a job must be in a bucket, which outlives its disks."""
    found.problems.append(
        Problem(
            where="--out",
            found=hide_credentials(out),
            allowed="s3://BUCKET/PREFIX, which outlives the job",
        )
    )


def bucket_of(uri: str) -> str | None:
    """Return the bucket of an S3 URI; None for any other path or URI."""
    match = re.match(r"s3://([^/]+)", uri)
    return match[1] if match else None


def _look_at_image(wanted: Wanted, aws: Aws, found: Findings) -> None:
    from botocore.exceptions import ClientError

    match = ECR.fullmatch(wanted.image or "")
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
                found=f"{wanted.image}, which is not in the registry",
                allowed="an image in your registry; without --image, the AWS image is used",
            )
        )


def _look_at_quota(wanted: Wanted, aws: Aws, found: Findings) -> None:
    pages = aws.client("service-quotas").get_paginator("list_service_quotas")
    for page in pages.paginate(ServiceCode="sagemaker"):
        for quota in page["Quotas"]:
            part = wanted.quotas.get(quota["QuotaName"])
            if part and part.wanted > quota["Value"]:
                found.problems.append(
                    Problem(
                        where=part.where,
                        found=part.shown,
                        allowed=f"{quota['Value']:g}, the account's quota {quota['QuotaName']!r}",
                        hint="request an increase in the console: Service Quotas, Amazon SageMaker",
                    )
                )
