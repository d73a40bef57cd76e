"""A process that is told to stop ends, even if its main thread does not answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from time import sleep

import pytest

from raycompare.cluster.stopping import LastActs, ending_on_signals
from tests.signals import hear_ctrl_c

SCRIPT = """
import ctypes, sys
from raycompare.cluster import stopping
stopping.GRACE_S, stopping.LONGEST_S = 0.2, 0.4
acts = stopping.LastActs(*(lambda word=word: print(word) for word in ("saved", "report", "hint")))

def hang():
    mutex = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    print("ready", flush=True)
    ctypes.CDLL(None).pthread_mutex_lock(mutex)  # for ever, and no signal ends it

def leave():
    import time
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        acts.report_once()

undo = stopping.interrupt_on_signals()
with stopping.ending_on_signals(acts):
    {what}()
print("left")
"""


def said_after(number: int, what: str) -> tuple[str, int]:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT).replace("{what}", what)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - starts no thread
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        sleep(0.5)  # until it hangs
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    return said, process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_main_thread_that_hangs_is_not_waited_for(number: int) -> None:
    assert said_after(number, "hang") == ("saved\nreport\nhint\n", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_main_thread_that_leaves_by_itself_does_the_rest(number: int) -> None:
    said, code = said_after(number, "leave")
    assert set(said.split()) - {"saved"} == {"left", "report"}
    assert code == 0


def test_the_report_is_written_once() -> None:
    done: list[str] = []
    acts = LastActs(*(lambda word=word: done.append(word) for word in "abc"))  # type: ignore[misc]
    acts.report_once()
    acts.report_once()
    assert done == ["b"]


def test_without_a_signal_nothing_is_done() -> None:
    done: list[str] = []
    acts = LastActs(*(lambda word=word: done.append(word) for word in "abc"))  # type: ignore[misc]
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with ending_on_signals(acts):
        pass
    assert done == []
    assert signal.set_wakeup_fd(before) == before
