"""Every command that the docs show is one that there is, with options that there are.

`raycompare` and `ray` commands are parsed by the programs' own parsers; targets of `make` and
modules of `python -m` are looked up. tests/whole/test_docs_run.py runs those that do not need AWS.
The words in `ELSEWHERE` are programs of others.
"""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from typing import Any

import pytest
import typer
from ray.scripts.scripts import cli as ray_cli

from raycompare.cli.app import app
from tests.doc_commands import ROOT, blocks, indented, inline

ELSEWHERE = {"aws", "curl", "export", "pip"}
PROGRAMS = {"raycompare", "ray", "make", "python"}
SHOWN = sorted({command for block in blocks() for command in block.commands})
NAMED = sorted({words for words in inline() if words.split()[:1] and words.split()[0] in PROGRAMS})
PARSERS: dict[str, Any] = {"raycompare": typer.main.get_command(app), "ray": ray_cli}


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


def is_known(command: str) -> None:
    """Raise what the program would where there is no such command."""
    program, *words = shlex.split(command, comments=True)
    if program in PARSERS:
        parses(PARSERS[program], [program, *words])
    elif program == "make":
        targets = re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        known = [target for target in targets if "%" not in target]
        assert [word for word in words if word not in known and find_bench(word) is None] == []
    elif program == "python" and words[0] == "-m":
        assert find_spec(words[1]) is not None
    else:
        assert program in ELSEWHERE, "say here how it is known to work"


def find_bench(target: str) -> object:
    """Return the module behind a target of `bench-%`."""
    name = target.removeprefix("bench-")
    return find_spec(f"benchmarks.{name}") if name != target else None


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_that_the_docs_show_is_one_that_there_is(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYCOMPARE_SAGEMAKER_ROLE", "as docs/sagemaker.md exports it")
    is_known(command)


@pytest.mark.parametrize("command", NAMED)
def test_a_command_that_the_text_names_is_one_that_there_is(command: str) -> None:
    """Of what is named in passing, arguments may be left out; its names and options may not err."""
    program, *words = re.sub(r"[\[\]]", "", command).split()
    if program not in PARSERS:
        is_known(command)
        return
    parser = PARSERS[program]
    while words and hasattr(parser, "commands"):
        parser = parser.commands[words.pop(0)]
    options = {name for option in parser.params for name in option.opts}
    own = words[: words.index("--")] if "--" in words else words
    assert {word for word in own if word.startswith("-")} <= options


def test_the_docs_show_commands_of_each_kind() -> None:
    assert {shlex.split(command)[0] for command in SHOWN} >= PROGRAMS - {"python"}
    assert len(NAMED) > len(PROGRAMS)


def test_commands_stand_in_fences() -> None:
    assert {first for first in indented() if first in {*PROGRAMS, *ELSEWHERE}} == set()


@pytest.mark.parametrize(
    "command", ["raycompare bogus", "raycompare run --bogus x", "raycompare sagemaker logs"]
)
def test_a_command_that_there_is_not_is_found_out(command: str) -> None:
    with pytest.raises(Exception, match=r"No such|Missing parameter"):
        is_known(command)
