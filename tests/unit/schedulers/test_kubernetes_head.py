"""What runs on a Kubernetes cluster's head beside Kubernetes: where pods meet, and the session that
submits jobs."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_bytes

import pytest

from campaign.core.jobs import Job, JobTraits
from schedulers._kubernetes import access, daemons, pods, rendezvous, session
from schedulers.samples import topology
from tests.adapters import bound
from tests.fakes.kube_api import secured

KUBE = bound("kube")
CLUSTER = topology(3)


def job(width: int, number: int) -> Job:
    return Job(number, 0.0, width, 5.0, 60.5, 0)


@contextmanager
def meetings():
    """The place where pods meet, served on loopback; its address and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    loop = asyncio.new_event_loop()
    server = loop.create_task(rendezvous.serve("127.0.0.1", port))
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(asyncio.gather(server, return_exceptions=True))
    )
    thread.start()
    try:
        until(lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close() is None)
        yield "127.0.0.1", port
    finally:
        loop.call_soon_threadsafe(server.cancel)
        thread.join()


def until(succeeds) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if succeeds():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_pods_run_when_all_of_their_job_are_there(tmp_path: Path) -> None:
    """The pods' own shell commands, against the real meeting place."""
    with meetings() as (address, port):

        def start(name: str, count: int) -> subprocess.Popen:
            one = CLUSTER.head.address
            line = pods.command(
                Job(int(name), 0.0, 8, 1.0, 60.0, 0),
                CLUSTER,
                count,
                f"echo ran >>{tmp_path}/{name}",
            )
            return subprocess.Popen(
                [
                    "/bin/bash",
                    "-c",
                    line.replace(f"{one}/{daemons.RENDEZVOUS_PORT}", f"{address}/{port}"),
                ]
            )

        # a job that is complete leaves nothing behind
        gone = start("1", 2)
        first = start("1", 2)
        assert (gone.wait(20), first.wait(20)) == (0, 0)
        lonely = start("2", 2)
        other = start("3", 1)
        assert other.wait(20) == 0
        lost = start("2", 3)  # a pod that goes away isn't counted any more
        time.sleep(0.3)
        lost.kill()
        lost.wait()
        assert lonely.poll() is None and not (tmp_path / "2").exists()
        assert start("2", 2).wait(20) == 0 and lonely.wait(20) == 0
    assert {path.name: path.read_text().split() for path in tmp_path.iterdir()} == {
        "1": ["ran", "ran"],
        "2": ["ran", "ran"],
        "3": ["ran"],
    }


def test_a_pod_that_can_meet_nobody_fails() -> None:
    line = pods.command(job(8, 7), CLUSTER, 2, "echo ran").replace(
        CLUSTER.head.address, "127.0.0.1"
    )
    done = subprocess.run(
        ["/bin/bash", "-c", line.replace(str(daemons.RENDEZVOUS_PORT), "1")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "ran" not in done.stdout


class Api(BaseHTTPRequestHandler):
    """An API server that knows one path, one token, and no name twice."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        if self.path != KUBE.jobs_path or self.headers["Authorization"] != "Bearer sesame":
            self.answer(403, {"kind": "Status", "message": "forbidden"})
        elif name in self.server.names:
            self.answer(409, {"kind": "Status", "message": f'jobs.batch "{name}"\nalready exists'})
        else:
            self.server.names.append(name)
            self.server.users.append(self.headers["Impersonate-User"])
            self.answer(201, {"kind": "Job", "metadata": {"name": name}})
        self.close_connection = self.server.hasty

    def answer(self, code, value):
        content = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def api(folder: Path, *, hasty: bool):
    """An Api on loopback with a certificate as clusters have; the kubeconfig that leads to it, and
    the server, which knows the names of jobs and whose they are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.names = []
    server.users = []
    server.hasty = hasty
    with secured(server, folder, "sesame") as kubeconfig:
        yield kubeconfig, server


@pytest.mark.parametrize("hasty", [False, True], ids=["kept", "closed after each answer"])
def test_the_session_submits_over_a_connection_it_trusts(tmp_path: Path, hasty: bool) -> None:
    for number, user in ((1, None), (2, "ada")):
        one = job(1, number)._replace(traits=JobTraits(user_name=user))
        (tmp_path / f"{number}.sh").write_bytes(KUBE.job_script(one, CLUSTER, "true"))
    with api(tmp_path, hasty=hasty) as (kubeconfig, server):
        done = subprocess.run(
            [sys.executable, session.__file__, kubeconfig, KUBE.jobs_path],
            input="".join(f"{tmp_path}/{name}.sh\n" for name in (1, 1, 3, 2)),
            capture_output=True,
            text=True,
            check=True,
        )
    ready, first, again, none, second = done.stdout.splitlines()
    assert (ready, first, second) == ("ready", "0\tj1", "0\tj2")
    assert (server.names, server.users) == (["j1", "j2"], [None, "ada"])
    assert again == '1\tjobs.batch "j1" already exists' and none.startswith("1\t[Errno 2]")
    assert KUBE.parse_submit(first.partition("\t")[2]) == "j1"


def test_the_session_talks_to_nobody_else(tmp_path: Path) -> None:
    with api(tmp_path, hasty=False) as (kubeconfig, server):
        (tmp_path / access.CERTIFICATE).write_bytes(
            access.secrets_of(token_bytes)[access.CERTIFICATE]
        )
        done = subprocess.run(
            [sys.executable, session.__file__, kubeconfig, KUBE.jobs_path],
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1 and "CERTIFICATE_VERIFY_FAILED" in done.stderr and not server.names
