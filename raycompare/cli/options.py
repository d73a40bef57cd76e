"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
RunDir = Annotated[str, typer.Argument(metavar="RUN_DIR", show_default=False)]
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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
