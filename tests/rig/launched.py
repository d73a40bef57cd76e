"""A cluster that Ray's launcher starts on hosts by ssh, from the project's own cluster file."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from tests import ROOT
from tests.rig.bucket import ENVIRONMENT, Bucket
from tests.rig.hosts import Host, do
from tests.rig.ssh import KEY

SHIPPED = ROOT / "cluster.local.yaml"
PROJECT = "/root/project"
"""Where the user, at the client, has the project."""
SUBMIT_S = 800.0
PRIVATE = {"RAY_USAGE_STATS_ENABLED": "0"}
PLAIN = {"TTY_COMPATIBLE": "0"}
"""Keeps rich from drawing a table four times a second, since nobody watches."""


def cluster_file(head: str, workers: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return cluster.local.yaml with these addresses, the rig's user and key, and this Python.

    The environment that the file would make by pip is this one, which the hosts see; there is no
    index of packages in their network.
    """
    content = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    content["provider"] |= {"head_ip": head, "worker_ips": list(workers)}
    content["auth"] = {"ssh_user": "root", "ssh_private_key": KEY}
    commands = content["setup_commands"]
    kept = [command for command in commands if "~/venv/bin/pip" not in command]
    assert len(kept) == len(commands) - 2, "one command makes the environment, one fills it"
    extra = " ".join(f"{key}={value}" for key, value in environment.items())
    profile = _changed(
        kept[0],
        {
            "$HOME/venv/bin": f"{sys.prefix}/bin",
            "RAYCOMPARE_OUT=s3://my-bucket/raycompare": f"PYTHONPATH=$HOME/raycompare {extra}",
        },
    )
    content["setup_commands"] = [profile, *kept[1:]]
    return yaml.safe_dump(content, sort_keys=False)


def _changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old} is not in {text}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Launched:
    """A cluster, as seen from the machine of a user."""

    client: Host
    bucket: Bucket

    def _ray(self, *words: str) -> list[str]:
        settings = {"PATH": f"{sys.prefix}/bin:$PATH", "PYTHONPATH": PROJECT, **PRIVATE}
        exports = " ".join(f"{key}={value}" for key, value in {**settings, **ENVIRONMENT}.items())
        return self.client.words(f"cd {PROJECT} && export {exports} && {shlex.join(words)} 2>&1")

    def send_project(self) -> None:
        """Put the project where the user has it, without what git ignores."""
        filters = "--exclude .git --filter 'dir-merge,- .gitignore'"
        self.client.run(f"rsync -a {filters} {ROOT}/ {PROJECT}/")

    def up(self, head: Host, workers: Sequence[Host]) -> None:
        """Start the cluster with `ray up`."""
        settings = {
            "RAYCOMPARE_OUT": self.bucket.uri,
            "HF_HUB_OFFLINE": "1",
            **PLAIN,
            **ENVIRONMENT,
        }
        text = cluster_file(head.address, [host.address for host in workers], settings)
        self.client.write(f"{PROJECT}/cluster.local.yaml", text)
        self.run("ray", "up", "--yes", "--no-config-cache", "cluster.local.yaml")

    def run(self, *words: str, seconds: float = 180) -> str:
        """Run a command at the client, in the project; return what it said.

        Raises:
            AssertionError: it failed.
        """
        return do(*self._ray(*words), timeout=seconds, stdin=subprocess.DEVNULL)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the job with `ray submit`."""
        words = ["ray", "submit", "cluster.local.yaml", "jobs/compare.py", "--", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self._ray(*words), stdin=subprocess.DEVNULL, text=True, **pipes)  # type: ignore[call-overload,no-any-return]

    def submit(self, *arguments: str, seconds: float = SUBMIT_S) -> tuple[int, str]:
        """Run the job to its end; return the exit code of `ray submit` and what was said."""
        with self.start(*arguments) as job:
            try:
                said, _ = job.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                job.kill()
                raise AssertionError(
                    f"not done in {seconds:g} s:\n{job.communicate()[0]}"
                ) from None
        return job.returncode, said
