"""Faults of the trial are its record; those of its process or of the world start it again."""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from raycompare.errors import WorkerFaultError
from raycompare.models.pretrained import NoCheckpointError
from raycompare.records import storage
from raycompare.records.messages import TrialFailure
from raycompare.records.storage import outlast
from raycompare.training import trial
from raycompare.training.failures import breaks_process, may_pass
from raycompare.training.task import TrialTask
from raycompare.training.trial import train_trial
from tests.trials import ListSink

BROKEN = (
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("HIP error: invalid device function"),
    RuntimeError("NCCL error in: ProcessGroupNCCL.cpp"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: the launch timed out and was terminated"),
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
)


def answered(code: int) -> Exception:
    request = httpx.Request("GET", "http://hub")
    response = httpx.Response(code, request=request)
    return httpx.HTTPStatusError(f"{code}", request=request, response=response)


def caused_by(cause: Exception) -> Exception:
    """As transformers and `pretrained` wrap what the hub's client raises."""
    error = NoCheckpointError("We couldn't connect to the hub")
    error.__cause__ = OSError("couldn't load")
    error.__cause__.__cause__ = cause
    return error


PASSING = (
    ConnectionError("reset by peer"),
    TimeoutError("timed out"),
    answered(429),
    answered(503),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.EIO, "Input/output error"),
    OSError("When reading: AWS Error NETWORK_CONNECTION during GetObject"),
    caused_by(LocalEntryNotFoundError("no connection and nothing in the cache")),
    caused_by(answered(502)),
)
OF_THE_TRIAL = (
    ValueError("the size of tensor a (2) must match"),
    FileNotFoundError(errno.ENOENT, "no such file"),
    PermissionError(errno.EACCES, "denied"),
    answered(404),
    caused_by(OfflineModeIsEnabled("HF_HUB_OFFLINE is set")),
    OSError(errno.ENOSPC, "No space left on device"),
)


@pytest.mark.parametrize("error", BROKEN, ids=str)
def test_a_broken_context_ends_the_process(error: Exception) -> None:
    assert breaks_process(error)
    assert not may_pass(error)


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_may_pass(error: Exception) -> None:
    assert may_pass(error)
    assert not breaks_process(error)


@pytest.mark.parametrize("error", OF_THE_TRIAL, ids=str)
def test_what_a_restart_would_not_help(error: Exception) -> None:
    assert not may_pass(error)
    assert not breaks_process(error)


def test_memory_that_runs_out_is_not_a_broken_context() -> None:
    assert not breaks_process(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))


def test_a_passing_error_is_outlasted_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(storage, "sleep", pauses.append)
    errors = iter([ConnectionError("once"), answered(503)])

    def flaky() -> str:
        for error in errors:
            raise error
        return "there"

    assert outlast(flaky, may_pass) == "there"
    assert pauses == [1.0, 2.0]

    def wrong() -> str:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        outlast(wrong, may_pass)
    monkeypatch.setattr(storage, "PATIENCE_S", 0.0)
    with pytest.raises(ConnectionError):
        outlast(lambda: (_ for _ in ()).throw(ConnectionError("down")), may_pass)
    assert len(pauses) == 2


@dataclass
class Failing(ListSink):
    """A sink whose storage fails for finalists."""

    error: Exception | None = None

    def save_weights(self, folder: Path) -> None:
        if self.error:
            raise type(self.error)(*self.error.args)  # its traceback would keep the model
        super().save_weights(folder)


@pytest.mark.parametrize("error", [ConnectionError("reset by peer"), BROKEN[0]])
def test_the_trial_is_left_to_another_process(task: TrialTask, error: Exception) -> None:
    sink = Failing(error=error)
    with pytest.raises(WorkerFaultError, match=str(error)):
        train_trial(task, sink)
    assert not any(isinstance(message, TrialFailure) for message in sink.messages)


def test_an_error_of_the_trial_is_its_record_and_the_process_lives_on(task: TrialTask) -> None:
    sink = Failing(error=ValueError("no such label"))
    train_trial(task, sink)
    assert isinstance(sink.messages[-1], TrialFailure)


@pytest.mark.parametrize("error", [None, ValueError("no such label"), ConnectionError("reset")])
def test_a_trial_leaves_no_files_in_its_working_directory(
    task: TrialTask, error: Exception | None
) -> None:
    sink = Failing(error=error)
    with suppress(WorkerFaultError):
        train_trial(task, sink)
    left = [path for path in Path().rglob("*") if path.is_file()]
    assert left == []


def test_a_checkpoint_from_a_bucket_is_removed_too(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []

    def fetched(scratch: Path) -> None:
        places.append(scratch)
        (scratch / "checkpoint").mkdir()
        (scratch / "checkpoint" / "model.safetensors").write_bytes(b"x")

    monkeypatch.setattr(trial, "_train_from", lambda *_: None)
    train_trial(task, SimpleNamespace(checkpoint=fetched))  # type: ignore[arg-type]
    assert places
    assert not places[0].exists()
