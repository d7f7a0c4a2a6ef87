"""Another user of the machine, while `hpc-campaign ui`, a campaign and its Ray run: nothing of what
that user tries succeeds."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.hosts import ray_folder
from actors.hypervisor import daemon, daemon_setup, run_folder
from actors.hypervisor.errors import DaemonError
from actors.hypervisor.lease import Lease, Owner
from actors.snapshots.store import GoldenStore
from campaign.images.bundles.store import Store
from tests.processes import abstract_sockets, command_lines, environment, listening, reached, tree
from tests.system.driver import Driver
from tests.system.snooping import AS_NOBODY, Targets, attacked
from tests.system.ui import Ui, running
from tests.unit.actors.snapshots import golden_sample
from tests.unit.campaign.images.test_store import add as add_image

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]
ROOT = Path(__file__).parents[2]
SECRET = b"the private key of a node, which nobody else may read"
# A campaign whose driver has a Ray of its own, as one on virtual machines has. It gives way to
# what attacks it.
DRIVER = textwrap.dedent("""
    import os, sys
    from campaign.cli.failures import guarded

    @guarded
    def main(arguments=None):
        from actors.hosts import ray_session
        from campaign.search import main as search

        ray_session.prepare(None)
        ray_session.start(None)
        os.nice(10)
        import ray

        print("Ray is at", ray.get_runtime_context().gcs_address, file=sys.stderr, flush=True)
        return search(sys.argv[1:])

    sys.exit(main())
""")
# Asks servers of gRPC without a token and with a wrong one, as another user: what is asked would
# read or change a Ray's state, or run something on it. (Whole clients are in test_ray_session.py.)
CALLS = textwrap.dedent("""
    import os, sys
    import grpc

    def ask(place, method, token, seconds):
        metadata = (("authorization", f"Bearer {token}"),) if token is not None else None
        with grpc.insecure_channel(place) as channel:
            try:
                channel.unary_unary(f"/{method}")(b"", timeout=seconds, metadata=metadata)
            except grpc.RpcError as error:
                return error.code().name
        return "LET"

    # As root, so that all modules are loaded: another user may not be let into them.
    ask("127.0.0.1:1", "x", "", 1)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    os.chdir("/")
    methods = (
        "NodeInfoGcsService/GetClusterId", "NodeInfoGcsService/GetAllNodeInfo",
        "InternalKVGcsService/InternalKVKeys", "InternalKVGcsService/InternalKVPut",
        "InternalKVGcsService/GetInternalConfig", "JobInfoGcsService/GetNextJobID",
        "JobInfoGcsService/AddJob", "ActorInfoGcsService/RegisterActor",
        "ActorInfoGcsService/KillActorViaGcs", "NodeManagerService/RequestWorkerLease",
        "NodeManagerService/GetNodeStats", "NodeManagerService/ShutdownRaylet",
        "CoreWorkerService/PushTask", "CoreWorkerService/KillActor", "CoreWorkerService/Exit",
        "RuntimeEnvService/GetOrCreateRuntimeEnv", "LogService/ListLogs",
        "ReporterService/GetTraceback", "LogService/StreamLog",
    )
    for place in sys.argv[1:]:
        for method in methods:
            for token in (None, "", "0" * 64):
                print(ask(place, f"ray.rpc.{method}", token, 30), place, method)
    print("done")
""")


@dataclass
class Running:
    """All that runs, and the folder that it is in."""

    folder: Path
    ui: Ui
    driver: Driver
    gcs: str
    traps: list[Path]

    @property
    def pids(self) -> list[int]:
        """The processes of driver and UI."""
        return tree(self.driver.process.pid) + tree(self.ui.process.pid)

    @property
    def secrets(self) -> dict[str, bytes]:
        """What must be read by nobody else, by what it is."""
        tokens = {
            found[1]
            for pid in self.pids
            if (found := re.search(rb"RAY_AUTH_TOKEN=([0-9a-f]{64})", environment(pid)))
        }
        (ray,) = tokens
        return {
            "Ray's token": ray,
            "the UI's token": self.ui.token.encode(),
            "a node's key": SECRET,
            "a golden cluster's key": golden_sample.SECRET,
        }


@pytest.fixture(scope="module")
def folder():
    """A folder that everybody may enter, as a home folder often is, on the file system of /tmp."""
    made = Path(tempfile.mkdtemp(prefix="ct-second-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def traps(folder):
    """What another user has made before anything of ours starts, where our names begin alike: a
    folder, one that says it is a dead driver's, and a link to what is ours."""
    (folder / "precious").mkdir(mode=0o700)
    (folder / "precious" / "owner").write_text("1 1")
    mine = textwrap.dedent("""
        import os, sys
        prefix, target = sys.argv[1:]
        os.mkdir(prefix + "empty")
        os.mkdir(prefix + "dead")
        with open(prefix + "dead/owner", "w") as file:
            file.write("1 1")
        os.symlink(target, prefix + "link")
    """)
    prefix = f"/tmp/campaign-{os.geteuid()}-trap-{os.getpid()}-"
    command = ["/usr/bin/python3", "-c", mine, prefix, str(folder / "precious")]
    subprocess.run(command, check=True, **AS_NOBODY)
    made = [Path(f"{prefix}{name}") for name in ("empty", "dead", "link")]
    yield made
    for path in made:
        path.unlink() if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def everything(folder, traps):
    """A campaign with its Ray, the UI over its runs, and the stores beside them."""
    add_image(Store(folder / "images"))
    golden_sample.add(GoldenStore(folder / "state/golden", limit_mib=100))
    lease = Lease("c", "1", 2_000_000_000, Owner.current())
    run_folder.create(folder / "state/nodes", "c1-n0", lease, {"key": SECRET})
    libvirt = daemon.PrivateLibvirtd(folder / "state").folder
    daemon_setup.make_own_folder(libvirt)
    daemon_setup.fill(libvirt, privileged=True)
    temporary = folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    (folder / "home").mkdir()
    places = {"HOME": str(folder / "home"), "TMPDIR": str(temporary)}
    settings = [
        "name=second",
        "testbed=simulation",
        "search.trials=100000",
        f"output.results={folder}/results",
        f"output.mlruns={folder}/mlruns",
    ]
    command = [sys.executable, "-c", DRIVER, *settings]
    driver = Driver(command, os.environ | places)
    try:
        driver.until(lambda said: (folder / "mlruns/mlflow.db").exists(), 300)
        with running(folder / "mlruns", folder / "home", **places) as ui:
            finished = folder / "results/second/jobs"
            driver.until(lambda said: len(list(finished.glob("*.parquet"))) > 2, 300)
            (gcs,) = re.findall(r"Ray is at (\S+)", "".join(driver.said))
            ui.wait_until_up()
            yield Running(folder, ui, driver, gcs, traps)
    finally:
        _end(driver)


def _end(driver):
    """Kill the driver and all below it: what it would still finish is no matter here."""
    pids = tree(driver.process.pid)
    driver.kill()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    ray_folder.sweep()


def below(folder):
    """The folder and each path below it; what comes and goes meanwhile is no error."""
    yield folder
    for parent, folders, names in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *names))


def places_of(folder, private):
    """Each path of a folder, as `Targets` wants them."""
    return [(str(path), private) for path in below(folder)]


def test_all_that_another_user_tries_fails(everything):
    here = everything.folder
    state = here / "state"
    private = [
        *_ray_folders(everything),
        state / "golden",
        state / "nodes/c1-n0",
        daemon.short_folder(state),
    ]
    shared = ["results", "mlruns", "images", "home"]
    ports = listening(everything.pids)
    targets = Targets(
        places=[
            *(one for top in private for one in places_of(top, True)),
            *(one for name in shared for one in places_of(here / name, False)),
            *places_of(here / "tmp", False)[1:],
        ],
        tops=[str(here / name) for name in (*shared, "state")],
        ports=sorted(ports),
        sockets=abstract_sockets(everything.pids),
        pids=everything.pids,
    )
    assert ("127.0.0.1", everything.ui.port) in ports and len(ports) > 3
    assert len([path for path, _ in targets.places if "/sockets/" in path]) >= 2
    secrets = everything.secrets
    seen, let = attacked(targets)
    assert let == []
    assert b"ledger.jsonl" in seen and b"campaign\0ui" in seen, "it didn't look"
    assert [name for name, secret in secrets.items() if secret in seen] == []
    assert everything.driver.process.poll() is None and everything.ui.process.poll() is None
    assert everything.ui.ask("/version")[0] == 200


def _ray_folders(everything):
    """The folders that the driver has made for its Ray: several where Ray was slow to start."""
    pid = f"{everything.driver.process.pid} "
    owners = Path("/tmp").glob(f"campaign-{os.geteuid()}-????????/owner")
    found = []
    for owner in owners:
        with contextlib.suppress(FileNotFoundError):
            found += [owner.parent] if owner.read_text().startswith(pid) else []
    assert found
    return found


def test_no_client_without_the_token_is_served_by_ray(everything):
    ports = sorted(reached(place) for place in listening(everything.pids))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    asked = subprocess.run(
        [sys.executable, "-c", CALLS, *ports],
        env=clean | {"HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    *answers, last = asked.stdout.splitlines() or [""]
    assert last == "done", asked.stderr
    assert not [line for line in answers if line.startswith("LET")]
    codes = {tuple(line.split()[:2]) for line in answers}
    port = everything.gcs.rpartition(":")[2]
    assert [place for code, place in codes if code == "UNAUTHENTICATED" and place.endswith(port)]
    assert {code for code, _ in codes} <= {"UNAUTHENTICATED", "UNAVAILABLE", "UNIMPLEMENTED"}


def test_no_token_is_in_an_argument_or_a_file(everything):
    secrets = {name: everything.secrets[name] for name in ("Ray's token", "the UI's token")}
    for _, words in command_lines():
        said = " ".join(words).encode()
        assert not [name for name, secret in secrets.items() if secret in said]
    tops = (everything.folder, *_ray_folders(everything))
    for path in (path for top in tops for path in below(top)):
        try:
            content = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        assert not [name for name, secret in secrets.items() if secret in content], path


def test_names_that_another_user_has_taken_before_are_neither_used_nor_touched(everything):
    empty, dead, link = everything.traps
    ray_folder.sweep()
    assert not list(empty.iterdir())
    assert (dead / "owner").read_text() == "1 1" and [*dead.iterdir()] == [dead / "owner"]
    assert link.is_symlink() and (everything.folder / "precious/owner").read_text() == "1 1"


def test_a_folder_for_libvirt_that_another_user_made_first_is_refused(everything, monkeypatch):
    temporary = everything.folder / "tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    long = everything.folder / ("x" * 120)
    guessed = daemon.short_folder(long)
    assert guessed.parent == temporary, "the name can be guessed, which is what is tested"
    command = ["/usr/bin/python3", "-c", "import os, sys; os.mkdir(sys.argv[1])", str(guessed)]
    subprocess.run(command, check=True, **AS_NOBODY)
    with pytest.raises(DaemonError):
        daemon_setup.make_own_folder(guessed)
    guessed.rmdir()
    guessed.symlink_to(everything.folder / "precious")
    with pytest.raises(DaemonError):
        daemon_setup.make_own_folder(guessed)
