"""What happens to nodes under Flux while a workload runs: they are drained, and used again."""

from collections.abc import Iterator

from schedulers.base import TimedCommand, Topology
from schedulers.flux.jobs import NODE_FAILURE
from schedulers.node_events import nodes_of

# On one line, as the agent's schedule has it.
_LOSE = (
    '"$2" resource drain --force "$1" event; '
    'for job in $("$2" jobs -n -A --filter=running --include="$1" --format={id.dec}); do '
    '"$2" job raise --type=node-failure --severity=0 --message="$3" "$job"; done'
)


def timed_commands(topology: Topology, program: str) -> Iterator[TimedCommand]:
    """Yield the commands by their seconds after the workload's start."""
    for event in topology.model.events:
        names = ",".join(nodes_of(event, topology))
        if event.becomes == "down":
            words = (names, program, f"{NODE_FAILURE}: {names}")
            yield event.at_s, ("bash", "-euc", _LOSE, "lose", *words)
        elif event.becomes == "drain":
            yield event.at_s, (program, "resource", "drain", "--force", names, "event")
        else:
            yield event.at_s, (program, "resource", "undrain", "--force", names)
