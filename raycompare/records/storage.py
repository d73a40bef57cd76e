"""Storage that can't be reached for a while: what is asked of it is asked again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import monotonic, sleep
from typing import ParamSpec, TypeVar

PATIENCE_S = 120.0
"""How long an outage may last. A machine that is cut off for longer is taken for lost by Ray."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0
OUTAGES = (
    *("NETWORK_CONNECTION", "curlCode", "REQUEST_TIMEOUT", "SLOW_DOWN"),
    *("SERVICE_UNAVAILABLE", "INTERNAL_FAILURE", "THROTTLING", "HTTP status 5"),
)
"""What the errors of pyarrow's filesystems say of requests that may be answered later."""

P = ParamSpec("P")
R = TypeVar("R")


def is_outage(error: OSError) -> bool:
    """Say whether the same request may succeed in a while; a refused one or a full disk does not.

    An error of a local filesystem has a number, and is none.
    """
    return error.errno is None and any(words in str(error) for words in OUTAGES)


def outlasting(ask: Callable[P, R]) -> Callable[P, R]:
    """Have a function that may be called again do so, for up to `PATIENCE_S`, in an outage."""

    @wraps(ask)
    def patient(*args: P.args, **kwargs: P.kwargs) -> R:
        until, pause = monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            try:
                return ask(*args, **kwargs)
            except OSError as error:
                if not is_outage(error) or monotonic() + pause > until:
                    raise
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    return patient
