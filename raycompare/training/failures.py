"""Classifies the errors of trials: out of memory, disk full, or others."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator

import torch

from raycompare.errors import summarize
from raycompare.records.messages import TrialFailure

NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc"),
    *("status_alloc_failed", "allocation_failed", "unable to allocate"),
    "cublas_status_not_initialized when calling `cublascreate",
)
"""Lower-case messages of PyTorch and its libraries when memory of any kind of device runs out."""
NO_SPACE = ("No space left on device", "PytorchStreamWriter failed", "file write failed")
"""Messages of safetensors (Rust) and PyTorch (C++) instead of an `OSError`."""


class OneTextTooLargeError(Exception):
    """A single text can't be evaluated; training with fewer texts at once would not help."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether computing fewer texts at once may help."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return any(words in message for words in NO_MEMORY)


def is_disk_full(error: BaseException) -> bool:
    """Return whether a full disk caused the error."""
    return any(
        (isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT))
        or any(words in str(cause) for words in NO_SPACE)
        for cause in chain(error)
    )


def failure_of(error: BaseException) -> TrialFailure:
    """Describe an error that ended a trial."""
    return TrialFailure(
        cause=summarize(error),
        error="".join(traceback.format_exception(error)),
        disk_full=is_disk_full(error),
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
