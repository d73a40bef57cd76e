"""Brings report and records of a run home, from a bucket or any filesystem that pyarrow reaches."""

from __future__ import annotations

from collections.abc import Callable

from raycompare.errors import UserError
from raycompare.records.layout import EXPERIMENT, MANIFEST, ONLY_WHILE_IT_RUNS, WEIGHTS
from raycompare.records.run_folder import RunFolder


def fetch(source: RunFolder, out: RunFolder, weights: bool = False) -> RunFolder:
    """Copy a run folder to NAME/RUN_ID in `out`, replacing what is there, the manifest last.

    Checkpoints stay: a run is resumed where it is. The models of the finalists come if asked for.

    Raises:
        UserError: `source` is no run folder, or is where the copy would go.
    """
    files = source.files()
    if EXPERIMENT not in files:
        raise UserError(_not_a_run(source, files))
    name = source.read_experiment().name
    target = out.folder(name).folder(source.uri.rstrip("/").rpartition("/")[2])
    if target.uri.rstrip("/") == source.uri.rstrip("/"):
        raise UserError(f"{source.shown} is here already. Name another folder to copy it into.")
    for file in sorted(filter(_select_files(weights), files), key=lambda file: file == MANIFEST):
        source.copy_file(file, target)
    return target


def _select_files(weights: bool) -> Callable[[str], bool]:
    left = ONLY_WHILE_IT_RUNS if weights else (*ONLY_WHILE_IT_RUNS, WEIGHTS)

    def wanted(file: str) -> bool:
        # Hidden are locks, and files that are being written.
        top, base = file.partition("/")[0], file.rpartition("/")[2]
        return top not in left and not base.startswith(".")

    return wanted


def _not_a_run(source: RunFolder, files: list[str]) -> str:
    """Say which run folders there are below, if `source` is a folder of such."""
    end = f"/{EXPERIMENT}"
    runs = [source.child(file.removesuffix(end)) for file in files if file.endswith(end)]
    if runs:
        return f"{source.uri} is no run folder, but holds some. Name one:\n" + "\n".join(runs)
    return (
        f"{source.child(EXPERIMENT)} does not exist. Expected a run folder, as written by "
        "`raycompare run`; its path is in the first lines that a run prints."
    )
