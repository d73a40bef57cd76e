"""The `raycompare sagemaker` commands. The SDK is imported where one of them needs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raycompare.cli.console import say, say_report
from raycompare.cli.options import (
    FetchInto,
    ModelName,
    OptionalExperiment,
    RunDir,
    Weights,
    require_effect,
    require_texts,
)
from raycompare.cli.sagemaker_options import (
    ArchiveOut,
    Count,
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
    from raycompare.sagemaker.request import Machines, Request

app = typer.Typer(
    help="Run an experiment as one SageMaker training job, and deploy its winner. Needs the "
    "sagemaker extra.",
    no_args_is_help=True,
)


@app.command()
def submit(
    context: typer.Context,
    experiment: OptionalExperiment = None,
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
    """Check the experiment and the account, show the price, and submit one training job."""
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
    _require_effects(context, resume, machines)
    request = Request(
        machines=machines,
        role=role,
        image=image,
        network=Network(subnets=tuple(subnet or ()), security_groups=tuple(security_group or ())),
        kms_key=kms_key,
        tags=_tags(tag or ()),
        mlflow=mlflow,
    )
    _submit(_job_options(experiment, overrides, out, resume), request, region, yes)


def _require_effects(context: typer.Context, resume: str | None, machines: Machines) -> None:
    if resume is not None:
        require_effect(context, {"out": "--out"}, "a resumed run stays in its folder")
    if machines.count == 1 and machines.head_type is None:
        require_effect(context, {"join_minutes": "--join-minutes"}, "there is only one machine")
    if not machines.has_volumes:
        kinds = ", ".join(machines.with_local_storage)
        reason = f"the disks of {kinds} are local storage of a fixed size"
        require_effect(context, {"volume_gb": "--volume-gb"}, reason)


def _job_options(
    experiment: Path | None, overrides: list[str] | None, out: str | None, resume: str | None
) -> JobOptions:
    from raycompare.records.run_folder import draft_for
    from raycompare.sagemaker.plan import JobOptions

    return JobOptions(draft=draft_for(experiment, overrides or (), resume), out=out, resume=resume)


def _submit(options: JobOptions, request: Request, region: str | None, yes: bool) -> None:
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.plan import plan

    planned = plan(options, request, Aws(region))
    for line in planned.lines:
        say(line)
    _confirm("Submit the job?", yes)
    name = planned.send()
    say(f"{name}\n  raycompare sagemaker logs --follow {name}")


def _tags(texts: Sequence[str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--tag {text}: expected KEY=VALUE.")
        if key in tags:
            raise UserError(f"--tag {text}: found {key} twice, allowed each key once.")
        tags[key] = value
    return tags


def _confirm(question: str, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        raise UserError("Cancelled; nothing was changed.")


@app.command()
def status(job: JobName, region: Region = None) -> None:
    """Show the status of a job, and why it failed."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import state_of

    say("\n".join(state_of(job, Aws(region)).lines()))


@app.command()
def logs(
    job: JobName,
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep printing until the job ends.")
    ] = False,
    region: Region = None,
) -> None:
    """Print the logs of a job; exit with 1 if it failed."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import follow as follow_job

    state = follow_job(job, Aws(region), say, follow)
    say("\n".join(state.lines()))
    if state.status == "Failed":
        raise RunError(f"{job} failed: {state.reason}")


@app.command()
def stop(job: JobName, region: Region = None) -> None:
    """Stop a job, whose run can be resumed later."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import stop as stop_job

    say("\n".join(stop_job(job, Aws(region)).lines()))


@app.command()
def ls(region: Region = None) -> None:
    """List recent jobs, newest first."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import recent

    found = recent(Aws(region))
    for name, standing, created in found:
        say(f"{created:%Y-%m-%d %H:%M}  {standing:<10}  {name}")
    if not found:
        say("no jobs")


@app.command()
def fetch(
    job: JobName,
    directory: FetchInto = "reports",
    weights: Weights = False,
    region: Region = None,
) -> None:
    """Copy the report and records of a job here."""
    from raycompare.records.fetch import fetch as fetch_run
    from raycompare.records.run_folder import RunFolder
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.sent_jobs import run_dir_of

    source = RunFolder.at(run_dir_of(job, Aws(region)))
    say_report(fetch_run(source, RunFolder.at(directory), weights))


@app.command()
def deploy(
    run_dir: RunDir,
    *,
    role: Role,
    model: ModelName = None,
    name: Annotated[str | None, typer.Option(help="Name of the endpoint.")] = None,
    instance_type: Annotated[
        str | None, typer.Option(help="Instance type of the endpoint, such as ml.g4dn.xlarge.")
    ] = None,
    serverless: Annotated[
        bool, typer.Option("--serverless", help="Serverless inference, on CPUs.")
    ] = False,
    out: ArchiveOut = None,
    region: Region = None,
    yes: Yes = False,
) -> None:
    """Deploy a finalist to an endpoint, which costs money until it is deleted."""
    from raycompare.sagemaker.aws import Aws, require_sdk
    from raycompare.sagemaker.deploy import Choice, deployment

    require_sdk()
    if serverless == (instance_type is not None):
        raise UserError("expected --instance-type TYPE or --serverless, and not both.")
    choice = Choice(role=role, model=model, name=name, instance_type=instance_type, out=out)
    made = deployment(run_dir, choice, Aws(region))
    for line in made.lines():
        say(line)
    _confirm("Create the endpoint?", yes)
    made.make()
    say(f"{made.serving.name} answers\n  raycompare sagemaker delete {made.serving.name}")


EndpointName = Annotated[str, typer.Argument(metavar="ENDPOINT", show_default=False)]


@app.command()
def predict(
    endpoint: EndpointName,
    text: Annotated[list[str], typer.Option(help="Text to classify; may be repeated.")],
    text_pair: Annotated[
        list[str] | None, typer.Option(help="Second text of each pair, for models of text pairs.")
    ] = None,
    region: Region = None,
) -> None:
    """Classify texts with an endpoint."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.endpoint import predict as ask

    require_texts(text, text_pair)
    answers = ask(endpoint, text, Aws(region), text_pair)
    for one, answer in zip(text, answers, strict=True):
        say(f"{answer['label']}  {answer['score']:.4f}  {one}")


@app.command()
def endpoints(region: Region = None) -> None:
    """List the endpoints."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.endpoint import endpoints as find

    found = list(find(Aws(region)))
    for name, standing, created in found:
        say(f"{created:%Y-%m-%d %H:%M}  {standing:<10}  {name}")
    if not found:
        say("no endpoints")


@app.command()
def delete(endpoint: EndpointName, region: Region = None, yes: Yes = False) -> None:
    """Delete an endpoint with its configuration and model, even if only part of it exists."""
    from raycompare.sagemaker.aws import Aws
    from raycompare.sagemaker.endpoint import delete as delete_endpoint

    _confirm(f"Delete {endpoint}?", yes)
    gone = delete_endpoint(endpoint, Aws(region))
    say(f"{endpoint}: {', '.join(gone)} deleted")
