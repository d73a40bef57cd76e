"""Runs the comparison on the head of a training job, and records the reason if it fails.

The job names the run folder, so a job that SageMaker restarts after a spot interruption, or that is
submitted with --resume, continues with its contents.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from time import monotonic, sleep

from raycompare.errors import RaycompareError, RunError, RunInterruptedError, UserError
from raycompare.experiment.file import read_draft
from raycompare.records.run_folder import RunFolder
from raycompare.running.display import Display
from raycompare.running.run import RunOptions, run
from raycompare.sagemaker.job_environment import EXPERIMENT_FILE, Instances, Job
from raycompare.sagemaker.job_environment import JobFolders as Container
from raycompare.serving.winner import lay_out, winner


def await_instances(hosts: Sequence[str], seconds: float) -> None:
    """Wait until every instance is a node of the cluster at RAY_ADDRESS.

    Raises:
        RunError: some have not joined after `seconds`; the message names them.
    """
    import ray

    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    try:
        until = monotonic() + seconds
        while missing := missing_of(hosts, _addresses()):
            if monotonic() > until:
                raise RunError(not_joined(hosts, missing, seconds))
            sleep(1)
    finally:
        ray.shutdown()


def _addresses() -> set[str]:
    import ray

    return {str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}


def missing_of(hosts: Sequence[str], joined: Collection[str]) -> list[str]:
    """Return the instances whose address is not among the joined ones."""
    return [host for host in hosts if _address(host) not in joined]


def _address(host: str) -> str | None:
    try:
        return socket.gethostbyname(host)
    except OSError:
        return None


def not_joined(hosts: Sequence[str], missing: Sequence[str], seconds: float) -> str:
    """Describe which instances have not joined, and the likely cause."""
    return (
        f"{len(hosts) - len(missing)} of {len(hosts)} instances joined within {seconds:g} s; "
        f"{', '.join(missing)} did not. See the log streams of these instances. In a VPC, the "
        "security group must open all ports between its members."
    )


INTERRUPTED = 143


def drive(job: Job, instances: Instances, container: Container, display: Display) -> RunFolder:
    """Run the experiment on all instances, and leave the winner as the job's model.

    Raises:
        RaycompareError: some instances have not joined, or an error of `run`.
    """
    await_instances(instances.hosts, job.join_seconds)
    display.say(f"{len(instances.hosts)} instances joined: {', '.join(instances.hosts)}")
    folder = run(
        read_draft(Path(EXPERIMENT_FILE)),
        RunOptions(resume=job.run_dir, exit_on_signals=True),
        display,
    )
    found = winner(folder)
    lay_out(folder, found, container.model)
    display.say(f"the model of this job is {found.model}, trial {found.trial_id}")
    return folder


def main(container: Container | None = None) -> int:
    """Run the comparison in a container; return the exit code."""
    container, display = container or Container(), Display()
    try:
        drive(Job.read(Path.cwd()), Instances.read(container), container, display)
    except RunInterruptedError as error:
        display.say(str(error))
        return INTERRUPTED
    except RaycompareError as error:
        display.say(str(error))
        container.fail(str(error))
        return 2 if isinstance(error, UserError) else 1
    except Exception as error:
        container.fail(f"{type(error).__name__}: {error}")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
