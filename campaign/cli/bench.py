"""`hpc-campaign bench`: how fast clusters and simulation are, and how far the two agree.

Each benchmark is a module of `campaign.bench` with `run(overrides, folder, rounds)`, called as the
benchmark is, with `_` for `-`.
"""

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

from campaign.cli.arguments import whole_number
from campaign.cli.output import say
from campaign.core.errors import UsageError
from campaign.core.files import user_path

BENCHMARKS = {
    "clusters": "how long a cluster takes, booted and restored",
    "simulation": "how fast the simulation is, and its memory, beside a public simulator",
    "agreement": "how far the simulation and the real scheduler are apart",
    "search": "which sampler finds most of the front, on problems known in whole",
    "virtual-time": "how fast virtual time passes, idle and with queues of jobs",
    "lanes": "from which cost on simulated trials are worth threads, or tasks of a Ray",
    "fleet": "what the driver itself costs, over a thousand simulated hosts",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    known = "; ".join(f"{name}: {what}" for name, what in BENCHMARKS.items())
    parser.add_argument(
        "words",
        nargs="*",
        metavar="BENCHMARK|SETTING",
        help=f"{known} (default: all, one after the other); and settings as for a search: "
        "cluster.nodes=2",
    )
    parser.add_argument(
        "--rounds",
        type=whole_number("--rounds"),
        default=3,
        metavar="N",
        help="how often each thing is measured (default: 3)",
    )
    parser.add_argument(
        "--against",
        type=user_path,
        metavar="CHECKOUT",
        help="simulation: a checkout of another commit, whose engine takes turns with this one",
    )
    parser.add_argument(
        "--largest",
        type=whole_number("--largest"),
        metavar="JOBS",
        help="simulation: up to how many jobs its growth is measured (default: 100000)",
    )
    parser.add_argument(
        "--out",
        type=user_path,
        default=Path("results/bench"),
        metavar="FOLDER",
        help="where the results go (default: results/bench)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the benchmarks, one after the other; print each one's table and leave its files."""
    names, overrides = benchmarks_of(options.words)
    for name in names:
        benchmark = importlib.import_module(module_of(name))
        more = _more(options) if name == "simulation" else {}
        results = benchmark.run(overrides, options.out, options.rounds, **more)
        results.write(options.out)
        say(f"\n{results.table}\n{options.out} holds {', '.join(results.files)}")
    return 0


def _more(options: argparse.Namespace) -> dict[str, object]:
    """Return the options of one benchmark that were given; raise UsageError for no checkout."""
    given = {"against": options.against, "largest": options.largest}
    if options.against and not (options.against / "campaign").is_dir():
        raise UsageError(
            f"--against: {options.against} is no checkout of this software",
            resolution="Name the top folder of one: git worktree add FOLDER COMMIT.",
        )
    return {name: value for name, value in given.items() if value is not None}


def module_of(name: str) -> str:
    """Return the module of a benchmark."""
    return f"campaign.bench.{name.replace('-', '_')}"


def benchmarks_of(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the benchmarks that `words` name, all if none, and the settings among the words.

    Raises UsageError for a benchmark that doesn't exist.
    """
    named = [word for word in words if "=" not in word and not word.startswith("~")]
    for word in named:
        if word not in BENCHMARKS:
            raise UsageError(
                f"there is no benchmark {word!r}", resolution=f"Choose: {', '.join(BENCHMARKS)}."
            )
    overrides = tuple(word for word in words if word not in named)
    return tuple(dict.fromkeys(named)) or tuple(BENCHMARKS), overrides
