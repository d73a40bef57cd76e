"""Drafts of the experiments of new and resumed runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from raycompare.errors import UserError
from raycompare.experiment.file import Draft, parse_draft, read_draft
from raycompare.records.layout import EXPERIMENT, STARTED
from raycompare.records.run_folder import RunFolder


def draft_for(path: Path | None, overrides: Sequence[str], resume: str | None) -> Draft:
    """Read the experiment file, or that of the run to be resumed.

    Raises:
        UserError: both are missing, or the file cannot be read.
    """
    if path is not None:
        return read_draft(path, overrides)
    if resume is None:
        raise UserError("expected an experiment file, or --resume with the folder of a run.")
    if overrides:
        raise UserError(
            f"--set {overrides[0]}: without effect, because a resumed run keeps its experiment. "
            "Omit it, or start a new run."
        )
    folder = RunFolder.at(resume)
    return parse_draft(folder.read_text(EXPERIMENT), _describe_resumed(folder))


def _describe_resumed(folder: RunFolder) -> str:
    """Return the name of a resumed experiment in messages, with the directory of its paths."""
    name = folder.child(EXPERIMENT)
    started = json.loads(folder.read_text(STARTED)) if folder.exists(STARTED) else {}
    directory = started.get("directory")
    if directory in (None, str(Path.cwd())):
        return name
    here = f"relative paths in it are now taken from {Path.cwd()}"
    return f"{name}, of a run that was started in {directory} ({here})"
