from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from raycompare.data import docstrings
from raycompare.data.docstrings import LIBRARIES, LONGEST, SHORTEST, read_docstrings
from raycompare.errors import UserError

Rows = list[tuple[str, str]]
SHARED = "Turn the rows of a table into the columns of another table."
ONLY_FIRST = "Sum the items of every row, and of every column of those rows."


def read() -> Rows:
    return list(zip(*read_docstrings(), strict=True))


@pytest.fixture(scope="module")
def real() -> Rows:
    return read()


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two empty packages, `docfirst` and `docsecond`, in the place of the real libraries."""
    for package in ("docfirst", "docsecond"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(docstrings, "LIBRARIES", {"first": "docfirst", "second": "docsecond"})
    return tmp_path


def write(file: Path, *functions: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join(functions), encoding="utf-8")


def function(docstring: str, head: str = "def f():") -> str:
    return f'{head}\n    """{docstring}"""\n'


def test_each_library_has_hundreds_of_texts(real: Rows) -> None:
    counts = Counter(label for _, label in real)
    assert set(counts) == set(LIBRARIES)
    assert min(counts.values()) > 500
    assert len(real) > 4000


def test_real_texts_are_short_paragraphs_in_sorted_order(real: Rows) -> None:
    assert all(SHORTEST <= len(text) <= LONGEST for text, _ in real)
    assert all(text == " ".join(text.split()) for text, _ in real)
    assert real == sorted(real, key=lambda row: (row[1], row[0]))


def test_no_real_text_is_there_twice(real: Rows) -> None:
    assert len({text.casefold() for text, _ in real}) == len(real)


def test_no_real_text_names_a_library(real: Rows) -> None:
    names = re.compile(r"(?<![a-z0-9])(numpy|np|pandas|pd|scipy|scikit.?learn|sklearn)(?![a-z0-9])")
    assert [text for text, _ in real if names.search(text.lower())] == []


def test_reading_imports_nothing(libraries: Path) -> None:
    write(libraries / "docfirst" / "a.py", "raise RuntimeError", function(ONLY_FIRST))
    assert read() == [(ONLY_FIRST, "first")]
    assert "docfirst" not in sys.modules


@pytest.mark.parametrize("head", ["def f():", "async def f():", "class F:"])
def test_public_definitions_count_wherever_they_are(libraries: Path, head: str) -> None:
    inner = function(ONLY_FIRST, head).replace("\n", "\n    ")
    write(
        libraries / "docfirst" / "a.py", f"class _Hidden:\n    if True:\n        x = 1\n    {inner}"
    )
    assert read() == [(ONLY_FIRST, "first")]


def test_private_definitions_and_tests_folders_do_not(libraries: Path) -> None:
    write(libraries / "docfirst" / "a.py", function(ONLY_FIRST, "def _f():"))
    write(libraries / "docfirst" / "sub" / "tests" / "b.py", function(ONLY_FIRST))
    assert read() == []


def test_only_the_first_paragraph_is_read_with_single_spaces(libraries: Path) -> None:
    docstring = "Sum the items\n      of every   row, or of every column.\n  \n    More about it."
    write(libraries / "docfirst" / "a.py", function(docstring))
    assert read() == [("Sum the items of every row, or of every column.", "first")]


@pytest.mark.parametrize(("length", "kept"), [(39, 0), (40, 1), (400, 1), (401, 0)])
def test_length_limits(libraries: Path, length: int, kept: int) -> None:
    write(libraries / "docfirst" / "a.py", function("x" * length))
    assert len(read()) == kept


@pytest.mark.parametrize(
    "name", ["numpy", "NumPy", "np", "pd", "SciPy", "sklearn", "scikit-learn", "Scikit-Learn"]
)
def test_names_are_masked(libraries: Path, name: str) -> None:
    docstring = f"Like {name}.f and __{name}_x__, but not {name}x, for all the arrays."
    write(libraries / "docfirst" / "a.py", function(docstring))
    masked = f"Like library.f and __library_x__, but not {name}x, for all the arrays."
    assert read() == [(masked, "first")]


def test_a_text_of_two_libraries_is_dropped_from_both(libraries: Path) -> None:
    write(libraries / "docfirst" / "a.py", function(SHARED), function(ONLY_FIRST))
    write(libraries / "docsecond" / "a.py", function(SHARED.upper()))
    assert read() == [(ONLY_FIRST, "first")]


def test_texts_that_differ_by_a_library_name_are_the_same(libraries: Path) -> None:
    write(libraries / "docfirst" / "a.py", function(f"{SHARED} For numpy."))
    write(libraries / "docsecond" / "a.py", function(f"{SHARED} For pandas."))
    assert read() == []


def test_order_of_files_does_not_matter(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(libraries / "docfirst" / "a.py", function(SHARED), function(ONLY_FIRST))
    write(libraries / "docfirst" / "b.py", function(SHARED.upper()), function("z" * 50))
    expected = read()
    assert len(expected) == 3
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, pattern: reversed(list(rglob(path, pattern))))
    assert read() == expected


def test_sloppy_source_reads_without_a_warning(libraries: Path) -> None:
    write(libraries / "docfirst" / "a.py", "x = '\\d'", function(ONLY_FIRST))
    assert read() == [(ONLY_FIRST, "first")]


def test_a_library_that_is_not_installed(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstrings, "LIBRARIES", {"first": "docfirst", "third": "docthird"})
    with pytest.raises(UserError, match="docthird is not installed"):
        read()
