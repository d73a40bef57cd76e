"""What SageMaker's Hugging Face inference container runs for a deployed model.

`deploy` packs this file as code/inference.py, with the modules of raycompare that it imports. Their
only imports are torch and transformers, because the container has no raycompare. Texts are
truncated and pooled as in training, so the container predicts as in the test; transformers'
pipeline, which the container would use otherwise, does neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from raycompare.models.pooling import POOLED_BY, pool
from raycompare.serving.long_texts import shorten

BATCH = 32
"""Texts that are computed together."""
TEXTS_PER_ROW = "raycompare_texts"
KINDS = {1: "a text", 2: 'a pair such as {"text": ..., "text_pair": ...}'}
PARAMETERS = "top_k, a number of labels or null for all, and truncation, which is true"
MOST_NAMED = 5
SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model on its device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: list[str]
    width: int | None
    """1 for a model of single texts, 2 for pairs, None if its config doesn't say."""


def model_fn(model_dir: str) -> Served:
    """Load a model; the container calls this once for each process."""
    config = json.loads((Path(model_dir) / "config.json").read_text(encoding="utf-8"))
    model = AutoModelForSequenceClassification.from_pretrained(
        model_dir, use_safetensors=True, dtype=torch.float32
    )
    how = config.get(POOLED_BY)
    if how is not None:
        pool(model, how)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Served(
        model=model.eval().to(device),
        tokenizer=AutoTokenizer.from_pretrained(model_dir),
        labels=[config["id2label"][str(label)] for label in range(len(config["id2label"]))],
        width=config.get(TEXTS_PER_ROW),
    )


def predict_fn(data: Any, served: Served) -> list[Any]:
    """Return label and score of each text, or the `top_k` labels of each; called for each request.

    `data` is what the container has parsed: {"inputs": ..., "parameters": {...}}, where `inputs` is
    a text, a pair {"text": ..., "text_pair": ...}, or a list of them.

    Raises:
        ValueError: the request is invalid; the container answers with 400 and the message.
    """
    if not isinstance(data, dict):
        raise ValueError(f"found {_short(data)}, allowed {{'inputs': ...}}")
    parameters = data.get("parameters") or {}
    inputs = data.get("inputs", {key: data[key] for key in data if key != "parameters"})
    _check_parameters(parameters)
    rows = _rows(inputs, served.width)
    answers = []
    for row in _probabilities(served, rows).tolist():
        order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
        ranked = [{"label": served.labels[label], "score": row[label]} for label in order]
        answers.append(ranked[: parameters["top_k"]] if "top_k" in parameters else ranked[0])
    return answers


def _check_parameters(parameters: object) -> None:
    if not isinstance(parameters, dict) or parameters.keys() - {"top_k", "truncation"}:
        raise ValueError(f"parameters: found {_short(parameters)}, allowed {PARAMETERS}")
    if parameters.get("truncation", True) is not True:
        raise ValueError(
            f"parameters.truncation: found {_short(parameters['truncation'])}, allowed true: texts "
            "are truncated as in training"
        )
    most = parameters.get("top_k")
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError(f"parameters.top_k: found {_short(most)}, allowed 1, 2 ... or null")


def _rows(inputs: object, width: int | None) -> list[tuple[str, ...]]:
    items = inputs if isinstance(inputs, list) else [inputs]
    if not items:
        raise ValueError("inputs: found an empty list, allowed a text or more")
    rows, problems = list[tuple[str, ...]](), list[str]()
    for number, item in enumerate(items):
        row = _row(item)
        if row is None or width not in (None, len(row)):
            allowed = KINDS[width] if width in KINDS else " or ".join(KINDS.values())
            problems.append(f"inputs.{number}: found {_short(item)}, allowed {allowed}")
        elif reason := next(filter(None, map(_fault, row)), None):
            problems.append(f"inputs.{number}: found {reason}, allowed texts")
        else:
            rows.append(row)
    if problems:
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise ValueError("; ".join(problems[:MOST_NAMED]) + more)
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError("inputs: found texts and pairs, allowed one of the two")
    return rows


def _row(item: object) -> tuple[str, ...] | None:
    """Return a text or a pair, or None for anything else."""
    if isinstance(item, str):
        return (item,)
    if isinstance(item, Mapping):
        parts = (item.get("text"), item.get("text_pair"))
        row = parts if "text_pair" in item else parts[:1]
        is_known = not item.keys() - {"text", "text_pair"}
    else:
        row = tuple(item) if isinstance(item, list) else ()
        is_known = len(row) == 2  # noqa: PLR2004 - a pair
    texts = tuple(part for part in row if isinstance(part, str))
    return texts if is_known and len(texts) == len(row) else None


def _fault(text: str) -> str | None:
    if not text.strip():
        return "an empty text"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair"
    return None


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@torch.inference_mode()
def _probabilities(served: Served, rows: Sequence[tuple[str, ...]]) -> torch.Tensor:
    """Return float32 of shape [rows, labels] on the CPU, in the order of the rows."""
    length = served.tokenizer.model_max_length
    rows = [shorten(row, served.tokenizer, length) for row in rows]
    order = sorted(range(len(rows)), key=lambda row: -sum(map(len, rows[row])))
    answers = torch.empty(len(rows), len(served.labels))
    taken = signature(served.model.forward).parameters
    for at in range(0, len(order), BATCH):
        part = order[at : at + BATCH]
        columns = (list(column) for column in zip(*(rows[row] for row in part), strict=True))
        encoded = served.tokenizer(
            *columns, truncation=True, max_length=length, padding=True, return_tensors="pt"
        )
        inputs = {key: x.to(served.model.device) for key, x in encoded.items() if key in taken}
        answers[part] = served.model(**inputs)[0].float().softmax(dim=-1).cpu()
    return answers
