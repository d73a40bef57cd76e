"""What a training job is told, and what SageMaker tells each of its instances."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

EXPERIMENT_FILE, JOB_FILE = "experiment.yaml", "job.json"
"""In the folder of the source, where the job starts."""
HEAD_GROUP = "head"
"""The instance group of the machine that only drives, where there is one."""
MOST_FAILURE = 1024
"""Characters of FailureReason that SageMaker keeps of the file (its API reference)."""


@dataclass(frozen=True)
class JobFolders:
    """The folder that SageMaker shares with a container."""

    root: Path = Path("/opt/ml")

    @property
    def resources(self) -> Path:
        """Which instances there are; SageMaker writes it."""
        return self.root / "input/config/resourceconfig.json"

    @property
    def failure(self) -> Path:
        """Why the job has failed; SageMaker shows it as FailureReason."""
        return self.root / "output/failure"

    @property
    def model(self) -> Path:
        """What SageMaker packs into model.tar.gz."""
        return self.root / "model"

    def fail(self, reason: str) -> None:
        """Say why the job has failed, unless a cause was given before."""
        if not self.failure.exists():
            self.failure.parent.mkdir(parents=True, exist_ok=True)
            self.failure.write_text(shorten(reason), encoding="utf-8")


def shorten(reason: str) -> str:
    """Cut a text to what SageMaker shows of it, at the end of a line where there is one."""
    if len(reason) <= MOST_FAILURE:
        return reason
    more = "\n[more in the log]"
    kept = reason[: MOST_FAILURE - len(more)]
    return (kept.rpartition("\n")[0] or kept) + more


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the instances have to know beside the experiment."""

    run_dir: str
    """The URI of the run folder; the job goes on with what is there."""
    token: str
    """What the nodes of the cluster ask each other for."""
    join_seconds: float = 600.0
    """How long the instances may take to find each other."""

    def write(self, folder: Path) -> None:
        """Write it beside the experiment."""
        (folder / JOB_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from the folder of the source."""
        return cls(**json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Instances:
    """The instances of a job, in their natural order: algo-2 before algo-10."""

    me: str
    hosts: tuple[str, ...]
    head: str
    head_only_drives: bool = False
    """Whether no trial runs on the head."""

    @property
    def is_head(self) -> bool:
        """Whether this instance is the head."""
        return self.me == self.head

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Understand a resourceconfig.json."""
        hosts = tuple(sorted(config["hosts"], key=natural))
        groups = {
            group["instance_group_name"]: sorted(group["hosts"], key=natural)
            for group in config.get("instance_groups") or ()
        }
        alone = groups.get(HEAD_GROUP)
        return cls(
            me=config["current_host"],
            hosts=hosts,
            head=alone[0] if alone else hosts[0],
            head_only_drives=alone is not None and len(hosts) > 1,
        )

    @classmethod
    def read(cls, place: JobFolders) -> Self:
        """Read what SageMaker says."""
        return cls.of(json.loads(place.resources.read_text(encoding="utf-8")))


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Return a key that sorts numbers in names by their value."""
    return tuple((word, int(digits or -1)) for word, digits in re.findall(r"(\D*)(\d*)", name))
