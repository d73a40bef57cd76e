"""A bucket on the network: moto's S3, at the switch."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from tests.rig.hosts import SUBNET, Network

PORT, NAME = 5000, "runs"
ENDPOINT = f"http://{SUBNET}.1:{PORT}"
STARTS_WITHIN_S = 60
ENVIRONMENT: Mapping[str, str] = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What makes a host take moto for AWS."""


@dataclass(frozen=True)
class Bucket:
    """The bucket as one sees it at the switch."""

    network: Network
    uri: str = f"s3://{NAME}"

    def keys(self, prefix: str = "") -> list[str]:
        """List what is in the bucket."""
        url = f"{ENDPOINT}/{NAME}?list-type=2&prefix={quote(prefix)}"
        return re.findall("<Key>(.*?)</Key>", self.network.at_switch(["curl", "-sf", url]))


@contextmanager
def bucket(network: Network, folder: Path) -> Iterator[Bucket]:
    """Serve an empty bucket; its log is in `folder`."""
    command = [sys.executable, "-m", "moto.server", "--host", f"{SUBNET}.1", "--port", str(PORT)]
    with network.server(command, {}, folder / "moto.log"):
        until = monotonic() + STARTS_WITHIN_S
        make = ["curl", "-sf", "-X", "PUT", f"{ENDPOINT}/{NAME}"]
        while not _works(network, make):
            assert monotonic() < until, (folder / "moto.log").read_text()
            sleep(0.5)
        yield Bucket(network)


def _works(network: Network, command: list[str]) -> bool:
    try:
        network.at_switch(command)
    except AssertionError:
        return False
    return True
