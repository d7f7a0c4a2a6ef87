"""The latency of a card on a further network, and what a host's kernel needs for it and for rates.

libvirt's XML has rates but no latency, so that is set on the host, at the card's tap: what leaves
the tap towards the node waits in a `netem` queue. A guest could delay what it sends by itself, but
its kernel would need the queue, and its root could take it away. Between two nodes of a network
each frame crosses one such queue, the receiver's, so the latency is one-way.
"""

import subprocess
from collections.abc import Callable
from typing import Protocol

from actors.hypervisor import link_command
from actors.hypervisor.attached import NetworkCard

NETEM_LIMIT = 100_000
"""Frames that a queue holds: by default 1000, which 10 Gbit/s at 2 ms would overflow."""
_FIX = (
    "A latency needs root, iproute2 and a kernel with sch_netem on the host; or leave "
    "cluster.networks.*.latency_ms out."
)
_LATENCY = "tc qdisc add dev lo root netem delay 1ms"
# What libvirt does for <bandwidth>: classes and a fair queue for what the guest gets, a policing
# filter for what it sends.
_RATE = """
tc qdisc add dev lo root handle 1: htb default 1 &&
tc class add dev lo parent 1: classid 1:1 htb rate 1000kbps &&
tc qdisc add dev lo parent 1:1 handle 2: sfq perturb 10 &&
tc filter add dev lo parent 1:0 protocol all prio 1 handle 1 fw flowid 1 &&
tc qdisc add dev lo ingress &&
tc filter add dev lo parent ffff: protocol all u32 match u32 0 0 \\
    police rate 1000kbps burst 1000kb mtu 64kb drop flowid :1
"""


class Run(Protocol):
    """Runs a program with arguments; NetworkUnusable where that fails."""

    def __call__(self, name: str, *arguments: object, fix: str) -> object: ...


def delay(card: NetworkCard, domain: str, run: Run = link_command.run) -> None:
    """Let frames to the card of a running domain be late; nothing happens for one without latency.

    Raises NetworkUnusable where the host can't do that.
    """
    if card.latency_ms is None:
        return
    # With a rate, libvirt has put a class with a queue of its own there, which this one replaces.
    where = ("root",) if card.rate_mbit is None else ("parent", "1:1", "handle", "10:")
    late = ("netem", "delay", f"{round(card.latency_ms * 1000)}us", "limit", NETEM_LIMIT)
    run("tc", "qdisc", "replace", "dev", card.tap(domain), *where, *late, fix=_FIX)


def refused(
    *, rate: bool, latency: bool, run: Callable[[str], str] | None = None
) -> dict[str, str]:
    """Return what this kernel can't do of "rate" and "latency", each with what it says.

    Both are tried on a loopback link in a network namespace that is gone afterwards. Root only.
    """
    trying = run or _in_a_namespace
    scripts = {"rate": _RATE if rate else "", "latency": _LATENCY if latency else ""}
    said = {what: trying(script) for what, script in scripts.items() if script}
    return {what: answer for what, answer in said.items() if answer}


def _in_a_namespace(script: str) -> str:
    """Run a script where links are its own; return what it says if it fails."""
    command = (link_command.program("unshare"), "--net", "sh", "-c", script)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=link_command.COMMAND_TIMEOUT_S,
            env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stderr.strip().splitlines() or ["it failed without a word"]
    return lines[0] if done.returncode else ""
