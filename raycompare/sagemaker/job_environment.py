"""The files from which a training job's instances read their task and their neighbours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

EXPERIMENT_FILE, JOB_FILE = "experiment.yaml", "job.json"
"""Names in the source folder, in which the job starts."""
HEAD_GROUP = "head"
"""Instance group of the extra head node, if there is one."""
MOST_FAILURE = 1024
"""Maximum length of FailureReason (SageMaker API reference)."""


@dataclass(frozen=True)
class JobFolders:
    """The folders that SageMaker shares with a container."""

    root: Path = Path("/opt/ml")

    @property
    def resources(self) -> Path:
        """File in which SageMaker lists the instances."""
        return self.root / "input/config/resourceconfig.json"

    @property
    def failure(self) -> Path:
        """File whose text SageMaker shows as FailureReason."""
        return self.root / "output/failure"

    @property
    def model(self) -> Path:
        """Folder that SageMaker packs into model.tar.gz."""
        return self.root / "model"

    def fail(self, reason: str) -> None:
        """Record why the job failed, unless an earlier cause was recorded."""
        if not self.failure.exists():
            self.failure.parent.mkdir(parents=True, exist_ok=True)
            self.failure.write_text(shorten(reason), encoding="utf-8")


def shorten(reason: str) -> str:
    """Truncate a text to the length that SageMaker shows, at the end of a line if possible."""
    if len(reason) <= MOST_FAILURE:
        return reason
    more = "\n[more in the log]"
    kept = reason[: MOST_FAILURE - len(more)]
    return (kept.rpartition("\n")[0] or kept) + more


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings of the job that are not part of the experiment."""

    run_dir: str
    """URI of the run folder; the job continues with its contents."""
    token: str
    """Token with which the nodes of the cluster authenticate."""
    join_seconds: float = 600.0
    """How long instances may take to join, in seconds."""

    def write(self, folder: Path) -> None:
        """Write the settings to the source folder."""
        (folder / JOB_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the settings from the source folder."""
        return cls(**json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Instances:
    """The instances of a job, in natural order: algo-2 before algo-10."""

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
        """Parse the content of a resourceconfig.json."""
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
        """Read the file that SageMaker wrote."""
        return cls.of(json.loads(place.resources.read_text(encoding="utf-8")))


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Return a key that sorts numbers in names by their value."""
    return tuple((word, int(digits or -1)) for word, digits in re.findall(r"(\D*)(\d*)", name))
