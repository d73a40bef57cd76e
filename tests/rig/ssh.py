"""ssh between hosts, with a key that is made for the test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.rig.hosts import Host, do

KEY = "/root/.ssh/rig_key"
"""Where a host that logs in to others has the private key."""
CONFIG = """
ListenAddress 0.0.0.0
HostKey /etc/ssh/rig_host_key
AuthorizedKeysFile /etc/ssh/rig_authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxSessions 50
MaxStartups 50
PidFile none
"""


@dataclass(frozen=True)
class Key:
    """A pair of keys: the text of each half."""

    private: str
    public: str


def new_key(folder: Path) -> Key:
    """Make a key in an empty folder."""
    place = folder / "key"
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place))
    return Key(place.read_text(), place.with_suffix(".pub").read_text())


def let_in(host: Host, key: Key) -> None:
    """Start sshd on a host, for those who have the key; it is also the host's own."""
    host.write("/etc/ssh/rig_host_key", key.private, mode=0o600)
    host.write("/etc/ssh/rig_authorized_keys", key.public, mode=0o600)
    host.write("/etc/ssh/rig_config", CONFIG)
    host.run("mkdir -p /run/sshd && /usr/sbin/sshd -f /etc/ssh/rig_config -E /var/log/rig_sshd")


def give_key(host: Host, key: Key) -> None:
    """Let a host log in to the others."""
    host.write(KEY, key.private, mode=0o600)
