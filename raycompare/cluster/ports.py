"""Who can reach Ray on this machine: the address of its ports, and the file of their token."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, a Ray that is started here listens on the loopback interface only, as it does by default
on macOS and Windows. Otherwise its ports are open to the network; those for metrics need no token.
"""
OWN_TOKEN = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables with which the user names another token than that of the file."""
TOKEN_BYTES = 32


@contextmanager
def only_loopback() -> Iterator[None]:
    """Have a Ray that is started here listen on the loopback interface only."""
    from ray._private import ray_constants

    before = os.environ.get(LOOPBACK), ray_constants.ENABLE_RAY_CLUSTER
    if before[0] is not None:  # the user has decided
        yield
        return
    os.environ[LOOPBACK], ray_constants.ENABLE_RAY_CLUSTER = "0", False  # read when Ray is imported
    try:
        yield
    finally:
        del os.environ[LOOPBACK]
        ray_constants.ENABLE_RAY_CLUSTER = before[1]


def token_file() -> Path:
    """Return the file in which Ray keeps its token."""
    return Path.home() / ".ray" / "auth_token"


def keep_token_private(create: bool) -> None:
    """Make the token readable by its owner alone; Ray would write it readable by everybody.

    With `create`, a token is written if there is none, as Ray does when it is started here.
    """
    place = token_file()
    if place.is_file():
        others = stat.S_IMODE(place.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        if others and place.stat().st_uid == os.getuid():
            place.chmod(stat.S_IRUSR | stat.S_IWUSR)
    elif create and not any(os.environ.get(name) for name in OWN_TOKEN):
        place.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(place, flags, stat.S_IRUSR | stat.S_IWUSR), "w") as file:
            file.write(secrets.token_hex(TOKEN_BYTES))
