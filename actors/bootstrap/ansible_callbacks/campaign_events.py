"""What ansible-playbook does, as one JSON object a line on standard output.

ansible-core has no such callback, and its human output may change with each version. The events:

    {"event": "play", "name": ...}                           a play begins
    {"event": "task", "name": ...}                           a task begins
    {"event": "failed", "task", "node", "item", "result"}    a task failed on a node
    {"event": "unreachable", "task", "node", "item", "result"}

`item` is empty where the task has no loop. `result` has those of RESULT_KEYS that the module
returned; Ansible has already censored what a task with `no_log` returned.
"""

import json
import sys
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: campaign_events
    type: stdout
    short_description: one JSON object an event
    description:
        - Prints plays, tasks and failures as JSON lines.
"""

RESULT_KEYS = ("msg", "cmd", "rc", "stdout", "stderr", "module_stdout", "module_stderr", "censored")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Prints the events that the module's docstring lists. Ansible finds the class by its name."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "campaign_events"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Print that a play begins."""
        _print(event="play", name=play.get_name().strip())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Print that a task begins."""
        _print(event="task", name=task.get_name().strip())

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Print that a task failed on a node, unless the playbook goes on nevertheless."""
        if not ignore_errors:
            self._print_failure("failed", result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Print that one item of a task's loop failed on a node."""
        if not result.task.ignore_errors:
            self._print_failure("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Print that a node can't be reached."""
        self._print_failure("unreachable", result)

    def _print_failure(self, event: str, result: Any) -> None:
        returned = result.result
        looped = "ansible_loop_var" in returned
        _print(
            event=event,
            task=result.task.get_name().strip(),
            node=result.host.get_name(),
            item=str(self._get_item_label(returned)) if looped else "",
            result={
                key: returned[key] for key in RESULT_KEYS if returned.get(key) not in (None, "")
            },
        )


def _print(**event: Any) -> None:
    # One write and a flush: Ansible's warnings go to the same pipe.
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()
