"""Turns errors of AWS and of the places that a command names into one line.

Other errors of libraries keep their traceback, because a message couldn't say what to do.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from raycompare.uris import hide_credentials

LONGEST = 500
ANYWHERE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)
"""Errors of disks and permissions, which are about this machine whichever file they name."""
PLACE_VARIABLES = ("RAYCOMPARE_OUT",)


@dataclass(frozen=True)
class Explanation:
    """The last line of a command, and its exit code."""

    message: str
    code: int = 2


def named_places(arguments: Sequence[str]) -> set[str]:
    """Return the paths, URIs and buckets on a command line, as errors may name them."""
    words = [*arguments, *(os.environ.get(name, "") for name in PLACE_VARIABLES)]
    values = {word.partition("=")[2] if word.startswith("--") else word for word in words}
    values |= {word.partition("=")[2] for word in values if "=" in word}
    places = {value for value in values if value and not value.startswith("-")}
    buckets = {match[1] for value in places if (match := re.match(r"\w+://([^/]+)", value))}
    paths = {str(Path(place).expanduser().absolute()) for place in places if "\0" not in place}
    return {place for place in places if "/" in place} | paths | buckets


def explain(error: BaseException, places: Collection[str]) -> Explanation | None:
    """Return the message for an error that the user can do something about, or None."""
    if "botocore" in sys.modules:
        from raycompare.sagemaker.aws import explain_aws

        message = explain_aws(error)
        if message:
            return Explanation(message)
    return _explain_place(error, places) if _is_of_storage(error) else None


def _is_of_storage(error: BaseException) -> bool:
    import pyarrow as pa

    return isinstance(error, OSError | pa.ArrowException)


def _explain_place(error: BaseException, places: Collection[str]) -> Explanation | None:
    from raycompare.records.storage import is_outage

    text = " ".join(str(error).split())
    number = error.errno if isinstance(error, OSError) else None
    names = [str(name) for name in (getattr(error, "filename", None), text) if name]
    # An error of a bucket has no errno, and its text may name only the service.
    is_remote = number is None and "AWS Error" in text
    if not is_remote and number not in ANYWHERE and not _mentions(names, places):
        return None
    if is_outage(error):
        return Explanation(f"{shorten(text)}. The service can't be reached; try again.", 1)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return Explanation(f"no space is left: {shorten(text)}", 1)
    return Explanation(f"{shorten(text)}. {_advice(is_remote)}")


def _mentions(texts: Sequence[str], places: Collection[str]) -> bool:
    return any(place in text for text in texts for place in places)


def _advice(is_remote: bool) -> str:
    if is_remote:
        return (
            "Check the name of the bucket, its region and your credentials: "
            "`aws s3 ls s3://BUCKET` should work."
        )
    return "Name a path or URI that exists and that you may read or write."


def shorten(text: str) -> str:
    """Return a text without credentials, cut if it is very long."""
    text = hide_credentials(text).rstrip(".")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
