"""Prints a scheduler's bootstrap plan as JSON, for a NixOS test that carries it out: plan.py
SCHEDULER FACTS < nodes.

FACTS is the image's facts as JSON; standard input is a list of nodes as JSON: name, role, address,
slots, memory_mib. The secrets are drawn here, so a plan is of one test only.
"""

import base64
import json
import sys

from schedulers.base import Node, Step, Topology
from schedulers.facts import ImageFacts
from schedulers.registry import adapter


def step_as_data(step: Step) -> dict:
    """A step with its files' contents in base64."""
    return {
        "files": [
            {
                "path": file.path,
                "mode": f"{file.mode:04o}",
                "owner": file.owner,
                "content": base64.b64encode(file.content).decode(),
            }
            for file in step.files
        ],
        "commands": step.commands,
        "units": [unit.name for unit in step.units],
        "probes": [
            {"command": one.command, "expect": one.expect, "deadline_s": one.deadline_s}
            for one in step.probes
        ],
    }


def main(name: str, facts: str) -> None:
    """Print the plan's stages, and the command that runs a job across all nodes."""
    scheduler = adapter(name)
    topology = Topology("nixos-test", tuple(Node(**node) for node in json.load(sys.stdin)))
    bound = scheduler.for_image(ImageFacts(scheduler.image, json.loads(facts)))
    plan = bound.plan(topology, scheduler.Params(), scheduler.make_secrets())
    # A node of a NixOS test may be emulated.
    limit_s = 5 * scheduler.phase_limits.smoke_test_s
    stages = [
        {node: step_as_data(step) for node, step in stage.steps.items()} for stage in plan.stages
    ]
    json.dump(
        {
            "head": topology.head.name,
            "stages": stages,
            "smoke_test": ("timeout", f"{limit_s:g}", *bound.smoke_test_command(topology)),
        },
        sys.stdout,
    )


main(*sys.argv[1:])
