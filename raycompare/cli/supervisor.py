"""Runs a long command in a process of a separate session, and has the last word if that one dies.

Signals to a process group, from `timeout`, a shell or a closed terminal, would also reach Ray's
processes, and Ray ends a driver at once when they are gone. In another session, only the driver
gets a signal, from here, and can leave records and a report. Slurm and systemd send theirs to all
processes; then this one writes the report from the records.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raycompare.cli.console import warn

SUPERVISED = ("run", "extend")
"""Commands that start Ray."""
PIPE = "RAYCOMPARE_SUPERVISOR_FD"
"""Environment variable with the file descriptor by which the driver reports to its supervisor."""
SIGNALLED = 128
"""Shells report 128 + n for a process that signal n has ended."""
FOLDER, TOLD = "folder ", "told"
PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl(2): the signal that a process gets when its parent dies."""


def needs_supervisor(arguments: Sequence[str]) -> bool:
    """Return whether a command starts Ray in this process and has no supervisor yet."""
    is_long = arguments[:1] and arguments[0] in SUPERVISED and not {"--help", "-h"} & {*arguments}
    return bool(is_long) and os.name == "posix" and PIPE not in os.environ


def supervise(arguments: Sequence[str]) -> int:
    """Run the command in another session, forward signals to it, and return its exit code."""
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, *_safe_path(), "-m", "raycompare", *arguments],
        env={**os.environ, PIPE: str(writing)},
        pass_fds=[writing],
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - starts no thread
    ) as driver:
        os.close(writing)
        with _forward_signals(driver):
            code = driver.wait()
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    folder = next((line[len(FOLDER) :] for line in lines if line.startswith(FOLDER)), None)
    if folder and TOLD not in lines:
        _tell(folder)
    return code if code >= 0 else SIGNALLED - code


def _safe_path() -> list[str]:
    """Keep the current directory out of the module path, unless it is in it here."""
    return [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _forward_signals(driver: subprocess.Popen[bytes]) -> Iterator[None]:
    def forward(number: int, _: object) -> None:
        driver.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, forward) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(place: str) -> None:
    """Write the report that the driver could not write, and how to continue."""
    from raycompare.records.layout import MANIFEST
    from raycompare.records.run_folder import RunFolder, end_hint
    from raycompare.report.write import write_report

    folder, has_finished = RunFolder.at(place), False
    if folder.exists(MANIFEST):
        has_finished = folder.read_manifest().complete
        write_report(folder)
    warn(end_hint(folder, has_finished=has_finished))


@dataclass(frozen=True)
class Supervisor:
    """The supervisor, as seen by the driver."""

    pipe: int | None

    @classmethod
    def of_this_process(cls) -> Supervisor:
        """Return the supervisor; processes that this one starts do not have one."""
        number = os.environ.pop(PIPE, None)
        if number is None:
            return cls(None)
        os.set_inheritable(int(number), False)
        return cls(int(number))

    def begin(self, folder: str) -> None:
        """Report where the run is."""
        self._write(f"{FOLDER}{folder}")

    def end(self) -> None:
        """Report that the driver itself has told how the run ended."""
        self._write(TOLD)

    def _write(self, line: str) -> None:
        if self.pipe is not None:
            os.write(self.pipe, f"{line}\n".encode())
