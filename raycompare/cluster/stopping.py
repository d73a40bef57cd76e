"""Ends a run in good order within `LONGEST_S` after a signal to stop.

`timeout`, Slurm, systemd and a closed terminal send their signal to Ray's processes too. Then every
call into Ray hangs for a minute, until Ray aborts the driver, and Python's signal handlers do not
run, because they belong to the main thread. Therefore a separate thread learns of the signal,
stores the records at once, and ends the process if the main thread does not.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread, current_thread, main_thread

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 4.0
"""How long the main thread has to leave the run by itself."""
LONGEST_S = 8.0
"""When the process is ended after the signal; later only while the report is being written."""
EXIT_CODE = 1


@dataclass
class LastActs:
    """What is done before the process of a run is ended."""

    save: Callable[[], object]
    """Stores the records; called at once, while the main thread continues."""
    report: Callable[[], None]
    """Writes the partial report."""
    tell: Callable[[], None]
    """Prints how to continue."""
    _lock: Lock = field(default_factory=Lock)
    _has_reported: bool = False

    def report_once(self) -> None:
        """Write the report unless another thread has; wait if one is writing it."""
        with self._lock:
            if not self._has_reported:
                self.report()
            self._has_reported = True


@contextmanager
def ending_on_signals(acts: LastActs) -> Iterator[None]:
    """End the process if the context lasts longer than `LONGEST_S` after a signal.

    Does nothing outside of the main thread, which gets no signals.
    """
    if current_thread() is not main_thread():
        yield
        return
    ours, written = socket.socketpair()
    written.setblocking(False)
    left = Event()
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    Thread(target=_watch, args=(ours, acts, left), name="signals", daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(before)
        written.close()  # ends the thread


def _watch(signals: socket.socket, acts: LastActs, left: Event) -> None:
    while numbers := signals.recv(1):
        if numbers[0] in STOPPING and not left.is_set():
            _end(acts, left)
    signals.close()


def _end(acts: LastActs, left: Event) -> None:
    acts.save()
    if left.wait(GRACE_S):
        return
    acts.report_once()
    if left.wait(LONGEST_S - GRACE_S):
        return
    acts.tell()
    sys.stdout.flush()
    os._exit(EXIT_CODE)


def interrupt_on_signals() -> Callable[[], None]:
    """Let SIGTERM and SIGHUP interrupt the main thread as Ctrl-C does; return how to undo it.

    A process that ignores SIGHUP, such as one under `nohup`, goes on ignoring it.
    """
    if current_thread() is not main_thread():
        return lambda: None
    numbers = [n for n in STOPPING[1:] if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in numbers}

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    return undo


def _interrupt(number: int, frame: object) -> None:
    """Call the current handler of Ctrl-C, which may be Tune's; background jobs ignore SIGINT."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)  # type: ignore[arg-type]
