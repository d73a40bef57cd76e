"""The experiment that a command is given: a file, or the one in the folder to be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raycompare.errors import UserError
from raycompare.experiment_file import Draft, parse_draft, read_draft
from raycompare.results import RunFolder


def draft_for(path: Path | None, overrides: Sequence[str], resume: str | None) -> Draft:
    """Read the experiment file, or the one in the folder to be resumed.

    Raises:
        UserError: neither is given, or one can't be read.
    """
    if path is not None:
        return read_draft(path, overrides)
    if resume is None:
        raise UserError("expected an experiment file, or --resume with the folder of a run.")
    folder = RunFolder.at(resume)
    return parse_draft(folder.read_text("experiment.yaml"), folder.child("experiment.yaml"))
