"""Everything that says how to install raycompare says it so that it works: from a checkout."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from raycompare.extras import install_command
from tests import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
INSTALL = re.compile(r"pip install\b[^\n`;&|]*")
HISTORY = {Path(__file__), ROOT / "CHANGELOG.md"}
ON_AN_INDEX = re.compile(r"""(?<![\w./~-])raycompare(?![\w/])""")


def written() -> list[Path]:
    """Return the files that git has, or would add."""
    options = ["ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(["git", *options], cwd=ROOT, capture_output=True, text=True, check=True)
    kinds = {".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".txt", ""}
    paths = (ROOT / name for name in names.stdout.splitlines())
    return [p for p in paths if p.suffix in kinds and p.is_file() and p not in HISTORY]


def test_nothing_installs_raycompare_from_an_index() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in written()}
    commands = [(p, command) for p, text in texts.items() for command in INSTALL.findall(text)]
    assert len(commands) > len(EXTRAS)
    assert [(p, command) for p, command in commands if ON_AN_INDEX.search(command)] == []


@pytest.mark.parametrize(
    ("command", "is_found"),
    [
        ("pip install 'raycompare[serve]'", True),
        ("pip install raycompare", True),
        ("pip install -U raycompare==1", True),
        ("pip install -q -c ~/raycompare/constraints.txt -e ~/raycompare[aws]", False),
        ("pip install -c constraints.txt -e '.[serve]'", False),
    ],
)
def test_a_command_that_asks_an_index_is_found(command: str, is_found: bool) -> None:
    assert bool(ON_AN_INDEX.search(command)) == is_found


def test_every_extra_that_is_named_exists() -> None:
    names = re.compile(r"""install_command\(["'](\w+)["']\)|-e '?[^\s']*\[([\w,]+)\]""")
    found = {
        name
        for path in written()
        for match in names.findall(path.read_text(encoding="utf-8"))
        for name in ",".join(match).split(",")
        if name
    }
    assert found >= {"onnx", "serve", "optuna", "peft", "sagemaker"}
    assert found - EXTRAS.keys() == set()


def test_the_command_names_the_checkout_unless_it_is_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a b"
    place.mkdir()
    assert install_command("onnx", project=place).endswith("-e '.[onnx]', in a checkout")
    (place / "constraints.txt").touch()
    expected = f"pip install -c '{place}/constraints.txt' -e '{place}[onnx,peft]'"
    assert install_command("onnx", "peft", project=place) == expected
    monkeypatch.chdir(place)
    expected = "pip install -c constraints.txt -e '.[onnx]'"
    assert install_command("onnx", project=place) == expected
