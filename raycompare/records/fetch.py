"""Copying a run folder from a bucket, or any other filesystem of pyarrow, to this machine."""

from __future__ import annotations

from collections.abc import Callable

from raycompare.errors import UserError
from raycompare.records.layout import EXPERIMENT, MANIFEST, ONLY_WHILE_IT_RUNS, WEIGHTS
from raycompare.records.run_folder import RunFolder


def fetch(source: RunFolder, out: RunFolder, weights: bool = False) -> RunFolder:
    """Copy a run folder to NAME/RUN_ID in `out`, replacing existing files; the manifest comes last.

    Checkpoints are not copied, since a run is resumed in its original folder. `weights` adds the
    models of the finalists.

    Raises:
        UserError: `source` is not a run folder, or is the target of the copy.
    """
    files = source.files()
    if EXPERIMENT not in files:
        raise UserError(_not_a_run(source, files))
    name = source.read_experiment().name
    target = out.folder(name).folder(source.uri.rstrip("/").rpartition("/")[2])
    if target.uri.rstrip("/") == source.uri.rstrip("/"):
        raise UserError(
            f"{source.shown} cannot be copied onto itself. Name another folder to copy it into."
        )
    for file in sorted(filter(_select_files(weights), files), key=lambda file: file == MANIFEST):
        source.copy_file(file, target)
    return target


def _select_files(weights: bool) -> Callable[[str], bool]:
    skipped = ONLY_WHILE_IT_RUNS if weights else (*ONLY_WHILE_IT_RUNS, WEIGHTS)

    def is_copied(file: str) -> bool:
        # Hidden files are locks, or are still being written.
        top, base = file.partition("/")[0], file.rpartition("/")[2]
        return top not in skipped and not base.startswith(".")

    return is_copied


def _not_a_run(source: RunFolder, files: list[str]) -> str:
    end = f"/{EXPERIMENT}"
    runs = [source.child(file.removesuffix(end)) for file in files if file.endswith(end)]
    if runs:
        return f"{source.uri} is not a run folder, but contains some. Name one of them:\n" + (
            "\n".join(runs)
        )
    return (
        f"{source.child(EXPERIMENT)} does not exist. Expected a run folder, as written by "
        "`raycompare run`; its path is in the first lines that a run prints."
    )
