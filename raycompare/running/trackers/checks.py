"""Checks that the trackers of an experiment can start: packages, storage and login."""

from __future__ import annotations

import os
from collections.abc import Iterator

from requests.utils import get_netrc_auth

from raycompare.errors import Problem
from raycompare.experiment.spec import Experiment
from raycompare.uris import ALLOWED, has_credentials, hide_credentials

WANDB_SERVER = "https://api.wandb.ai"
UNSENT = ("offline", "dryrun", "disabled")
"""Values of WANDB_MODE that send nothing."""


def tracker_problems(experiment: Experiment, out: str) -> Iterator[Problem]:
    """Find trackers that can't start; `out` is the parent of run folders."""
    if "mlflow" in experiment.trackers:
        yield from _mlflow_problems(out)
    if "wandb" in experiment.trackers:
        yield from _wandb_problems()


def _mlflow_problems(out: str) -> Iterator[Problem]:
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if has_credentials(server):
        yield Problem(
            where="trackers",
            found=f"mlflow with MLFLOW_TRACKING_URI={hide_credentials(server)}",
            allowed=ALLOWED,
            hint="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if server or "://" not in out:
        return
    yield Problem(
        where="trackers",
        found=f"mlflow without MLFLOW_TRACKING_URI, and run folders at {hide_credentials(out)}",
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
