"""Local and remote filesystems: opening them, writing atomically, and retrying after outages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from time import monotonic, sleep
from typing import ParamSpec, TypeVar
from uuid import uuid4

from pyarrow import fs

from raycompare.uris import require_bucket, require_no_credentials

PATIENCE_S = 120.0
"""Longest outage that is waited out. Ray considers a node lost if it is cut off for longer."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0
OUTAGES = (
    *("NETWORK_CONNECTION", "curlCode", "REQUEST_TIMEOUT", "SLOW_DOWN"),
    *("SERVICE_UNAVAILABLE", "INTERNAL_FAILURE", "THROTTLING", "HTTP status 5"),
)
"""Parts of the messages of pyarrow's filesystems for requests that may succeed later."""

P = ParamSpec("P")
R = TypeVar("R")


def absolute(place: str | Path) -> str:
    """Make a path absolute; a URI is returned unchanged."""
    text = str(place)
    return text if "://" in text else str(Path(text).expanduser().absolute())


def open_filesystem(place: str | Path) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a path or URI, and the path on it.

    Raises:
        UserError: the URI has credentials in it, or names no bucket.
    """
    require_no_credentials(str(place))
    require_bucket(str(place))
    filesystem, path = fs.FileSystem.from_uri(absolute(place))
    return filesystem, path


@contextmanager
def write_atomically(filesystem: fs.FileSystem, path: str) -> Iterator[str]:
    """Yield the path of a temporary file; move it to `path`, or remove it after an error."""
    parent, _, base = path.rpartition("/")
    temporary = f"{parent}/.{base}.{uuid4().hex[:8]}.tmp"  # other runs may write the same file
    filesystem.create_dir(parent, recursive=True)
    try:
        yield temporary
        filesystem.move(temporary, path)
    except BaseException:
        if filesystem.get_file_info(temporary).is_file:
            filesystem.delete_file(temporary)
        raise


def is_outage(error: BaseException) -> bool:
    """Return whether the request may succeed later, unlike a refused one or one on a full disk.

    Errors of local filesystems have an errno and are never outages.
    """
    is_remote = isinstance(error, OSError) and error.errno is None
    return is_remote and any(words in str(error) for words in OUTAGES)


def outlast(function: Callable[[], R], may_pass: Callable[[Exception], bool]) -> R:
    """Call an idempotent function again while its error may pass, for up to `PATIENCE_S`."""
    until, pause = monotonic() + PATIENCE_S, FIRST_PAUSE_S
    while True:
        try:
            return function()
        except Exception as error:
            if not may_pass(error) or monotonic() + pause > until:
                raise
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def retry_outages(function: Callable[P, R]) -> Callable[P, R]:
    """Retry an idempotent call during an outage, for up to `PATIENCE_S`."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return outlast(partial(function, *args, **kwargs), is_outage)

    return call
