"""A stand-in for the Hugging Face hub, for what huggingface_hub and datasets ask of it.

It serves a folder: `models/ID/REVISION` and `datasets/ID/REVISION` hold the files of a repository
at a branch, whose commit is a hash of the files. The program that asks has HF_ENDPOINT set.

    python -m tests.rig.hub FOLDER HOST PORT
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PORT = 5005
MAIN = "main"
API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<name>[^/]+(?:/[^/]+)??)"
    r"(?:/(?P<what>revision|tree|paths-info|refs)(?:/(?P<revision>[^/]+)(?:/(?P<path>.+))?)?)?$"
)
FILE = re.compile(
    r"/(?P<kind>datasets/)?(?P<name>[^/]+(?:/[^/]+)??)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$"
)


@dataclass(frozen=True)
class Commit:
    """The files of a repository at a branch."""

    folder: Path

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their path in the repository."""
        every = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in every}

    @cached_property
    def sha(self) -> str:
        """What the hub would call it."""
        digest = hashlib.sha1(usedforsecurity=False)
        for name, path in self.files.items():
            digest.update(f"{name}:{etag(path)}".encode())
        return digest.hexdigest()


def etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class NotThereError(Exception):
    """What the hub answers with 404, under its own code."""


@dataclass(frozen=True)
class Hub:
    """Repositories in a folder."""

    folder: Path

    def commit(self, kind: str, name: str, revision: str) -> Commit:
        """Find a repository at a branch or a commit."""
        place = self.folder / kind / name
        branches = [path for path in place.glob("*") if path.is_dir()]
        if not branches or not any(Commit(path).files for path in branches):
            raise NotThereError("RepoNotFound")
        commits = (Commit(path) for path in branches)
        for made in commits:
            if revision in (made.folder.name, made.sha):
                return made
        raise NotThereError("RevisionNotFound")

    def answer(self, match: re.Match[str], paths: list[str], *, is_deep: bool) -> Any:
        """Answer a question about a repository; `paths` and `is_deep` are those of a listing."""
        kind, name, what = match["kind"], match["name"], match["what"]
        commit = self.commit(kind, name, unquote(match["revision"] or MAIN))
        if what == "refs":
            branches = (Commit(path) for path in (self.folder / kind / name).glob("*"))
            named = [
                {"name": b.folder.name, "ref": f"refs/heads/{b.folder.name}", "targetCommit": b.sha}
                for b in branches
            ]
            return {"branches": named, "converts": [], "tags": []}
        if what == "tree":
            return _tree(commit, unquote(match["path"] or ""), is_deep=is_deep)
        if what == "paths-info":
            return [_entry(path, commit.files[path]) for path in paths if path in commit.files]
        siblings = [{"rfilename": path} for path in commit.files]
        about = {"id": name, "sha": commit.sha, "siblings": siblings, "tags": []}
        return {**about, "private": False, "gated": False, "disabled": False, "downloads": 0}


def _tree(commit: Commit, below: str, *, is_deep: bool) -> list[dict[str, Any]]:
    """List what is in a folder, which the hub only has if it is not empty."""
    prefix = f"{below}/" if below else ""
    names = [name for name in commit.files if name.startswith(prefix)]
    if not names:
        raise NotThereError("EntryNotFound")
    folders = {
        f"{prefix}{rest[0]}": {"type": "directory", "oid": commit.sha, "size": 0}
        for name in names
        if len(rest := name.removeprefix(prefix).split("/")) > 1
    }
    files = [n for n in names if is_deep or "/" not in n.removeprefix(prefix)]
    return [
        *({"path": path, **about} for path, about in folders.items()),
        *(_entry(name, commit.files[name]) for name in files),
    ]


def _entry(name: str, path: Path) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": etag(path)[:40]}


class Handler(BaseHTTPRequestHandler):
    """Answers one client of the hub."""

    protocol_version = "HTTP/1.1"
    hub: Hub
    log: list[str]

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(b"")

    def do_GET(self) -> None:
        """Answer about a repository, or with a file of one."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer about some paths of a repository."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        where, question = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        is_deep = question.get("recursive", [""])[0].lower() == "true"
        try:
            if match := API.match(where):
                answer = self.hub.answer(match, _paths(body), is_deep=is_deep)
                self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
            elif match := FILE.match(where):
                self._file(match)
            else:
                raise NotThereError("EntryNotFound")
        except NotThereError as error:
            self._send(404, b"{}", {"X-Error-Code": str(error)})

    def _file(self, match: re.Match[str]) -> None:
        kind = "datasets" if match["kind"] else "models"
        commit = self.hub.commit(kind, match["name"], unquote(match["revision"]))
        about = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        path = commit.files.get(unquote(match["path"]))
        if path is None:
            self._send(404, b"", about | {"X-Error-Code": "EntryNotFound"})
            return
        content, about = path.read_bytes(), about | {"ETag": f'"{etag(path)}"'}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part is None:
            self._send(200, content, about)
            return
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        about["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], about)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.log.append(f"{self.command} {self.path} {status}")
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing; `log` has it."""


def _paths(body: bytes) -> list[str]:
    """Read the paths of a question, which clients send as a form or as JSON."""
    if body.startswith(b"{"):
        paths = json.loads(body)["paths"]
        return [paths] if isinstance(paths, str) else paths
    return parse_qs(body.decode()).get("paths", [])


def server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder; its handler's `log` has what was asked."""
    kind = type("HandlerOfFolder", (Handler,), {"hub": Hub(folder), "log": []})
    return ThreadingHTTPServer((host, port), kind)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve on a free port of the loopback; yield HF_ENDPOINT, and a list of what is asked."""
    with server(folder, "127.0.0.1", 0) as made:
        Thread(target=made.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{made.server_port}", made.RequestHandlerClass.log  # type: ignore[attr-defined]
        finally:
            made.shutdown()


if __name__ == "__main__":
    server(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])).serve_forever()
