"""The commands of the docs, of cluster files and of experiment files, wherever they are shown."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from tests import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
FILES = [
    *sorted(ROOT.glob("*.yaml")),
    *sorted(ROOT.glob("jobs/**/*.yaml")),
    ROOT / "jobs" / "compare.py",
    ROOT / "Dockerfile",
]
"""Files whose comments show commands, indented by four more spaces than the text around them."""
MARK = re.compile("# needs (AWS|a hub|Kubernetes)")
"""The first line of a block whose commands tests run with stand-ins, one by one."""


@dataclass(frozen=True)
class Block:
    """A block of shell commands; a command that goes on over lines is one."""

    page: Path
    commands: tuple[str, ...]
    needs_others: bool
    """Whether it says in its first line that it needs AWS, a hub or Kubernetes."""


def blocks() -> Iterator[Block]:
    """Yield the shell blocks of every page."""
    for page in PAGES:
        for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
            if token.type == "fence" and token.info == "sh":
                lines = token.content.replace("\\\n", " ").splitlines()
                commands = tuple(line.strip() for line in lines if line and line[0] != "#")
                yield Block(page, commands, needs_others=bool(MARK.match(lines[0])))


def commented() -> Iterator[str]:
    """Yield the commands in comments, without what is said about them after more spaces."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            text = re.sub("^    (?=python )", "#     ", text, flags=re.MULTILINE)
        joined = re.sub(r"\s*\\\n\s*#\s*", " ", text)
        for command in re.findall(r"^\s*# {5}(\S.*)$", joined, re.MULTILINE):
            yield re.split(r"\s{2,}", command)[0]


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


@cache
def tracked_files() -> frozenset[str]:
    """Return the files that git has or would add, which are those of a clone."""
    options = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(["git", *options], cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(name for name in listed.stdout.split("\0") if (ROOT / name).is_file())


def synced_tree(place: Path) -> Path:
    """Copy the project as a cluster or a clone has it: without .git and what git ignores."""
    for name in tracked_files():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    return place
