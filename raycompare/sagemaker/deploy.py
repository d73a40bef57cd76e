"""Prepares a finalist for an endpoint."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from raycompare.errors import ExperimentError, UserError
from raycompare.experiment.prices import instances
from raycompare.models.saved import NOTHING
from raycompare.records.run_folder import RunFolder
from raycompare.sagemaker.account import Findings, Quota, Wanted
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.checks import look_at_account
from raycompare.sagemaker.endpoint import (
    PREFIX,
    NotCreatedError,
    Serving,
    create,
    inference_image,
    require_free,
)
from raycompare.sagemaker.limits import endpoint_problems
from raycompare.serving.winner import Winner, lay_out, saved_at, winner
from raycompare.uris import require_no_credentials

ARCHIVE = "model.tar.gz"
CODE = {
    "sagemaker/inference.py": "inference.py",
    "models/pooling.py": "raycompare/models/pooling.py",
    "serving/long_texts.py": "raycompare/serving/long_texts.py",
}
"""What the container runs: files of raycompare, and their names in the folder code."""
MOST_NAME = 63


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """An endpoint that can be created, with its summary."""

    found: Winner
    folder: RunFolder
    serving: Serving
    aws: Aws

    def lines(self) -> list[str]:
        """Describe the model, the instance and its price."""
        kind = self.serving.instance_type
        known = instances().get(kind or "")
        price = f"${known.on_demand:,.2f} per hour until it is deleted" if known else None
        unknown = "no price is known" if kind else "paid per request"
        return [
            f"{self.found.model} (trial {self.found.trial_id}) as {self.serving.name}",
            f"{kind or 'serverless'}: {price or unknown}",
            f"image {self.serving.image}",
        ]

    def make(self) -> None:
        """Upload the archive and create the endpoint.

        Raises:
            UserError: the model needs code that the container does not have, or the name is taken.
            RunError: the endpoint does not start.
        """
        require_free(self.serving.name, self.aws)
        place, name = self.serving.archive.rsplit("/", 1)
        target = RunFolder.at(place)
        target.write_bytes(name, pack(self.folder, self.found))
        try:
            create(self.serving, self.aws)
        except NotCreatedError:
            target.parent.delete(place.rpartition("/")[2])
            raise


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The options of an endpoint."""

    role: str
    model: str | None = None
    """Default: the winner."""
    name: str | None = None
    instance_type: str | None = None
    """None for serverless."""
    out: str | None = None
    """Place for the archive. Default: the run folder, if it is in a bucket."""


def deployment(run_dir: str, choice: Choice, aws: Aws) -> Deployment:
    """Describe the endpoint for a model, without creating anything.

    Raises:
        UserError: there is no such model, or the account lacks something; lists all of it.
    """
    folder = RunFolder.at(run_dir)
    found = winner(folder, choice.model)
    name = choice.name or endpoint_name(found)
    _check(name, _bucket_place(folder, choice.out), choice, aws)
    serving = Serving(
        name=name,
        role=choice.role,
        archive=f"{_bucket_place(folder, choice.out)}/endpoints/{name}/{ARCHIVE}",
        image=inference_image(aws.region, choice.instance_type),
        run_id=folder.uri.rstrip("/").rpartition("/")[2],
        instance_type=choice.instance_type,
    )
    return Deployment(found=found, folder=folder, serving=serving, aws=aws)


def _check(name: str, place: str, choice: Choice, aws: Aws) -> None:
    kind, quotas = choice.instance_type, {}
    if kind is not None:
        quota = Quota(where="--instance-type", wanted=1, shown=f"1 of {kind}")
        quotas[f"{kind} for endpoint usage"] = quota
    account = Findings(problems=list(endpoint_problems(name, choice.role, kind)))
    look_at_account(Wanted(role=choice.role, out=place, quotas=quotas), aws, account)
    if account.problems:
        raise ExperimentError(f"deploy as {name}", account.problems)
    require_free(name, aws)


def _bucket_place(folder: RunFolder, out: str | None) -> str:
    place = (out or folder.uri).rstrip("/")
    if not place.startswith("s3://"):
        raise UserError(
            f"SageMaker loads models from a bucket, and {place} is not in one. Add --out "
            "s3://BUCKET/PREFIX for the archive."
        )
    require_no_credentials(place)
    return place


def endpoint_name(found: Winner) -> str:
    """Return a valid name for SageMaker: letters, digits and dashes."""
    name = re.sub("[^A-Za-z0-9]+", "-", f"{PREFIX}{found.experiment.name}-{found.model}")
    return name[:MOST_NAME].strip("-")


def pack(folder: RunFolder, found: Winner) -> bytes:
    """Return the archive that the container unpacks, with weights and configs at its top level.

    Raises:
        UserError: the model needs code that the container does not have.
    """
    with TemporaryDirectory() as place:
        lay_out(folder, found, Path(place))
        return archive(Path(place))


def archive(model: Path) -> bytes:
    """Return the archive of the folder of a model, with the code that predicts.

    Raises:
        UserError: the model needs code that the container does not have.
    """
    try:
        saved_at(RunFolder.at(model), NOTHING)
    except UserError as error:
        raise UserError(
            f"the inference container can't load this model. {error} For an endpoint, use a model "
            "with a class of transformers, or your own container."
        ) from error
    packing = BytesIO()
    with tarfile.open(fileobj=packing, mode="w:gz") as packed:
        for path in sorted(model.iterdir()):
            packed.add(path, path.name)
        for source, name in CODE.items():
            packed.add(str(files("raycompare") / source), f"code/{name}")
    return packing.getvalue()
