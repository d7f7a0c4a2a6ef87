"""`python -m campaign chaos`: seeded faults over campaigns on simulated hosts, and whether every invariant holds."""

import argparse
import tempfile
from pathlib import Path

from campaign.errors import ConfigError

BROKEN = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "arguments", nargs="*", help="runs=N (default 100), seed=N of the first (default 1), out=FILE for the report"
    )


def run(options: argparse.Namespace) -> int:
    """Run so many seeds; exit status 1 if an invariant was broken."""
    from campaign.chaos import as_text, campaign_to_disturb
    from campaign.chaos import run as run_seed

    given = dict(one.partition("=")[::2] for one in options.arguments)
    if unknown := given.keys() - {"runs", "seed", "out"}:
        raise ConfigError(f"unknown: {', '.join(sorted(unknown))}", resolution="Say runs=, seed= or out=.")
    runs, first = _number(given, "runs", 100), _number(given, "seed", 1)
    composed, done = campaign_to_disturb(), []
    for seed in range(first, first + runs):
        with tempfile.TemporaryDirectory(prefix="campaign-chaos-") as folder:
            done.append(run_seed(composed, seed, Path(folder)))
    report = as_text(done)
    print(report, end="")
    if out := given.get("out"):
        Path(out).write_text(report, encoding="utf-8")
    return BROKEN if any(one.broken for one in done) else 0


def _number(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(
            f"{name}={text}: not a whole number from 1", resolution=f"Say {name}={default}, for instance."
        )
    return int(text)
