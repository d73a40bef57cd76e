"""A model class of the user's own, named by its import path."""

from __future__ import annotations

import importlib
from inspect import Parameter, isclass, signature

from transformers import PreTrainedModel

from raycompare.errors import UserError

INPUTS = ("input_ids", "attention_mask", "labels")
"""What a trial calls a model with; the labels are for its loss."""


class NoClassError(UserError):
    """The import path does not lead to a class that can be trained."""


def class_at(path: str) -> type[PreTrainedModel]:
    """Import the class at `package.module:Class`.

    Raises:
        NoClassError: it can't be imported, or is no PreTrainedModel that takes `INPUTS`.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise NoClassError(
            f"{module} can't be imported: {type(error).__name__}: {error}"
        ) from error
    if found is None:
        raise NoClassError(f"{module} has no {name}")
    if not (isclass(found) and issubclass(found, PreTrainedModel)):
        raise NoClassError(f"{name} of {module} is no subclass of transformers.PreTrainedModel")
    missing = [each for each in INPUTS if not _takes(found, each)]
    if missing:
        raise NoClassError(f"forward of {name} does not take {', '.join(missing)}")
    return found


def _takes(found: type[PreTrainedModel], name: str) -> bool:
    parameters = signature(found.forward).parameters
    anything = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    return name in parameters or anything
