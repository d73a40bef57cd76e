"""Identifies checkpoints by their content, of which a name or a folder says nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from inspect import getsourcefile
from pathlib import Path

from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.models.custom import class_at
from raycompare.models.hub import commit_to_train
from raycompare.models.places import CONFIG, locate
from raycompare.models.weight_files import opened_files

Fingerprints = Mapping[str, str]
"""The commit of a hub checkpoint, or a hash of the files of any other, keyed by model name."""
COMMIT = "commit "
"""Begins the fingerprint of a hub checkpoint."""
_TOKENIZER = ("*token*", "vocab*", "merges*", "*.model", "*.tiktoken")


def fingerprints(experiment: Experiment) -> dict[str, str]:
    """Return what each model is made from; a hub checkpoint whose commit is unknown has none."""
    made_from = {model.name: _fingerprint(model) for model in experiment.models}
    return {name: text for name, text in made_from.items() if text}


def _fingerprint(model: ModelSpec) -> str:
    parts = [_code(model)] if model.model_class else []
    folder = Path(locate(model.checkpoint))
    if folder.is_dir():
        parts.append(f"content {_content(list(_files(model, folder)))}")
    else:
        commit = commit_to_train(str(folder), model.revision)
        parts += [f"{COMMIT}{commit}"] if commit else []
    return ", ".join(reversed(parts))


def _code(model: ModelSpec) -> str:
    assert model.model_class is not None
    file = getsourcefile(class_at(model.model_class))
    return f"code {_content([Path(file)])}" if file else ""


def _files(model: ModelSpec, folder: Path) -> Iterator[Path]:
    """Yield the files that decide what a trial computes."""
    if model.is_pretrained:
        yield from opened_files(folder)
    patterns = (CONFIG, *_TOKENIZER, *(("*.py",) if model.trust_remote_code else ()))
    others = {path for pattern in patterns for path in folder.glob(pattern)}
    yield from sorted(path for path in others if path.is_file())


def _content(files: Sequence[Path]) -> str:
    stamps = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return _hash(tuple(stamps))


@lru_cache(maxsize=256)
def _hash(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Hash files, again only if one of them has changed."""
    digest = hashlib.sha256()
    for place, size, _ in stamps:
        digest.update(f"{Path(place).name} {size}\n".encode())
        with Path(place).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def pin_commits(experiment: Experiment, made_from: Fingerprints) -> Experiment:
    """Return the experiment with the commits that its hub checkpoints are to be loaded from."""
    models = tuple(_pin_commit(model, made_from.get(model.name, "")) for model in experiment.models)
    return experiment.model_copy(update={"models": models})


def _pin_commit(model: ModelSpec, made_from: str) -> ModelSpec:
    if not made_from.startswith(COMMIT):
        return model
    commit = made_from.removeprefix(COMMIT).split(",")[0]
    return model.model_copy(update={"revision": commit})
