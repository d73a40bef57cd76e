"""`raycompare serve`: serves a model over HTTP with Ray Serve and dynamic batching.

Ray Serve exports its counters and latencies for Prometheus on Ray's metrics port.
"""

# No `annotations` from the future: Serve sends `Replica` to its process by value, and there FastAPI
# cannot resolve annotations that are only strings.
import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import ray
import torch
from fastapi.responses import HTMLResponse
from ray import serve
from ray.serve.config import HTTPOptions

from raycompare.cluster.connection import connect, is_remote
from raycompare.records.run_folder import RunFolder
from raycompare.serving.http_api import (
    Health,
    PredictRequest,
    PredictResponse,
    TextPrediction,
    new_app,
    page,
    require_port,
    require_width,
)
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.winner import model_files, saved_at, trained_on

NAME = "raycompare"
REQUEST_SECONDS = 60.0
"""Time after which Serve answers with 408."""
ONGOING_BATCHES, QUEUED_BATCHES = 2, 4
"""Requests that a replica works on, and that wait for it, in batches. Further requests are answered
with 503, so that none waits longer than a few batches take."""

app = new_app()


@dataclass(frozen=True, kw_only=True)
class Service:
    """The settings of a server."""

    place: str
    """A run folder, or the folder of a model."""
    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    max_batch: int = 32
    """Maximum number of texts in a batch."""
    wait_ms: float = 5.0
    """Maximum time for which a batch waits for more texts."""
    replicas: int = 1
    max_queued: int | None = None
    """Maximum number of requests that wait for a replica."""


@serve.deployment(name=NAME)
@serve.ingress(app)
class Replica:
    """A process with the model."""

    def __init__(
        self, files: str, name: str, max_batch: int, wait_ms: float, width: int | None
    ) -> None:
        """Load the model and predict one text, so that the first request is not slowed down.

        Args:
            files: folder of the model.
            name: name of the model.
            max_batch: maximum number of texts in a batch.
            wait_ms: maximum time for which a batch waits for more texts.
            width: 1 for a model of single texts, 2 for pairs, None if it isn't known.
        """
        self._width = width
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # a replica takes one CPU
        self._name, self._model = name, LoadedModel.at(RunFolder.at(files))
        self._batch_size = max_batch
        self._model.probabilities([["warm"]])
        self._rows.set_max_batch_size(max_batch)  # type: ignore[attr-defined]
        self._rows.set_batch_wait_timeout_s(wait_ms / 1000)  # type: ignore[attr-defined]

    @app.get("/health")
    async def health(self) -> Health:
        """Describe the model."""
        return Health(
            status="ok",
            model=self._name,
            labels=list(self._model.labels),
            max_length=self._model.classifier.max_length,
        )

    @app.post("/predict")
    async def predict(self, question: PredictRequest) -> PredictResponse:
        """Return label and probabilities of each text."""
        require_width(question, self._width)
        rows = await asyncio.gather(*(self._rows(row) for row in question.rows))
        return PredictResponse(
            predictions=[TextPrediction.of(self._model.labels, row) for row in rows]
        )

    @app.get("/docs", include_in_schema=False)
    async def docs(self) -> HTMLResponse:
        """Show the documentation of the API."""
        return HTMLResponse(page(app.openapi()))

    @serve.batch
    async def _rows(self, rows: list[tuple[str, ...]]) -> list[list[float]]:
        """Return the probabilities of texts and pairs that arrived together."""
        # In a thread, so that this one can collect requests for the next batch.
        return await asyncio.to_thread(self._probabilities, rows)

    def _probabilities(self, rows: Sequence[tuple[str, ...]]) -> list[list[float]]:
        probabilities: list[list[float]] = [[]] * len(rows)
        for width in {len(row) for row in rows}:
            alike = [index for index, row in enumerate(rows) if len(row) == width]
            columns = list(zip(*(rows[index] for index in alike), strict=True))
            answers = self._model.probabilities(columns, self._batch_size)
            for index, answer in zip(alike, answers.tolist(), strict=True):
                probabilities[index] = answer
        return probabilities


def serve_model(service: Service, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UserError: there is no such model, or the port is taken.
    """
    try:
        with serving(service) as lines:
            for line in lines:
                say(line)
            Event().wait()
    except KeyboardInterrupt:  # also while it starts
        say("stopped")


@contextmanager
def serving(service: Service) -> Iterator[list[str]]:
    """Serve while the context is active; yields lines that describe the server.

    Raises:
        UserError: there is no such model, or the port is taken.
    """
    files = model_files(service.place, service.model)
    saved_at(files)
    if not is_remote():
        require_port(service.host, service.port)
    with connect():
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        try:
            serve.start(
                proxy_location="HeadOnly",
                http_options=HTTPOptions(
                    host=service.host, port=service.port, request_timeout_s=REQUEST_SECONDS
                ),
            )
            serve.run(_bound(service, files), name=NAME, route_prefix="/")
            yield _lines(service, files)
        finally:
            # Not serve.shutdown(), because the cluster may serve other applications.
            serve.delete(NAME)


def _bound(service: Service, files: RunFolder) -> serve.Application:
    cards = int(ray.cluster_resources().get("GPU", 0))
    ongoing = ONGOING_BATCHES * service.max_batch
    queued = service.max_queued or QUEUED_BATCHES * service.max_batch
    deployment = Replica.options(  # type: ignore[attr-defined]
        num_replicas=service.replicas,
        max_ongoing_requests=ongoing,
        max_queued_requests=queued,
        ray_actor_options={"num_cpus": 1, "num_gpus": 1 if cards else 0},
    )
    name = service.model or files.uri.rpartition("/")[2]
    data = trained_on(service.place)
    width = len(data.text) if data else None
    settings = (service.max_batch, service.wait_ms, width)
    bound: serve.Application = deployment.bind(files.uri, name, *settings)
    return bound


def _lines(service: Service, files: RunFolder) -> list[str]:
    at = f"http://{service.host}:{service.port}"
    node = next(node for node in ray.nodes() if node["Alive"])
    metrics = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    return [
        f"serving {files.shown} at {at}/predict; documentation at {at}/docs and {at}/openapi.json",
        f"metrics for Prometheus at {metrics}, with names that begin with ray_serve_",
        "press Ctrl-C to stop",
    ]
