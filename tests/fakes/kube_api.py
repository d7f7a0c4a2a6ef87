"""An API server with nodes and pods, as far as kubelets ask for them: watches, conflicts, graceful
deletion."""

import json
import ssl
import threading
import time
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_bytes
from urllib.parse import parse_qs, urlsplit

from schedulers._kubernetes import access

TOKEN = "sesame"


class Store:
    """All objects, and every change that a watch can still be told of."""

    def __init__(self):
        self.changed = threading.Condition()
        self.nodes = {}
        self.pods = {}
        self.version = 0
        self.changes = []  # (version, pod before, pod after)
        self.forgotten = 0
        self.requests = []
        self.hasty = False
        self.open = threading.Event()  # until it is set, no request of a patch is answered
        self.open.set()

    def pod(self, name, script, *, node="", env=(), **spec):
        """Create a pod that runs shell commands, with a node if one is named."""
        container = {
            "name": "job",
            "image": "i",
            "command": ["/bin/bash", "-c", script],
            "env": [variable("NODE_NAME", "spec.nodeName"), *env],
        }
        with self.changed:
            metadata = {
                "name": name,
                "namespace": "default",
                "uid": f"{name}-{self.version}",
                "labels": {"example.org/of": "a.job"},
            }
            scheduled = {"type": "PodScheduled", "status": "True" if node else "False"}
            pod = {
                "metadata": metadata,
                "spec": {"containers": [container], **spec},
                "status": {"phase": "Pending", "conditions": [scheduled]},
            }
            if node:
                pod["spec"]["nodeName"] = node
            self.put(None, pod)

    def bind(self, name, node):
        """Give a pod its node."""
        with self.changed:
            pod = deepcopy(self.pods[name])
            pod["spec"]["nodeName"] = node
            self.put(self.pods[name], pod)

    def delete(self, name, grace_s):
        """Delete a pod: at once with no grace, else it is marked so."""
        with self.changed:
            before = self.pods[name]
            pod = deepcopy(before)
            if grace_s:
                pod["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
                pod["metadata"]["deletionGracePeriodSeconds"] = grace_s
                self.put(before, pod)
            else:
                del self.pods[name]
                self.note(before, None)

    def put(self, before, pod):
        """Keep a pod under its name."""
        self.pods[pod["metadata"]["name"]] = pod
        self.note(before, pod)
        pod["metadata"]["resourceVersion"] = str(self.version)

    def note(self, before, after):
        """Number a change, and wake who watches."""
        self.version += 1
        self.changes.append((self.version, before, after))
        self.changed.notify_all()

    def touch(self, name):
        """Change something of a pod that nobody looks at."""
        with self.changed:
            pod = deepcopy(self.pods[name])
            pod["metadata"]["labels"] = {"touched": "yes"}
            self.put(self.pods[name], pod)

    def forget(self):
        """Forget all changes: each watch ends, and has to list again."""
        with self.changed:
            self.version += 1
            self.forgotten = self.version
            self.changed.notify_all()

    def phase(self, name):
        """The phase of a pod, or nothing where it is gone."""
        with self.changed:
            return self.pods[name]["status"]["phase"] if name in self.pods else ""


def variable(name, field):
    """A container's variable that has a field of its pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}


def merged(old, new):
    """A strategic merge patch: conditions are merged by type, other lists replaced."""
    found = dict(old)
    for key, value in new.items():
        if isinstance(value, dict):
            found[key] = merged(old.get(key, {}), value)
        elif key == "conditions":
            both = {one["type"]: one for one in (*old.get(key, ()), *value)}
            found[key] = list(both.values())
        else:
            found[key] = value
    return found


class KubeApi(BaseHTTPRequestHandler):
    """Serves a store to who has the token."""

    protocol_version = "HTTP/1.1"
    store: Store

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        where = urlsplit(self.path)
        query = {name: value for name, (value, *_) in parse_qs(where.query).items()}
        _, _, _, kind, *rest = where.path.split("/")
        self.store.requests.append((self.command, where.path))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.answer(401, {"kind": "Status"})
        elif "watch" in query:
            self.watch(query["fieldSelector"], int(query["resourceVersion"]))
        elif self.command == "GET":
            self.list(query["fieldSelector"])
        elif kind == "nodes":
            self.node(json.loads(body), rest)
        else:
            self.pod(json.loads(body), rest[2])

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def node(self, body, rest):
        with self.store.changed:
            if self.command == "PATCH":
                self.store.nodes[rest[0]] = merged(self.store.nodes[rest[0]], body)
                self.answer(200, {"kind": "Node"})
            elif body["metadata"]["name"] in self.store.nodes:
                self.answer(409, {"kind": "Status", "reason": "AlreadyExists"})
            else:
                self.store.nodes[body["metadata"]["name"]] = body
                self.answer(201, {"kind": "Node"})

    def pod(self, body, name):
        self.store.open.wait()
        with self.store.changed:
            pod = self.store.pods.get(name)
            given = body.get("metadata", {}) | body.get("preconditions", {})
            if pod is None:
                self.answer(404, {"kind": "Status", "reason": "NotFound"})
            elif any(pod["metadata"][key] != given[key] for key in given):
                self.answer(409, {"kind": "Status", "reason": "Conflict"})
            elif self.command == "DELETE":
                del self.store.pods[name]
                self.store.note(pod, None)
                self.answer(200, {"kind": "Pod"})
            else:
                self.store.put(pod, merged(deepcopy(pod), {"status": body["status"]}))
                self.answer(200, {"kind": "Pod"})

    def list(self, selector):
        with self.store.changed:
            items = [pod for pod in self.store.pods.values() if selects(selector, pod)]
            version = {"resourceVersion": str(self.store.version)}
            self.answer(200, {"kind": "PodList", "metadata": version, "items": items})

    def watch(self, selector, since):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            with self.store.changed:
                while self.store.version == since:
                    self.store.changed.wait()
                if self.store.forgotten > since:
                    self.chunk({"type": "ERROR", "object": {"kind": "Status", "code": 410}})
                    self.chunk(None)
                    return
                news = [change for change in self.store.changes if change[0] > since]
                since = self.store.version
            for _, before, after in news:
                was, now = selects(selector, before), selects(selector, after)
                if was or now:
                    kind = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
                    self.chunk({"type": kind, "object": after or before})

    def chunk(self, event):
        content = json.dumps(event).encode() + b"\n" if event else b""
        # In two pieces, as a real server's buffers may cut it anywhere.
        for piece in (content[:9], content[9:]) if content else (b"",):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()

    def answer(self, code, value):
        content = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.store.hasty

    def log_message(self, *_):
        pass


def selects(selector, pod):
    """Whether a selector of the form a!=b,c!=d takes a pod."""
    if pod is None:
        return False
    known = {
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "status.phase": pod["status"]["phase"],
    }
    return all(known[key] != value for key, value in (x.split("!=") for x in selector.split(",")))


@contextmanager
def serving(folder: Path):
    """A store that is served on loopback, and the kubeconfig that leads to it."""
    store = Store()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (KubeApi,), {"store": store}))
    server.daemon_threads = True
    server.block_on_close = False
    with secured(server, folder, TOKEN) as kubeconfig:
        yield store, kubeconfig


@contextmanager
def secured(server, folder, token):
    """Serve with a certificate as clusters have; the kubeconfig that leads there with `token`."""
    for name, content in access.secrets_of(token_bytes).items():
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / access.CERTIFICATE, folder / access.KEY)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cluster = {
        "server": f"https://127.0.0.1:{server.server_port}",
        "certificate-authority": str(folder / access.CERTIFICATE),
    }
    config = {"clusters": [{"cluster": cluster}], "users": [{"user": {"token": token}}]}
    (folder / "kubeconfig").write_text(json.dumps(config))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield folder / "kubeconfig"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(succeeds, limit_s=120):
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit_s
    while not succeeds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
