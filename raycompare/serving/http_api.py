"""The HTTP API of a served model: requests, responses, errors and documentation."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from starlette.exceptions import HTTPException

from raycompare.experiment.safe_yaml import is_broken
from raycompare.serving.fair_batches import BadTextError, OverloadedError
from raycompare.serving.http_bodies import MOST_BYTES, BodyLimit
from raycompare.serving.http_errors import refuse_body, refuse_overload, refuse_path, refuse_text

MOST_TEXTS = 64
"""Maximum number of texts in a request; `raycompare predict` is for more."""


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _require_text(text: str) -> str:
    if not text.strip():
        raise ValueError("a text that is not empty")
    if is_broken(text):
        raise ValueError("valid Unicode, without half of a surrogate pair")
    return text


_ONE = {"type": "string", "minLength": 1}
_MANY = {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MOST_TEXTS}
Texts = Annotated[
    list[Annotated[str, AfterValidator(_require_text)]],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=MOST_TEXTS),
    WithJsonSchema({"anyOf": [_ONE, _MANY]}),
]
"""One text, or a list of them."""


class PredictRequest(BaseModel):
    """Body of a request."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"text": "one"}, {"text": ["one", "two"]}]},
    )

    text: Texts
    text_pair: Annotated[
        Texts | None, Field(description="Second text of each pair, for a model of text pairs.")
    ] = None

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.text_pair is not None and len(self.text_pair) != len(self.text):
            counts = f"{len(self.text_pair)} in text_pair for {len(self.text)} in text"
            raise ValueError(f"one text_pair for each text; found {counts}")
        return self

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The texts or pairs as a list."""
        columns = [self.text] if self.text_pair is None else [self.text, self.text_pair]
        return list(zip(*columns, strict=True))


class TextPrediction(BaseModel):
    """Predicted label of one text."""

    label: str
    probabilities: dict[str, float]
    """Keyed by label name."""

    @classmethod
    def of(cls, labels: Sequence[str], row: Sequence[float]) -> Self:
        """Return the most likely label and all probabilities."""
        probabilities = dict(zip(labels, row, strict=True))
        return cls(
            label=max(probabilities, key=probabilities.__getitem__), probabilities=probabilities
        )


class PredictResponse(BaseModel):
    """Predictions for a request, in the order of its texts."""

    predictions: list[TextPrediction]


class Health(BaseModel):
    """Description of the served model."""

    status: str
    model: str
    labels: list[str]
    max_length: int
    """Number of tokens to which texts are truncated."""


def new_app() -> FastAPI:
    """Return an application with limits and JSON errors, whose pages load nothing from elsewhere.

    FastAPI's own /docs and /redoc fetch their scripts from a CDN (fastapi.openapi.docs).
    """
    app = FastAPI(title="raycompare", version="1", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit)
    app.add_exception_handler(RequestValidationError, refuse_body)
    app.add_exception_handler(HTTPException, refuse_path)
    app.add_exception_handler(OverloadedError, refuse_overload)
    app.add_exception_handler(BadTextError, refuse_text)
    return app


def require_width(question: PredictRequest, width: int | None) -> None:
    """Check that a model of single texts gets single texts, and a model of pairs pairs.

    Raises:
        RequestValidationError: it gets the other; `width` is None if that is not known.
    """
    if width is None or (question.text_pair is None) == (width == 1):
        return
    allowed = "nothing, because the model was trained on single texts"
    if question.text_pair is None:
        allowed = "the second text of each pair, because the model was trained on pairs"
    error = {"loc": ("body", "text_pair"), "type": "pairs", "msg": allowed}
    raise RequestValidationError([{**error, "input": question.text_pair}])


def page(schema: Mapping[str, Any]) -> str:
    """Return a self-contained page about the API."""
    described = html.escape(json.dumps(schema, indent=2))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>raycompare</title>
<h1>raycompare</h1>
<pre>
curl -H 'Content-Type: application/json' -d '{{"text": "..."}}' localhost:8000/predict
curl -H 'Content-Type: application/json' -d '{{"text": ["...", "..."]}}' localhost:8000/predict
curl localhost:8000/health
</pre>
<p>A request may have at most {MOST_TEXTS} texts and {MOST_BYTES:,} bytes. An overloaded server
answers with 503: try again later. The schema is in <a href="openapi.json">openapi.json</a>:
<pre>{described}</pre>
</html>
"""
