"""`raycompare export`: any finalist of a run as a folder of its own, as ONNX too."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.report.card import not_plain
from raycompare.serving.winner import lay_out, winner


def export(run_dir: str, model: str, directory: str, onnx: bool = False) -> list[str]:
    """Write a finalist to a folder, local or remote, that has nothing in it; say what was written.

    Raises:
        UserError: no such model, its weights are not there, or the folder has something in it.
        RunError: the ONNX model does not answer as the model does; nothing was written.
    """
    folder, target = RunFolder.at(run_dir), RunFolder.at(directory)
    found = winner(folder, model)
    if there := target.names(""):
        raise UserError(
            f"{target.shown} has {len(there)} files or folders in it, such as {there[0]}. Name "
            "another folder, or remove it."
        )
    with TemporaryDirectory() as place:
        saved = lay_out(folder, found, place)
        said = _with_onnx(Path(place)) if onnx else []
        target.parent.put_folder(Path(place), target.uri.rpartition("/")[2])
    if saved.pooling is not None:
        said.append(not_plain(saved.pooling))
    return [f"{found.model}, trial {found.trial_id}: {target.shown}", *said]


def _with_onnx(place: Path) -> list[str]:
    # Imported where it is asked for: the exporter and the runtime are an extra.
    from raycompare.serving.onnx_export import write_onnx  # noqa: PLC0415

    return [str(write_onnx(place))]
