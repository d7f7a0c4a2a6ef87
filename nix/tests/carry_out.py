"""Carries out a plan of plan.py on the machines of a NixOS test, whose script this is a part of."""

import re
import shlex
import time
from typing import Any


def carry_out(plan: dict[str, Any], machines: dict[str, Any]) -> None:
    """Take every stage's steps, node by node, and run a job across all compute nodes."""
    for stage in plan["stages"]:
        for name, step in stage.items():
            take(machines[name], step)
    machines[plan["head"]].succeed(shlex.join(plan["smoke_test"]))


def take(machine: Any, step: dict[str, Any]) -> None:
    """Write a step's files, run its commands, start its units, and ask until its probes are
    answered."""
    for file in step["files"]:
        path = shlex.quote(file["path"])
        owner = shlex.quote(file["owner"])
        machine.succeed(f"mkdir -p $(dirname {path}) && echo {file['content']} | base64 -d >{path}")
        machine.succeed(f"chown {owner}: {path} && chmod {file['mode']} {path}")
    for command in step["commands"]:
        machine.succeed(shlex.join(command))
    for unit in step["units"]:
        machine.succeed(f"systemctl start {shlex.quote(unit)}")
    for probe in step["probes"]:
        until_answered(machine, probe)


def until_answered(machine: Any, probe: dict[str, Any]) -> None:
    """Ask until the whole answer is what the probe expects."""
    deadline = time.monotonic() + probe["deadline_s"]
    while True:
        _, answer = machine.execute(shlex.join(probe["command"]))
        if re.fullmatch(probe["expect"], answer.strip()):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{shlex.join(probe['command'])} still answers {answer!r}")
        time.sleep(1)
