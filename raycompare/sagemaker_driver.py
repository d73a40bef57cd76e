"""The comparison on the head of a training job: `raycompare run`, and the reason where it fails.

The run folder is given by the job, so that a job that SageMaker starts again after a spot
interruption, and one that is submitted with --resume, go on with what is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from raycompare.backends.sagemaker_cluster import await_instances
from raycompare.backends.sagemaker_job import EXPERIMENT_FILE, Instances, Job
from raycompare.backends.sagemaker_job import Place as Container
from raycompare.display import Display
from raycompare.errors import RaycompareError, RunInterruptedError, UserError
from raycompare.experiment_file import read_draft
from raycompare.results import RunFolder
from raycompare.run import Place, run
from raycompare.winner import lay_out, winner

INTERRUPTED = 143


def drive(job: Job, instances: Instances, container: Container, display: Display) -> RunFolder:
    """Run the experiment on all instances, and leave the winner as the job's model.

    Raises:
        RaycompareError: as `run`, or some instances have not joined.
    """
    await_instances(instances.hosts, job.join_seconds)
    display.say(f"{len(instances.hosts)} instances are one cluster: {', '.join(instances.hosts)}")
    folder = run(read_draft(Path(EXPERIMENT_FILE)), Place(resume=job.run_dir), display)
    found = winner(folder)
    lay_out(folder, found, container.model)
    display.say(f"the model of this job is {found.model}, trial {found.trial_id}")
    return folder


def main(container: Container | None = None) -> int:
    """Do so in a container; return the exit code."""
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
