"""The data set `builtin:docstrings`: which Python library is a docstring from?

Real English text that is part of every installation: the first paragraphs of public docstrings of
four libraries, read from their source files. Nothing is imported or downloaded.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from raycompare.errors import UserError

LIBRARIES = {"numpy": "numpy", "pandas": "pandas", "scipy": "scipy", "scikit-learn": "sklearn"}
"""Packages that the texts are read from, keyed by label."""

SHORTEST, LONGEST = 40, 400

_MASK = "library"
# An underscore ends a name here, so that `__sklearn_tags__` doesn't reveal the label either.
_NAMES = re.compile(
    r"(?<![^\W_])(numpy|np|pandas|pd|scipy|sp|scikit[-\s]?learn|sklearn)(?![^\W_])", re.IGNORECASE
)
# The fields that contain statements. Skipping all others is faster and misses no definition.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def read_docstrings() -> tuple[list[str], list[str]]:
    """Return the texts and their libraries, in the same order on every machine."""
    texts_of = {label: _distinct_texts(package) for label, package in LIBRARIES.items()}
    libraries_of = Counter(key for texts in texts_of.values() for key in texts)
    rows = sorted(
        (label, text)
        for label, texts in texts_of.items()
        for key, text in texts.items()
        if libraries_of[key] == 1
    )
    return [text for _, text in rows], [label for label, _ in rows]


def _distinct_texts(package: str) -> dict[str, str]:
    texts = (
        text
        for file in _source_files(package)
        for paragraph in _first_paragraphs(file.read_bytes())
        if SHORTEST <= len(text := _mask_names(paragraph)) <= LONGEST
    )
    # Of texts that differ only in case, keep the last in sorted order, whatever the file order.
    return {text.casefold(): text for text in sorted(texts)}


def _source_files(package: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(
            f"builtin:docstrings reads the source of {', '.join(LIBRARIES.values())}; "
            f"{package} is not installed. Install it, or use another data set."
        )
    folder = Path(spec.origin).parent
    files = folder.rglob("*.py")
    return (file for file in files if "tests" not in file.relative_to(folder).parts)


def _first_paragraphs(source: bytes) -> Iterator[str]:
    with warnings.catch_warnings():
        # Invalid escape sequences in these libraries are not the user's problem.
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for definition in _public_definitions(tree):
        docstring = ast.get_docstring(definition)
        if docstring:
            yield re.split(r"\n\s*\n", docstring, maxsplit=1)[0]


def _public_definitions(tree: ast.Module) -> Iterator[_Documented]:
    to_visit: list[ast.AST] = [tree]
    while to_visit:
        node = to_visit.pop()
        if isinstance(node, _Documented) and not node.name.startswith("_"):
            yield node
        to_visit += [child for block in _BLOCKS for child in getattr(node, block, ())]


def _mask_names(paragraph: str) -> str:
    return _NAMES.sub(_MASK, " ".join(paragraph.split()))
