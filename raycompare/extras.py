"""How to install the extras of raycompare, which is on no package index."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout that raycompare is installed from, if it is an editable installation."""
CONSTRAINTS = "constraints.txt"


def install_command(*extras: str, project: Path = PROJECT) -> str:
    """Return the command that installs extras into the current environment.

    pip finds no distribution with this name on an index, so the command names the checkout. It is
    written for the checkout's own folder where that is the working directory, or is unknown.
    """
    is_here = project == Path.cwd() or not (project / CONSTRAINTS).is_file()
    constraints = CONSTRAINTS if is_here else str(project / CONSTRAINTS)
    target = f"{os.curdir if is_here else project}[{','.join(extras)}]"
    command = f"pip install -c {shlex.quote(constraints)} -e {shlex.quote(target)}"
    return command if (project / CONSTRAINTS).is_file() else f"{command}, in a checkout"
