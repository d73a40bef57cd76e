"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from raycompare.cli.runs import find_run
from raycompare.errors import UserError

ExperimentPath = Annotated[Path, typer.Argument(metavar="EXPERIMENT.yaml", show_default=False)]
OptionalExperiment = Annotated[
    Path | None, typer.Argument(metavar="[EXPERIMENT.yaml]", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting: a dotted key and a YAML value, such as tune.num_samples=4. "
        "May be repeated.",
    ),
]
RunDir = Annotated[
    str,
    typer.Argument(
        metavar="RUN_DIR",
        show_default=False,
        callback=find_run,
        help="A run folder, its id in the folder of runs, or `latest`.",
    ),
]
Earlier = Annotated[str, typer.Argument(metavar="RUN_A", show_default=False, callback=find_run)]
Later = Annotated[str, typer.Argument(metavar="RUN_B", show_default=False, callback=find_run)]
Out = Annotated[
    str,
    typer.Option(
        metavar="DIR",
        envvar="RAYCOMPARE_OUT",
        help="Directory or bucket URI for run folders.",
    ),
]
FetchInto = Annotated[str, typer.Argument(metavar="[DIR]", help="Local directory for run folders.")]
Weights = Annotated[bool, typer.Option("--weights", help="Also fetch the models of the finalists.")]
ModelName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="One of the finalists. Default: the winner."),
]


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether an option is on the command line, not a default or an environment variable."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def require_effect(context: typer.Context, options: Mapping[str, str], instead: str) -> None:
    """Check that options that would do nothing are not on the command line.

    Args:
        context: the command.
        options: options, keyed by the names of their parameters.
        instead: reason why they would do nothing.

    Raises:
        UserError: one of them is there.
    """
    vain = [option for name, option in options.items() if is_given(context, name)]
    if vain:
        raise UserError(f"{', '.join(vain)}: without effect, because {instead}. Omit it.")


def require_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    """Check the texts of the command line, and the second text of each pair.

    Raises:
        UserError: a text is empty, or not in UTF-8, or there are not as many of both.
    """
    from raycompare.experiment.safe_yaml import is_broken

    if pairs is not None and len(pairs) != len(texts):
        raise UserError(f"--text-pair: found {len(pairs)}, allowed one for each --text.")
    for option, text in [("--text", t) for t in texts] + [("--text-pair", t) for t in pairs or ()]:
        if not text.strip():
            raise UserError(f"{option}: found {text!r}, allowed a text that is not empty.")
        if is_broken(text):
            raise UserError(f"{option}: found {text!a}, allowed a text in UTF-8.")


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
