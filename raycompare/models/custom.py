"""Custom model classes, named by their import path."""

from __future__ import annotations

import importlib
from inspect import Parameter, isclass, signature

from transformers import PreTrainedModel

from raycompare.errors import UserError

INPUTS = ("input_ids", "attention_mask", "labels")
"""Arguments that trials call a model with; it needs the labels to compute a loss."""


class NoClassError(UserError):
    """The import path doesn't name a class that can be trained."""


def class_at(path: str) -> type[PreTrainedModel]:
    """Import the class at `package.module:Class`.

    Raises:
        NoClassError: it can't be imported, or is not a PreTrainedModel that accepts `INPUTS`.
    """
    module, _, name = path.partition(":")
    try:
        model_class = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise NoClassError(
            f"{module} can't be imported: {type(error).__name__}: {error}"
        ) from error
    if model_class is None:
        raise NoClassError(f"{module} has no {name}")
    if not (isclass(model_class) and issubclass(model_class, PreTrainedModel)):
        raise NoClassError(f"{name} of {module} is not a subclass of transformers.PreTrainedModel")
    parameters = signature(model_class.forward).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return model_class
    missing = [name for name in INPUTS if name not in parameters]
    if missing:
        raise NoClassError(f"{name}.forward does not accept {', '.join(missing)}")
    return model_class
