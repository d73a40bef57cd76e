"""Every command that the docs show is one that there is, with options that there are.

`raycompare` and `ray` commands are parsed by the programs' own parsers; targets of `make` and
modules of `python -m` are looked up, and files must be in the repository. What a job is started
with is parsed as the arguments of `raycompare run`. tests/whole/test_docs_run.py runs the commands,
but for those in tests/doc_command_tests.py, which says by which test, or why by none. The words in
`ELSEWHERE` are programs of others.
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
from tests.doc_command_tests import NOT_RUN, RUN_BY
from tests.doc_commands import ROOT, blocks, commented, indented, inline, tracked_files

ELSEWHERE = {"aws", "curl", "docker", "export", "hf", "kubectl", "mkdir", "pip"}
PROGRAMS = {"raycompare", "ray", "make", "python"}
RUN_AS_THEY_STAND = {c for block in blocks() if not block.needs_others for c in block.commands}
STAND_INS = {
    *(command for block in blocks() if block.needs_others for command in block.commands),
    *commented(),
}
SHOWN = sorted(RUN_AS_THEY_STAND | STAND_INS)
JOB = re.compile(r"(?:ray submit \S+|python) jobs/compare\.py(?: -- | |$)(.*)")
"""How a job is started: with the arguments of `raycompare run`."""
FILE = re.compile(r"(?:jobs|tests|benchmarks|docs)/[^\s:]+\.\w+|cluster\S*\.yaml|constraints\.txt")
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
    job = JOB.search(command)
    if job and (arguments := shlex.split(re.sub(r"[\[\]]", "", job[1]), comments=True)):
        parses(PARSERS["raycompare"], ["raycompare", "run", *arguments])
    assert set(FILE.findall(command)) <= tracked_files()
    if program in PARSERS:
        parses(PARSERS[program], [program, *words])
    elif program == "make":
        targets = re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        known = [target for target in targets if "%" not in target]
        assert [word for word in words if word not in known and find_bench(word) is None] == []
    elif program == "python" and words[0] == "-m":
        assert find_spec(words[1]) is not None
    elif program == "python" and words[0] == "-c":
        compile(words[1], command, "exec")
    elif program == "python":
        assert words[0] in tracked_files()
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


def fates_of(command: str) -> list[str]:
    """Return the tests that run a command with a stand-in, or the reasons why none does."""
    bare = re.sub(r"\s+#.*", "", command)
    every = [*RUN_BY.items(), *NOT_RUN.items()]
    return [text for pattern, text in every if re.fullmatch(pattern, bare)]


@pytest.mark.parametrize("command", sorted(STAND_INS))
def test_a_command_that_needs_others_is_run_by_one_test_or_there_is_a_reason(command: str) -> None:
    assert len(fates_of(command)) == 1, "name its test, or the reason, in doc_command_tests.py"


@pytest.mark.parametrize("pattern", [*RUN_BY, *NOT_RUN])
def test_what_is_named_is_in_the_docs(pattern: str) -> None:
    assert [c for c in SHOWN if re.fullmatch(pattern, re.sub(r"\s+#.*", "", c))] != []


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_the_test_of_a_command_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


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
