"""What another user of the machine tries on a campaign's files, sockets, ports and processes.

It runs by itself, with nothing but Python, as that user. What to attack comes as JSON on standard
input (see `snooping.Targets`). Standard output gets all that it could read, standard error a line
for each attack that succeeded, and "done" at the end. What succeeded is undone.
"""

import contextlib
import fcntl
import http.client
import json
import os
import socket
import stat
import sys

LOCKS = ("lock", "users")
"""What the names of files hold that keep a campaign waiting while somebody else has locked them."""
MOST_BYTES = 64_000_000
REQUESTS = (
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/?token=guessed"),
    ("GET", "/version"),
    ("GET", "/health"),
    ("GET", "/api/version"),
    ("GET", "/api/jobs/"),
    ("GET", "/api/v0/nodes"),
    ("GET", "/api/v0/logs"),
    ("GET", "/api/healthz"),
    ("GET", "/api/gcs_healthz"),
    ("GET", "/api/local_raylet_healthz"),
    ("GET", "/nodes?view=summary"),
    ("GET", "/worker/traceback?pid=1"),
    ("GET", "/logs/"),
    ("GET", "/log_proxy?url=http://127.0.0.1/"),
    ("GET", "/get-artifact?run_uuid=x&path=/etc/shadow"),
    ("GET", "/get-artifact?run_uuid=..&path=%2e%2e/%2e%2e/etc/passwd"),
    ("GET", "/static-files/%2e%2e/%2e%2e/handlers.py"),
    ("HEAD", "/"),
    ("OPTIONS", "/"),
    ("POST", "/api/jobs/"),
    ("PUT", "/api/packages/gcs/_ray_pkg_x.zip"),
    ("POST", "/api/job_agent/jobs/"),
    ("POST", "/api/actors/kill"),
    ("POST", "/get_or_create_runtime_env"),
    ("POST", "/api/2.0/mlflow/experiments/create"),
    ("POST", "/api/2.0/mlflow/runs/search"),
    ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
    ("PUT", "/ajax-api/3.0/mlflow/assistant/config"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
)
SUBMITTED = json.dumps({"entrypoint": "id", "name": "x", "query": "{__typename}"}).encode()


class Intruder:
    """Tries attacks, and notes those that it was let do. `scratch` is a folder of its own."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.made = 0

    def attempt(self, what, path, action, undo=None):
        try:
            action()
        except (OSError, ValueError):
            return
        print(f"LET {what} {path}", file=sys.stderr, flush=True)
        if undo:
            with contextlib.suppress(OSError):
                undo()

    def new(self, folder=False):
        """A new file, or folder, of its own."""
        self.made += 1
        path = f"{self.scratch}/mine-{os.getpid()}-{self.made}"
        if folder:
            os.mkdir(path)
        else:
            with open(path, "x"):
                pass
        return path

    def place(self, path, private):
        """Attack one path, of whatever kind."""
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return  # what runs has removed it
        except OSError:
            mode = 0  # it is behind a folder that can't be entered: all is tried
        self.name(path, stat.S_ISDIR(mode))
        if stat.S_ISDIR(mode) or not mode:
            self.folder(path, private)
        if stat.S_ISSOCK(mode) or not mode:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
                self.attempt("enter", path, lambda kind=kind: enter(path, kind))
        if stat.S_ISREG(mode) or not mode:
            self.file(path, private)

    def name(self, path, is_folder):
        """Rename and replace what has this name, and change its attributes."""
        aside = f"{path}.aside"
        self.attempt("rename", path, lambda: os.rename(path, aside), lambda: os.rename(aside, path))
        taken = f"{self.scratch}/taken-{os.getpid()}"
        self.attempt("take", path, lambda: os.rename(path, taken), lambda: os.rename(taken, path))
        mine = self.new(is_folder)
        self.attempt("replace", path, lambda: os.replace(mine, path))
        with contextlib.suppress(OSError):
            (os.rmdir if is_folder else os.unlink)(mine)
        if not os.path.islink(path):
            self.attempt("chmod", path, lambda: os.chmod(path, 0o777))
            self.attempt("touch", path, lambda: os.utime(path))

    def folder(self, path, private):
        """Make things of every kind in a folder."""
        own = f"{path}/intruder-{os.getpid()}"
        mine = self.new()
        remove = lambda: os.unlink(own)  # noqa: E731
        self.attempt("make in", path, lambda: open(own, "x").close(), remove)
        self.attempt("make a folder in", path, lambda: os.mkdir(own), lambda: os.rmdir(own))
        self.attempt("make a link in", path, lambda: os.symlink("/etc", own), remove)
        self.attempt("make a FIFO in", path, lambda: os.mkfifo(own), remove)
        self.attempt("link a file into", path, lambda: os.link(mine, own), remove)
        self.attempt("listen in", path, lambda: socket.socket(socket.AF_UNIX).bind(own), remove)
        os.unlink(mine)
        if private:
            self.attempt("list", path, lambda: os.listdir(path))

    def file(self, path, private):
        """Read a file, write to it, and lock it."""
        with contextlib.suppress(OSError), open(path, "rb") as file:
            content = file.read(MOST_BYTES)
            sys.stdout.buffer.write(b"\n== " + os.fsencode(path) + b"\n" + content)
            if private:
                print(f"LET read {path}", file=sys.stderr, flush=True)
            if any(part in os.path.basename(path) for part in LOCKS):
                hold = fcntl.LOCK_EX | fcntl.LOCK_NB
                self.attempt("lock", path, lambda: fcntl.flock(file, hold))
        self.attempt("write to", path, lambda: os.close(os.open(path, os.O_WRONLY)))

    def port(self, host, port):
        """Speak HTTP to a port."""
        for method, path in REQUESTS:
            connection = http.client.HTTPConnection(host, port, timeout=10)
            body = SUBMITTED if method in ("POST", "PUT") else None
            try:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                status = answer.status
                body = answer.read(200)
            except (OSError, http.client.HTTPException):
                continue
            finally:
                connection.close()
            if status < 400:
                what = f"{method} {path} {host}:{port} {status} {body!r}"
                print(f"LET {what}", file=sys.stderr, flush=True)

    def process(self, pid):
        """Look into a process, and signal it."""
        folder = f"/proc/{pid}"
        for name in ("environ", "mem", "maps", "auxv", "stack", "syscall", "fd/0", "fd/1", "fd/2"):
            self.attempt("read", f"{folder}/{name}", lambda name=name: first(f"{folder}/{name}"))
        for name in ("cwd", "root", "exe"):
            self.attempt("follow", f"{folder}/{name}", lambda n=name: os.readlink(f"{folder}/{n}"))
        self.attempt("list", f"{folder}/fd", lambda: os.listdir(f"{folder}/fd"))
        self.attempt("signal", folder, lambda: os.kill(pid, 0))


def processes():
    """Print what can be read of all processes but this one, which was told what to look for."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ") if int(pid) != os.getpid() else ():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
                sys.stdout.buffer.write(b"\n== /proc/" + pid.encode() + b"\n" + file.read())


def first(path):
    """Read the beginning of a file of /proc; one that gives nothing doesn't count as read."""
    with open(path, "rb") as file:
        if not file.read(1):
            raise OSError


def enter(path, kind):
    """Connect to a socket."""
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.settimeout(10)
        client.connect(path)


def main():
    asked = json.load(sys.stdin)
    intruder = Intruder(asked["scratch"])
    for path, private in asked["places"]:
        intruder.place(path, private)
    for top in asked["tops"]:
        for folder, folders, names in os.walk(top):
            for path in (f"{folder}/{name}" for name in (*folders, *names)):
                with contextlib.suppress(OSError):
                    if os.lstat(path).st_uid != os.getuid():
                        intruder.place(path, private=False)
    processes()
    for name in asked["sockets"]:
        intruder.attempt("enter", name, lambda name=name: enter("\0" + name, socket.SOCK_STREAM))
    for host, port in asked["ports"]:
        intruder.port(host, port)
    for pid in asked["pids"]:
        intruder.process(pid)
    sys.stdout.flush()
    print("done", file=sys.stderr)


if __name__ == "__main__":
    main()
