"""The error responses of a served model: what was found, where, and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from raycompare.errors import Problem
from raycompare.serving.fair_batches import BadTextError, OverloadedError

SHOWN = 60
"""Number of characters of a value that an error message repeats."""
UNPARSED, TOO_SLOW, TOO_LARGE, NOT_VALID, FAILED, OVERLOADED = 400, 408, 413, 422, 500, 503
RETRY_SECONDS = "1"
PATHS = "POST /predict, GET /health, GET /docs, GET /openapi.json"


def refusal(status: int, problems: Sequence[Problem]) -> JSONResponse:
    """Return an error response."""
    errors = [
        {"where": _writable(p.where), "found": _writable(p.found), "allowed": p.allowed}
        for p in problems
    ]
    headers = {"Retry-After": RETRY_SECONDS} if status == OVERLOADED else None
    return JSONResponse({"error": errors}, status_code=status, headers=headers)


def _writable(text: str) -> str:
    """Return a text of a request without characters that no response can have."""
    return text.encode(errors="backslashreplace").decode()


async def refuse_body(_: Request, error: Exception) -> JSONResponse:
    """Answer a body that is not a valid request."""
    assert isinstance(error, RequestValidationError)
    return refusal(NOT_VALID, [_problem(each) for each in error.errors()])


async def refuse_path(request: Request, error: Exception) -> JSONResponse:
    """Answer a path or method that doesn't exist, or a body that can't be parsed."""
    assert isinstance(error, HTTPException)
    if error.status_code == UNPARSED:
        return refusal(NOT_VALID, [_unparsed(error.__cause__)])
    found = f"{request.method} {request.url.path}"
    problem = Problem(where="path", found=found, allowed=PATHS)
    return refusal(error.status_code, [problem])


async def refuse_overload(_: Request, error: Exception) -> JSONResponse:
    """Answer a request for which there is no room."""
    assert isinstance(error, OverloadedError)
    problem = Problem(where="server", found=str(error), allowed="fewer; try again later")
    return refusal(OVERLOADED, [problem])


async def refuse_text(_: Request, error: Exception) -> JSONResponse:
    """Answer a request with a text that the model can't process."""
    assert isinstance(error, BadTextError)
    where = f"body.text.{error.number}"
    allowed = "a text that tokenizer and model can process"
    return refusal(FAILED, [Problem(where=where, found=str(error)[:200], allowed=allowed)])


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
