"""The files that Flux's brokers read, and where they stand on a node."""

import base64
import json
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from schedulers.base import Node, Topology
from schedulers.facts import ImageFacts
from schedulers.flux.params import FLUXION, FluxParams
from schedulers.flux.queues import properties, queues

if TYPE_CHECKING:
    from jinja2 import Template

BROKER_PORT = 8050
CERTIFICATE = "/etc/flux/system/curve.cert"
CONF_FOLDER = "/etc/flux/system/conf.d"
CLUSTER_CONF = f"{CONF_FOLDER}/cluster.toml"
SCHEDULER_CONF = f"{CONF_FOLDER}/scheduler.toml"
BROKER_LOG = "/var/log/flux-broker.log"
UNIT = "flux.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
TEMPLATE_FILE = "/etc/systemd/system/flux@.service"
# The digits of ZeroMQ's base 85, and those of Python's, in the same order.
_Z85 = string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#"
_B85 = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"


@dataclass(frozen=True)
class FluxNames:
    """What an image calls the owner of Flux's instance, and where its program is."""

    user: str
    program: str

    @classmethod
    def of(cls, facts: ImageFacts) -> Self:
        """Read them from an image's facts; raise ImageError for the first that is missing."""
        return cls(user=facts["flux.user"], program=facts["flux.program"])


def unit_of(node: Node) -> str:
    """Return the unit of the node's broker: for a compute node that shares its VM, an instance."""
    return f"flux@{node.name}.service" if _shares(node) else UNIT


def log_of(node: Node) -> str:
    """Return where the node's broker logs."""
    return BROKER_LOG.replace(".log", f"-{node.name}.log") if _shares(node) else BROKER_LOG


def _shares(node: Node) -> bool:
    # The head is its VM's, and where programs look for a broker by default.
    return node.role == "compute" and bool(node.guest)


def cluster_toml(topology: Topology, user: str) -> bytes:
    """Return what every broker must know of its cluster; equal arguments give equal bytes."""
    text = _template("cluster.toml.j2").render(
        cluster=topology.cluster,
        head=topology.head,
        # Brokers at one address differ by port.
        nodes=[
            (node, BROKER_PORT + (number if node.guest else 0))
            for number, node in enumerate(topology.nodes)
        ],
        compute=[(node, properties(node, topology.model)) for node in topology.compute],
        queues=queues(topology.model),
        dense=topology.dense,
        certificate=CERTIFICATE,
        user=user,
    )
    return text.encode()


def scheduler_toml(params: FluxParams) -> bytes:
    """Return what the head must know of the parameters; equal ones give equal bytes."""
    feasibility = "sched-fluxion-feasibility" if params.sched == FLUXION else params.sched
    core_args = json.dumps(core_arguments(params))
    text = _template("scheduler.toml.j2").render(
        params=params, feasibility=feasibility, core_args=core_args
    )
    return text.encode()


def core_arguments(params: FluxParams) -> list[str]:
    """Return the arguments with which a scheduler of flux-core is loaded.

    Its log is the only place that shows the queue depth with which it runs.
    """
    return [f"queue-depth={params.queue_depth}", "log-level=info"]


def unit_file(user: str, program: str, *, shared: bool = False) -> bytes:
    """Return the broker's unit; with `shared`, the template of those of nodes that share a VM.

    Its instance begins with nothing, and is killed when it stops, as throw-away clusters are. Where
    a VM is shared, the instance is named as the node, and its socket too.
    """
    folder = "flux-%i" if shared else "flux"
    log = BROKER_LOG.replace(".log", "-%i.log") if shared else BROKER_LOG
    options = (
        f"--config-path={CONF_FOLDER}",
        f"-Srundir=/run/{folder}",
        f"-Slocal-uri=local:///run/{folder}/{'%i' if shared else 'local'}",
        # Without an initial program, the instance lives until it is stopped.
        "-Sbroker.rc2_none",
        # The instance begins with one broker; the plan itself waits for the others.
        "-Sbroker.quorum=1",
        "-Slog-stderr-level=6",
        # By default the head's broker would print the others' log lines too.
        "-Slog-stderr-mode=local",
        # By its host's name, a broker finds itself in the configuration.
        *(["-Shostname=%i"] if shared else []),
    )
    lines = (
        "[Unit]",
        "Description=Flux broker",
        "[Service]",
        f"User={user}",
        f"Group={user}",
        f"RuntimeDirectory={folder}",
        "RuntimeDirectoryMode=0755",
        f"ExecStart={program} broker {' '.join(options)}",
        f"StandardOutput=append:{log}",
        f"StandardError=append:{log}",
        "KillSignal=SIGKILL",
    )
    return ("\n".join(lines) + "\n").encode()


def certificate(secret: bytes, public: bytes) -> bytes:
    """Return a CURVE certificate of two keys of 32 bytes, as flux-keygen(1) writes it.

    The format is that of ZeroMQ's RFC 4 and 32; brokers refuse a certificate without a name.
    """
    lines = (
        "#  ZeroMQ CURVE **Secret** Certificate",
        "",
        "metadata",
        '    name = "campaign"',
        "curve",
        f'    public-key = "{_z85(public)}"',
        f'    secret-key = "{_z85(secret)}"',
    )
    return ("\n".join(lines) + "\n").encode()


def _z85(key: bytes) -> str:
    """Return a key in ZeroMQ's base 85 (RFC 32), which is Python's b85 with other digits."""
    return base64.b85encode(key).decode().translate(str.maketrans(_B85, _Z85))


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML is made
    )
    return environment.from_string(Path(__file__).with_name(name).read_text(encoding="utf-8"))
