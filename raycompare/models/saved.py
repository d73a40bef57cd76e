"""Saves and loads the models of a run as folders that `from_pretrained` can read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from transformers import CONFIG_MAPPING, PreTrainedModel, PreTrainedTokenizerBase

from raycompare.errors import RaycompareError, UserError, one_of, summarize
from raycompare.experiment.spec import Arguments, ModelSpec
from raycompare.models.loading import WeightsError
from raycompare.models.lora import merge_lora
from raycompare.models.places import CONFIG, NoCheckpointError
from raycompare.models.pooling import POOLED_BY, pool, poolings
from raycompare.models.pretrained import MADE_BY, MODEL_TYPE, forget, load_tokenizer, load_trained

TEXTS_PER_ROW = "raycompare_texts"
"""Field of a saved config: 1 for a model of single texts, 2 for pairs. Earlier versions lack it."""
OWN_CODE = "raycompare_remote_code"
"""Field of a saved config: true if model or tokenizer has a class of the checkpoint's code."""
TOKENIZER_CONFIG = "tokenizer_config.json"
_DYNAMIC = "transformers_modules."
"""Start of the names of modules that transformers makes from a checkpoint's code."""
_CODE = "auto_map"
"""Field of the configs of model and tokenizer with the classes of their code."""
_SHOWN = 60
"""Number of characters of a value that an error message repeats."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """The code of a saved model that may run, none by default."""

    remote_code: bool = False
    """Whether the Python files in the folder, or those on the hub that it names, may run."""
    model_class: str | None = None
    """The only `package.module:Class` that may be imported."""


NOTHING = Trust()


def save_model(
    model: PreTrainedModel, spec: ModelSpec, folder: Path, max_length: int, pairs: bool = False
) -> None:
    """Save model and tokenizer for `from_pretrained`, with LoRA merged into the weights.

    The tokenizer truncates texts to `max_length` tokens if called with truncation, as in training.
    """
    merge_lora(model)
    tokenizer = load_tokenizer(spec)
    setattr(model.config, TEXTS_PER_ROW, 2 if pairs else 1)
    if any(type(part).__module__.startswith(_DYNAMIC) for part in (model, tokenizer)):
        setattr(model.config, OWN_CODE, True)
    else:
        forget(model.config, OWN_CODE)
    model.save_pretrained(folder)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)


def load_model(
    path: str | PathLike[str], trust_remote_code: bool = False, trust_code: str | None = None
) -> PreTrainedModel:
    """Load a model from `best/` or `weights/` of a run, with its pooling and custom class.

    Models trained without `pooling` and without `model_class` also load with `from_pretrained`.

    Args:
        path: folder of the model.
        trust_remote_code: run the Python code in the folder, as `from_pretrained` does.
        trust_code: import the model's class, which the folder names; `package.module:Class`.

    Raises:
        UserError: the folder has no model, or one whose code is not trusted.
        NoClassError: the model's class can't be imported here.
        WeightsError: the folder does not have all weights, or they can't be read.
    """
    trust = Trust(remote_code=trust_remote_code, model_class=trust_code)
    return load_saved(Path(path), trust)[0]


def load_saved(folder: Path, trust: Trust) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer; raises as `load_model`."""
    config = read_config(folder / CONFIG)
    tokenizer = read_config(folder / TOKENIZER_CONFIG)
    require_trust(config, tokenizer, trust, str(folder))
    spec = ModelSpec(
        name=folder.name or "model",
        checkpoint=str(folder),
        model_class=trust.model_class,
        trust_remote_code=trust.remote_code,
    )
    try:
        loaded = load_trained(spec, list(label_names(config, str(folder / CONFIG))))
        how = pooling_of(config, str(folder / CONFIG))
        if how is not None:
            pool(loaded, how)
        return loaded, load_tokenizer(spec)
    except NoCheckpointError as error:
        if "custom code" in str(error):
            raise _untrusted(str(folder)) from error
        raise NoCheckpointError(
            f"{folder} can't be loaded: {error}. Copy the whole folder again."
        ) from error
    except RaycompareError:
        raise
    except Exception as error:
        raise WeightsError(
            f"{folder} can't be loaded: {summarize(error)}. Copy the whole folder again."
        ) from error


def read_config(file: Path) -> Arguments:
    """Read a config of a saved model.

    Raises:
        UserError: the file is missing or damaged.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file. Use the folder of a saved model, with all files.")
    return parse_config(file.read_bytes(), str(file))


def parse_config(content: bytes, shown: str) -> Arguments:
    """Parse a config of a saved model.

    Raises:
        UserError: it is not a JSON object.
    """
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{shown} is damaged: {summarize(error)}. Copy the folder again."
        ) from error
    if not isinstance(config, dict):
        raise UserError(f"{shown}: found a {type(config).__name__}, allowed a JSON object.")
    return config


def label_names(config: Arguments, shown: str) -> tuple[str, ...]:
    """Return the labels of a saved config in the order of their ids.

    Raises:
        UserError: it has none, or not one for each id.
    """
    labels = config.get("id2label")
    if not isinstance(labels, dict) or {*labels} != {*map(str, range(len(labels)))} or not labels:
        raise UserError(f"{shown}: id2label: found {_short(labels)}, allowed names of 0, 1, 2 ...")
    names = tuple(labels[str(key)] for key in range(len(labels)))
    if not all(isinstance(name, str) for name in names):
        raise UserError(f"{shown}: id2label: found {_short(labels)}, allowed names that are texts.")
    return tuple(map(str, names))


def pooling_of(config: Arguments, shown: str) -> str | None:
    """Return the pooling in a saved config, if there is one.

    Raises:
        UserError: models of its type don't have it.
    """
    how, kind = config.get(POOLED_BY), config.get(MODEL_TYPE)
    allowed = poolings(str(kind))
    if how is not None and how not in allowed:
        raise UserError(f"{shown}: {POOLED_BY}: found {_short(how)}, allowed {one_of(allowed)}.")
    return None if how is None else str(how)


def texts_per_row(config: Arguments, shown: str) -> int | None:
    """Return 1 for a model of single texts and 2 for pairs, or None if its config lacks the note.

    Raises:
        UserError: it is another number.
    """
    number = config.get(TEXTS_PER_ROW)
    if number not in (None, 1, 2) or isinstance(number, bool):
        raise UserError(f"{shown}: {TEXTS_PER_ROW}: found {_short(number)}, allowed 1 or 2.")
    return None if number is None else int(str(number))


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def require_trust(config: Arguments, tokenizer: Arguments, trust: Trust, shown: str) -> None:
    """Check that code which a saved model names may run; nothing is imported before.

    Raises:
        UserError: it may not, or the trusted class is another one.
    """
    own = config.get(MADE_BY)
    if own != trust.model_class:
        if own is None:
            raise UserError(
                f"--trust-code: found {trust.model_class!a}, but {shown} names no class. Omit it."
            )
        raise UserError(
            f"{shown} names the class {_short(own)}, and loading it would import and run its "
            "module. If you trust the folder and the module, name the class: --trust-code "
            "MODULE:CLASS (in Python, trust_code=...)."
        )
    if not trust.remote_code and _needs_code(config, tokenizer):
        raise _untrusted(shown)


def _untrusted(shown: str) -> UserError:
    return UserError(
        f"{shown} has a model or tokenizer with Python code, which loading would run. If you have "
        "read it and trust it, add --trust-remote-code (in Python, trust_remote_code=True)."
    )


def _needs_code(config: Arguments, tokenizer: Arguments) -> bool:
    """Return whether a model was saved from classes that came with its checkpoint.

    The config of a checkpoint with code names its classes even if transformers' own were used.
    """
    if config.get(OWN_CODE):
        return True
    names_code = bool(config.get(_CODE)) or bool(tokenizer.get(_CODE))
    return names_code and config.get(MODEL_TYPE) not in CONFIG_MAPPING
