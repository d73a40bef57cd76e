"""Wording that readers stumble over does not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "tests/golden/report.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
SOURCES = [
    path for part in ("raycompare", "jobs", "benchmarks") for path in (ROOT / part).rglob("*.py")
]
BANNED = {
    "no number": "NaN, not finite",
    "so many": "this many",
    "in vain": "without effect",
    "(is|are|was|were) told": "is passed, is reported",
    "left out[:;]": "default:",
    "(can't|cannot) be told apart": "are not significantly different",
    "what to look at": "warnings",
    "of (its|their) own": "a separate one",
    "(go|goes|went) on (with|from|as|to the end)": "continue",
    "(run|trial|training|it) goes on": "continues",
    "(it|this|that) is no(?! longer| better| worse| more| less)": "it is not a",
    "nobody is asked": "there is no authentication",
    "as far as": "if, where",
    "beside": "next to, in addition to",
    "for want of": "because ... is missing",
}
"""Regular expressions, and what to write instead."""


def quotable_texts() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each line of a page, and of each string of the code."""
    for page in PAGES:
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{page.relative_to(ROOT)}:{number}", line
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{source.relative_to(ROOT)}:{node.lineno}", " ".join(node.value.split())


TEXTS = list(quotable_texts())


@pytest.mark.parametrize("banned", BANNED)
def test_the_texts_are_without(banned: str) -> None:
    pattern = re.compile(rf"\b{banned}(?!\w)", re.IGNORECASE)
    matches = [(place, pattern.search(text), text) for place, text in TEXTS]
    lines = [
        f"{place}: {text[max(m.start() - 60, 0) : m.end() + 60]}" for place, m, text in matches if m
    ]
    assert not lines, "\n".join([f"instead of {banned!r} say: {BANNED[banned]}", *lines])
