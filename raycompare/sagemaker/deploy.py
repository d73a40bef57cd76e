"""A run's winner, or another finalist, on its way to an endpoint."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from raycompare.errors import UserError
from raycompare.experiment.prices import instances
from raycompare.models.heads import is_plain
from raycompare.models.pretrained import POOLED_BY
from raycompare.records.run_folder import RunFolder
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.endpoint import PREFIX, Serving, create, inference_image
from raycompare.serving.winner import Winner, lay_out, winner

ARCHIVE = "model.tar.gz"
MOST_NAME = 63


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """An endpoint that can be made, and what to know before."""

    found: Winner
    folder: RunFolder
    serving: Serving
    aws: Aws

    def lines(self) -> list[str]:
        """Say what is served, on what, and what it costs as long as it is there."""
        kind = self.serving.instance_type
        known = instances().get(kind or "")
        price = f"${known.on_demand:,.2f} an hour until it is deleted" if known else None
        unknown = "the price is not known here" if kind else "serverless: paid by the request"
        return [
            f"{self.found.model} (trial {self.found.trial_id}) as {self.serving.name}",
            f"{kind or 'serverless'}: {price or unknown}",
            f"image {self.serving.image}",
        ]

    def make(self) -> None:
        """Upload the archive and create the endpoint.

        Raises:
            UserError: the model computes something that the container does not, or names collide.
            RunError: the endpoint does not come up.
        """
        place, name = self.serving.archive.rsplit("/", 1)
        RunFolder.at(place).write_bytes(name, pack(self.folder, self.found))
        create(self.serving, self.aws)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a user may say of an endpoint."""

    role: str
    model: str | None = None
    """Left out: the winner."""
    name: str | None = None
    instance_type: str | None = None
    """None for serverless."""
    out: str | None = None
    """Where the archive goes; left out, into the run folder if that is in a bucket."""


def deployment(run_dir: str, choice: Choice, aws: Aws) -> Deployment:
    """Find the model and say where it will be served; make nothing.

    Raises:
        UserError: no such model, or no bucket for its archive.
    """
    folder = RunFolder.at(run_dir)
    found = winner(folder, choice.model)
    name = choice.name or endpoint_name(found)
    serving = Serving(
        name=name,
        role=choice.role,
        archive=f"{_bucket_place(folder, choice.out)}/endpoints/{name}/{ARCHIVE}",
        image=inference_image(aws.region, choice.instance_type),
        instance_type=choice.instance_type,
    )
    return Deployment(found=found, folder=folder, serving=serving, aws=aws)


def _bucket_place(folder: RunFolder, out: str | None) -> str:
    place = (out or folder.uri).rstrip("/")
    if not place.startswith("s3://"):
        raise UserError(
            f"SageMaker loads a model from a bucket, and {place} is none. Give --out "
            "s3://BUCKET/PREFIX for its archive."
        )
    return place


def endpoint_name(found: Winner) -> str:
    """Return a name that SageMaker takes: letters, digits and dashes."""
    name = re.sub("[^A-Za-z0-9]+", "-", f"{PREFIX}{found.experiment.name}-{found.model}")
    return name[:MOST_NAME].strip("-")


def pack(folder: RunFolder, found: Winner) -> bytes:
    """Return the model as the archive that the container unpacks: all files at its top.

    Raises:
        UserError: the model pools in a way that is no part of the library's own classes.
    """
    with TemporaryDirectory() as place:
        lay_out(folder, found, Path(place))
        config = json.loads((Path(place) / "config.json").read_text(encoding="utf-8"))
        how = config.get(POOLED_BY)
        if not is_plain(config["model_type"], how):
            raise UserError(
                f"{found.model} was trained with pooling: {how}, which the inference "
                "container does not compute: its answers would be wrong. Serve it with code of "
                "your own around raycompare.load_model, or deploy a model without it."
            )
        packing = BytesIO()
        with tarfile.open(fileobj=packing, mode="w:gz") as archive:
            for path in sorted(Path(place).iterdir()):
                archive.add(path, path.name)
        return packing.getvalue()
