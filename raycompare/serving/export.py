"""`raycompare export`: saves a finalist to a separate folder, optionally also as ONNX."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from raycompare.errors import UserError
from raycompare.models.saved import NOTHING, Trust
from raycompare.records.run_folder import RunFolder
from raycompare.records.storage import require_parent
from raycompare.report.card import not_plain
from raycompare.serving.winner import lay_out, winner


def export(
    run_dir: str, model: str, directory: str, onnx: bool = False, trust: Trust = NOTHING
) -> list[str]:
    """Write a finalist to an empty folder, local or remote; return lines on what was written.

    Raises:
        UserError: there is no such model, its weights are missing, the folder is not empty, or
            code of the model that ONNX needs is not trusted.
        RunError: the ONNX model predicts differently from the model; nothing was written.
    """
    folder, target = RunFolder.at(run_dir), RunFolder.at(directory)
    require_parent("DIR", f"{target.uri}/config.json")
    found = winner(folder, model)
    if contents := target.names(""):
        raise UserError(
            f"{target.shown} is not empty: it has {len(contents)} files or folders, such as "
            f"{contents[0]}. Choose another folder, or remove it."
        )
    with TemporaryDirectory() as place:
        saved = lay_out(folder, found, place)
        lines = _with_onnx(Path(place), trust) if onnx else []
        target.parent.put_folder(Path(place), target.uri.rpartition("/")[2])
    if saved.pooling is not None:
        lines.append(not_plain(saved.pooling))
    return [f"{found.model}, trial {found.trial_id}: {target.shown}", *lines]


def _with_onnx(place: Path, trust: Trust) -> list[str]:
    # Imported on demand: the exporter and the runtime are an extra.
    from raycompare.serving.onnx_export import write_onnx  # noqa: PLC0415

    return [str(write_onnx(place, trust))]
