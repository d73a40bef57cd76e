"""`raycompare export`, `predict` and `serve` use a finalist of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from raycompare.cli.console import say, warn
from raycompare.cli.options import ModelName, RunDir, is_given, require_texts
from raycompare.cli.runs import find_run, in_one_line
from raycompare.errors import UserError
from raycompare.extras import install_command
from raycompare.formatting import visible_json

if TYPE_CHECKING:
    from raycompare.models.saved import Trust
    from raycompare.serving.predict import Prediction, Tally

app = typer.Typer()

Place = Annotated[
    str,
    typer.Argument(
        metavar="RUN_DIR|MODEL_DIR",
        help="A run folder, its id, `latest`, or a saved model.",
        callback=find_run,
    ),
]
TextColumns = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Column with the texts; repeat it for pairs."),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column with true labels, to score the predictions."),
]


TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run the Python code in the model's folder, if the model was trained with it.",
    ),
]
TrustCode = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:CLASS",
        help="Import the model's class, if it was trained with this `model_class`.",
    ),
]


@app.command()
@in_one_line
def export(
    run_dir: RunDir,
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False)],
    directory: Annotated[str, typer.Argument(metavar="DIR", show_default=False)],
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx", help="Also export to ONNX, checked with onnxruntime. Needs the onnx extra."
        ),
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    trust_code: TrustCode = None,
) -> None:
    """Write a finalist to a directory that `from_pretrained` reads, with a model card."""
    from raycompare.models.saved import Trust
    from raycompare.serving.export import export

    trust = Trust(remote_code=trust_remote_code, model_class=trust_code)
    for line in export(run_dir, model, directory, onnx, trust):
        say(line)


@app.command()
@in_one_line
def predict(
    context: typer.Context,
    place: Place,
    text: Annotated[
        list[str] | None, typer.Option(help="Text to classify; may be repeated.")
    ] = None,
    text_pair: Annotated[
        list[str] | None, typer.Option(help="Second text of each pair, for models of text pairs.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File of texts: csv, tsv, json, jsonl or parquet."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File for predictions: csv, jsonl or parquet."),
    ] = None,
    model: ModelName = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    text_column: TextColumns = None,
    label_column: LabelColumn = None,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Predict with Ray Data, one actor per GPU or CPU.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for --text.")] = False,
    trust_remote_code: TrustRemoteCode = False,
    trust_code: TrustCode = None,
) -> None:
    """Predict labels and probabilities of texts, or of a file of texts."""
    if (file is None) == (text is None) or (file is None) != (out is None):
        raise UserError("expected --text, or --file with --out. Give one of the two.")
    from raycompare.models.saved import Trust

    trust = Trust(remote_code=trust_remote_code, model_class=trust_code)
    if text is not None:
        of_files = {"--text-column": text_column, "--label-column": label_column, "--ray": on_ray}
        of_files["--batch-size"] = is_given(context, "batch_size")
        _require_none(of_files, "--file")
        for line in _predict_texts(place, model, (text, text_pair), trust, json):
            typer.echo(visible_json(line)) if json else say(line)
        return
    _require_none({"--text-pair": text_pair, "--json": json}, "--text")
    assert file is not None
    assert out is not None
    asked = _ask_for_file(place, model, (file, out), text_column or (), label_column, trust)
    _predict_file(replace(asked, batch_size=batch_size), on_ray)


def _ask_for_file(
    place: str,
    model: str | None,
    files: tuple[str, str],
    text: Sequence[str],
    label: str | None,
    trust: Trust,
) -> Prediction:
    from raycompare.serving.input_files import open_input
    from raycompare.serving.output_files import require_free
    from raycompare.serving.predict import Prediction, columns_of
    from raycompare.serving.winner import model_files, saved_at, trained_on, width_of

    file, out = files
    require_free(out)
    chosen, data = model_files(place, model), trained_on(place)
    return Prediction(
        source=open_input(file, columns_of(data, text, label, width_of(place, chosen))),
        model=chosen,
        labels=saved_at(chosen, trust).label_names,
        out=out,
        trust=trust,
        data=data,
    )


def _require_none(given: Mapping[str, object], belongs_to: str) -> None:
    found = [option for option, value in given.items() if value]
    if found:
        raise UserError(f"{', '.join(found)}: found without {belongs_to}, to which it belongs.")


def _predict_texts(
    place: str,
    model: str | None,
    given: tuple[Sequence[str], Sequence[str] | None],
    trust: Trust,
    json: bool,
) -> list[str]:
    from raycompare.serving.loaded_model import LoadedModel
    from raycompare.serving.predict import describe_predictions, list_predictions
    from raycompare.serving.winner import model_files, require_width, width_of

    texts, pairs = given
    require_texts(texts, pairs)
    columns = [texts] if pairs is None else [texts, pairs]
    files = model_files(place, model)
    trained = width_of(place, files)
    require_width("--text-pair" if pairs else "--text", len(columns), trained)
    loaded = LoadedModel.at(files, trust)
    if json:
        return [dumps(list_predictions(loaded, columns), indent=2, ensure_ascii=False)]
    return describe_predictions(loaded, columns)


def _predict_file(asked: Prediction, on_ray: bool) -> None:
    from raycompare.cluster.stopping import interrupt_on_signals

    undo = interrupt_on_signals()  # so that no temporary file is left
    try:
        tally = _write_file(asked, on_ray)
    finally:
        undo()
    for line in (*tally.lines(), asked.out):
        say(line)


def _write_file(asked: Prediction, on_ray: bool) -> Tally:
    from raycompare.serving.predict import predict_here, write_predictions

    if on_ray:
        from raycompare.cluster.connection import connect
        from raycompare.serving.predict_on_ray import predict_on_ray

        with connect():
            return write_predictions(asked, predict_on_ray(asked), warn)
    return write_predictions(asked, predict_here(asked), warn)


@app.command()
def serve(
    place: Place,
    host: Annotated[
        str, typer.Option(help="Use 0.0.0.0 to accept other machines. There is no authentication.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    model: ModelName = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Maximum number of texts in a batch.")] = 32,
    wait_ms: Annotated[
        float, typer.Option(min=0, help="Maximum time to wait for a full batch, in ms.")
    ] = 5.0,
    replicas: Annotated[
        int, typer.Option(min=1, help="Number of copies of the model, each on its own CPU or GPU.")
    ] = 1,
    max_queued: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of waiting texts of a replica; more get status 503."
        ),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    trust_code: TrustCode = None,
) -> None:
    """Serve a model over HTTP until Ctrl-C. Needs the serve extra."""
    _require_serve()
    from raycompare.models.saved import Trust
    from raycompare.serving.serve import Service, serve_model

    service = Service(
        place=place,
        model=model,
        host=host,
        port=port,
        max_batch=max_batch,
        wait_ms=wait_ms,
        replicas=replicas,
        max_queued=max_queued,
        trust=Trust(remote_code=trust_remote_code, model_class=trust_code),
    )
    serve_model(service, say)


def _require_serve() -> None:
    missing = [name for name in ("fastapi", "starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"`raycompare serve` needs {', '.join(missing)}, not installed here. Install the "
            f"extra: {install_command('serve')}"
        )
