"""The commands that the docs show, found as Markdown has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
MARK = "# needs AWS"
"""The first line of a block whose commands no test runs as they stand."""


@dataclass(frozen=True)
class Block:
    """A block of shell commands; a command that goes on over lines is one."""

    page: Path
    commands: tuple[str, ...]
    needs_aws: bool


def blocks() -> Iterator[Block]:
    """Yield the shell blocks of every page."""
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
            if token.type == "fence" and token.info == "sh":
                lines = token.content.replace("\\\n", " ").splitlines()
                commands = tuple(line.strip() for line in lines if line and line[0] != "#")
                yield Block(page, commands, needs_aws=MARK in lines)


def indented() -> Iterator[str]:
    """Yield the first words of blocks that are set in without a fence: what programs print."""
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
            if token.type == "code_block":
                yield token.content.split()[0]


def inline() -> Iterator[str]:
    """Yield what stands in the text as code, such as the names of commands."""
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
            for child in token.children or ():
                if child.type == "code_inline":
                    yield child.content
