from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from raycompare.experiment.base import Part
from raycompare.experiment.file import read_draft
from raycompare.experiment.reference import reference
from raycompare.experiment.space import DOMAINS, Domain
from raycompare.experiment.spec import Experiment
from tests import ROOT

PAGES = [
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("reports/**/*.md")]
    if "reports/quickstart" not in str(page)
]
PARTS = [part for part in (*Part.__subclasses__(), Experiment) if part is not Domain]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("jobs/experiments/*.yaml")), ids=lambda p: p.name)
def test_shipped_experiments_are_well_formed(path: Path) -> None:
    assert read_draft(path).problems == ()


def test_the_experiment_of_the_readme_is_well_formed(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path / "experiment.yaml"
    path.write_text(example)
    assert read_draft(path).problems == ()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_is_documented(part: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "experiment-file.md").read_text()
    assert [key for key in part.model_fields if f"`{key}`" not in page] == []


def test_the_reference_is_that_of_the_types() -> None:
    page = ROOT / "docs" / "reference.md"
    assert page.read_text() == reference(), (
        "python -m raycompare.experiment.reference > docs/reference.md"
    )
    assert not re.search(r"\|\s*\|$", reference(), re.MULTILINE), "a key without a meaning"


def test_what_troubleshooting_quotes_is_what_the_program_says() -> None:
    quoted = re.findall(r'"([^"]+)"', (ROOT / "docs" / "troubleshooting.md").read_text())
    code = "\n".join(path.read_text() for path in (ROOT / "raycompare").rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", code)
    assert len(quoted) > 5
    assert [words for words in quoted if words not in said] == []


def test_every_kind_of_range_is_documented() -> None:
    page = (ROOT / "docs" / "experiment-file.md").read_text()
    assert [kind for kind in DOMAINS if f"{{{kind}: [" not in page] == []


def test_the_page_on_architecture_shows_the_docstring_of_each_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\(\S+\) \| (.*) \| \[", page, re.MULTILINE)
    inits = (ROOT / "raycompare").glob("*/__init__.py")
    docstrings = {i.parent.name: ast.get_docstring(ast.parse(i.read_text())) for i in inits}
    assert {name: f"{contents}." for name, contents in rows} == docstrings


def test_no_folder_has_more_than_twenty_modules() -> None:
    folders = Counter(path.parent for path in sources() if path.name != "__init__.py")
    assert [folder for folder, modules in folders.items() if modules > 20] == []


def test_files_and_functions_stay_small() -> None:
    long = [path for path in sources() if len(lines(path)) > 300]
    assert long == []
    assert [name for name, size in functions() if size > 50] == []


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def sources() -> list[Path]:
    return [p for part in ("raycompare", "jobs", "benchmarks") for p in (ROOT / part).rglob("*.py")]


def functions() -> Iterator[tuple[str, int]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{path.name}:{node.name}", node.end_lineno - node.lineno + 1


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "raycompare").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
