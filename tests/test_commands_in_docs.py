"""Every command that the docs show is one that there is, with options that there are.

`raycompare` and `ray` commands are parsed by the programs' own parsers and not run; targets of
`make` and modules of `python -m` are looked up. What runs for real is in the suites: README's own
two commands are what CI calls. The words in `ELSEWHERE` need an account, or are the shell's; what
`curl` sends, `tests/test_serve.py` sends.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from ray.scripts.scripts import cli as ray_cli

from raycompare.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
ELSEWHERE = {
    "aws",
    "curl",
    "pip",
    "export",
    "source",
    "cd",
    "git",
    "ssh",
    "scp",
    "kubectl",
    "openssl",
}
PROGRAMS = {"raycompare", "ray", "make", "python"}


def commands(page: Path) -> Iterator[str]:
    """Yield the lines of a page's shell blocks; a line that goes on is one."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


SHOWN = sorted({command for page in PAGES for command in commands(page)})


def parses(parser: Any, words: list[str]) -> None:
    """Parse as the program does, group after group; files need not be there.

    Raises:
        Exception: there is no such command, option or number of arguments; click's UsageError.
    """
    name, *rest = words
    is_group = hasattr(parser, "commands")
    context = parser.make_context(name, list(rest), resilient_parsing=is_group)
    if is_group:
        context.resilient_parsing = False  # from here on mistakes count
        _, command, inner = parser.resolve_command(context, rest)
        parses(command, [command.name, *inner])


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_that_the_docs_show_is_one_that_there_is(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYCOMPARE_SAGEMAKER_ROLE", "as docs/sagemaker.md exports it")
    program, *words = shlex.split(command, comments=True)
    if program == "raycompare":
        parses(typer.main.get_command(app), [program, *words])
    elif program == "ray":
        parses(ray_cli, [program, *words])
    elif program == "make":
        targets = re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        known = [target for target in targets if "%" not in target]
        assert [word for word in words if word not in known and find_bench(word) is None] == []
    elif program == "python" and words[0] == "-m":
        assert find_spec(words[1]) is not None
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert program in ELSEWHERE, "say here how it is known to work"


def find_bench(target: str) -> object:
    """Return the module behind a target of `bench-%`."""
    name = target.removeprefix("bench-")
    return find_spec(f"benchmarks.{name}") if name != target else None


def test_the_docs_show_commands_of_each_kind() -> None:
    assert {shlex.split(command)[0] for command in SHOWN} >= PROGRAMS - {"python"}


@pytest.mark.parametrize(
    "command", ["raycompare bogus", "raycompare run --bogus x", "raycompare sagemaker logs"]
)
def test_a_command_that_there_is_not_is_found_out(command: str) -> None:
    with pytest.raises(Exception, match=r"No such|Missing parameter"):
        parses(typer.main.get_command(app), command.split())
