"""How the domain of a guest in virtual time differs from other nodes'.

Its clock counts instructions instead of seconds, and while the guest is idle it jumps to the next
timer. Nothing in the guest may depend on the host, so it is closed: no network, no disk, no time of
day, and random numbers from a seed. Its root and its exchange are files that QEMU maps as memory,
which answers at once. The guest stops itself at an exact instruction, by the device that tells of a
kernel's panic; it can be saved there and go on.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from actors.hypervisor.node_spec import MappedFiles, NodeSpec

INSTRUCTION_NS = 1
"""What an instruction takes on the guest's clock: it believes in a machine of 10^9 a second."""
_SHIFT = INSTRUCTION_NS.bit_length() - 1  # QEMU's count of instructions is shifted by this
EPOCH = 1_893_456_000
"""When the guest's clock begins (2030-01-01, Unix seconds): systemd moves a clock forward that is
older than itself."""
TB_CACHE_MIB = 256
"""Translation cache of the emulator."""
SLOW_WHERE_COUNTED = ()
"""Features of the CPU without which the emulator is faster, beside those that no emulated node
has."""
KERNEL_OPTIONS = " ".join(
    (
        "root=pmem",
        # Timers on ticks: daemons that wait for a whole second would spin until the next tick.
        "highres=off",
        # Each of the others ends a timer of the kernel's own, since an idle guest costs what wakes
        # it. The time-stamp counter is the count of instructions: no other clock need watch it.
        "tsc=reliable",
        # A lockup can't be told by this clock; the host sees one (`actors.clusters.standstill`).
        "nowatchdog",
        # Pressure averages, which nobody reads.
        "psi=0",
        # Looking for memory to make large pages of, and compacting it beforehand.
        "transparent_hugepage=never",
        "sysctl.vm.compaction_proactiveness=0",
        # Folding counters of memory each second.
        "sysctl.vm.stat_interval=3600",
    )
)
"""What is added to the kernel's command line of a bundle."""
WHEN_HALTED = "preserve"
"""What libvirt does with a guest that has stopped itself: it leaves it alone."""
_SEED = 1
# libvirt draws a UUID for each domain, and the guest's kernel draws random numbers from what it
# sees of that.
_UUID = "00000000-0000-4000-8000-000000000001"
# QEMU's own loop moves the clock of an idle guest. Between the instruction by which the CPU halts
# and the counting of what it has executed, that would make a timer late by those instructions: now
# and then, and more often on a busy host. Where a run is recorded, loop and CPU take turns, and
# that can't happen. The record itself is of no use.
_IN_TURN = "rr=record,rrfile=/dev/null"
_HALT_SLOT = "0x12"  # on the bus; beyond those of network cards
_MIB = 2**20
_GIB_IN_MIB = 1024


def clock() -> ET.Element:
    """Return the clock of such a domain: real time never moves it."""
    element = ET.Element("clock", {"offset": "absolute", "start": str(EPOCH)})
    ET.SubElement(element, "timer", {"name": "rtc", "track": "guest"})
    return element


def arguments(spec: NodeSpec, mapped: MappedFiles) -> Iterator[str]:
    """Yield what QEMU must be told of such a guest, beside its memory."""
    sizes = (mapped.exchange_size, mapped.root_size)
    # A round number of GiB, as much as all memory can become.
    most = -(-(spec.memory_mib + sum(sizes) // _MIB) // _GIB_IN_MIB) * _GIB_IN_MIB
    # QEMU merges a second -machine and -m into libvirt's own.
    yield from ("-machine", "nvdimm=on", "-m", f"slots=2,maxmem={most}M")
    exchange = f"id=exchange,mem-path={mapped.exchange},size={mapped.exchange_size},share=on"
    root = f"id=root,mem-path={spec.root},size={mapped.root_size},share=on,readonly=on"
    for file, device in ((exchange, "memdev=exchange"), (root, "memdev=root,unarmed=on")):
        yield from ("-object", f"memory-backend-file,{file}", "-device", f"nvdimm,{device}")
    yield from ("-device", f"pvpanic-pci,bus=pci.0,addr={_HALT_SLOT}", "-action", "panic=pause")
    yield from ("-icount", f"shift={_SHIFT},sleep=off,{_IN_TURN}", "-seed", str(_SEED))
    # A stream that QEMU's own loop writes has no such section (see `device_state`).
    yield from ("-global", "migration.send-configuration=off")
    yield from ("-smbios", f"type=1,uuid={_UUID}")
