"""A site: a user's machine, three more that a cluster is made of, and a bucket."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from time import monotonic, sleep

from raycompare.records.run_folder import RunFolder
from tests.rig.bucket import Bucket, bucket
from tests.rig.hosts import Host, Network
from tests.rig.launched import ROOT, Launched
from tests.rig.ssh import Key, give_key, let_in, new_key

CLIENT = 10
TRIAL = "ray::(ImplicitFunc|tune |confirm )"
"""What Ray calls a process in which trials take place."""


@dataclass(frozen=True)
class Site:
    """The machines, and what is done with them."""

    network: Network
    bucket: Bucket
    launched: Launched
    place: Path
    """A folder outside, for what is brought home."""
    _key: Key

    def __getitem__(self, name: str) -> Host:
        """Return a host by its name."""
        return self.network.hosts[name]

    def add(self, name: str, number: int) -> Host:
        """Turn on a machine that Ray's launcher can log in to."""
        host = self.network.host(name, number)
        let_in(host, self._key)
        return host

    def up(self, head: str, workers: Sequence[str]) -> None:
        """Make a cluster of these hosts."""
        self.launched.up(self[head], [self[name] for name in workers])

    def runs(self) -> set[str]:
        """Return the URIs of the run folders in the bucket."""
        keys = (key for key in self.bucket.names() if key.endswith("/started.json"))
        return {f"{self.bucket.uri}/{key.removesuffix('/started.json')}" for key in keys}

    def checkpoints(self, run: str) -> int:
        """Return how many trials of a run have a checkpoint."""
        prefix = run.removeprefix(f"{self.bucket.uri}/") + "/checkpoints/"
        return sum(key.endswith("/latest") for key in self.bucket.names(prefix))

    def is_training(self, name: str) -> bool:
        """Say whether a process of a host is there for trials."""
        return bool(self[name].run(f"pgrep -fc '{TRIAL}' || true").strip() != "0")

    def fetched(self, run: str) -> RunFolder:
        """Bring a run home to the user's machine, and from there outside."""
        self.launched.run("raycompare", "fetch", run, "/root/reports")
        name = run.removeprefix(f"{self.bucket.uri}/")
        home = self.launched.client.path(f"/root/reports/{name}")
        return RunFolder.at(shutil.copytree(home, self.place / name, dirs_exist_ok=True))


def run_folder(said: str) -> str:
    """Return the run folder that a job has named."""
    found = re.search(r"run folder (\S+)", said)
    assert found, said
    return found[1]


def wait_until(holds: Callable[[], bool], job: Popen[str], seconds: float = 240) -> None:
    """Wait for something to happen while a job goes on."""
    until = monotonic() + seconds
    while not holds():
        assert job.poll() is None, job.communicate()[0]
        assert monotonic() < until, "waited in vain"
        sleep(0.5)


@contextmanager
def made_site(place: Path, shown: Sequence[Path]) -> Iterator[Site]:
    """Turn on the machines; `shown` are folders that all of them see."""
    with Network(shown=(ROOT, *shown)) as network, bucket(network, place) as stored:
        key = new_key(place)
        client = network.host("client", CLIENT)
        give_key(client, key)
        made = Site(network, stored, Launched(client, stored), place, key)
        for number, name in enumerate(("head", "worker-1", "worker-2"), CLIENT + 1):
            made.add(name, number)
        made.launched.send_project()
        yield made
