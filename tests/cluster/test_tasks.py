from __future__ import annotations

from ray.exceptions import RayTaskError, WorkerCrashedError

from raycompare.cluster.tasks import describe_failure


def test_an_error_of_a_task_is_described_by_its_cause_and_its_plain_traceback() -> None:
    error = RayTaskError("fit", "\x1b[36mray::fit()\x1b[39m\nTraceback", ValueError("bad\nmore"))
    failure = describe_failure(error)
    assert failure.cause == "ValueError: bad"
    assert failure.error == "ray::fit()\nTraceback"


def test_a_lost_worker_is_its_own_cause() -> None:
    failure = describe_failure(WorkerCrashedError())
    assert failure.cause.startswith("WorkerCrashedError: ")
    assert failure.cause.endswith(failure.error.splitlines()[0])
