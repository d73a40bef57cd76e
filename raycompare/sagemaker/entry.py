"""Entry point on each instance of a training job: starts Ray, and on the head the comparison.

SageMaker's container runs `exec python -m raycompare.sagemaker.entry` in the source folder. Without
`exec`, the SDK's shell would be the first process, and the SIGTERM with which SageMaker ends a job
(120 s before SIGKILL) would not reach this one. This module never imports Ray, because `ray.init`
would replace its signal handler.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

from raycompare.sagemaker.job_environment import Instances, Job, JobFolders

PORT = 6379
END_SECONDS, RAY_STOP_SECONDS = 90.0, 10
"""Seconds for the comparison, and then Ray, to shut down; SageMaker allows 120 s for both."""
LOOK_SECONDS, MISSES = 2.0, 3
"""Interval at which a worker looks for the head, and the number of misses after which it exits."""
SIGNALLED = 128  # shells exit with 128 + the number of the signal
STOPPED = SIGNALLED + signal.SIGTERM
RAY = (sys.executable, "-m", "ray.scripts.scripts")
DRIVER = (sys.executable, "-m", "raycompare.sagemaker.driver")


class JoinError(Exception):
    """This instance can't join the cluster; the message says why."""


class Signals:
    """Handles SIGTERM and passes it on to the running command."""

    def __init__(self) -> None:
        """Install the handler."""
        self.asked_at: float | None = None
        self._child: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.asked_at = self.asked_at or monotonic()
        if self._child:
            self._child.terminate()

    def over(self, seconds: float) -> bool:
        """Return whether SIGTERM arrived more than this many seconds ago."""
        return self.asked_at is not None and monotonic() > self.asked_at + seconds

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run a command to its end; return its exit code, 128 + n for signal n.

        After SIGTERM, the command has `END_SECONDS` before it is killed.
        """
        if self.asked_at:
            return STOPPED
        with subprocess.Popen(command, env=environment) as child:
            self._child = child
            if self.asked_at:  # SIGTERM arrived while the command was starting
                child.terminate()
            while child.poll() is None:
                if self.over(END_SECONDS):
                    child.kill()
                sleep(0.2)
        self._child = None
        return child.returncode if child.returncode >= 0 else SIGNALLED - child.returncode


@dataclass(frozen=True)
class NodeProcess:
    """One instance, and the commands that make it a Ray node."""

    instances: Instances
    job: Job
    place: JobFolders
    signals: Signals
    ray: Sequence[str] = RAY
    driver: Sequence[str] = DRIVER

    def run(self) -> int:
        """Run as head or worker until the comparison is over; return the exit code.

        SageMaker fails a job if any instance exits with a code other than 0. Workers therefore exit
        with 0 when the head is gone, however it ended.
        """
        try:
            return self._head() if self.instances.is_head else self._worker()
        except JoinError as error:
            say(str(error))
            self.place.fail(str(error))
            return 1
        finally:
            self._stop_ray("--grace-period", str(RAY_STOP_SECONDS))

    def _head(self) -> int:
        until = monotonic() + self.job.join_seconds
        address = address_of(self.instances.me, until)
        if not self._start_ray(address, ["--head", f"--port={PORT}", *self._idle()], until):
            return STOPPED
        environment = {
            **self._environment(),
            "RAY_ADDRESS": f"{address}:{PORT}",
            "RAYCOMPARE_METRIC_LINES": "1",
        }
        code = self.signals.run(self.driver, environment)
        if self.signals.asked_at:
            say("stopped; the run folder can be resumed")
            return STOPPED
        if code:
            self.place.fail(failure_of(code))
        return code

    def _idle(self) -> list[str]:
        quiet = ["--include-dashboard=false"]
        return (
            [*quiet, "--num-cpus=0", "--num-gpus=0"] if self.instances.head_only_drives else quiet
        )

    def _worker(self) -> int:
        until = monotonic() + self.job.join_seconds
        head = address_of(self.instances.head, until)
        while not answers(head, PORT):
            if self.signals.asked_at:
                return 0
            if monotonic() > until:
                raise JoinError(
                    f"{self.instances.me}: the head {self.instances.head} did not answer at port "
                    f"{PORT} within {self.job.join_seconds:g} s. Instances in a VPC need a "
                    "security group that opens all ports between its members."
                )
            sleep(1)
        here = address_of(self.instances.me, until)
        if self._start_ray(here, [f"--address={head}:{PORT}"], until):
            self._stay(head)
        return 0

    def _stay(self, head: str) -> None:
        """Run as long as the head, which still needs its workers after SIGTERM."""
        misses = 0
        while misses < MISSES and not self.signals.over(END_SECONDS + RAY_STOP_SECONDS):
            sleep(LOOK_SECONDS)
            misses = 0 if answers(head, PORT) else misses + 1
        say("the head is gone")

    def _start_ray(self, address: str, arguments: Sequence[str], until: float) -> bool:
        """Start Ray's node; return False if the job is being stopped instead."""
        # Ray guesses the address by an external connection, which a subnet may not allow.
        here = [f"--node-ip-address={address}", "--disable-usage-stats"]
        while self.signals.run([*self.ray, "start", *arguments, *here], self._environment()):
            if self.signals.asked_at:
                return False
            if monotonic() > until:
                raise JoinError(
                    f"{self.instances.me}: Ray did not start within {self.job.join_seconds:g} s; "
                    "see the log"
                )
            self._stop_ray("--force")  # remains of this attempt would block the next one
            sleep(LOOK_SECONDS)
        return True

    def _stop_ray(self, *options: str) -> None:
        command, out = [*self.ray, "stop", *options], subprocess.DEVNULL
        subprocess.run(command, check=False, env=self._environment(), stdout=out, stderr=out)

    def _environment(self) -> dict[str, str]:
        return node_environment(os.environ, self.job.token, Path.cwd())


def node_environment(outer: Mapping[str, str], token: str, source: Path) -> dict[str, str]:
    """Return the environment of Ray's processes, and thus of all trials.

    Every port of Ray requires the token. OMP_NUM_THREADS is removed, because Ray sets it to the
    CPUs of a trial.
    """
    kept = {name: value for name, value in outer.items() if name != "OMP_NUM_THREADS"}
    paths = [str(source), *filter(None, [outer.get("PYTHONPATH")])]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def address_of(host: str, until: float) -> str:
    """Return the address of an instance, waiting until its name can be resolved.

    Raises:
        JoinError: the name can't be resolved at `until`, a time of `monotonic`.
    """
    while True:
        try:
            return socket.gethostbyname(host)
        except OSError as error:
            if monotonic() > until:
                raise JoinError(f"the name {host} can't be resolved: {error}") from error
            sleep(1)


def answers(address: str, port: int) -> bool:
    """Return whether a port accepts a connection within 2 s."""
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def failure_of(code: int) -> str:
    """Describe the end of a comparison that recorded no reason."""
    if code == SIGNALLED + signal.SIGKILL:
        return "the comparison was killed (SIGKILL); usually the head ran out of memory"
    if code > SIGNALLED:
        return f"the comparison was ended by signal {code - SIGNALLED}; see the log of the head"
    return f"the comparison exited with code {code}; see the log of the head"


def say(line: str) -> None:
    """Write a line to the log of the instance."""
    stamp = datetime.now(UTC).strftime("%H:%M:%S")
    sys.stdout.write(f"[{stamp}] {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run this instance; return the exit code of its container."""
    place, signals = JobFolders(), Signals()
    try:
        job, instances = Job.read(Path.cwd()), Instances.read(place)
        say(f"{instances.me} of {', '.join(instances.hosts)}; the head is {instances.head}")
        code = NodeProcess(instances, job, place, signals).run()
    except Exception as error:
        place.fail(f"{type(error).__name__}: {error}")
        raise
    say(f"exits with {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
