"""The options and arguments of the `raycompare sagemaker` commands."""

from __future__ import annotations

from typing import Annotated

import typer

Region = Annotated[
    str | None,
    typer.Option(metavar="REGION", help="AWS region. Default: the region of the environment."),
]
JobName = Annotated[str, typer.Argument(metavar="JOB", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")]
Role = Annotated[
    str,
    typer.Option(
        metavar="ROLE",
        envvar="RAYCOMPARE_SAGEMAKER_ROLE",
        help="ARN or name of the role that SageMaker assumes.",
        show_default=False,
    ),
]

InstanceType = Annotated[str, typer.Option(help="Instance type that runs trials.")]
Count = Annotated[int, typer.Option(min=1, help="Number of instances that run trials.")]
HeadType = Annotated[
    str | None, typer.Option(help="Instance type of an extra head node that runs no trials.")
]
Spot = Annotated[bool, typer.Option("--spot", help="Use managed spot training.")]
MaxHours = Annotated[float, typer.Option(help="Maximum duration of the job, in hours.")]
VolumeGb = Annotated[
    int,
    typer.Option(
        min=30,
        help="Disk size of instances without local storage, in GB. Types such as ml.g5 and "
        "ml.g4dn have a fixed one.",
    ),
]
JoinMinutes = Annotated[
    float, typer.Option(help="How long instances may take to join, in minutes.")
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="s3://BUCKET/PREFIX",
        envvar="RAYCOMPARE_OUT",
        help="Bucket URI for run folders. Default: the account's SageMaker bucket.",
    ),
]
ArchiveOut = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="s3://BUCKET/PREFIX",
        help="Bucket URI for the archive. Default: the run folder, if it is in a bucket.",
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="RUN_DIR", help="Continue the run of an earlier job; needs no experiment file."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, as in `raycompare run`."),
]
Image = Annotated[
    str | None,
    typer.Option(
        help="Container image. Default: the AWS image for the torch version installed here."
    ),
]
Subnets = Annotated[list[str] | None, typer.Option(help="VPC subnet; may be repeated.")]
Groups = Annotated[list[str] | None, typer.Option(help="VPC security group; may be repeated.")]
KmsKey = Annotated[
    str | None,
    typer.Option(
        help="KMS key for model.tar.gz, and for disks that are not local storage of the instance."
    ),
]
Tags = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="Tag of the job; may be repeated.")
]
MLflow = Annotated[
    str | None,
    typer.Option(metavar="ARN", help="ARN of a SageMaker MLflow server, or any MLflow URL."),
]
