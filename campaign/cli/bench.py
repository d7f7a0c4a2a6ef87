"""`python -m campaign bench`: how fast clusters are there, how fast simulation is, and how far the
two agree.

Each benchmark is a module `campaign.cli.benchmarks.<name>` with `run(overrides, place, rounds)`.
"""

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import ConfigError

BENCHES = {
    "clusters": "how fast a cluster is there, booted and restored",
    "simulation": "how fast the simulation is, and its memory, beside a public simulator",
    "validation": "how far simulation and virtual machines are apart",
    "fleet": "what the driver itself costs, over a thousand simulated hosts",
}
OUT = "out="
ROUNDS = "rounds="


@dataclass(frozen=True)
class Asked:
    """Which benchmarks, in order; where their results go; how often each thing is measured; and the
    settings."""

    benches: tuple[str, ...]
    place: Path
    rounds: int
    overrides: tuple[str, ...]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    known = "; ".join(f"{name}: {what}" for name, what in BENCHES.items())
    usage = (
        "rounds=N (default 3), out=FOLDER (default results/bench), and settings as for a "
        "search: cluster.nodes=2"
    )
    parser.add_argument(
        "arguments", nargs="*", help=f"{known} (default: all, one after the other); {usage}"
    )


def run(options: argparse.Namespace) -> int:
    """Run the benchmarks, one after the other."""
    asked = asked_for(options.arguments)
    for name in asked.benches:
        importlib.import_module(f"campaign.cli.benchmarks.{name}").run(
            asked.overrides, asked.place, asked.rounds
        )
    return 0


def asked_for(arguments: Sequence[str]) -> Asked:
    """What the command's arguments say, the last of each; all benchmarks where none is named.

    Raises ConfigError for a benchmark that there isn't, and for a number of rounds that is none.
    """
    own = {
        one: given.removeprefix(one)
        for given in arguments
        for one in (OUT, ROUNDS)
        if given.startswith(one)
    }
    words = [given for given in arguments if "=" not in given and not given.startswith("~")]
    for word in words:
        if word not in BENCHES:
            raise ConfigError(
                f"there is no benchmark {word!r}", resolution=f"Choose: {', '.join(BENCHES)}."
            )
    return Asked(
        benches=tuple(dict.fromkeys(words)) or tuple(BENCHES),
        place=Path(own.get(OUT, "results/bench")).expanduser(),
        rounds=_rounds(own.get(ROUNDS, "3")),
        overrides=tuple(
            one for one in arguments if one not in words and not one.startswith((OUT, ROUNDS))
        ),
    )


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(
            f"rounds={text}: not a whole number from 1", resolution="Say rounds=3, for instance."
        )
    return int(text)
