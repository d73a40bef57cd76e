"""The files of a checkpoint's weights: which ones are opened, and what their headers contain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Names of the files that transformers opens: the first, or else the second."""


class Header(NamedTuple):
    """The type, such as BF16, and the shape of a tensor in a file."""

    dtype: str
    shape: tuple[int, ...]


Headers = Mapping[str, Header]
"""The tensors of a checkpoint, keyed by their names in its files."""


class BadIndexError(Exception):
    """The index of a sharded checkpoint can't be used."""


def opened_files(folder: Path) -> list[Path]:
    """Return the files of weights that transformers opens in a folder, which may be missing."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    return _shards(folder / INDEX) if (folder / INDEX).is_file() else []


def _shards(index: Path) -> list[Path]:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return [index.parent / name for name in sorted(set(places.values()))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadIndexError(f"{type(error).__name__}: {error}") from error


def read_headers(files: Sequence[Path]) -> Headers:
    """Return all tensors in files; reads only their headers."""
    headers: dict[str, Header] = {}
    for file in files:
        with safe_open(file, framework="pt") as weights:
            slices = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118
            headers |= {
                name: Header(part.get_dtype(), tuple(part.get_shape()))
                for name, part in slices.items()
            }
    return headers
