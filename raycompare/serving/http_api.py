"""The HTTP API of a served model: requests, responses, errors and documentation."""

from __future__ import annotations

import errno
import html
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raycompare.errors import Problem, UserError
from raycompare.experiment.safe_yaml import is_broken

MOST_BYTES = 2**20
"""Maximum size of a request body."""
MOST_TEXTS = 64
"""Maximum number of texts in a request; `raycompare predict` is for more."""
SHOWN = 60
"""Number of characters of a value that an error message repeats."""
UNPARSED, TOO_LARGE, NOT_VALID = 400, 413, 422
PATHS = "POST /predict, GET /health, GET /docs, GET /openapi.json"


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
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_path)
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


def refusal(status: int, problems: Sequence[Problem]) -> JSONResponse:
    """Return an error response: what was found, where, and what is allowed."""
    errors = [
        {"where": _writable(p.where), "found": _writable(p.found), "allowed": p.allowed}
        for p in problems
    ]
    return JSONResponse({"error": errors}, status_code=status)


def _writable(text: str) -> str:
    """Return a text of a request without characters that no response can have."""
    return text.encode(errors="backslashreplace").decode()


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return refusal(NOT_VALID, [_problem(each) for each in error.errors()])


async def _refuse_path(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == UNPARSED:
        return refusal(NOT_VALID, [_unparsed(error.__cause__)])
    found = f"{request.method} {request.url.path}"
    problem = Problem(where="path", found=found, allowed=PATHS)
    return refusal(error.status_code, [problem])


def _unparsed(cause: BaseException | None) -> Problem:
    """Describe a body that FastAPI could not parse, although it may be JSON."""
    found = {
        UnicodeDecodeError: "bytes that are not UTF-8",
        RecursionError: "lists or objects nested too deeply",
    }.get(type(cause), f"a body that can't be parsed: {cause}")
    return Problem(where="body", found=found, allowed='JSON in UTF-8 such as {"text": "..."}')


def _problem(error: Mapping[str, Any]) -> Problem:
    where = ".".join(map(str, error["loc"]))
    if error["type"] == "json_invalid":
        return Problem(where="body", found="invalid JSON", allowed='JSON such as {"text": "..."}')
    value = error.get("input")
    if error["type"] == "missing" or value is None:
        shown = "nothing"
    elif isinstance(value, list):
        shown = f"a list of {len(value)}"
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return Problem(where=where, found=shown, allowed=error["msg"].removeprefix("Value error, "))


class BodyLimit:
    """Refuses bodies of more than `MOST_BYTES` before parsing, even without a content length."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body up to the limit, and pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _content_length(scope) > MOST_BYTES:
            await self._too_large(f"{_content_length(scope):,} bytes")(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > MOST_BYTES:
                await self._too_large(f"more than {MOST_BYTES:,} bytes")(scope, receive, send)
                return
        await self._app(scope, _replay_body(body, receive), send)

    def _too_large(self, found: str) -> JSONResponse:
        allowed = f"{MOST_BYTES:,} bytes; split the texts into several requests"
        return refusal(TOO_LARGE, [Problem(where="body", found=found, allowed=allowed)])


def _content_length(scope: Scope) -> int:
    lengths = (value for name, value in scope["headers"] if name == b"content-length")
    value = next(lengths, b"0")
    return int(value) if value.isdigit() else 0


def _replay_body(body: bytes, receive: Receive) -> Receive:
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


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


def require_port(host: str, port: int) -> None:
    """Check that the server can listen on a host and port.

    Raises:
        UserError: the port is in use, or the address does not belong to this machine.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            where = "--port" if taken else "--host"
            why = (
                "which is in use by another program" if taken else f"which fails: {error.strerror}"
            )
            raise UserError(
                f"{where}: found {host}:{port}, {why}. Allowed: a free port and an address of this "
                "machine, such as 127.0.0.1."
            ) from error
