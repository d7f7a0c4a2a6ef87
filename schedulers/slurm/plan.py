"""Slurm's bootstrap plans.

munge and the controller come first, then the compute nodes, which fetch their configuration from
the controller. In a dense cluster they share its files, and their daemons are instances of one
unit, each told its node's name. Where the image has slurmdbd, it comes before all of them, with its
database.
"""

from collections.abc import Iterator

from schedulers.base import (
    BootstrapPlan,
    File,
    Node,
    Probe,
    Secrets,
    Stage,
    Step,
    Topology,
    Unit,
)
from schedulers.slurm import database
from schedulers.slurm.associations import (
    ASSOCIATIONS,
    GPU_LIMITS,
    add_cluster_command,
    associations,
    gpu_limits,
    tell_command,
)
from schedulers.slurm.cluster_conf import ONLY_PARTITION, gpu_command, gres_conf
from schedulers.slurm.conf import CGROUP_CONF, CONTROLLER_PORT, SlurmNames, node_log, slurm_conf
from schedulers.slurm.database import AccountingNames
from schedulers.slurm.params import SlurmParams
from schedulers.users import users_step

MUNGE_KEY = "munge.key"
UNITS = "/etc/systemd/system"
PROBE_TIMEOUT_S = 10
"""For a client in a probe, which is asked again: one that hangs may miss that the controller has
come."""
CLIENT_TIMEOUT_S = 30
"""For any other client. On a slow head, one that is ended earlier would never answer."""


def client(*command: str, timeout_s: int = CLIENT_TIMEOUT_S) -> tuple[str, ...]:
    """Return a command of Slurm's with a limit: clients hang while the controller is away."""
    return ("timeout", str(timeout_s), *command)


def bootstrap(
    topology: Topology, params: SlurmParams, secrets: Secrets, names: SlurmNames
) -> BootstrapPlan:
    """Return the plan from booted nodes to a cluster whose compute nodes are all idle."""
    key = File(names.munge_key, secrets[MUNGE_KEY], mode=0o400, owner=names.munge_user, secret=True)
    munge = Unit(names.munge_unit)
    files = (
        key,
        *_conf_files(topology, params, names),
        File(names.cgroup_conf, CGROUP_CONF),
        # Debian's own includes files that there are none of.
        File(names.plugstack_conf, b""),
        _controller_defaults(names),
    )
    controller = Step(
        files=files,
        units=(munge, Unit(names.controller_unit)),
        probes=(_controller_answers(topology),),
    )
    # The nodes get munge's key while the controller starts: they need both before they can join.
    waiting = {node.name: Step(files=(key,), units=(munge,)) for node in topology.compute}
    joining = {
        node.name: _share(node, names) if node.guest else _join(topology.head, names)
        for node in topology.compute
    }
    return BootstrapPlan(
        (
            *_users(topology),
            *_gpus(topology),
            *_database(topology.head, files, munge, names.accounting),
            *_people(topology, names.accounting),
            Stage("controller", {topology.head.name: controller, **waiting}),
            *_gpu_limits(topology, names.accounting),
            Stage("nodes", {topology.head.name: Step(probes=(_all_idle(topology),)), **joining}),
        )
    )


def reconfigure(topology: Topology, params: SlurmParams, names: SlurmNames) -> BootstrapPlan:
    """Return the plan from a joined cluster to the same cluster with other parameters.

    `scontrol reconfigure` starts a fresh controller process on the new file and hands it to the
    compute nodes, whose daemons start anew as well (Slurm 23.11 and later): so every parameter of
    ours applies. A file that Slurm refuses ends the controller, and the probe finds no answer.
    """
    step = Step(
        files=tuple(_conf_files(topology, params, names)),
        commands=(client("scontrol", "reconfigure"),),
        probes=(_controller_answers(topology), _all_idle(topology)),
    )
    return BootstrapPlan((Stage("reconfigure", {topology.head.name: step}),))


def _database(
    head: Node, files: tuple[File, ...], munge: Unit, names: AccountingNames | None
) -> Iterator[Stage]:
    """Yield the stage of database and slurmdbd, which the controller looks for as it starts.

    `files` are the controller's: sacctmgr reads them too.
    """
    if names is None:
        return
    step = Step(
        files=(*files, *database.files(head, names)),
        commands=(database.make_command(names), ("systemctl", "daemon-reload")),
        units=(munge, *database.units(names)),
        probes=(database.answers(client("sacctmgr", timeout_s=PROBE_TIMEOUT_S)),),
    )
    yield Stage("database", {head.name: step})


def _people(topology: Topology, names: AccountingNames | None) -> Iterator[Stage]:
    """Yield the stage in which slurmdbd is told of whom the cluster is for."""
    if names is not None and (text := associations(topology)):
        commands = (add_cluster_command(topology.cluster), tell_command(ASSOCIATIONS))
        step = Step(files=(File(ASSOCIATIONS, text),), commands=commands)
        yield Stage("accounts", {topology.head.name: step})


def _gpu_limits(topology: Topology, names: AccountingNames | None) -> Iterator[Stage]:
    """Yield the stage in which slurmdbd is told of limits on GPUs, which the controller counts."""
    if names is not None and (text := gpu_limits(topology)):
        step = Step(files=(File(GPU_LIMITS, text),), commands=(tell_command(GPU_LIMITS),))
        yield Stage("limits on GPUs", {topology.head.name: step})


def _conf_files(topology: Topology, params: SlurmParams, names: SlurmNames) -> Iterator[File]:
    accounting = names.accounting is not None
    yield File(names.conf, slurm_conf(topology, params, accounting=accounting))
    if gpus := gres_conf(topology):
        yield File(names.gres_conf, gpus)


def _users(topology: Topology) -> Iterator[Stage]:
    """Yield the stage in which all nodes get the cluster's users, if it has any."""
    if topology.model.users:
        step = users_step(topology.model)
        yield Stage("users", {node.name: step for node in topology.nodes})


def _gpus(topology: Topology) -> Iterator[Stage]:
    """Yield the stage in which nodes get what stands for their GPUs, if any has some.

    It has no files: in a dense cluster, those of another stage may all be there already, and a
    step's commands wouldn't run then.
    """
    with_gpus = [node for node in topology.compute if node.gpus]
    if with_gpus:
        yield Stage("GPUs", {node.name: Step(commands=(gpu_command(node),)) for node in with_gpus})


def _controller_defaults(names: SlurmNames) -> File:
    """Return the controller's environment: its completion log writes times without a zone."""
    return File(names.controller_defaults, b"TZ=UTC0\n")


def _join(head: Node, names: SlurmNames) -> Step:
    options = f"SLURMD_OPTIONS=--conf-server={head.address}:{CONTROLLER_PORT}\n"
    return Step(
        files=(File(names.node_defaults, options.encode()),),
        units=(Unit(names.node_unit),),
    )


def _share(node: Node, names: SlurmNames) -> Step:
    """Return the step of a node that shares its VM with the controller and other nodes.

    Its daemon reads the controller's slurm.conf and runs as the image's own unit does, which is
    copied for that: only the image knows where its program is, and what that needs.
    """
    settings = (
        "[Service]",
        # An empty one forgets the image's, which would win over a variable.
        "EnvironmentFile=",
        'Environment="SLURMD_OPTIONS=-N %i"',
        # It is removed with the first daemon that ends otherwise.
        "RuntimeDirectoryPreserve=yes",
    )
    template = f"{UNITS}/{names.node_template}"
    copied = f"$(systemctl show --value -p FragmentPath {names.node_unit})"
    return Step(
        files=(File(f"{template}.d/node.conf", ("\n".join(settings) + "\n").encode()),),
        commands=(("bash", "-euc", f'cp -L "{copied}" {template}; systemctl daemon-reload'),),
        units=(Unit(names.daemon(node), log=node_log(node.name)),),
    )


def _controller_answers(topology: Topology) -> Probe:
    # sinfo marks the default partition with a star, and has a line for each.
    told = r"\S[\s\S]*" if topology.model.partitions else rf"{ONLY_PARTITION}\*?"
    asked = client("sinfo", "-h", "-o", "%P", timeout_s=PROBE_TIMEOUT_S)
    return Probe("controller answers", asked, told, deadline_s=60)


def _all_idle(topology: Topology) -> Probe:
    count = len(topology.compute)
    return Probe(
        f"{count} nodes idle",
        client("sinfo", "-h", "-t", "idle", "-o", "%D", timeout_s=PROBE_TIMEOUT_S),
        str(count),
        # Nodes of one VM start one after the other.
        deadline_s=120 + (count if topology.dense else 0),
    )
