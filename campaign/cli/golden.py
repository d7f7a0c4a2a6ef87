"""`hpc-campaign golden`: the golden clusters that the configured hosts keep on this machine.

A golden cluster is a snapshot of a booted and joined cluster, from which trials' clusters are
restored.
"""

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from campaign.cli.output import add_json, print_json, say
from campaign.config.compose import compose

if TYPE_CHECKING:
    from actors.snapshots.store import GoldenEntry, GoldenStore


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    below = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, summary in {
        "list": "the golden clusters, the most recently used first",
        "clear": "remove those that no campaign uses now; the next trials make new ones",
    }.items():
        command = below.add_parser(action, help=summary)
        command.add_argument("overrides", nargs="*", help="settings of the hosts, as for a search")
        if action == "list":
            add_json(command)


def run(options: argparse.Namespace) -> int:
    """List or clear the stores of all hosts that are this machine."""
    from actors.hosts.state_dir import golden_store

    hosts = compose(options.overrides).campaign.local_hosts
    # Hosts may share a state folder, and then have one store.
    stores = {store.path: store for store in map(golden_store, hosts.values())}
    if options.action == "list" and options.json:
        print_json([_as_data(store) for store in stores.values()])
        return 0
    for store in stores.values():
        {"list": _list, "clear": _clear}[options.action](store)
    return 0


def _list(store: "GoldenStore") -> None:
    entries = store.entries()
    for entry in entries:
        say(line_of(entry))
    use = sum(entry.disk_use for entry in entries) >> 20
    say(f"{store.path}: {len(entries)} in all, {use} of {store.limit >> 20} MiB")


def _as_data(store: "GoldenStore") -> dict[str, Any]:
    """Return a store with its golden clusters; sizes are in bytes."""
    entries = store.entries()
    return {
        "store": store.path,
        "limit_bytes": store.limit,
        "golden": [
            {
                "key": entry.digest,
                "made_from": dict(entry.golden.key.inputs) if entry.golden else None,
                "nodes": len(entry.golden.nodes) if entry.golden else None,
                "disk_bytes": entry.disk_use,
                "used": datetime.fromtimestamp(entry.used, UTC),
                "in_use": entry.held,
            }
            for entry in entries
        ],
    }


def _clear(store: "GoldenStore") -> None:
    entries = store.entries()
    kept = 0
    for entry in entries:
        removed = store.remove(entry.digest)
        kept += not removed
        say(f"{'removed' if removed else 'kept   '} {line_of(entry)}")
    say(f"{store.path}: {len(entries) - kept} removed, {kept} kept because campaigns use them now")


def line_of(entry: "GoldenEntry") -> str:
    """Return a golden cluster as one line: what it was made from, its size, and its last use."""
    use = (
        f"{entry.disk_use >> 20:>5} MiB  used "
        f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(entry.used))}"
    )
    return f"{entry.digest[:16]}  {_made_from(entry)}  {use}{'  in use now' if entry.held else ''}"


def _made_from(entry: "GoldenEntry") -> str:
    if entry.golden is None:
        return "its manifest can't be read"
    inputs = entry.golden.key.inputs
    image = inputs.get("image", "?")[:16]
    memory = inputs.get("memory_mib", "?")
    nodes = f"{len(entry.golden.nodes)} nodes of {memory} MiB"
    return f"{inputs.get('scheduler', '?'):<8} {nodes}  image {image}"
