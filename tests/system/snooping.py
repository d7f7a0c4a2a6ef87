"""Another user of the machine: what it reads of a campaign's files and processes, and which of its
attacks on files, sockets, ports and processes succeed."""

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from actors.hypervisor.daemon import PrivateLibvirtd
from tests.processes import environment, listening, tree

NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
SETTLE_S = 3.0
INTRUDER = Path(__file__).with_name("intruder.py")
PUBLIC = (b"AAAAC3", b"ssh-ed25519")
"""How lines of credentials begin that are no secrets."""
# Ray tells everybody that it lives, which has no switch, and nothing else.
PROBE = re.compile(r"LET GET /api/(local_raylet_)?healthz \S+ 200 b'(success|raylet: |gcs: |\\n)+'")


@dataclass(frozen=True)
class Targets:
    """What another user is to attack.

    `places` are paths as root knows them, and whether even reading or listing them is an attack
    that must fail; below `tops`, the other user looks for paths itself. `sockets` are names of
    abstract ones.
    """

    places: list[tuple[str, bool]] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    ports: list[tuple[str, int]] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Look:
    """What was secret at a moment, by where it stood, what another user saw then, and what it was
    let do."""

    secrets: dict[str, set[bytes]]
    seen: bytes
    let: list[str]

    def leaks(self, secrets):
        """Where those of the secrets stood that were seen, public keys aside; and what the other
        user was let do."""
        found = [
            name
            for name, lines in secrets.items()
            if any(line in self.seen for line in lines if not line.startswith(PUBLIC))
        ]
        return found + self.let


def look(workplace, driver=None):
    """As root: collect the secrets, and be another user for a moment. The nodes may have begun just
    now."""
    time.sleep(SETTLE_S)
    secrets = secrets_of(workplace, driver)
    running = tree(driver.pid) if driver else []
    targets = Targets(
        tops=[str(folder) for folder in folders_of(workplace)],
        ports=sorted(listening(running)),
        pids=running,
    )
    return Look(secrets, *attacked(targets))


def attacked(targets):
    """As root: all that another user could read of the targets, and each attack that succeeded.

    That Ray says whether it lives is no attack.
    """
    # In /tmp, on whose file system most of what is attacked lies: what is renamed stays on one.
    with tempfile.TemporaryDirectory(prefix="ct-intruder-", dir="/tmp") as scratch:
        os.chown(scratch, NOBODY, NOBODY)
        asked = json.dumps({"scratch": scratch, **asdict(targets)}).encode()
        # By its text, since the other user may not be let into this checkout.
        command = ["/usr/bin/python3", "-c", INTRUDER.read_text()]
        done = subprocess.run(
            command, input=asked, capture_output=True, check=False, timeout=280, **AS_NOBODY
        )
    *let, last = done.stderr.decode(errors="replace").splitlines() or [""]
    assert last == "done", done.stderr.decode(errors="replace")[-4000:]
    return done.stdout, [attack for attack in let if not PROBE.fullmatch(attack)]


def lines_of(text):
    """The long lines of a secret: of a key, its body."""
    return {line for line in re.split(rb"\s+", text) if len(line) >= 40 and b"/" not in line[:1]}


def secrets_of(workplace, driver):
    """What must stay secret: the credentials of the nodes that run, the golden cluster's identity,
    Ray's token."""
    found = {}
    for file in (workplace.state_dir / "nodes").glob("*/credentials/*"):
        with contextlib.suppress(FileNotFoundError):  # its node has ended
            found[str(file)] = lines_of(file.read_bytes())
    for file in (workplace.state_dir / "golden").glob("*/manifest.json"):
        body = re.search(rb'"client.private": "([^"]+)"', file.read_bytes())
        found[str(file)] = {body[1]}
    for pid in tree(driver.pid) if driver else ():
        if token := re.search(rb"RAY_AUTH_TOKEN=([0-9a-f]{64})", environment(pid)):
            found["Ray's token"] = {token[1]}
    return found


def folders_of(workplace):
    """Where a campaign leaves files, and where processes of this machine share memory."""
    daemon = PrivateLibvirtd(workplace.state_dir).folder
    return [workplace.folder, Path("/dev/shm"), *Path("/tmp").glob("campaign-*"), daemon]
