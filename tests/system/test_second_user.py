"""Another user of the machine, while a trial runs and afterwards: reads none of its secrets and reaches no libvirt."""

import os
import re
import shutil
import subprocess
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from actors.hypervisor.daemon import PrivateLibvirtd
from tests.system.conftest import Workplace
from tests.system.driver import Driver

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

NOBODY = 65534
SETTINGS = (
    *("name=watched", "search.trials=1", "cluster.nodes=1", "workload.jobs=6", "workload.duration_s=10"),
    "cluster.slots_per_node=2",
)
# Prints all that its user can read below the folders that it is given and of processes, and which sockets let it in.
SNOOP = textwrap.dedent("""
    import os, pathlib, socket, sys

    def give(path):
        try:
            with open(path, "rb") as file:
                sys.stdout.buffer.write(b"\\n== " + os.fsencode(str(path)) + b"\\n" + file.read(64_000_000))
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


@pytest.fixture
def open_workplace(image_store, bundle):
    """A workplace whose folder everybody may enter, as a home folder often is; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="ct-watched-", dir="/tmp"))
    folder.chmod(0o755)
    made = Workplace(folder, image_store)
    yield made
    made.clear()
    shutil.rmtree(folder)


def seen_by_nobody(*folders):
    command = ["/usr/bin/python3", "-c", SNOOP, *map(str, folders)]
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}
    return subprocess.run(command, capture_output=True, check=True, timeout=120, **options).stdout


def lines_of(text):
    """The long lines of a secret: of a key, its body."""
    return {line for line in re.split(rb"\s+", text) if len(line) >= 40 and b"/" not in line[:1]}


def secrets_of(workplace, driver):
    """What must stay secret: the credentials of the nodes that run, the golden cluster's identity, Ray's token."""
    found = {}
    for file in (workplace.state_dir / "nodes").glob("*/credentials/*"):
        found[str(file)] = lines_of(file.read_bytes())
    for file in (workplace.state_dir / "golden").glob("*/manifest.json"):
        body = re.search(rb'"client.private": "([^"]+)"', file.read_bytes())
        found[str(file)] = {body[1]}
    for pid in workers_of(driver):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if token := re.search(rb"RAY_AUTH_TOKEN=([0-9a-f]{64})", environment):
            found["Ray's token"] = {token[1]}
    return found


def workers_of(driver):
    """The processes below the driver; its own environment shows what it was started with."""
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def folders_of(workplace):
    """Where a campaign leaves files, and where processes of this machine share memory."""
    daemon = PrivateLibvirtd(workplace.state_dir).folder
    return [workplace.folder, "/dev/shm", *Path("/tmp").glob("campaign-*"), daemon]


def public(secret):
    """A public key and its like are lines of credentials too."""
    return secret.startswith((b"AAAAC3", b"ssh-ed25519"))


def test_another_user_reads_no_secret_and_reaches_no_libvirt(open_workplace):
    if os.geteuid() != 0:
        pytest.skip("cannot run here: only root can be another user for a moment; run it as root")
    work = open_workplace
    driver, secrets, seen = Driver(work.command(*SETTINGS)), {}, []
    for moment in ("golden cluster: booting", "replaying"):
        driver.until(lambda said, moment=moment: any(moment in line for line in said), seconds=600)
        time.sleep(3)  # the nodes are begun just now
        secrets |= secrets_of(work, driver.process)
        seen.append(seen_by_nobody(*folders_of(work)))
    driver.finish(seconds=600)
    seen.append(seen_by_nobody(*folders_of(work)))

    assert "Ray's token" in secrets and all(any(kind in name for name in secrets) for kind in ("golden", "tmpfiles"))
    for one in seen:
        assert b"let in by" not in one, re.findall(rb"let in by .*", one)
        leaked = [
            name for name, lines in secrets.items() if any(secret in one for secret in lines if not public(secret))
        ]
        assert not leaked, leaked
        assert b"PRIVATE KEY" not in one
    # It saw what anybody may see, so it did look.
    assert all(b"ledger.jsonl" in one for one in seen) and b"qemu-system" in seen[0] and b"report.html" in seen[-1]
