"""Checks that the trackers of an experiment can start: packages, storage and login."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from requests.utils import get_netrc_auth

from raycompare.errors import Problem
from raycompare.experiment.spec import Experiment, TrackerName
from raycompare.extras import install_command
from raycompare.records.run_folder import RunFolder

PACKAGES: Mapping[TrackerName, tuple[str, str]] = {
    "tensorboard": ("tensorboardX", "pip install 'ray[tune]'"),
    "mlflow": ("mlflow", install_command("mlflow")),
    "wandb": ("wandb", install_command("wandb")),
}
"""Module of each tracker, and the command that installs it."""

WANDB_SERVER = "https://api.wandb.ai"
UNSENT = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE that send nothing."""


def tracker_problems(experiment: Experiment, out: str) -> Iterator[Problem]:
    """Find trackers that can't start; `out` is the parent of run folders."""
    for name in experiment.trackers:
        module, install = PACKAGES[name]
        if find_spec(module) is None:
            yield Problem(
                where="trackers",
                found=f"{name}, whose package {module} is not installed",
                allowed="trackers whose packages are installed, or [] for none",
                hint=install,
            )
        elif name == "mlflow":
            yield from _mlflow_problems(out)
        elif name == "wandb":
            yield from _wandb_problems()


def _mlflow_problems(out: str) -> Iterator[Problem]:
    if os.environ.get("MLFLOW_TRACKING_URI") or RunFolder.at(out).local_path("mlflow"):
        return
    yield Problem(
        where="trackers",
        found=f"mlflow without MLFLOW_TRACKING_URI, and run folders at {out}",
        allowed="a tracking server, or run folders on a local disk, which get a database",
        hint="set MLFLOW_TRACKING_URI",
    )


def _wandb_problems() -> Iterator[Problem]:
    server = os.environ.get("WANDB_BASE_URL", WANDB_SERVER)
    is_sent = os.environ.get("WANDB_MODE") not in UNSENT
    if is_sent and not os.environ.get("WANDB_API_KEY") and not get_netrc_auth(server):
        yield Problem(
            where="trackers",
            found=f"wandb without a key for {server}",
            allowed="a key in WANDB_API_KEY or .netrc, or WANDB_MODE=offline",
            hint="wandb login",
        )
