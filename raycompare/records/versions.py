"""Versions of the packages that affect the numbers of a trial; imports none of them."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TRAINING_VERSION = 3
"""Increased when a change of raycompare changes the numbers of trials."""
TRAINING_PACKAGES = ("torch", "transformers", "tokenizers")
RECORDED_PACKAGES = (
    "raycompare",
    "ray",
    *TRAINING_PACKAGES,
    "datasets",
    "accelerate",
    "scikit-learn",
    "numpy",
    "pandas",
    "pyarrow",
)
NOT_INSTALLED = "not installed"


def code_versions() -> dict[str, str]:
    """Return the versions of raycompare's training and of the packages that it computes with."""
    return {
        "training": str(TRAINING_VERSION),
        **{package: _version(package) for package in TRAINING_PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def source_hash() -> str:
    """Return a hash of raycompare's Python files, which tells apart programs of one version."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]


def describe_version() -> str:
    """Return the version and the hash of the sources."""
    return f"raycompare {_version('raycompare')} (sources {source_hash()})"
