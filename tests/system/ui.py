"""A running `hpc-campaign ui`, as a user has started it."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240


@dataclass
class Ui:
    """Its process, its port, where its errors go, and the token that it prints."""

    process: subprocess.Popen
    port: int
    log: Path
    _token: str = ""

    @property
    def token(self) -> str:
        """The token of this start; waits until it is printed, which happens once."""
        if not self._token:
            printed = re.search(r"/\?token=([\w-]+)#", self.process.stdout.readline())
            assert printed, self.log.read_text()
            self._token = printed[1]
        return self._token

    def wait_until_up(self) -> None:
        """Wait until MLflow's pages are served; the port itself is open at once."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.ask("/version")[0] == 200:
                    return
            except OSError:
                time.sleep(0.3)
        raise AssertionError(f"the UI wasn't up within {SECONDS} s")

    def ask(self, path: str) -> tuple[int, bytes]:
        """Ask as who has the token: the status and body of the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            cookie = f"campaign_ui_{self.port}={self.token}"
            connection.request("GET", path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def running(mlruns: Path, home: Path, **environment: str) -> Iterator[Ui]:
    """Start the UI over a store, with a home folder of its own; it ends when left."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "campaign", "ui", f"--mlruns={mlruns}", f"--port={port}"]
    log = home / "ui.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"HOME": str(home), **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield Ui(process, port, log)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
