"""The files that Slurm's daemons read, and where they stand on a node."""

from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from schedulers.base import Node, Topology
from schedulers.facts import ImageFacts
from schedulers.slurm.cluster_conf import node_options, partition_lines, preemption_lines
from schedulers.slurm.database import AccountingNames, conf_lines
from schedulers.slurm.params import SlurmParams, conf_values
from schedulers.slurm.template import TEMPLATE

if TYPE_CHECKING:
    from jinja2 import Template

CONTROLLER_PORT = 6817
FIRST_PORT = 7000
"""The nodes of a dense cluster listen on the ports after this one."""
CONTROLLER_LOG = "/var/log/slurm/slurmctld.log"
NODE_LOG = "/var/log/slurm/slurmd.log"
COMPLETION_LOG = "/var/log/slurm/jobcomp.log"
OVER_LIMIT_MIN = 1
PRIORITIES_EVERY_MIN = 1
CGROUP_CONF = b"CgroupPlugin=disabled\n"


@dataclass(frozen=True)
class SlurmNames:
    """What an image calls what Slurm's plans and checks name: paths, units, munge's user.

    `accounting` is None for an image without slurmdbd.
    """

    conf: str
    cgroup_conf: str
    plugstack_conf: str
    controller_defaults: str
    node_defaults: str
    munge_key: str
    munge_user: str
    munge_unit: str
    controller_unit: str
    node_unit: str
    accounting: AccountingNames | None = None

    @property
    def gres_conf(self) -> str:
        """Where Slurm looks for gres.conf: beside slurm.conf."""
        return str(PurePosixPath(self.conf).with_name("gres.conf"))

    def daemon(self, node: Node) -> str:
        """Return the unit of the node's daemon: in a dense cluster, an instance of a template."""
        if node.role == "head":
            return self.controller_unit
        return _template_unit(self.node_unit, node.name) if node.guest else self.node_unit

    @property
    def node_template(self) -> str:
        """The template unit of which the nodes of a dense cluster have instances."""
        return _template_unit(self.node_unit, "")

    @classmethod
    def of(cls, facts: ImageFacts) -> Self:
        """Read them from an image's facts; raise ImageError for the first that is missing."""
        return cls(
            conf=facts["slurm.conf"],
            cgroup_conf=facts["slurm.cgroup_conf"],
            plugstack_conf=facts["slurm.plugstack_conf"],
            controller_defaults=facts["slurm.controller_defaults"],
            node_defaults=facts["slurm.node_defaults"],
            munge_key=facts["munge.key"],
            munge_user=facts["munge.user"],
            munge_unit=facts["unit.munge"],
            controller_unit=facts["unit.slurmctld"],
            node_unit=facts["unit.slurmd"],
            accounting=AccountingNames.of(facts),
        )


def node_log(name: str) -> str:
    """Return where the daemon of a node of a dense cluster logs."""
    return f"/var/log/slurm/slurmd-{name}.log"


def slurm_conf(topology: Topology, params: SlurmParams, *, accounting: bool = False) -> bytes:
    """Return slurm.conf, with slurmdbd if `accounting`; equal arguments give equal bytes."""
    compute = topology.compute
    text = _template().render(
        cluster=topology.cluster,
        head=topology.head,
        compute=compute,
        memory_per_slot=min(node.memory_mib // node.slots for node in compute) or 1,
        searched=conf_values(params),
        dense=topology.dense,
        first_port=FIRST_PORT,
        # Slurm puts a node's name for %n.
        own="-%n" if topology.dense else "",
        controller_log=CONTROLLER_LOG,
        node_log=node_log("%n") if topology.dense else NODE_LOG,
        completion_log=COMPLETION_LOG,
        over_limit_min=OVER_LIMIT_MIN,
        calculated_every_min=PRIORITIES_EVERY_MIN,
        accounting=conf_lines(topology) if accounting else (),
        of_model=(
            *(("GresTypes=gpu",) if any(node.gpus for node in compute) else ()),
            *preemption_lines(topology.model),
        ),
        node_options=node_options,
        partitions=tuple(partition_lines(topology, params.partitions)),
    )
    return text.encode()


def _template_unit(unit: str, instance: str) -> str:
    stem, _, kind = unit.rpartition(".")
    return f"{stem}@{instance}.{kind}"


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML is made
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
