"""Checks of a checkpoint's weights that read only the headers of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from raycompare.errors import Problem
from raycompare.models.pretrained import locate

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def weights_problems(where: str, checkpoint: str) -> Iterator[Problem]:
    """Find weights in a folder that are pickled, missing or damaged; hub ids are not checked."""
    folder = Path(locate(checkpoint))
    if not folder.is_dir():
        return
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        yield _without_safetensors(where, folder)
    for file in files:
        fault = _fault(file)
        if fault:
            yield Problem(
                where=where,
                found=f"{file}: {fault}",
                allowed="weights in complete safetensors files",
                hint="copy or download the file again",
            )


def _fault(file: Path) -> str | None:
    """Describe a damaged header, or a file that is shorter than its header states."""
    try:
        with safe_open(file, framework="pt") as weights:
            weights.keys()
    except (SafetensorError, OSError) as error:
        return f"{error}, {file.stat().st_size:,} bytes" if file.exists() else str(error)
    return None


def _without_safetensors(where: str, folder: Path) -> Problem:
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    only = f", only {', '.join(pickled)}" if pickled else ""
    return Problem(
        where=where,
        found=f"no safetensors in {folder}{only}",
        allowed="weights as safetensors; pickled weights can run code and are not read",
        hint="load the model yourself once and save it to a new folder with `save_pretrained`"
        if pickled
        else "to train from random weights, set init: random for the model",
    )
