"""Applies a bootstrap plan over SSH: every node of a stage at once, stage after stage, a deadline on all of it."""

import asyncio
import re
import shlex
import time
from collections.abc import Callable, Mapping

from actors.remote import Output, Remote
from campaign.errors import SchedulerError
from schedulers.base import BootstrapPlan, Probe, Step, Unit

PROBE_TIMEOUT_S = 30.0


class BootstrapFailed(SchedulerError):
    """A step of a plan failed or a probe never came true; `details` has the node's evidence."""


async def apply_plan(
    plan: BootstrapPlan, remotes: Mapping[str, Remote], *, deadline: float, tell: Callable[[str], None]
) -> None:
    """Make the nodes what `plan` says. Applying it again changes nothing but that its units are restarted.

    `deadline` is in monotonic seconds; `tell` hears which stage begins.
    """
    for stage in plan.stages:
        tell(stage.name)
        async with asyncio.TaskGroup() as group:
            for node, step in stage.steps.items():
                group.create_task(_take(step, remotes[node], deadline))


async def _take(step: Step, remote: Remote, deadline: float) -> None:
    await remote.put(step.files, timeout_s=_left(deadline, remote.node))
    script = script_of(step)
    if script:
        timeout_s = _left(deadline, remote.node)
        output = await remote.run(("bash", "-euc", script), timeout_s=timeout_s)
        if not output.ok:
            raise BootstrapFailed(f"{remote.node}: a bootstrap step failed", await _evidence(output, step, remote))
    for probe in step.probes:
        await _wait_for(probe, step, remote, deadline)


def script_of(step: Step) -> str:
    """A step's commands and units as one shell script: one round trip, and it stops at the first failure. Pure."""
    lines = [shlex.join(command) for command in step.commands]
    for action in ("restart", "reload"):
        units = [unit.name for unit in step.units if unit.action == action]
        if units:
            lines.append(shlex.join(("systemctl", action, *units)))
    return "\n".join(lines)


async def _wait_for(probe: Probe, step: Step, remote: Remote, deadline: float) -> None:
    until = min(deadline, time.monotonic() + probe.deadline_s)
    pattern = re.compile(probe.expect)
    while True:
        left = max(1.0, until - time.monotonic())
        output = await remote.run(("timeout", f"{min(left, PROBE_TIMEOUT_S):.1f}", *probe.command), timeout_s=left + 30)
        if output.ok and pattern.fullmatch(output.stdout.strip()):
            return
        if time.monotonic() + probe.interval_s >= until:
            evidence = await _evidence(output, step, remote)
            raise BootstrapFailed(
                f"{remote.node}: {probe.what} didn't come true within {probe.deadline_s:g} s", evidence
            )
        await asyncio.sleep(probe.interval_s)


async def _evidence(output: Output, step: Step, remote: Remote) -> str:
    """The last output, and what the step's units say of themselves."""
    parts = [f"last output (status {output.status}): {(output.stdout + output.stderr).strip()[-1000:]}"]
    for unit in step.units:
        parts.append(await _unit_log(unit, remote))
    return "\n".join(parts)


async def _unit_log(unit: Unit, remote: Remote) -> str:
    shown = await remote.run(("systemctl", "status", "--no-pager", "--lines=15", unit.name), timeout_s=PROBE_TIMEOUT_S)
    return shown.stdout.strip()[-2000:]


def _left(deadline: float, node: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise BootstrapFailed(f"{node}: the bootstrap didn't end in time (cluster.bootstrap_deadline_s)")
    return left
