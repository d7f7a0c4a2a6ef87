"""Reads what ansible-playbook prints through our callback: where it is, and what failed first."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actors.bootstrap.apply import BootstrapFailed
from actors.bootstrap.ssh import NodeUnreachable
from campaign.core.errors import CampaignError, command_failed, output_tail
from campaign.core.phase_clock import PhaseClock

COMMAND = "ansible-playbook playbook.yml"
LAST_LINES = 40
_OUTPUT_FIELDS = ("msg", "stdout", "stderr", "module_stdout", "module_stderr")


@dataclass(frozen=True)
class _Failure:
    """The failure of a task on a node; `result` is what the task's module returned."""

    task: str
    node: str
    unreachable: bool
    result: Mapping[str, Any]


class Transcript:
    """What a playbook has printed so far, line by line.

    A line is an event (see `ansible_callbacks/campaign_events.py`) or else text, as Ansible's own
    warnings and errors are. Of the failures the first counts: the others follow from it, or say
    the same.
    """

    def __init__(self, clock: PhaseClock) -> None:
        self._clock = clock
        self._play = ""
        self._task = ""
        self._failed: _Failure | None = None
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def read(self, line: str) -> None:
        """Take in one line; `clock` is told which play begins."""
        event = _event(line)
        match event.get("event"):
            case "play":
                self._play = str(event["name"])
                self._task = ""
                self._clock.detail(self._play)
                self._last.append(f"play: {self._play}")
            case "task":
                self._task = str(event["name"])
                self._last.append(f"task: {self._task}")
            case "failed" | "unreachable" as how:
                self._failed = self._failed or _failure(how, event)
            case _:
                self._last.append(line)

    @property
    def where(self) -> str:
        """The play and task that began last."""
        return ", ".join(part for part in (self._play, self._task) if part) or "its start"

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._last)

    def failure(self, status: int) -> CampaignError:
        """Return the error of a playbook that ended with exit status `status`, which isn't 0."""
        if self._failed is None:
            details = command_failed(COMMAND, status, self.tail)
            return BootstrapFailed(f"ansible-playbook failed at {self.where}", details)
        failed = self._failed
        if failed.unreachable:
            return NodeUnreachable(
                f"{failed.node} can't be reached by Ansible's SSH in `{failed.task}`",
                task_details(failed.result),
            )
        return BootstrapFailed(
            f"{failed.node}: the playbook's task `{failed.task}` failed",
            task_details(failed.result),
        )


def task_details(result: Mapping[str, Any]) -> str:
    """Return a failed task's result for people: that of its command, or what its module said."""
    if "cmd" in result and "rc" in result:
        command = result["cmd"]
        words = [str(word) for word in command] if isinstance(command, list) else str(command)
        said = result.get("stderr") or result.get("stdout") or result.get("msg") or ""
        return command_failed(words, int(result["rc"]), str(said))
    found = [
        f"{name}: {output_tail(str(result[name]))}" for name in _OUTPUT_FIELDS if result.get(name)
    ]
    return "\n".join(found) or json.dumps(dict(result))


def _failure(how: str, event: Mapping[str, Any]) -> _Failure:
    item = f" (item={event['item']})" if event["item"] else ""
    return _Failure(
        f"{event['task']}{item}", str(event["node"]), how == "unreachable", event["result"]
    )


def _event(line: str) -> Mapping[str, Any]:
    """Return the event that a line is, or nothing for a line of text."""
    if not line.startswith('{"event": '):
        return {}
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
