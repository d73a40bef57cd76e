"""The `raycompare sagemaker` commands. The SDK is imported where one of them needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from raycompare.cli.sagemaker_options import (
    Count,
    Experiment,
    Groups,
    HeadType,
    Image,
    InstanceType,
    JobName,
    JoinMinutes,
    KmsKey,
    MaxHours,
    MLflow,
    Out,
    Overrides,
    Region,
    Resume,
    Role,
    Spot,
    Subnets,
    Tags,
    VolumeGb,
    Yes,
)
from raycompare.errors import RunError, UserError

if TYPE_CHECKING:
    from raycompare.sagemaker.plan import JobOptions
    from raycompare.sagemaker.request import Request

app = typer.Typer(
    help="Run an experiment as one SageMaker training job, and serve its winner. Needs "
    "pip install 'raycompare\\[sagemaker]'.",
    no_args_is_help=True,
)


def _say(line: str) -> None:
    Console(highlight=False).print(line, markup=False, soft_wrap=True)


@app.command()
def submit(
    experiment: Experiment = None,
    *,
    role: Role,
    instance_type: InstanceType,
    instances: Count = 1,
    head_type: HeadType = None,
    spot: Spot = False,
    max_hours: MaxHours = 24.0,
    volume_gb: VolumeGb = 100,
    join_minutes: JoinMinutes = 10.0,
    out: Out = None,
    resume: Resume = None,
    overrides: Overrides = None,
    image: Image = None,
    subnet: Subnets = None,
    security_group: Groups = None,
    kms_key: KmsKey = None,
    tag: Tags = None,
    mlflow: MLflow = None,
    region: Region = None,
    yes: Yes = False,
) -> None:
    """Check experiment and account, say what it costs, and send it as one training job."""
    from raycompare.sagemaker.aws import require_sdk
    from raycompare.sagemaker.request import Machines, Network, Request

    require_sdk()
    machines = Machines(
        instance_type=instance_type,
        count=instances,
        head_type=head_type,
        spot=spot,
        max_hours=max_hours,
        volume_gb=volume_gb,
        join_minutes=join_minutes,
    )
    request = Request(
        machines=machines,
        role=role,
        image=image,
        network=Network(subnets=tuple(subnet or ()), security_groups=tuple(security_group or ())),
        kms_key=kms_key,
        tags=dict(_pair(text) for text in tag or ()),
        mlflow=mlflow,
    )
    _submit(_wish(experiment, overrides, out, resume), request, region, yes)


def _wish(
    experiment: Path | None, overrides: list[str] | None, out: str | None, resume: str | None
) -> JobOptions:
    from raycompare.records.run_folder import draft_for
    from raycompare.sagemaker.plan import JobOptions

    return JobOptions(draft=draft_for(experiment, overrides or (), resume), out=out, resume=resume)


def _submit(wish: JobOptions, request: Request, region: str | None, yes: bool) -> None:
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.plan import plan

    planned = plan(wish, request, Aws(region))
    for line in planned.lines:
        _say(line)
    _agree("Send it?", yes)
    name = planned.send()
    _say(f"{name}\n  raycompare sagemaker logs --follow {name}")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--tag {text}: expected KEY=VALUE.")
    return key, value


def _agree(question: str, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        raise UserError("nothing was done.")


@app.command()
def status(job: JobName, region: Region = None) -> None:
    """Say how a job stands, and why it has failed."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import state_of

    _say("\n".join(state_of(job, Aws(region)).lines()))


@app.command()
def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", help="Until the job has ended.")] = False,
    region: Region = None,
) -> None:
    """Print what the machines of a job log; exit with 1 if it has failed."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import follow as follow_job

    state = follow_job(job, Aws(region), _say, follow)
    _say("\n".join(state.lines()))
    if state.status == "Failed":
        raise RunError(f"{job} has failed: {state.reason}")


@app.command()
def stop(job: JobName, region: Region = None) -> None:
    """Stop a job; its run folder can be resumed."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import stop as stop_job

    _say("\n".join(stop_job(job, Aws(region)).lines()))


@app.command()
def ls(region: Region = None) -> None:
    """List the last jobs, the newest first."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import recent

    found = recent(Aws(region))
    for name, standing, created in found:
        _say(f"{created:%Y-%m-%d %H:%M}  {standing:<10}  {name}")
    if not found:
        _say("no jobs")


@app.command()
def fetch(
    job: JobName,
    directory: Annotated[
        str, typer.Argument(metavar="[DIR]", help="Where run folders go here.")
    ] = "reports",
    weights: Annotated[
        bool, typer.Option("--weights", help="Bring the models of the finalists too.")
    ] = False,
    region: Region = None,
) -> None:
    """Bring report and records of a job home."""
    from raycompare.records.fetch import fetch as fetch_run
    from raycompare.records.run_folder import RunFolder
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import run_dir_of

    source = RunFolder.at(run_dir_of(job, Aws(region)))
    folder = fetch_run(source, RunFolder.at(directory), weights)
    ended = folder.exists("report.md")
    _say(folder.child("report.md") if ended else f"{folder.uri}: the run has not ended yet")


@app.command()
def deploy(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", show_default=False)],
    *,
    role: Role,
    model: Annotated[str | None, typer.Option(help="Left out: the winner.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the endpoint.")] = None,
    instance_type: Annotated[str | None, typer.Option(help="Such as ml.g4dn.xlarge.")] = None,
    serverless: Annotated[bool, typer.Option("--serverless", help="No machine; CPUs.")] = False,
    out: Out = None,
    region: Region = None,
    yes: Yes = False,
) -> None:
    """Put the winner of a run, or another finalist, behind an endpoint; it costs until deleted."""
    from raycompare.sagemaker.aws import Aws, require_sdk
    from raycompare.sagemaker.deploy import Choice, deployment

    require_sdk()
    if serverless == (instance_type is not None):
        raise UserError("expected --instance-type TYPE or --serverless, and not both.")
    choice = Choice(role=role, model=model, name=name, instance_type=instance_type, out=out)
    made = deployment(run_dir, choice, Aws(region))
    for line in made.lines():
        _say(line)
    _agree("Make it?", yes)
    made.make()
    _say(f"{made.serving.name} answers\n  raycompare sagemaker delete {made.serving.name}")


EndpointName = Annotated[str, typer.Argument(metavar="ENDPOINT", show_default=False)]


@app.command()
def predict(
    endpoint: EndpointName,
    text: Annotated[list[str], typer.Option(help="May be repeated.")],
    region: Region = None,
) -> None:
    """Ask an endpoint for the labels of texts."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.endpoint import predict as ask

    for one, answer in zip(text, ask(endpoint, text, Aws(region)), strict=True):
        _say(f"{answer['label']}  {answer['score']:.4f}  {one}")


@app.command()
def endpoints(region: Region = None) -> None:
    """List the endpoints."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.endpoint import endpoints as find

    found = list(find(Aws(region)))
    for name, standing, created in found:
        _say(f"{created:%Y-%m-%d %H:%M}  {standing:<10}  {name}")
    if not found:
        _say("no endpoints")


@app.command()
def delete(endpoint: EndpointName, region: Region = None, yes: Yes = False) -> None:
    """Delete an endpoint with its configuration and model, also a half-made one."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.endpoint import delete as delete_endpoint

    _agree(f"Delete {endpoint}?", yes)
    gone = delete_endpoint(endpoint, Aws(region))
    _say(f"{endpoint}: {', '.join(gone)} deleted; nothing of that name is left")
