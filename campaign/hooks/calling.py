"""Calls one hook, within its time, and says what came of it; nothing that it does raises here."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import ValidationError

from campaign.core.errors import OUTPUT_TAIL, ConfigError, output_tail
from campaign.core.files import read_regular
from campaign.core.printable import printable
from campaign.hooks.context import ANSWER, GROUP, HookAnswer, HookContext

CallOutcome = Literal["ok", "failed", "timeout", "skipped"]
"""What came of a call. One is `skipped` where an earlier one of a function still hangs."""
Function = Callable[[HookContext], HookAnswer | None]
_CHUNK = 65_536
_LAST_WORDS_S = 0.5
"""How long the output of an ended command is waited for: a child of it may keep it open."""


@dataclass(frozen=True)
class CallResult:
    """What came of a call of a hook; `detail` says why it failed."""

    outcome: CallOutcome
    seconds: float
    detail: str = ""
    answer: HookAnswer = field(default_factory=HookAnswer)


class HookFailed(Exception):
    """A hook gave no answer that can be used; the text says why."""


def call_command(command: Sequence[str], context: HookContext, timeout_s: float) -> CallResult:
    """Run a command, with the context on its standard input; return what came of it.

    It is ended with all that it started when its time is over. Of what it prints, only the end is
    kept, and only for the case that it fails.
    """
    begun = time.monotonic()

    def after(outcome: CallOutcome, detail: str, answer: HookAnswer | None = None) -> CallResult:
        return CallResult(outcome, time.monotonic() - begun, detail, answer or HookAnswer())

    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "HPC_CAMPAIGN_HOOK": context.hook, "HPC_CAMPAIGN_OUT": context.out},
        )
    except OSError as error:
        return after("failed", f"{command[0]} can't be started: {error.strerror}")
    output = _Exchange(process, context.model_dump_json().encode())
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return after("timeout", f"it took longer than {timeout_s:g} s; {output.text()}")
    except BaseException:  # an interruption, which it doesn't hear of in its own session
        _end(process)
        raise
    if status:
        return after("failed", f"exit status {status}; {output.text()}")
    try:
        return after("ok", "", _answer_in(context.out))
    except HookFailed as error:
        return after("failed", str(error))


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Exchange:
    """Writes to a process and reads what it prints, of which the end is kept."""

    def __init__(self, process: "subprocess.Popen[bytes]", told: bytes) -> None:
        self._told = told
        self._tail = b""
        self._stdin = _there(process.stdin)
        self._stdout = _there(process.stdout)
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._write, self._read)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        with contextlib.suppress(OSError), self._stdin as pipe:  # it may not want to know
            pipe.write(self._told)

    def _read(self) -> None:
        with self._stdout as pipe:
            while chunk := os.read(pipe.fileno(), _CHUNK):
                self._tail = (self._tail + chunk)[-4 * OUTPUT_TAIL :]

    def text(self) -> str:
        """Return what was printed last, whatever it was, as text that a terminal only shows."""
        self._threads[1].join(_LAST_WORDS_S)
        said = printable(output_tail(self._tail.decode(errors="backslashreplace")))
        return f"it printed: {said}" if said else "it printed nothing"


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the process was started without pipes")
    return pipe


def _answer_in(out: str) -> HookAnswer:
    """Return the answer that a command has left, and remove its file; HookFailed if it is none."""
    path = Path(out, ANSWER)
    if not out or not os.path.lexists(path):
        return HookAnswer()
    try:
        text = read_regular(path).decode()
        path.unlink()
        return HookAnswer.model_validate(json.loads(text, object_pairs_hook=_each_once))
    except ValidationError as error:
        raise HookFailed(f"{ANSWER} is no answer: {_first(error)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise HookFailed(f"{ANSWER} is no answer: {printable(str(error), lines=False)}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return found


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return printable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", lines=False)


def function_of(name: str) -> Function:
    """Return the function of an entry point; ConfigError where there is none of that name."""
    found = metadata.entry_points(group=GROUP)
    point = next((one for one in found if one.name == name), None)
    if point is None:
        there = ", ".join(sorted(one.name for one in found)) or "none"
        raise ConfigError(
            f"no installed package has the entry point {name!r} in the group {GROUP}",
            resolution=f"Install the package that brings it; there are: {there}.",
        )
    try:
        function: Function = point.load()
    # Whatever a package of others raises when it is imported is its fault.
    except Exception as error:
        raise ConfigError(
            f"the entry point {name!r} can't be imported: {type(error).__name__}: {error}",
            resolution=f"Mend {point.value}, or leave the hook out.",
        ) from error
    return function


class FunctionCalls:
    """The calls of one Python hook, each in a thread, so that its time can be limited.

    Nothing can end a thread. A function that took too long is left behind, and isn't called again
    as long as it goes on.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._left_behind: threading.Thread | None = None

    def call(self, context: HookContext, timeout_s: float) -> CallResult:
        """Call the function and return what came of it."""
        if self._left_behind and self._left_behind.is_alive():
            return CallResult("skipped", 0.0, "an earlier call of it goes on still")
        results: list[CallResult] = []
        begun = time.monotonic()
        thread = threading.Thread(
            target=lambda: results.append(self._called(context, begun)), daemon=True
        )
        thread.start()
        thread.join(timeout_s)
        if results:
            return results[0]
        self._left_behind = thread
        return CallResult(
            "timeout", time.monotonic() - begun, f"it took longer than {timeout_s:g} s"
        )

    def _called(self, context: HookContext, begun: float) -> CallResult:
        try:
            answer = self._function(context)
            answer = HookAnswer.model_validate(HookAnswer() if answer is None else answer)
        except ValidationError as error:
            return CallResult("failed", time.monotonic() - begun, f"no answer: {_first(error)}")
        # It is of others: whatever it raises is its failure, not ours.
        except BaseException as error:  # noqa: BLE001
            said = printable(f"{type(error).__name__}: {error}"[:OUTPUT_TAIL])
            return CallResult("failed", time.monotonic() - begun, said)
        return CallResult("ok", time.monotonic() - begun, "", answer)
