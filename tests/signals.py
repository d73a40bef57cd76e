"""What tests need to send signals to what they start."""

from __future__ import annotations

import signal


def hear_ctrl_c() -> None:
    """What a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
