"""The inference container without its Java: the archive behind Hugging Face's own handler.

`python inference_container.py MODEL_DIR` prints its port and answers /ping and /invocations as
SageMaker's contract has it. What reads the request, predicts and writes the answer is
`HuggingFaceHandlerService` of sagemaker-huggingface-inference-toolkit, with the context that Multi
Model Server gives it.
"""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE, Popen
from typing import Any


def handler_of(place: str) -> Callable[[bytes, Mapping[str, str]], bytes]:
    """Return the container's handler of a model in a folder: it takes a body and its headers."""
    import transformers.file_utils  # noqa: PLC0415 - only where it is served

    # The published toolkit (2.6.0) asks for TensorFlow by a function that transformers 5 has not.
    transformers.file_utils.is_tf_available = lambda: False
    from mms.context import Context, RequestProcessor  # noqa: PLC0415
    from mms.metrics.metrics_store import MetricsStore  # noqa: PLC0415
    from sagemaker_huggingface_inference_toolkit.handler_service import (  # noqa: PLC0415
        HuggingFaceHandlerService,
    )

    service = HuggingFaceHandlerService()
    service.initialize(Context("model", place, {}, 1, None, "1"))

    def handle(body: bytes, headers: Mapping[str, str]) -> bytes:
        context: Any = Context("model", place, {}, 1, None, "1")
        context.request_ids, context.metrics = {0: "0"}, MetricsStore({0: "0"}, "model")
        context.request_processor = [RequestProcessor(dict(headers))]
        (said,) = service.handle([{"body": body}], context)
        return said.encode() if isinstance(said, str) else said

    return handle


def answers_of(place: str) -> type[BaseHTTPRequestHandler]:
    """Return what answers requests for the model in a folder, loaded as the container loads it."""
    handle = handler_of(place)
    from mms.service import PredictionException  # noqa: PLC0415

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200 if self.path == "/ping" else 404, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                self._say(200, handle(body, dict(self.headers)))
            except PredictionException as error:
                self._say(error.error_code, str(error.message).encode())

        def _say(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Answers


@contextmanager
def serving(archive: bytes, task: str) -> Iterator[str]:
    """Unpack a model.tar.gz and serve it in a process of its own; yield its URL."""
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(place, filter="data")
        command = [sys.executable, __file__, place]
        environment = {"HF_TASK": task, "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
        with Popen(command, env=environment, stdout=PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                port = process.stdout.readline().strip()
                assert port, "it did not start; see what it said"
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers_of(sys.argv[1]))
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
