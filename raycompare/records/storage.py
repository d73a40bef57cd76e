"""Local and remote filesystems: opening them, writing atomically, and retrying after outages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from pathlib import Path
from time import monotonic, sleep
from typing import ParamSpec, TypeVar
from uuid import uuid4

from pyarrow import fs

from raycompare.errors import UserError
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
        UserError: the URI has credentials in it, names no bucket, or is not valid.
    """
    require_no_credentials(str(place))
    require_bucket(str(place))
    uri = absolute(place)
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _LOCAL, uri
    if scheme.lower() not in SCHEMES:
        raise UserError(f"{uri}: found {scheme}://, allowed a local path or {SCHEMES_SHOWN}.")
    bucket, _, key = rest.partition("/")
    if scheme == "s3" and re.fullmatch(r"[a-z0-9.-]+/[\w./=+@:~-]*", f"{bucket}/{key}", re.ASCII):
        return _bucket(bucket, _environment()), f"{bucket}/{key}".rstrip("/")
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
    except ValueError as error:
        raise UserError(f"{uri} is not a valid URI: {error}") from error
    return filesystem, path


_LOCAL = fs.LocalFileSystem()
SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")
SCHEMES_SHOWN = "a URI such as s3://bucket/runs, also of gs, abfs, hdfs and file"


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))


@lru_cache(maxsize=16)
def _bucket(name: str, _environment: tuple[tuple[str, str], ...]) -> fs.FileSystem:
    """Open a bucket once per process: finding its region takes a request."""
    return fs.FileSystem.from_uri(f"s3://{name}")[0]


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


def require_parent(option: str, place: str | Path) -> None:
    """Check that a local file or folder can be made; its parents are made if they don't exist.

    Raises:
        UserError: a part of the path is a file, or its folder can't be written to.
    """
    if "://" in (uri := absolute(place)):
        return
    parent = next(folder for folder in Path(uri).parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise UserError(f"{option}: found {place}, but {parent} is not a folder. Name another.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{option}: found {place}, but {parent} can't be written to. Name another.")
