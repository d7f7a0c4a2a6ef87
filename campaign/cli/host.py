"""`hpc-campaign host`: let machines join as hosts, list hosts, drain or add one meanwhile."""

import argparse
import re
import shlex
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any, Literal

from campaign.cli.output import add_json, print_json, say, table
from campaign.config.compose import Composed, compose
from campaign.core.commands import CommandFile, OperatorCommand
from campaign.core.errors import ConfigError
from campaign.core.files import user_path
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.schema.settings import NAME_PATTERN

PORT = 6379
SUMMARIES = {
    "join": "the commands that make a machine a host, by a Ray node with token authentication",
    "list": "the hosts of a campaign: where they are, whether they are there, and what they have "
    "done",
    "drain": "let what runs on a host end and begin nothing new there, while the campaign goes on",
    "serve": "let a drained host serve again, or add one to a campaign that runs (with its "
    "settings as overrides)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, summary in SUMMARIES.items():
        command = below.add_parser(action, help=summary, description=summary)
        if action != "list":
            command.add_argument("host", help="the host's name, as in the configuration")
        if action == "join":
            command.add_argument(
                "--head", metavar="ADDRESS", help="the driver's machine, as the host reaches it"
            )
            command.add_argument("--port", type=int, default=PORT, help="the port of Ray's head")
        else:
            command.add_argument(
                "overrides", nargs="*", help="the campaign's settings, as for its search"
            )
        if action == "list":
            add_json(command)


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status."""
    if options.action == "join":
        _require_name(options.host)
        say("\n".join(joining(options.host, options.head or _own_address(), options.port)))
        return 0
    composed = compose(options.overrides)
    if options.action == "list":
        found = list(_listing(composed))
        if options.json:
            print_json([asdict(one) for one in found])
        else:
            heads = ("host", "where", "state", "trials", "failed")
            say(table(heads, [[str(value) for value in astuple(one)] for one in found]))
        return 0
    _order(options.action, options.host, composed)
    return 0


def joining(host: str, head: str, port: int) -> Iterator[str]:
    """Yield the commands for the driver's machine and for `host`, with what each is for."""
    from actors.hosts.ray_session import ENVIRONMENT, OBJECT_STORE_BYTES

    token = "~/.ray/auth_token"  # noqa: S105 - the file's name
    environment = " ".join(
        f"{name}={value}" for name, value in {"RAY_AUTH_MODE": "token", **ENVIRONMENT}.items()
    )
    ray = (
        f"{environment} ray start --object-store-memory={OBJECT_STORE_BYTES} --num-cpus=1 "
        "--disable-usage-stats"
    )
    yield "# On the driver's machine, once: a token that every host must have, and Ray's head."
    yield f"(umask 077; mkdir -p ~/.ray; test -s {token} || openssl rand -hex 32 > {token})"
    yield (
        f"{ray} --head --node-ip-address={shlex.quote(head)} --port={port} "
        "--include-dashboard=false"
    )
    yield ""
    yield (
        f"# On {host}: the same version of this project with its packages (make setup), the "
        "token in a file of mode"
    )
    yield (
        f"# 0600, and a Ray node with the host's name as its label. Ray's ports ({port} and "
        "those above 10000) must"
    )
    yield "# be open between the hosts and to nobody else: its traffic isn't encrypted."
    yield f"mkdir -p -m 700 ~/.ray && scp -p {shlex.quote(head)}:.ray/auth_token {token}"
    yield f"{ray} --address={shlex.quote(head)}:{port} --labels=host={shlex.quote(host)}"
    yield ""
    yield "# Then, on the driver's machine:"
    yield (
        "RAY_AUTH_MODE=token hpc-campaign search "
        f"testbed.ray_address={shlex.quote(head)}:{port} "
        f"'hosts={{{host}: {{reach: ray}}}}'"
    )


@dataclass(frozen=True)
class HostLine:
    """A host of a campaign: where it is, whether it serves, and its trials.

    `failed` of them failed because of the host.
    """

    host: str
    where: str
    state: Literal["serves", "drained", "away"]
    trials: int
    failed: int


def _listing(composed: Composed) -> Iterator[HostLine]:
    campaign = composed.campaign
    results = Results(user_path(campaign.output.results), campaign.name)
    drained = set[str]()
    hosts = dict(campaign.hosts)
    for command in CommandFile(results.folder).new() if results.folder.exists() else []:
        hosts |= {command.host: command.settings} if command.settings else {}
        drained = (
            drained | {command.host} if command.action == "drain" else drained - {command.host}
        )
    nodes = (
        _nodes(campaign.testbed.ray_address)
        if any(host.reach == "ray" for host in hosts.values())
        else {}
    )
    trials = (
        history_of(results.ledger_path).records.values() if results.ledger_path.exists() else ()
    )
    records = [record for of_trial in trials for record in of_trial]
    for name, settings in hosts.items():
        far = settings.reach == "ray"
        where = nodes.get(name, "no living Ray node" if far else "this machine")
        away = far and name not in nodes
        mine = [record for record in records if record.host == name]
        yield HostLine(
            name,
            where,
            "drained" if name in drained else "away" if away else "serves",
            len(mine),
            sum(record.outcome == "infrastructure_failed" for record in mine),
        )


def _nodes(address: str | None) -> Mapping[str, str]:
    """Return the addresses of the Ray nodes that are hosts, by the host's name."""
    from actors.hosts import ray_session

    ray_session.prepare(address)
    from actors.hosts.ray_nodes import ray_nodes

    ray_session.start(address)
    try:
        found: Mapping[str, Any] = ray_nodes()
        return {name: f"Ray node {node['NodeManagerAddress']}" for name, node in found.items()}
    finally:
        ray_session.stop()


def _order(action: str, host: str, composed: Composed) -> None:
    _require_name(host)
    campaign = composed.campaign
    results = Results(user_path(campaign.output.results), campaign.name)
    head = history_of(results.ledger_path).head
    if head is None:
        raise ConfigError(
            f"name = {campaign.name!r}: no campaign of that name has begun in "
            f"{campaign.output.results}",
            resolution="Give its settings as for its search: name=..., output.results=...",
        )
    known = set(head["config"]["hosts"])
    added = campaign.hosts.get(host) if action == "serve" and host not in known else None
    if host not in known and added is None:
        raise ConfigError(
            f"{host!r} isn't a host of the campaign {campaign.name}",
            f"its hosts: {', '.join(sorted(known))}",
            f"To add it, give its settings: hpc-campaign host serve {host} "
            f"'hosts.{host}={{reach: ray}}' ...",
        )
    CommandFile(results.folder).append(
        OperatorCommand(action="drain" if action == "drain" else "serve", host=host, settings=added)
    )
    say(
        f"{action} {host}: the campaign {campaign.name} follows within seconds, or at "
        "its next start"
    )


def _require_name(host: str) -> None:
    if not re.fullmatch(NAME_PATTERN, host):
        raise ConfigError(
            f"{host!r} can't be the name of a host", resolution=f"Host names match {NAME_PATTERN}"
        )


def _own_address() -> str:
    """Return the address of this machine's default route; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address: str = probe.getsockname()[0]
        except OSError:
            return socket.gethostname()
    return address
