"""Files that Slurm's daemons read, and where they stand on a node."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from schedulers.base import Topology
from schedulers.slurm.params import SlurmParams, conf_values

if TYPE_CHECKING:
    from jinja2 import Template

CONTROLLER_PORT = 6817
CONTROLLER_LOG = "/var/log/slurm/slurmctld.log"
NODE_LOG = "/var/log/slurm/slurmd.log"
COMPLETION_LOG = "/var/log/slurm/jobcomp.log"
OVER_LIMIT_MIN = 1
PRIORITIES_EVERY_MIN = 1
CGROUP_CONF = b"CgroupPlugin=disabled\n"
DEFAULT_FACTS = {
    "slurm.conf": "/etc/slurm/slurm.conf",
    "slurm.cgroup_conf": "/etc/slurm/cgroup.conf",
    "slurm.plugstack_conf": "/etc/slurm/plugstack.conf",
    "slurm.controller_defaults": "/etc/default/slurmctld",
    "slurm.node_defaults": "/etc/default/slurmd",
    "munge.key": "/etc/munge/munge.key",
    "munge.user": "munge",
    "unit.munge": "munge.service",
    "unit.slurmctld": "slurmctld.service",
    "unit.slurmd": "slurmd.service",
}
"""Where Debian's packages have things; an image that differs says so in its facts."""


def slurm_conf(topology: Topology, params: SlurmParams) -> bytes:
    """Render slurm.conf; equal arguments give equal bytes."""
    compute = topology.compute
    text = _template().render(
        cluster=topology.cluster,
        head=topology.head,
        compute=compute,
        memory_per_slot=min(node.memory_mib // node.slots for node in compute) or 1,
        searched=conf_values(params),
        controller_log=CONTROLLER_LOG,
        node_log=NODE_LOG,
        completion_log=COMPLETION_LOG,
        over_limit_min=OVER_LIMIT_MIN,
        calculated_every_min=PRIORITIES_EVERY_MIN,
    )
    return text.encode()


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML is made
    )
    return environment.from_string(
        Path(__file__).with_name("slurm.conf.j2").read_text(encoding="utf-8")
    )
