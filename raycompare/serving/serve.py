"""`raycompare serve`: serves a model over HTTP with Ray Serve and dynamic batching.

Ray Serve exports its counters and latencies for Prometheus on Ray's metrics port.
"""

# No `annotations` from the future: Serve sends `Replica` to its process by value, and there FastAPI
# cannot resolve annotations that are only strings.
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
from raycompare.models.saved import NOTHING, Trust
from raycompare.records.run_folder import RunFolder
from raycompare.serving.fair_batches import Answer, FairBatches, Limits, Row
from raycompare.serving.http_api import (
    Health,
    PredictRequest,
    PredictResponse,
    TextPrediction,
    new_app,
    page,
    require_width,
)
from raycompare.serving.http_bodies import MOST_BYTES
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.long_texts import shorten
from raycompare.serving.start import (
    await_replicas,
    bracket,
    require_port,
    require_room,
    telling_cause,
)
from raycompare.serving.winner import model_files, saved_at, width_of

NAME = "raycompare"
REQUEST_SECONDS = 60.0
"""Time after which Serve answers with 408."""
ONGOING_BATCHES, QUEUED_BATCHES = 2, 4
"""Texts that a replica works on, and that wait for it, in batches. Further requests are answered
with 503, so that none waits longer than a few batches take."""
MOST_WAITING = MOST_BYTES
"""Maximum number of characters of these texts."""
MOST_REQUESTS = 4096
"""Requests that a replica holds, most of them while their bodies arrive."""

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
    trust: Trust = NOTHING
    max_queued: int | None = None
    """Maximum number of texts that wait in a replica."""

    @property
    def limits(self) -> Limits:
        """The batches of a replica, and how much may wait for them."""
        queued = self.max_queued or QUEUED_BATCHES * self.max_batch
        return Limits(
            batch=self.max_batch,
            wait_s=self.wait_ms / 1000,
            texts=ONGOING_BATCHES * self.max_batch + queued,
            size=MOST_WAITING,
        )


@serve.deployment(name=NAME)
@serve.ingress(app)
class Replica:
    """A process with the model."""

    def __init__(
        self, files: str, name: str, limits: Limits, width: int | None, trust: Trust
    ) -> None:
        """Load the model and predict one text, so that the first request is not slowed down.

        Args:
            files: folder of the model.
            name: name of the model.
            limits: batches, and how much may wait.
            width: 1 for a model of single texts, 2 for pairs, None if it isn't known.
            trust: code of the model that may run.
        """
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # a replica takes one CPU
        self._width, self._name, self._batch = width, name, limits.batch
        with telling_cause():
            self._model = LoadedModel.at(RunFolder.at(files), trust)
            self._model.probabilities([["warm"]] * (width or 1))
        self._batches = FairBatches(self._answers, limits)

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
        rows = await self._batches.answer(question.rows)
        return PredictResponse(
            predictions=[TextPrediction.of(self._model.labels, row) for row in rows]
        )

    @app.get("/docs", include_in_schema=False)
    async def docs(self) -> HTMLResponse:
        """Show the documentation of the API."""
        return HTMLResponse(page(app.openapi()))

    def _answers(self, rows: Sequence[Row]) -> Sequence[Answer]:
        """Return the probabilities of texts and pairs that arrived together."""
        classifier = self._model.classifier
        rows = [shorten(row, classifier.tokenizer, classifier.max_length) for row in rows]
        answers: list[Answer] = [[]] * len(rows)
        for width in {len(row) for row in rows}:
            alike = [index for index, row in enumerate(rows) if len(row) == width]
            columns = list(zip(*(rows[index] for index in alike), strict=True))
            computed = self._model.probabilities(columns, self._batch)
            for index, answer in zip(alike, computed.tolist(), strict=True):
                answers[index] = answer
        return answers


def serve_model(service: Service, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UserError: there is no such model, it can't be loaded, the port is taken, or there are
            fewer CPUs or GPUs than replicas.
        RunError: the replicas are not ready in time.
    """
    try:
        with serving(service, say) as lines:
            for line in lines:
                say(line)
            Event().wait()
    except KeyboardInterrupt:  # also while it starts
        say("stopped")


@contextmanager
def serving(service: Service, say: Callable[[str], None]) -> Iterator[list[str]]:
    """Serve while the context is active; yields lines that describe the server.

    Raises:
        UserError: as for `serve_model`.
        RunError: the replicas are not ready in time.
    """
    files = model_files(service.place, service.model)
    saved_at(files, service.trust)
    if not is_remote():
        require_port(service.host, service.port)
    say(f"starting: {files.shown}")
    with connect(say=say) as nodes:
        if not is_remote():
            require_room(service.replicas, nodes)
        logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # it would log each news again
        try:
            serve.start(
                proxy_location="HeadOnly",
                http_options=HTTPOptions(
                    host=service.host, port=service.port, request_timeout_s=REQUEST_SECONDS
                ),
            )
            target = serve.RunTarget(_bound(service, files), name=NAME, route_prefix="/")
            serve.run_many([target], wait_for_applications_running=False)
            await_replicas(lambda: serve.status().applications[NAME], service.replicas, say)
            yield _lines(service, files)
        finally:
            # Not serve.shutdown(), because the cluster may serve other applications.
            serve.delete(NAME)


def _bound(service: Service, files: RunFolder) -> serve.Application:
    cards = int(ray.cluster_resources().get("GPU", 0))
    deployment = Replica.options(  # type: ignore[attr-defined]
        num_replicas=service.replicas,
        max_ongoing_requests=MOST_REQUESTS,
        max_queued_requests=MOST_REQUESTS,
        max_constructor_retry_count=1,
        ray_actor_options={"num_cpus": 1, "num_gpus": 1 if cards else 0},
    )
    name = service.model or files.uri.rpartition("/")[2]
    width = width_of(service.place, files)
    settings = service.limits, width, service.trust
    bound: serve.Application = deployment.bind(files.uri, name, *settings)
    return bound


def _lines(service: Service, files: RunFolder) -> list[str]:
    at = f"http://{bracket(service.host)}:{service.port}"
    node = next(node for node in ray.nodes() if node["Alive"])
    metrics = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    return [
        f"serving {files.shown} at {at}/predict; documentation at {at}/docs and {at}/openapi.json",
        f"metrics for Prometheus at {metrics}, with names that begin with ray_serve_",
        "press Ctrl-C to stop",
    ]
