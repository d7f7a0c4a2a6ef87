"""Publishers' servers on this machine: releases, a container registry, files of a repository.

They behave, unless a test tells them to break off, to ignore ranges, to lie or to be busy.
"""

import contextlib
import gzip
import hashlib
import io
import json
import re
import tarfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "for-anybody"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def layer_of(files):
    """A packed layer of a container image."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(made.getvalue(), mtime=0)


@dataclass
class Publisher:
    """What the server has, by path, and how it misbehaves.

    `breaks` are the bytes after which its next answers with a body break off; `busy` so many
    answers are 503; `ranges` is how it treats them: right, ignored, or wrong.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    guarded: bool = False
    breaks: list[int] = field(default_factory=list)
    busy: int = 0
    ranges: str = "right"
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def release(self, path, content, *, stated=None):
        self.files[path] = content
        self.files[f"{path}.sha256"] = (stated or sha256(content)).encode()

    def container_image(self, repository, tag, layers, *, platform="amd64"):
        api = f"/v2/{repository}"
        blobs = [{"digest": f"sha256:{sha256(layer)}", "size": len(layer)} for layer in layers]
        for blob, layer in zip(blobs, layers, strict=True):
            self.files[f"{api}/blobs/{blob['digest']}"] = layer
        manifest = json.dumps({"schemaVersion": 2, "layers": blobs}).encode()
        digest = f"sha256:{sha256(manifest)}"
        other = {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "arm"}}
        ours = {"digest": digest, "platform": {"os": "linux", "architecture": platform}}
        index = json.dumps({"schemaVersion": 2, "manifests": [other, ours]}).encode()
        self.files[f"{api}/manifests/{digest}"] = manifest
        self.files[f"{api}/manifests/{tag}"] = index
        self.digests[f"{api}/manifests/{tag}"] = f"sha256:{sha256(index)}"

    def times(self, path):
        return Counter(asked for asked, _ in self.asked)[path]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(self.server.publisher)

    def _answer(self, publisher):
        path = self.path.partition("?")[0]
        publisher.asked.append((path, self.headers.get("Range", "")))
        if path == "/token":
            return self._send(200, json.dumps({"token": TOKEN}).encode())
        if publisher.busy:
            publisher.busy -= 1
            return self._send(503, b"")
        signed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if publisher.guarded and path.startswith("/v2/") and not signed:
            challenge = f'Bearer realm="{publisher.url}/token",service="s",scope="pull"'
            return self._send(401, b"", {"WWW-Authenticate": challenge})
        if path in publisher.moved:
            return self._send(307, b"", {"Location": publisher.moved[path]})
        if path not in publisher.files:
            return self._send(404, b"no such file")
        return self._send_file(publisher, path, publisher.files[path])

    def _send_file(self, publisher, path, content):
        digest = publisher.digests.get(path)
        headers = {"Docker-Content-Digest": digest} if digest else {}
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or publisher.ranges == "ignored":
            return self._send(200, content, headers)
        begin = 0 if publisher.ranges == "wrong" else int(wanted[1])
        if begin >= len(content):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        return self._send(206, content[begin:], headers)

    def _send(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        breaks = self.server.publisher.breaks
        if status in (200, 206) and breaks and not self.path.endswith(".sha256"):
            self.wfile.write(body[: breaks.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    """Yield a publisher that answers on the loopback address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    server.publisher = Publisher(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.publisher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
