"""The options and arguments of the `raycompare sagemaker` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Region = Annotated[
    str | None, typer.Option(metavar="REGION", help="Left out: that of the environment.")
]
JobName = Annotated[str, typer.Argument(metavar="JOB", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Role = Annotated[
    str,
    typer.Option(
        metavar="ROLE",
        envvar="RAYCOMPARE_SAGEMAKER_ROLE",
        help="What SageMaker may do: an ARN.",
        show_default=False,
    ),
]

Experiment = Annotated[Path | None, typer.Argument(metavar="[EXPERIMENT.yaml]", show_default=False)]
InstanceType = Annotated[str, typer.Option(help="Of the machines that run trials.")]
Count = Annotated[int, typer.Option(min=1, help="How many of them.")]
HeadType = Annotated[
    str | None, typer.Option(help="One more machine, without a GPU, that only drives.")
]
Spot = Annotated[bool, typer.Option("--spot", help="Managed spot training.")]
MaxHours = Annotated[float, typer.Option(help="When SageMaker stops the job.")]
VolumeGb = Annotated[int, typer.Option(min=30, help="The disk of each machine.")]
JoinMinutes = Annotated[float, typer.Option(help="What the machines have to find each other.")]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="s3://BUCKET/PREFIX",
        envvar="RAYCOMPARE_OUT",
        help="Where run folders go; left out, the account's SageMaker bucket.",
    ),
]
Resume = Annotated[
    str | None, typer.Option(metavar="RUN_DIR", help="Finish the run of a job; no file is needed.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As `raycompare run`.")
]
Image = Annotated[str | None, typer.Option(help="Left out: AWS's image of the torch of here.")]
Subnets = Annotated[list[str] | None, typer.Option(help="Of a VPC; may be repeated.")]
Groups = Annotated[list[str] | None, typer.Option(help="Of a VPC; may be repeated.")]
KmsKey = Annotated[str | None, typer.Option(help="For disks and results.")]
Tags = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")]
MLflow = Annotated[
    str | None, typer.Option(metavar="ARN", help="SageMaker's MLflow, or a server's URL.")
]
