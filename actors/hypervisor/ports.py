"""Free TCP ports for the nodes' SSH servers, found by binding, not by belief."""

import socket
from collections.abc import Collection

from actors.hypervisor.errors import NotEnoughPorts

_SHOWN = 20


def free_ports(
    count: int, ports: range, *, reserved: Collection[int] = (), address: str = "127.0.0.1"
) -> tuple[int, ...]:
    """Return the `count` lowest ports of `ports` that can be bound on `address`.

    Those in `reserved` are promised to others and left out. The ports are free at the moment of
    asking only: another program may take one before its node starts, which then fails with
    PortInUse. Raises NotEnoughPorts, which names the range and what is in use.
    """
    free: list[int] = []
    taken: list[int] = []
    for port in ports:
        if len(free) == count:
            break
        (free if port not in reserved and _can_bind(address, port) else taken).append(port)
    if len(free) < count:
        raise _shortage(count, ports, free, taken, address)
    return tuple(free)


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As QEMU does: a port whose last connection lingers in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            # With SO_REUSEADDR two programs may bind one port, but only one of them can listen.
            probe.listen(1)
        except OSError:
            return False
    return True


def _shortage(
    count: int, ports: range, free: list[int], taken: list[int], address: str
) -> NotEnoughPorts:
    where = f"{ports.start}..{ports.stop - 1}" if ports else "an empty range"
    names = ", ".join(map(str, taken[:_SHOWN])) + (", ..." if len(taken) > _SHOWN else "")
    return NotEnoughPorts(
        f"{count} free TCP ports on {address} are needed, but of {where} only {len(free)} are free",
        f"in use or reserved: {names or 'none'}",
        "Widen hosts.*.ports, or end what listens there (ss -ltnp shows it).",
    )
