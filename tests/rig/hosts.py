"""Hosts: namespaces for network, mounts, processes, name and memory, over the root of the machine.

Everything a host has is gone with its first process: mounts, network and all that runs there.
`power_off` kills that process, `Network` kills those of hosts still on when its block ends.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

SUBNET = "10.77.0"
PROGRAMS = ("ip", "unshare", "nsenter", "rsync", "ssh", "ssh-keygen", "curl", "/usr/sbin/sshd")
PACKAGES = "iproute2 util-linux rsync openssh-client openssh-server curl"
INIT = Path(__file__).with_name("host_init.sh")
PYTHON = tuple(
    place
    for place in map(Path, (sys.prefix, sys.base_prefix))
    if place.parts[1] in ("root", "tmp", "run")
)
"""The folders of this Python that a host would not see, since its own are mounted over them."""
ALL = ("--mount", "--uts", "--ipc", "--net", "--pid")


def missing() -> str | None:
    """Return what keeps hosts from being made here, if anything does."""
    if os.geteuid() != 0:
        return "hosts made of namespaces take root"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"{', '.join(absent)} not found; apt-get install {PACKAGES}"
    tried = subprocess.run(
        ["unshare", *ALL, "--fork", "true"], capture_output=True, text=True, check=False
    )
    return f"namespaces can't be made: {tried.stderr.strip()}" if tried.returncode else None


def do(*words: str, **options: object) -> str:
    """Run a command; return its output.

    Raises:
        AssertionError: it failed; the message has what it said.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


class Namespaces:
    """A process in namespaces of its own, and the way into them."""

    def __init__(self, command: Sequence[str], kinds: Sequence[str]) -> None:
        """Start the command; it must print a line when it is ready."""
        words = ["unshare", *kinds, "--fork", "--kill-child", "--propagation", "private", *command]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._outer = subprocess.Popen(words, stdin=subprocess.DEVNULL, text=True, **pipes)  # type: ignore[call-overload]
        said = self._outer.stdout.readline()
        assert said == "ready\n", said + self._outer.stdout.read()
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def kill(self) -> None:
        """End the first process, and with it all the others."""
        self._outer.kill()
        self._outer.wait()
        self._outer.stdout.close()

    def words(self, kinds: Sequence[str], command: Sequence[str]) -> list[str]:
        """Return the command as it is run in the namespaces."""
        return ["nsenter", "--target", str(self.pid), *kinds, "--", *command]


@dataclass
class Host:
    """A machine on the network."""

    name: str
    address: str
    _inside: Namespaces
    _switch: Namespaces
    _port: str
    """The host's end of its cable at the switch."""
    is_on: bool = True

    def words(self, command: str) -> list[str]:
        """Return a command of a shell as it is run on the host, in root's home folder."""
        home = ["env", "--ignore-environment", "HOME=/root", "USER=root", "TERM=xterm"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        shell = [*home, path, "bash", "-c", f"cd && {command}"]
        return self.inside(*shell)

    def inside(self, *command: str) -> list[str]:
        """Return a command as it is run on the host, with the environment of its caller."""
        return self._inside.words([*ALL, "--root", "--wd"], command)

    def run(self, command: str, seconds: float = 60) -> str:
        """Run a command of a shell; return its output.

        Raises:
            AssertionError: it failed.
        """
        return do(*self.words(command), timeout=seconds, stdin=subprocess.DEVNULL)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file on the host."""
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        place.chmod(mode)

    def path(self, path: str) -> Path:
        """Return where a file of the host is found outside, as long as the host is on."""
        return Path(f"/proc/{self._inside.pid}/root{path}")

    def unplug(self) -> None:
        """Pull the network cable: what is sent is lost, and nobody is told."""
        self._cable("down")

    def plug(self) -> None:
        """Put the network cable back."""
        self._cable("up")

    def _cable(self, state: str) -> None:
        do(*self._switch.words(["--net"], ["ip", "link", "set", self._port, state]))

    def power_off(self) -> None:
        """Cut the power: everything stops at once, and no connection is closed."""
        if self.is_on:
            self.unplug()
            self._inside.kill()
            self.is_on = False


@dataclass
class Network:
    """A switch without an uplink: nothing that a host sends can leave the machine.

    `shown` are folders that hosts see as they are outside, read-only; all else of the machine's
    root but /root, /tmp and /run they see as it was when they were made.
    """

    shown: Sequence[Path] = ()
    hosts: dict[str, Host] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Make the switch; its own address ends in 1."""
        self._stack = ExitStack()
        with ExitStack() as undo:
            ready = ["bash", "-c", "echo ready; exec sleep infinity"]
            self._switch = Namespaces(ready, ["--net", "--pid", "--mount"])
            undo.callback(self._switch.kill)
            for command in (
                "ip link set lo up",
                "ip link add switch type bridge",
                f"ip addr add {SUBNET}.1/24 dev switch",
                "ip link set switch up",
            ):
                do(*self._switch.words(["--net"], command.split()))
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Turn off everything that is still on."""
        self._stack.close()

    def host(self, name: str, number: int) -> Host:
        """Turn on a host whose address ends in `number`; hosts know each other by name."""
        place = self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"host-{name}-"))
        shown = [str(folder) for folder in (*PYTHON, *self.shown)]
        inside = Namespaces(["bash", str(INIT), name, place, *shown], ALL)
        self._stack.callback(inside.kill)
        address = f"{SUBNET}.{number}"
        self._connect(inside, f"port{number}", address)
        self.hosts[name] = Host(name, address, inside, self._switch, f"port{number}")
        self._introduce()
        return self.hosts[name]

    def _connect(self, inside: Namespaces, port: str, address: str) -> None:
        peer = f"peer name eth0 netns {inside.pid}"
        for command in (
            f"ip link add {port} type veth {peer}",
            f"ip link set {port} master switch up",
        ):
            do(*self._switch.words(["--net"], command.split()))
        for command in (
            "ip link set lo up",
            f"ip addr add {address}/24 dev eth0",
            "ip link set eth0 up",
            # Ray takes the address of the way out for its own, though nothing comes of it here.
            f"ip route add default via {SUBNET}.1",
        ):
            do(*inside.words(["--net"], command.split()))

    def _introduce(self) -> None:
        known = "".join(f"{host.address} {host.name}\n" for host in self.hosts.values())
        for host in self.hosts.values():
            if host.is_on:
                host.write("/etc/hosts", f"127.0.0.1 localhost\n{known}")

    @contextmanager
    def server(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Iterator[str]:
        """Run a server at the switch; yield the address that hosts reach it by."""
        with log.open("w") as stream:
            words = self._switch.words(["--net"], command)
            served = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, **environment},
            )
        try:
            yield f"{SUBNET}.1"
        finally:
            served.kill()
            served.wait()

    def at_switch(self, command: Sequence[str], **options: object) -> str:
        """Run a command at the switch; return its output."""
        return do(*self._switch.words(["--net"], command), **options)
