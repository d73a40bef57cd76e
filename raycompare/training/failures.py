"""Classifies the errors of trials: whether computing less, a new process or time may help."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator

import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from raycompare.errors import summarize
from raycompare.models.loading import WeightsError
from raycompare.records.messages import TrialFailure
from raycompare.records.storage import is_outage

NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc"),
    *("status_alloc_failed", "allocation_failed", "unable to allocate"),
    "cublas_status_not_initialized when calling `cublascreate",
)
"""Lower-case messages of PyTorch and its libraries when memory of any kind of device runs out."""
BROKEN_CONTEXT = (
    *("CUDA error", "HIP error", "NCCL error", "CUBLAS_STATUS", "CUDNN_STATUS", "HIPBLAS_STATUS"),
    *("device-side assert", "illegal memory access", "unspecified launch failure"),
    *("uncorrectable ECC error", "launch timed out"),
)
"""Parts of messages after which a process can't use its GPU any more, unless memory ran out."""
PASSING_CODES = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes of servers that may answer later."""
PASSING_ERRNOS = (
    *(errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.EHOSTUNREACH, errno.EIO, errno.ENETDOWN, errno.ENETUNREACH, errno.EPIPE),
    *(errno.ESTALE, errno.ETIMEDOUT),
)
"""Errors of sockets and of network filesystems."""
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


def breaks_process(error: BaseException) -> bool:
    """Return whether the GPU's context is broken, so that every later call in it would fail."""
    return not is_out_of_memory(error) and any(
        isinstance(cause, torch.AcceleratorError)
        or any(words in str(cause) for words in BROKEN_CONTEXT)
        for cause in chain(error)
    )


def may_pass(error: BaseException) -> bool:
    """Return whether a hub, a network or a shared filesystem failed and may soon work again."""
    return any(
        isinstance(cause, ConnectionError | TimeoutError | LocalEntryNotFoundError)
        or _status_code(cause) in PASSING_CODES
        or (isinstance(cause, OSError) and cause.errno in PASSING_ERRNOS)
        or is_outage(cause)
        for cause in chain(error)
    ) and not any(isinstance(cause, OfflineModeIsEnabled) for cause in chain(error))


def _status_code(error: BaseException) -> int | None:
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None


def failure_of(error: BaseException) -> TrialFailure:
    """Describe an error that ended a trial."""
    return TrialFailure(
        cause=summarize(error),
        error="".join(traceback.format_exception(error)),
        disk_full=is_disk_full(error),
        wrong_weights=isinstance(error, WeightsError),
    )


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
