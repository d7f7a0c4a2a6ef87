"""Stands in for the kubelets of a dense cluster's compute nodes; a program for their guest.

It registers the nodes, then watches the pods that have one of them. A pod's command runs as a plain
process, once, without a container; the API server hears what a kubelet would tell it. What ends a
pod early is its deletion or its activeDeadlineSeconds: TERM first, KILL after its grace. It asks
for nothing while nothing happens.
Arguments: the kubeconfig file (JSON), the file of the nodes (a list of Node objects, JSON), and a
folder, in which it notes which pods it has run.
"""

import asyncio
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
Pod = dict[str, Any]
JSON = "application/json"
MERGE = "application/strategic-merge-patch+json"
NODES = "/api/v1/nodes"
LIVING = (
    "/api/v1/pods?fieldSelector=spec.nodeName%21%3D,status.phase%21%3DSucceeded"
    ",status.phase%21%3DFailed"
)
"""Pods that have a node and haven't ended."""
AGAIN_S = 1.0
"""How long to wait for a server that doesn't answer."""
WATCH_S = 30_000_000
GRACE_S = 30
"""Kubernetes' own time from TERM to KILL."""
DOWN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)
TOO_LATE = "DeadlineExceeded"
REFUSED = 400
TOO_MANY = 429
BROKEN = 500
KILLED = 137
UNSTARTED = 128


class ApiConnection:
    """A connection to the API server that is opened when it is needed: one request at a time."""

    def __init__(self, kubeconfig: str) -> None:
        config = json.loads(Path(kubeconfig).read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        self._host, _, port = cluster["server"].removeprefix("https://").partition(":")
        self._port = int(port)
        self._token = config["users"][0]["user"]["token"]
        self._trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
        # The one certificate that is trusted is the server's own: its name says nothing more.
        self._trust.check_hostname = False
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        """Forget the connection."""
        if self._streams:
            self._streams[1].transport.abort()
        self._streams = None

    async def ask(self, method: str, path: str, body: Any = None, kind: str = JSON) -> int:
        """Return the status of the answer, which is insisted on: the server may be away a while."""
        content = b"" if body is None else json.dumps(body).encode()
        while True:
            kept = self._streams is not None
            with suppress(*DOWN):
                status, chunks = await self.send(method, path, content, kind)
                said = b"".join([chunk async for chunk in chunks])
                if status < BROKEN and status != TOO_MANY:
                    if status >= REFUSED:
                        _log.warning("%s %s: %d, %r", method, path, status, said[:500])
                    return status
                kept = False
            self.close()
            # The server ends a connection that nothing came over for a while: that is no trouble.
            if not kept:
                await asyncio.sleep(AGAIN_S)

    async def send(
        self, method: str, path: str, body: bytes = b"", kind: str = JSON
    ) -> tuple[int, AsyncIterator[bytes]]:
        """Send a request; return the answer's status, and its content as it comes."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._trust)
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: {JSON}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        return int(first.split()[1]), self._content(reader, headers)

    async def _content(
        self, reader: asyncio.StreamReader, headers: dict[str, str]
    ) -> AsyncIterator[bytes]:
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                yield (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            yield await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()


class PodLife:
    """The process of one pod, from its start to its end, of which `ended` is told."""

    def __init__(self, pod: Pod, ended: Callable[["PodLife"], None]) -> None:
        self.pod = pod
        self.deleted = False
        self.gone = False
        self.reason = ""
        self.exit_code = 0
        self.started = _now()
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []

    def start(self) -> None:
        """Run the pod's command; raise OSError or ValueError where that can't be done."""
        spec = self.pod["spec"]
        container = self._container()
        self._process = subprocess.Popen(
            [*container["command"], *container.get("args", ())],
            env=_environment(self.pod, container),
            cwd=container.get("workingDir", "/"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._end = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._end, self._over)
        if (limit_s := spec.get("activeDeadlineSeconds")) is not None:
            self._timers.append(self._loop.call_later(limit_s, self._expire))

    def fail(self, reason: str, exit_code: int) -> None:
        """Have it ended without a process."""
        self.reason = reason
        self.exit_code = exit_code
        self._ended(self)

    def stop(self, grace_s: float) -> None:
        """Tell the process to end, and end it and all that it has started after `grace_s`."""
        if grace_s > 0:
            os.kill(self._process.pid, signal.SIGTERM)
        self._timers.append(self._loop.call_later(grace_s, self.kill))

    def kill(self) -> None:
        """End the process and all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _expire(self) -> None:
        self.reason = self.reason or TOO_LATE
        self.stop(self.pod["spec"].get("terminationGracePeriodSeconds", GRACE_S))

    def _over(self) -> None:
        self._loop.remove_reader(self._end)
        os.close(self._end)
        for timer in self._timers:
            timer.cancel()
        # Nobody has waited for the process yet, so nothing else can have its number.
        self.kill()
        code = self._process.wait()
        self.exit_code = 128 - code if code < 0 else code
        self._ended(self)

    def _container(self) -> dict[str, Any]:
        spec = self.pod["spec"]
        containers = [*spec.get("initContainers", ()), *spec["containers"]]
        if len(containers) != 1 or not containers[0].get("command"):
            raise ValueError("a pod needs one container, which has a command")
        return dict(containers[0])


class Kubelets:
    """All nodes of the file, their pods, and what is to be told of them."""

    def __init__(self, kubeconfig: str, nodes: list[dict[str, Any]], folder: Path) -> None:
        self._tells = ApiConnection(kubeconfig)
        self._hears = ApiConnection(kubeconfig)
        self._nodes = nodes
        self._names = {node["metadata"]["name"] for node in nodes}
        self._folder = folder
        self._seen: set[str] = set()
        self._living: dict[str, PodLife] = {}
        self._news: asyncio.Queue[tuple[str, str, Any, str]] = asyncio.Queue()

    async def run(self) -> None:
        """Stand in until the task is cancelled; then no pod's process is left."""
        try:
            for node in self._nodes:
                if await self._tells.ask("POST", NODES, node) == 409:
                    where = f"{NODES}/{node['metadata']['name']}/status"
                    await self._tells.ask("PATCH", where, {"status": node["status"]}, MERGE)
            _log.info("%d nodes are registered", len(self._nodes))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell())
                tasks.create_task(self._hear())
        finally:
            for life in self._living.values():
                life.kill()

    async def _tell(self) -> None:
        while True:
            await self._tells.ask(*await self._news.get())

    async def _hear(self) -> None:
        """Look at all pods, then at every change; again from the start where changes are missed."""
        while True:
            with suppress(*DOWN):
                listed = json.loads(b"".join([chunk async for chunk in self._get(LIVING)]))
                self._list(listed)
                at = listed["metadata"]["resourceVersion"]
                changes = f"&watch=1&timeoutSeconds={WATCH_S}&resourceVersion={at}"
                await self._follow(self._get(LIVING + changes))
            self._hears.close()
            await asyncio.sleep(AGAIN_S)

    async def _get(self, path: str) -> AsyncIterator[bytes]:
        status, chunks = await self._hears.send("GET", path)
        if status != 200:
            raise OSError(f"GET {path}: {status}")
        async for chunk in chunks:
            yield chunk

    async def _follow(self, chunks: AsyncIterator[bytes]) -> None:
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":  # the server has forgotten what has changed since
                    return
                self._look(event["object"], gone=event["type"] == "DELETED")

    def _list(self, found: dict[str, Any]) -> None:
        there = {pod["metadata"]["uid"] for pod in found["items"]}
        for uid in self._living.keys() - there:
            self._look(self._living[uid].pod, gone=True)
        for pod in found["items"]:
            self._look(pod, gone=False)

    def _look(self, pod: Pod, *, gone: bool) -> None:
        uid = pod["metadata"]["uid"]
        life = self._living.get(uid)
        if life:
            if gone:
                life.gone = True
            elif not pod["metadata"].get("deletionTimestamp") or life.deleted:
                return
            life.deleted = True
            life.stop(pod["metadata"].get("deletionGracePeriodSeconds", 0))
        elif not gone and uid not in self._seen and pod["spec"]["nodeName"] in self._names:
            self._seen.add(uid)
            self._begin(pod)

    def _begin(self, pod: Pod) -> None:
        uid = pod["metadata"]["uid"]
        life = PodLife(pod, self._ended)
        life.deleted = "deletionTimestamp" in pod["metadata"]
        try:
            # Made before the process: whatever happens to us, no pod runs a second time.
            (self._folder / uid).touch(exist_ok=False)
            if life.deleted:
                life.fail("Deleted", KILLED)
                return
            life.start()
        except FileExistsError:
            life.fail("ContainerStatusUnknown", KILLED)
        except (OSError, ValueError, LookupError) as error:
            _log.warning("pod %s: %r", pod["metadata"]["name"], error)
            life.fail("StartError", UNSTARTED)
        else:
            self._living[uid] = life
            self._patch(pod, _running(life))

    def _ended(self, life: PodLife) -> None:
        self._living.pop(life.pod["metadata"]["uid"], None)
        if life.gone:
            return
        self._patch(life.pod, _over(life))
        if life.deleted:
            options = {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": life.pod["metadata"]["uid"]},
            }
            self._news.put_nowait(("DELETE", _path(life.pod), options, JSON))

    def _patch(self, pod: Pod, status: dict[str, Any]) -> None:
        # With the uid, a later pod of the same name isn't meant.
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        self._news.put_nowait(("PATCH", f"{_path(pod)}/status", body, MERGE))


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _environment(pod: Pod, container: dict[str, Any]) -> dict[str, str]:
    """Return what the container asks for, on top of what a runtime gives."""
    found = {"PATH": os.environ.get("PATH", os.defpath), "HOSTNAME": pod["spec"]["nodeName"]}
    for one in container.get("env", ()):
        field = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        found[one["name"]] = str(_field(pod, field) if field else one["value"])
    return found


def _field(pod: Pod, path: str) -> Any:
    """Return a field of the pod, such as spec.nodeName or metadata.labels['example.org/of']."""
    path, _, key = path.partition("['")
    keys = [*path.split("."), *([key.removesuffix("']")] if key else ())]
    return reduce(lambda part, name: part[name], keys, pod)


def _running(life: PodLife) -> dict[str, Any]:
    state = {"running": {"startedAt": life.started}}
    ready = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": life.started} for kind in ready
    ]
    return _status(life, "Running", state, conditions)


def _over(life: PodLife) -> dict[str, Any]:
    now = _now()
    ended = {
        "exitCode": life.exit_code,
        "reason": life.reason or ("Error" if life.exit_code else "Completed"),
        "startedAt": life.started,
        "finishedAt": now,
    }
    well = life.exit_code == 0 and life.reason != TOO_LATE
    conditions = [
        {"type": kind, "status": "False", "lastTransitionTime": now, "reason": "PodCompleted"}
        for kind in ("PodReadyToStartContainers", "Ready", "ContainersReady")
    ]
    status = _status(life, "Succeeded" if well else "Failed", {"terminated": ended}, conditions)
    return status | ({"reason": TOO_LATE} if life.reason == TOO_LATE else {})


def _status(
    life: PodLife, phase: str, state: dict[str, Any], conditions: list[dict[str, Any]]
) -> dict[str, Any]:
    container = life.pod["spec"]["containers"][0]
    shown = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "containerID": f"process://{life.pod['metadata']['uid']}",
        "restartCount": 0,
        "ready": phase == "Running",
        "started": phase == "Running",
        "state": state,
    }
    return {
        "phase": phase,
        "startTime": life.started,
        "conditions": conditions,
        "containerStatuses": [shown],
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


async def main(kubeconfig: str, nodes: str, folder: str) -> None:
    """Stand in for the nodes of the file until told to stop."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    listed = json.loads(Path(nodes).read_text(encoding="utf-8"))
    standing = asyncio.ensure_future(Kubelets(kubeconfig, listed, Path(folder)).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, standing.cancel)
    with suppress(asyncio.CancelledError):
        await standing


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(*sys.argv[1:]))
