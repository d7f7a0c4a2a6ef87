"""One command to a domain's QEMU through its monitor, for what libvirt's own API can't do."""

import json
from collections.abc import Mapping
from typing import Any

import libvirt
import libvirt_qemu

from actors.hypervisor.errors import MonitorRefused


def ask(
    domain: Any, execute: str, arguments: Mapping[str, object], *, file: int | None = None
) -> dict[str, Any]:
    """Return QEMU's answer to the command `execute`, {} where it has none.

    An open `file` goes with the command. Raises MonitorRefused if QEMU can't be asked, or refuses.
    """
    question = json.dumps({"execute": execute, "arguments": dict(arguments)})
    try:
        if file is None:
            answer = libvirt_qemu.qemuMonitorCommand(domain, question, 0)
        else:
            answer, _ = libvirt_qemu.qemuMonitorCommandWithFiles(domain, question, [file], 0)
        reply = json.loads(answer)
    except (libvirt.libvirtError, ValueError) as error:
        raise MonitorRefused(
            f"{domain.name()}: QEMU's monitor can't be asked to {execute}", str(error)
        ) from error
    # libvirt hands on QEMU's refusal as an ordinary answer, not as an error.
    if "error" in reply:
        raise MonitorRefused(
            f"{domain.name()}: QEMU refused to {execute}", str(reply["error"].get("desc", reply))
        )
    result = reply.get("return", {})
    return result if isinstance(result, dict) else {}
