"""Plans a training job before it is submitted: checks everything at once, and shows its price."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from raycompare.errors import ExperimentError, Problem
from raycompare.experiment.file import Draft
from raycompare.experiment.needs import needs_of
from raycompare.experiment.prices import Price
from raycompare.experiment.spec import Experiment
from raycompare.formatting import duration
from raycompare.models.hub import needs_login
from raycompare.running.check import CheckedExperiment, check
from raycompare.running.estimate import Site, describe, estimate
from raycompare.running.start import new_folder
from raycompare.running.trackers.sagemaker import definitions
from raycompare.sagemaker.account import Findings
from raycompare.sagemaker.aws import Aws, require_sdk
from raycompare.sagemaker.checks import bucket_of, findings
from raycompare.sagemaker.job_environment import Job
from raycompare.sagemaker.request import Machines, Request
from raycompare.sagemaker.source import path_problems
from raycompare.sagemaker.submit import MLFLOW, Submission, default_image, send

NO_SERVER = "of-the-job"
"""Stands for a server while the experiment is checked; what is missing is found apart from it."""
TOKEN_BYTES, SECONDS_PER_MINUTE = 16, 60


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A job that can be submitted, with its summary."""

    submission: Submission
    aws: Aws
    lines: tuple[str, ...]

    def send(self) -> str:
        """Submit the job; return its name."""
        bucket = bucket_of(self.submission.job.run_dir)
        assert bucket is not None
        return send(self.submission, self.aws, bucket)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The experiment of a job, and the place of its run folder."""

    draft: Draft
    out: str | None = None
    """Default: the SDK's bucket for the account and region."""
    resume: str | None = None


def plan(options: JobOptions, request: Request, aws: Aws) -> Plan:
    """Check the experiment, the options and the account, without submitting anything.

    Raises:
        ExperimentError: there are mistakes; the error has all of them.
        UserError: the SDK is not installed, or AWS has no image for the torch version here.
    """
    require_sdk()
    out = options.resume or options.out or default_out(aws)
    found = findings(request, out, aws)
    ready = _check_for_job(options.draft, out, request, found)
    image = request.image or default_image(request, aws)
    run_dir = options.resume or new_folder(ready.experiment, out).uri
    submission = Submission(
        experiment=ready.experiment,
        request=request,
        job=Job(
            run_dir=run_dir.rstrip("/"),
            token=secrets.token_hex(TOKEN_BYTES),
            join_seconds=request.machines.join_minutes * SECONDS_PER_MINUTE,
        ),
        image=image,
        metrics={known.name: known.regex for known in definitions(ready.experiment)},
    )
    lines = (*_costs(ready, request.machines), f"image {image}", f"run folder {run_dir}")
    notes = tuple(f"note: {note}" for note in (*found.notes, *disk_notes(request)))
    return Plan(submission=submission, aws=aws, lines=(*lines, *notes))


def disk_notes(request: Request) -> Iterator[str]:
    """Say which disks get another key than that of the command."""
    local, machines = request.machines.with_local_storage, request.machines
    if not request.kms_key or not local:
        return
    yield (
        f"the disks of {', '.join(local)} are local storage, which the instance encrypts with a "
        "key that it keeps; SageMaker accepts no other for them"
    )
    if machines.has_volumes:
        yield "one key is for all instances of a job, so the other disks don't get --kms-key either"


def default_out(aws: Aws) -> str:
    """Return the prefix for run folders in the account's SageMaker bucket.

    Without an account, the checks report the missing credentials.
    """
    account = account_number(aws)
    return f"s3://sagemaker-{aws.region}-{account}/raycompare"


def account_number(aws: Aws) -> str:
    """Return the account number, or "unknown" without credentials."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return str(aws.client("sts").get_caller_identity()["Account"])
    except (BotoCoreError, ClientError, ValueError):
        return "unknown"


def _check_for_job(draft: Draft, out: str, request: Request, found: Findings) -> CheckedExperiment:
    """Check the experiment as it will run in the job; raise its mistakes with all others."""
    problems = [*found.problems, *tracker_problems(draft.sections.get("trackers", ()), request)]
    with _environment_of_job(request):
        try:
            # A place that can't be used is not tried again.
            ready = check(draft, out if found.can_use_bucket else ".")
        except ExperimentError as error:
            raise ExperimentError(draft.source, [*error.problems, *problems]) from error
    problems += [*path_problems(ready.experiment), *login_problems(ready.experiment)]
    if problems:
        raise ExperimentError(draft.source, [draft.locate(problem) for problem in problems])
    return ready


@contextmanager
def _environment_of_job(request: Request) -> Iterator[None]:
    """Make checks ignore the hardware of this machine and its MLflow settings."""
    there = {"RAY_ADDRESS": "sagemaker", MLFLOW: request.mlflow or NO_SERVER}
    before = {name: os.environ.get(name) for name in there}
    os.environ.update(there)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def login_problems(experiment: Experiment) -> Iterator[Problem]:
    """Find models and data of the hub that a job can't load, because it has no token."""
    needs = needs_of(experiment)
    private = {where: name for where, name in needs.hub_models.items() if needs_login(name)}
    dataset = experiment.data.dataset
    if dataset in needs.hub_ids and needs_login(dataset, "dataset"):
        private["data.dataset"] = dataset
    for where, name in private.items():
        kind = " --repo-type dataset" if where == "data.dataset" else ""
        yield Problem(
            where=where,
            found=f"{name}, private or gated on the hub; a job gets no token, because everyone who "
            "may describe it could read it",
            allowed="a public hub id, or a path below the folder you submit from",
            hint=f"hf download {name}{kind} --local-dir {name}, and then the same name is a folder",
        )


def tracker_problems(trackers: Sequence[str], request: Request) -> Iterator[Problem]:
    """Find trackers that do not work in a job."""
    if "wandb" in trackers:
        yield Problem(
            where="trackers",
            found="wandb, whose key would be visible to everyone who may describe the job",
            allowed="tensorboard and mlflow",
            hint="use mlflow with --mlflow, which authenticates with the role of the job",
        )
    if "mlflow" in trackers and not request.mlflow:
        yield Problem(
            where="trackers",
            found="mlflow without --mlflow; MLFLOW_TRACKING_URI here is not that of a job",
            allowed="mlflow with --mlflow ARN or URL",
            hint="add --mlflow, or --set trackers=[tensorboard]",
        )
    if request.mlflow and "mlflow" not in trackers:
        yield Problem(
            where="trackers",
            found=f"{', '.join(trackers) or 'no tracker'}, with --mlflow",
            allowed="a list that includes mlflow; or no --mlflow",
            hint="--set trackers=[mlflow]",
        )


def _costs(ready: CheckedExperiment, machines: Machines) -> Iterator[str]:
    """Describe the price of the instances, the estimate, and the time limit of the job."""
    kinds = " + ".join(f"{count} x {name}" for name, count in machines.types())
    price = machines.price
    if price is None:
        yield f"{kinds}: no price is known (raycompare/experiment/prices.toml lists them)"
    else:
        yield f"{kinds}: ${price.usd_per_hour:,.2f} per hour on demand, {_source(price)}"
    if machines.spot:
        yield "spot is usually much cheaper; prices shown are on-demand"
    site = Site(nodes=machines.nodes(), instance=machines.instance)
    found = estimate(ready.experiment, ready.data, site)
    usd = price.usd(found.seconds) if price and found.seconds is not None else None
    yield from describe(replace(found, usd=usd), ready.experiment)
    most = f", at ${price.usd(machines.max_seconds):,.2f}" if price else ""
    yield (
        f"plus a few minutes to start; SageMaker stops the job after "
        f"{duration(machines.max_seconds)}{most}"
    )


def _source(price: Price) -> str:
    instance = price.instance
    assert instance is not None, "its price is known"
    doubt = f" ({instance.doubt})" if instance.doubt else ""
    return f"listed {instance.retrieved_on}{doubt}"
