"""The files of a report that trackers keep: report.md, its tables and its figures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raycompare.results import RunFolder

FOLDERS = ("tables", "figures", "analytics")


@contextmanager
def report_files(folder: RunFolder) -> Iterator[Path]:
    """Yield a local folder that holds copies of the files, and nothing else of the run."""
    with tempfile.TemporaryDirectory(prefix="raycompare-report-") as place:
        local = Path(place)
        names = [f"{part}/{name}" for part in FOLDERS for name in folder.names(part)]
        for name in ("report.md", *names):
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(folder.read_bytes(name))
        yield local
