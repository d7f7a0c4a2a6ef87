"""Commands of the project in processes that start in no time: forks of one that has imported it.

Each has a working directory, an environment and standard streams of its own, and what is done to it
before it begins (`tests.fakes.surroundings`) is done to nobody else.
"""

import contextlib
import gc
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEADLINE_S = 300.0  # of a command that takes half a second: this one hangs
HANGS = 124
SMALL = (
    "testbed=simulation",
    "search.holdout=0",
    "workload.jobs=5",
    "cluster.nodes=[1,3]",
    "output.log=plain",
    "name=a",
)
"""A small campaign."""


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit status, and what it printed."""

    status: int
    out: str
    said: str

    @property
    def errors(self) -> int:
        """The number of messages that say what is wrong."""
        return sum(line.startswith("error: ") for line in self.said.splitlines())

    def assert_no_bug(self) -> None:
        """No traceback, no hang, and a message of our own for each failure."""
        assert self.status != HANGS, f"hangs\n{self.said}"
        assert "Traceback" not in self.said + self.out, self.said
        assert self.status in (0, 2, 3), f"status {self.status}\n{self.said}"
        usage = self.said.startswith("usage: ")
        assert self.errors == (self.status == 2 and not usage), self.said

    def assert_refused(self, text: str = "") -> None:
        """One message that says `text`, and the status of a user's error."""
        self.assert_no_bug()
        assert self.status == 2, f"status {self.status}\n{self.said}"
        assert text in self.said, self.said


@dataclass
class _Command:
    each: Sequence[Sequence[str]]
    folder: str
    environment: dict[str, str]
    setup: Sequence[tuple[Any, ...]]
    answers: str


class Commands:
    """Runs commands one after the other; use it as a context manager.

    With `mlflow`, MLflow is imported beforehand, so that a command that logs to it costs little
    too.
    """

    def __init__(self, *, mlflow: bool = False) -> None:
        self._mlflow = mlflow

    def __enter__(self) -> "Commands":
        self._folder = tempfile.TemporaryDirectory(prefix="commands-")
        self._start()
        return self

    def _start(self) -> None:
        # Nothing of the tests' own process is inherited, whatever threads it has by now.
        self._server = subprocess.Popen(
            [sys.executable, __file__, *(["mlflow"] if self._mlflow else [])],
            cwd=self._folder.name,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=Path(self._folder.name, "server").open("wb"),  # noqa: SIM115
        )

    def _stop(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._folder.cleanup()

    def run(
        self,
        *words: str,
        at: Path,
        setup: Sequence[tuple[Any, ...]] = (),
        environment: dict[str, str] | None = None,
    ) -> Done:
        """Run `hpc-campaign` with these words in the folder `at`, and return how it ended.

        `setup` are names of functions of `tests.fakes.surroundings`, each with its arguments, which
        are called before; `environment` takes the place of this process's own.
        """
        (done,) = self.run_each([words], at=at, setup=setup, environment=environment)
        return done

    def run_each(
        self,
        each: Sequence[Sequence[str]],
        *,
        at: Path,
        setup: Sequence[tuple[Any, ...]] = (),
        environment: dict[str, str] | None = None,
    ) -> list[Done]:
        """Run several commands one after the other in one process, as cheap as one of them."""
        known = dict(os.environ) if environment is None else environment
        answers = f"{self._folder.name}/answer-"
        try:
            pickle.dump(_Command(each, str(at), known, setup, answers), self._server.stdin)
            self._server.stdin.flush()
            answer = self._server.stdout.read(4)
        except BaseException:  # a test that took too long: its answer must not be the next one's
            self._server.kill()
            self._stop()
            self._start()
            raise
        assert answer, Path(self._folder.name, "server").read_text()
        last = int.from_bytes(answer, "big", signed=True)
        return [self._done(f"{answers}{number}", last) for number in range(len(each))]

    def _done(self, answer: str, last: int) -> Done:
        """What a command left; `last` is the status of the process that it was carried out in."""
        texts = []
        for end in ("out", "err", "status"):
            path = Path(f"{answer}-{end}")
            texts.append(path.read_text(errors="backslashreplace") if path.exists() else "")
            path.unlink(missing_ok=True)
        return Done(int(texts[2] or last), texts[0], texts[1])

    def search(self, trials: int, *words: str, at: Path, **how: Any) -> Done:
        """Run or resume the small campaign up to so many trials."""
        return self.run("search", *SMALL, f"search.trials={trials}", *words, at=at, **how)


def _serve(answers: int) -> None:
    while True:
        try:
            command = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            os.close(answers)
            _be(command)
        os.write(answers, _ended(child).to_bytes(4, "big", signed=True))


def _ended(child: int) -> int:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return HANGS


def _be(command: _Command) -> None:
    """Be the commands, one after the other; never return."""
    os.environ.clear()
    os.environ.update(command.environment)
    os.chdir(command.folder)
    from tests.fakes import surroundings

    status = 1
    folder = os.open(Path(command.answers).parent, os.O_RDONLY)
    for number, words in enumerate(command.each):
        answer = f"{Path(command.answers).name}{number}"
        _take_streams(folder, answer)
        status = _carried_out(words, surroundings, () if number else command.setup)
        place = os.open(f"{answer}-status", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=folder)
        os.write(place, str(status).encode())
        os.close(place)
    os._exit(status)


def _carried_out(words: Sequence[str], surroundings: Any, setup: Sequence[tuple[Any, ...]]) -> int:
    status = 1
    try:
        for name, *arguments in setup:
            getattr(surroundings, name)(*arguments)
        from campaign.__main__ import main

        status = main(words)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        with contextlib.suppress(OSError):
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 120  # as the interpreter does
    return status


def _take_streams(folder: int, answer: str) -> None:
    opened = [os.open(os.devnull, os.O_RDONLY)]
    for end in ("out", "err"):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened.append(os.open(f"{answer}-{end}", flags, 0o600, dir_fd=folder))
    for number, one in enumerate(opened):
        os.dup2(one, number)
        os.close(one)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def _warm_up(*, mlflow: bool) -> None:
    """Import and compile what commands need, by running a campaign here."""
    from campaign.__main__ import main
    from tests.fakes import surroundings

    untouched = surroundings.tracking()
    (surroundings.tracked_here if mlflow else surroundings.untracked)()
    main(["search", *SMALL, "search.trials=1"])
    main(["report", "a"])
    main(["verify", "a"])
    surroundings.track(untouched)
    # So that a fork's collector leaves our pages alone, which it would have to copy.
    gc.freeze()


if __name__ == "__main__":
    requests = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _warm_up(mlflow="mlflow" in sys.argv)
    _serve(requests)
