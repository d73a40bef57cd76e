"""Copying a run folder from a bucket, or any other filesystem of pyarrow, to this machine.

A copy has the file `fetched.json` with its source. Until the last file has arrived, the file says
that the copy is incomplete, so that nobody takes it for a run that was killed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from raycompare.errors import DamagedError, UserError, reading
from raycompare.records.layout import (
    EXPERIMENT,
    FETCHED,
    JOB,
    LOCK,
    MANIFEST,
    ONLY_WHILE_IT_RUNS,
    WEIGHTS,
    is_temporary,
)
from raycompare.records.run_folder import RunFolder
from raycompare.records.storage import require_parent

AT_ONCE = 16
"""Files that are copied at the same time, since most of the time is spent waiting."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The content of fetched.json."""

    source: str
    whole: bool
    """Whether all files have arrived."""

    @classmethod
    def of(cls, folder: RunFolder) -> Fetched | None:
        """Read the mark of a copy; None for a run that is in its original folder.

        Raises:
            UserError: the mark is damaged.
        """
        if not folder.exists(FETCHED):
            return None
        content = folder.read_json(FETCHED)
        with reading(folder.child(FETCHED)):
            source, whole = content["source"], content["whole"]
            if not isinstance(source, str) or not isinstance(whole, bool):
                raise TypeError("expected a source and whether the copy is whole")
            return cls(source=source, whole=whole)

    def write(self, folder: RunFolder) -> None:
        """Mark a folder as a copy."""
        folder.write_text(FETCHED, json.dumps(asdict(self)) + "\n")

    def command(self, folder: RunFolder) -> str:
        """Return the command that fetches the run again into the same folder."""
        return shlex.join(["raycompare", "fetch", self.source, folder.parent.parent.shown])


def require_original(folder: RunFolder) -> None:
    """Check that a run that is to be resumed is in its own folder.

    Raises:
        UserError: it is a copy, which has no checkpoints, or not even all records.
    """
    copy = Fetched.of(folder)
    if copy is None:
        return
    resume = shlex.join(["raycompare", "run", "--resume", copy.source])
    state = "a copy" if copy.whole else "an incomplete copy"
    raise UserError(
        f"{folder.shown} is {state} of {copy.source}, without checkpoints. Resume the original "
        f"with `{resume}`. If that is gone and the copy is to replace it, delete "
        f"{folder.child(FETCHED)}: finished trials are kept, and the others start again."
    )


def fetch(source: RunFolder, out: RunFolder, weights: bool = False) -> RunFolder:
    """Copy a run folder to NAME/RUN_ID in `out`, replacing existing files; the manifest comes last.

    Checkpoints are not copied, since a run is resumed in its original folder. `weights` adds the
    models of the finalists.

    Raises:
        UserError: `source` is not a run folder, is an incomplete copy itself, has file names that
            lead out of it, or is the target of the copy.
    """
    files = source.files()
    if EXPERIMENT not in files:
        raise UserError(_not_a_run(source, files))
    _require_safe(source, files)
    earlier = Fetched.of(source)
    if earlier is not None and not earlier.whole:
        raise UserError(f"{source.shown} is an incomplete copy itself. Fetch {earlier.source}.")
    name, run_id = source.read_experiment().name, source.uri.rstrip("/").rpartition("/")[2]
    target = out.folder(name).folder(run_id)
    if target.uri.rstrip("/") == source.uri.rstrip("/"):
        raise UserError(
            f"{source.shown} cannot be copied onto itself. Name another folder to copy it into."
        )
    require_parent("DIR", target.child(EXPERIMENT))
    Fetched(source=source.uri, whole=False).write(target)
    chosen = list(filter(_select_files(weights), files))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        first = [file for file in chosen if file != MANIFEST]
        list(pool.map(lambda file: source.copy_file(file, target), first))
    if MANIFEST in chosen:
        source.copy_file(MANIFEST, target)
    Fetched(source=source.uri, whole=True).write(target)
    return target


def _select_files(weights: bool) -> Callable[[str], bool]:
    skipped = ONLY_WHILE_IT_RUNS if weights else (*ONLY_WHILE_IT_RUNS, WEIGHTS)

    def is_copied(file: str) -> bool:
        is_other = file in (LOCK, FETCHED) or is_temporary(file)
        return file.partition("/")[0] not in skipped and not is_other

    return is_copied


def _require_safe(source: RunFolder, files: list[str]) -> None:
    """Refuse a folder with names that would be written elsewhere; buckets allow any name."""
    unsafe = [
        file
        for file in files
        if {"", ".", ".."} & {*file.split("/")} or any(c in file for c in "\\\0\n\r")
    ]
    if unsafe:
        raise DamagedError(
            f"{source.shown}: found the file name {unsafe[0]!a:.200}, which could be written "
            "outside of the copy. It was not written by raycompare; nothing was copied."
        )


def _not_a_run(source: RunFolder, files: list[str]) -> str:
    end = f"/{EXPERIMENT}"
    # The source of a job has the experiment too.
    named = [file for file in files if file.endswith(end) and f"/{JOB}/" not in file]
    runs = [source.child(file.removesuffix(end)) for file in named]
    if runs:
        return f"{source.uri} is not a run folder, but contains some. Name one of them:\n" + (
            "\n".join(runs)
        )
    return (
        f"{source.child(EXPERIMENT)} does not exist. Expected a run folder, as written by "
        "`raycompare run`; a run prints its path at the start."
    )
