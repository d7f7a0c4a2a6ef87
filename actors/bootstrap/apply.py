"""Applies a bootstrap plan over SSH: stage after stage, all nodes of a stage at once.

A node's step is one round trip before its probes: the files as a tar archive on the standard input
of a bash script, which compares them with what is there, unpacks those that differ, and goes on to
commands and units.
"""

import asyncio
import logging
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence

from actors.bootstrap.ssh import DEFAULT_LIMITS, Output, Remote, tar_of
from campaign.core import log
from campaign.core.errors import SchedulerError, command_failed, output_tail
from campaign.core.phase_clock import PhaseClock
from campaign.core.time_limits import TimeLimits
from schedulers.base import BootstrapPlan, File, Probe, Stage, Step, Unit

UNIT_LOG_BYTES = 2000
SHOWN_WAITS = 2

_log = logging.getLogger(__name__)


class BootstrapFailed(SchedulerError):
    """A step of a plan failed or a probe never came true; `details` has what the node reports."""


async def apply_plan(
    plan: BootstrapPlan,
    remotes: Mapping[str, Remote],
    *,
    deadline: float,
    clock: PhaseClock,
    limits: TimeLimits = DEFAULT_LIMITS,
) -> None:
    """Bring the nodes into the state that `plan` describes (see `schedulers.base.Step`).

    Applied again, it changes nothing. `deadline` is in monotonic seconds, `limits` are those of the
    host; `clock` is told which stage begins, and what it waits for. Raises a group of
    BootstrapFailed, and of NodeUnreachable where a connection broke.
    """
    for stage in plan.stages:
        with log.span(_log, f"bootstrap stage {stage.name}"):
            taking = _Taking(deadline, limits)
            async with clock.waiting(stage.name, taking.waits_for):
                await taking.all_steps(stage, remotes)


class _Taking:
    """The steps of one stage being taken, and what each node waits for meanwhile."""

    def __init__(self, deadline: float, limits: TimeLimits) -> None:
        self._deadline = deadline
        self._limits = limits
        self._waits: dict[str, str] = {}

    def waits_for(self) -> str:
        """Return what is waited for now, of the first few nodes."""
        waits = [f"{node}: {what}" for node, what in self._waits.items()]
        more = f" and {len(waits) - SHOWN_WAITS} more nodes" if len(waits) > SHOWN_WAITS else ""
        return "; ".join(waits[:SHOWN_WAITS]) + more

    async def all_steps(self, stage: Stage, remotes: Mapping[str, Remote]) -> None:
        """Take all steps at once, each on its node."""
        async with asyncio.TaskGroup() as group:
            for node, step in stage.steps.items():
                group.create_task(self._take(step, remotes[node]))

    async def _take(self, step: Step, remote: Remote) -> None:
        script = script_of(step)
        if script:
            self._waits[remote.node] = "files, commands and units"
            timeout_s = _left(self._deadline, remote.node)
            command = ("bash", "-euc", script)
            archive = tar_of(step.files) or None
            output = await remote.run(command, timeout_s=timeout_s, stdin=archive)
            if not output.ok:
                raise BootstrapFailed(
                    f"{remote.node}: a bootstrap step failed",
                    await self._failure_details(command, output, step, remote),
                )
        for probe in step.probes:
            self._waits[remote.node] = probe.what
            with log.span(_log, f"{remote.node}: waiting for: {probe.what}"):
                await self._wait_for(probe, step, remote)
        self._waits.pop(remote.node, None)

    async def _wait_for(self, probe: Probe, step: Step, remote: Remote) -> None:
        # A plan is pure and knows no host, so its seconds are those of the reference machine.
        probe_s = probe.deadline_s * self._limits.stretch
        until = min(self._deadline, time.monotonic() + probe_s)
        pattern = re.compile(probe.expect)
        while True:
            # Even a late try gets a second to answer in.
            left = max(1.0, until - time.monotonic())
            command = ("timeout", f"{min(left, self._limits.probe_s):.1f}", *probe.command)
            output = await remote.run(command, timeout_s=left + self._limits.margin_s)
            if output.ok and pattern.fullmatch(output.stdout.strip()):
                return
            if time.monotonic() + probe.interval_s >= until:
                details = await self._failure_details(probe.command, output, step, remote)
                raise BootstrapFailed(
                    f"{remote.node}: {probe.what} didn't come true within {probe_s:g} s", details
                )
            await asyncio.sleep(probe.interval_s)

    async def _failure_details(
        self, command: Sequence[str], output: Output, step: Step, remote: Remote
    ) -> str:
        """Return how the last command ended, and what the step's units report of themselves."""
        parts = [command_failed(command, output.status, output.stdout + output.stderr)]
        for unit in step.units:
            parts.append(await _unit_log(unit, remote, self._limits.query_s))
        return "\n".join(parts)


def script_of(step: Step) -> str:
    """Return a step up to its probes as a bash script. Pure.

    The script reads the tar archive of the step's files from its standard input. It stops at the
    first failure, and starts few processes: each costs tens of milliseconds on an emulated node.
    """
    commands = [shlex.join(command) for command in step.commands]
    if not step.files:
        return "\n".join([*commands, *_starting(step)])
    changed = ["if (( ${#changed[@]} )); then", _UNPACK, *commands, *_restarting(step)]
    # A branch of bash must not be empty, and there may be no unit to start.
    return "\n".join([*_comparison(step.files), *changed, "else", ":", *_starting(step), "fi"])


# -m, since the archive has no times that mean anything; --no-overwrite-dir, so that folders that
# exist keep their modes.
_UNPACK = 'tar -xpmf - -C / --no-overwrite-dir -- "${changed[@]}"'


def _comparison(files: tuple[File, ...]) -> Iterator[str]:
    # Bash that collects in `changed` the archive's members that differ on the node: by mode, owner
    # or content.
    paths = shlex.join(file.path for file in files)
    yield "declare -A found"
    yield "changed=()"
    yield (
        "while read -r is path; do found[$path]=$is; done < <(stat -c '%a:%U:%G %n' -- "
        f"{paths} 2>/dev/null)"
    )
    yield (
        f"while read -r is path; do found[$path]+=:$is; done < <(sha256sum -- {paths} 2>/dev/null)"
    )
    yield 'want() { [[ ${found[$2]-} == "$1" ]] || changed+=("${2#/}"); }'
    for file in files:
        yield shlex.join(
            ("want", f"{file.mode:o}:{file.owner}:{file.owner}:{file.sha256}", file.path)
        )


def _restarting(step: Step) -> Iterator[str]:
    # The units' files have changed; reload-or-restart also starts a unit that doesn't run.
    for action, verb in (("restart", "restart"), ("reload", "reload-or-restart")):
        units = [unit.name for unit in step.units if unit.action == action]
        if units:
            yield shlex.join(("systemctl", verb, *units))


def _starting(step: Step) -> Iterator[str]:
    # The units' files are as they were: `start` leaves alone what runs.
    if step.units:
        yield shlex.join(("systemctl", "start", *(unit.name for unit in step.units)))


async def _unit_log(unit: Unit, remote: Remote, timeout_s: float) -> str:
    shown = await remote.run(
        ("systemctl", "status", "--no-pager", "--lines=15", unit.name), timeout_s=timeout_s
    )
    logged = b""
    if unit.log:
        logged = await remote.get(unit.log, timeout_s=timeout_s, limit=UNIT_LOG_BYTES)
    return f"{output_tail(shown.stdout)}\n{logged.decode(errors='replace')}".strip()


def _left(deadline: float, node: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise BootstrapFailed(
            f"{node}: the bootstrap didn't end in time", "", "Raise cluster.bootstrap_deadline_s."
        )
    return left
