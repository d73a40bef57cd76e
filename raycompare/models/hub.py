"""Commits and weights of checkpoints on the hub, from its cache where they are in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HFValidationError,
    HTTPError,
    NotASafetensorsRepoError,
    RepositoryNotFoundError,
    RevisionResolutionError,
    SafetensorsParsingError,
)
from transformers.safetensors_conversion import get_conversion_pr_reference

from raycompare.experiment.needs import needs_of
from raycompare.experiment.spec import Experiment
from raycompare.models.weight_files import (
    INDEX,
    WEIGHTS,
    Header,
    Headers,
    opened_files,
    read_headers,
)

MAIN = "main"
_NO_ANSWER = (OSError, HTTPError, HFValidationError, RevisionResolutionError)
"""Errors of a hub that can't be reached or refuses, and of names that it can't have."""


def commit_of(checkpoint: str, revision: str | None) -> str | None:
    """Return the commit that a revision of a hub checkpoint is at; None if nobody knows.

    Without the hub, it is the one in the cache.
    """
    try:
        return HfApi().resolve_revision(checkpoint, revision=revision or MAIN).resolved
    except _NO_ANSWER:
        return None


def needs_login(name: str, repo_type: str = "model") -> bool:
    """Return whether the hub shows a repository to some users only; False without an answer."""
    try:
        HfApi().auth_check(name, repo_type=repo_type, token=False)
    except (GatedRepoError, RepositoryNotFoundError):
        return True
    except _NO_ANSWER:
        return False
    return False


def private_models(experiment: Experiment) -> list[str]:
    """Return the checkpoints that the hub shows to some users only."""
    names = dict.fromkeys(needs_of(experiment).hub_models.values())
    return [name for name in names if needs_login(name)]


def commit_to_train(checkpoint: str, revision: str | None) -> str | None:
    """Return the commit that all trials load; None if nobody knows.

    If the main branch has pickled weights only, it is the commit of the hub's own conversion to
    safetensors, which transformers would otherwise look for in every trial.
    """
    commit = commit_of(checkpoint, revision)
    if commit is None or revision not in (None, MAIN) or _has_safetensors(checkpoint, commit):
        return commit
    try:
        converted = get_conversion_pr_reference(HfApi(), checkpoint)
    except _NO_ANSWER:
        return commit
    return commit_of(checkpoint, converted) or commit


def _has_safetensors(checkpoint: str, commit: str) -> bool:
    """Return whether a commit has safetensors; without the hub, it is taken to have some."""
    if _cached_files(checkpoint, commit):
        return True
    try:
        files = HfApi().list_repo_files(checkpoint, revision=commit)
    except _NO_ANSWER:
        return True
    return bool({WEIGHTS, INDEX} & set(files))


@lru_cache(maxsize=256)
def hub_headers(checkpoint: str, revision: str | None) -> Headers | None:
    """Return the tensors of a hub checkpoint, of which only headers are read, or None."""
    try:
        commit = HfApi().resolve_revision(checkpoint, revision=revision or MAIN).resolved
        cached = _cached_files(checkpoint, commit)
        if cached:
            return read_headers(cached)
        files = HfApi().get_safetensors_metadata(checkpoint, revision=commit).files_metadata
    except (*_NO_ANSWER, NotASafetensorsRepoError, SafetensorsParsingError):
        return None
    return {
        name: Header(tensor.dtype, tuple(tensor.shape))
        for file in files.values()
        for name, tensor in file.tensors.items()
    }


def _cached_files(checkpoint: str, commit: str) -> list[Path]:
    """Return the files of weights in the cache, or none if they are not all there."""
    for name in (WEIGHTS, INDEX):
        place = try_to_load_from_cache(checkpoint, name, revision=commit)
        if isinstance(place, str):
            files = opened_files(Path(place).parent)
            return files if all(file.is_file() for file in files) else []
    return []
