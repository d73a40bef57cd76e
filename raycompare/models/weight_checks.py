"""Checks of a checkpoint's weights that read only the headers of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError
from transformers import PretrainedConfig, PreTrainedModel

from raycompare.errors import Problem
from raycompare.experiment.spec import ModelSpec
from raycompare.formatting import listing
from raycompare.models.architectures import LAYERS
from raycompare.models.hub import hub_headers
from raycompare.models.loading import try_loading
from raycompare.models.places import CONFIG, locate
from raycompare.models.weight_files import (
    INDEX,
    WEIGHTS,
    BadIndexError,
    Headers,
    opened_files,
    read_headers,
)

ADAPTER = "adapter_config.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_COPY = "copy or download the files again"


def file_problems(where: str, model: ModelSpec, config: PretrainedConfig) -> Iterator[Problem]:
    """Find weights that can't be read or trained, without comparing them with the model."""
    folder = Path(locate(model.checkpoint))
    if folder.is_dir():
        yield from _folder_problems(where, folder)
    quantized = getattr(config, "quantization_config", None)
    if quantized:
        yield Problem(
            where=where,
            found=f"quantization_config in {CONFIG}: its weights are quantized",
            allowed="weights as they were before, which can be trained",
            hint="use the checkpoint that this one was quantized from",
        )


def fit_problems(where: str, model: ModelSpec, built: PreTrainedModel) -> Iterator[Problem]:
    """Compare the names and shapes of a checkpoint's weights with those of its model."""
    headers = _headers(model)
    if headers is None:  # a trial compares them when it loads them
        return
    loading = try_loading(built, headers)
    misfit = loading.misfit() or (None if LAYERS in model.config else loading.surplus())
    if misfit:
        yield Problem(
            where=where,
            found=misfit.found,
            allowed="the weights of the model that config.json describes",
            hint=misfit.hint,
        )


def _headers(model: ModelSpec) -> Headers | None:
    folder = Path(locate(model.checkpoint))
    if folder.is_dir():
        return read_headers(opened_files(folder))
    return hub_headers(str(folder), model.revision)


def _folder_problems(where: str, folder: Path) -> Iterator[Problem]:
    """Find weights in a folder that are pickled, missing, damaged, or those of an adapter."""
    if (folder / ADAPTER).is_file():
        yield Problem(
            where=where,
            found=f"{folder / ADAPTER}, so the weights are those of an adapter",
            allowed="the weights of a whole model",
            hint="load it with peft, then save the result of `merge_and_unload` to a new folder",
        )
    try:
        files = opened_files(folder)
    except BadIndexError as error:
        found = f"{folder / INDEX}: {error}"
        yield Problem(where=where, found=found, allowed="an index with a weight_map", hint=_COPY)
        return
    if not files:
        yield _without_safetensors(where, folder)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        yield Problem(
            where=where,
            found=f"{folder / INDEX} names {listing(missing)}, but there is no such file",
            allowed="all the files that the index names",
            hint=_COPY,
        )
    for file in files:
        fault = _fault(file) if file.is_file() else None
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
        read_headers([file])
    except (SafetensorError, OSError) as error:
        return f"{error}, {file.stat().st_size:,} bytes"
    return None


def _without_safetensors(where: str, folder: Path) -> Problem:
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    only = f", only {', '.join(others or pickled)}" if pickled or others else ""
    found = f"no {WEIGHTS} or {INDEX} in {folder}" if others else f"no safetensors in {folder}"
    return Problem(
        where=where,
        found=f"{found}{only}",
        allowed="weights as safetensors; pickled weights can run code and are not read",
        hint="load the model yourself once and save it to a new folder with `save_pretrained`"
        if pickled or others
        else "to train from random weights, set init: random for the model",
    )
