"""Several hosts on one machine: a network namespace for each, joined by veth pairs and a bridge,
with a Ray node in it.

All traffic stays in namespaces that are made here. Processes in them are ended by their pids.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from campaign.cli.host import joining

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent  # Ray's, among them
PORT = 6379
DRIVER = "driver"
# A host that is cut off is noticed in seconds instead of a minute.
IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}


@dataclass
class Network:
    """Namespaces by name, the driver's among them; addresses are 10.77.0.N."""

    names: tuple[str, ...]
    hidden: Sequence[Path] = ()  # folders that hosts don't share with the driver
    tag: str = field(default_factory=lambda: f"ct{os.getpid() % 10_000}{secrets.token_hex(2)}")
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp")))

    @property
    def environment(self) -> dict[str, str]:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        return (
            os.environ
            | IMPATIENT
            | token
            | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "TMPDIR": "/tmp"}
        )

    @property
    def ray_address(self) -> str:
        return f"{self.address(DRIVER)}:{PORT}"

    def __post_init__(self) -> None:
        self.token = secrets.token_hex(32)

    def namespace(self, name: str) -> str:
        return f"{self.tag}-{name}"

    def address(self, name: str) -> str:
        return f"10.77.0.{self.names.index(name) + 1}"

    def inside(self, name: str, *command: object) -> list[str]:
        """A command as it is run on a host."""
        shell = "".join(
            f"mount --bind {self.folder}/empty {path} && " for path in self.hidden if name != DRIVER
        )
        return [
            "ip",
            "netns",
            "exec",
            self.namespace(name),
            "sh",
            "-c",
            f'{shell}exec "$@"',
            "sh",
            *map(str, command),
        ]

    def run(
        self, name: str, *command: object, check: bool, timeout: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        ours = {
            "cwd": ROOT,
            "env": self.environment,
            "capture_output": True,
            "text": True,
            "timeout": timeout,
        }
        return subprocess.run(self.inside(name, *command), check=check, **ours)

    def build(self) -> None:
        """Make the namespaces, and the switch between them."""
        (self.folder / "empty").mkdir()
        switch = self.namespace("sw")
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        for name in self.names:
            inside = self.namespace(name)
            _ip("netns", "add", inside)
            _ip(
                "link",
                "add",
                "eth0",
                "netns",
                inside,
                "type",
                "veth",
                "peer",
                "name",
                self.port(name),
                "netns",
                switch,
            )
            _ip("-n", switch, "link", "set", self.port(name), "master", "br0", "up")
            _ip("-n", inside, "link", "set", "lo", "up")
            _ip("-n", inside, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            _ip("-n", inside, "link", "set", "eth0", "up")
            _ip("-n", inside, "route", "add", "default", "via", "10.77.0.254")  # nobody is there

    def port(self, name: str) -> str:
        return f"p-{name}"

    def cut(self, name: str) -> None:
        """Pull a host's cable."""
        _ip("-n", self.namespace("sw"), "link", "set", self.port(name), "down")

    def mend(self, name: str) -> None:
        _ip("-n", self.namespace("sw"), "link", "set", self.port(name), "up")

    def start_ray(self, name: str) -> None:
        """With the command that `hpc-campaign host join` prints."""
        mark, more = (
            ("--head", f"--temp-dir={self.folder}/ray") if name == DRIVER else ("--labels=", "")
        )
        command = next(line for line in joining(name, self.address(DRIVER), PORT) if mark in line)
        for _ in range(3):  # within those 30 s, which a busy machine may not keep
            done = self.run(name, "sh", "-c", f"{command} {more}", timeout=180, check=False)
            if done.returncode == 0:
                return
        raise AssertionError(done.stdout + done.stderr)

    def pids(self, name: str) -> list[int]:
        found = subprocess.run(
            ["ip", "netns", "pids", self.namespace(name)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]

    def remove(self) -> None:
        for name in self.names:
            for _ in range(3):
                for pid in self.pids(name):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.2)
            subprocess.run(
                ["ip", "netns", "del", self.namespace(name)], check=False, capture_output=True
            )
        subprocess.run(
            ["ip", "netns", "del", self.namespace("sw")], check=False, capture_output=True
        )
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def network_of(hosts: Sequence[str], hidden: Sequence[Path] = ()) -> Iterator[Network]:
    """A driver's machine and these hosts, with Ray on all of them."""
    network = Network((DRIVER, *hosts), hidden)
    try:
        network.build()
        for name in network.names:  # one after the other: Ray gives a node 30 s to start
            network.start_ray(name)
        yield network
    finally:
        network.remove()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
