"""Another user of the machine: what it reads of a campaign's files and processes, and which sockets
let it in."""

import contextlib
import re
import subprocess
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from actors.hypervisor.daemon import PrivateLibvirtd
from tests.processes import environment, tree

NOBODY = 65534
SETTLE_S = 3.0
# Prints all that its user can read below the folders that it is given and of processes, and which
# sockets let it in.
SNOOP = textwrap.dedent("""
    import os, pathlib, socket, sys

    def give(path):
        try:
            with open(path, "rb") as file:
                content = file.read(64_000_000)
            sys.stdout.buffer.write(b"\\n== " + os.fsencode(str(path)) + b"\\n" + content)
        except OSError:
            pass

    for top in sys.argv[1:]:
        for folder, _, names in os.walk(top):
            for name in names:
                path = pathlib.Path(folder, name)
                if path.is_socket():
                    try:
                        with socket.socket(socket.AF_UNIX) as knock:
                            knock.connect(str(path))
                        print("== let" + " in by", path, flush=True)
                    except OSError:
                        pass
                elif path.is_file():
                    give(path)
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ", "mem"):
            give(process / name)
""")


@dataclass(frozen=True)
class Look:
    """What was secret at a moment, by where it stood, and what another user saw then."""

    secrets: dict[str, set[bytes]]
    seen: bytes

    def leaks(self, secrets):
        """Where those of the secrets stood that were seen, public keys aside; and the sockets that
        let in."""
        found = [
            name
            for name, lines in secrets.items()
            if any(line in self.seen for line in lines if not line.startswith(PUBLIC))
        ]
        return found + re.findall(r"let in by .*", self.seen.decode(errors="replace"))


PUBLIC = (b"AAAAC3", b"ssh-ed25519")
"""How lines of credentials begin that are no secrets."""


def look(workplace, driver=None):
    """As root: collect the secrets, and be another user for a moment. The nodes may have begun just
    now."""
    time.sleep(SETTLE_S)
    return Look(secrets_of(workplace, driver), seen_by_nobody(*folders_of(workplace)))


def seen_by_nobody(*folders):
    command = ["/usr/bin/python3", "-c", SNOOP, *map(str, folders)]
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
    return subprocess.run(command, capture_output=True, check=True, timeout=120, **options).stdout


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
    return [workplace.folder, "/dev/shm", *Path("/tmp").glob("campaign-*"), daemon]
