"""What is wrong with a checkpoint's weights, found without reading more of them than headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from raycompare.errors import Problem
from raycompare.models.pretrained import locate

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def weights_problems(where: str, checkpoint: str) -> Iterator[Problem]:
    """Find weights that are pickled, missing or broken; those of a hub are found when loaded."""
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
                allowed="weights as whole safetensors files",
                hint="copy or download the file again",
            )


def _fault(file: Path) -> str | None:
    """Say what is wrong with a header, or with a file that is shorter than its header says."""
    try:
        with safe_open(file, framework="pt") as opened:
            opened.keys()
    except (SafetensorError, OSError) as error:
        return f"{error}, {file.stat().st_size:,} bytes" if file.exists() else str(error)
    return None


def _without_safetensors(where: str, folder: Path) -> Problem:
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    only = f", only {', '.join(pickled)}" if pickled else ""
    return Problem(
        where=where,
        found=f"no safetensors in {folder}{only}",
        allowed="weights as safetensors; pickled ones can run code and are not read",
        hint="load the model yourself once and `save_pretrained` it to a new folder"
        if pickled
        else "for random weights in their place, write init: random under the model",
    )
