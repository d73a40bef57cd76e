"""Whether something can be served at an address of this machine."""

from __future__ import annotations

import errno
import socket

from raycompare.errors import UserError


def require_port(host: str, port: int) -> None:
    """Raise if nothing can be served there.

    Raises:
        UserError: the port is taken, or the address is not one of this machine.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            where = "--port" if taken else "--host"
            why = "which another program listens on" if taken else f"which fails: {error.strerror}"
            raise UserError(
                f"{where}: found {host}:{port}, {why}. Allowed: a free port and an address of this "
                "machine, such as 127.0.0.1."
            ) from error
