"""`python -m campaign chaos`: seeded faults over campaigns on simulated hosts or on VMs, and
whether every invariant holds."""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.core.errors import ConfigError

if TYPE_CHECKING:
    from campaign.chaos.simulated import Run
    from campaign.core.trials import TrialRecord

BROKEN = 1
SAID = ("runs", "seed", "out", "vms", "store")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "arguments",
        nargs="*",
        help="runs=N on simulated hosts (default 100), vms=N on virtual machines (default 0), "
        "seed=N of the first "
        "(default 1), store=FOLDER of images, out=FILE for the report",
    )


def run(options: argparse.Namespace) -> int:
    """Run so many seeds; exit status 1 if an invariant was broken."""
    given = dict(one.partition("=")[::2] for one in options.arguments)
    if unknown := given.keys() - set(SAID):
        raise ConfigError(
            f"unknown: {', '.join(sorted(unknown))}", resolution=f"Say {'=, '.join(SAID)}=."
        )
    vms = _number(given, "vms", 0)
    first = _number(given, "seed", 1)
    runs = _number(given, "runs", 0 if vms else 100)
    report = ""
    broken = False
    if runs:
        done = list(_simulated(range(first, first + runs)))
        report = _told(done)
        broken = any(one.broken for one in done)
    if vms:
        text, failed = _on_vms(
            range(first, first + vms), Path(given.get("store", "~/.cache/campaign/images"))
        )
        report = report + text
        broken = broken or failed
    if out := given.get("out"):
        Path(out).write_text(report, encoding="utf-8")
    return BROKEN if broken else 0


def _simulated(seeds: range) -> "Iterator[Run]":
    from campaign.chaos.simulated import campaign_to_disturb
    from campaign.chaos.simulated import run as run_seed

    composed = campaign_to_disturb()
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="campaign-chaos-") as folder:
            yield run_seed(composed, seed, Path(folder))


def _on_vms(seeds: range, store: Path) -> tuple[str, bool]:
    """The report of runs on VMs, and whether an invariant was broken. Golden clusters are kept from
    run to run."""
    from campaign.chaos import clusters, faults

    done = []
    records = dict[int, dict[int, "TrialRecord"]]()
    with (
        tempfile.TemporaryDirectory(prefix="campaign-chaos-") as name,
        clusters.cleared(Path(name) / "hosts"),
    ):
        top = Path(name)
        calm = dict[int, "TrialRecord"]()
        for seed in (0, *seeds):  # the first is left alone
            folder = top / str(seed)
            with clusters.small_disk(folder):
                places = {"states": top / "hosts", "image_store": store.expanduser()}
                one = clusters.run(
                    seed, faults.drawn(seed) if seed else (), folder, calm=calm, **places
                )
                found = clusters.records(folder)
            calm, records = calm or found, records | ({seed: found} if calm else {})
            print(
                f"seed {seed}: {', '.join(one.struck) or 'undisturbed'}; "
                f"{'; '.join(one.broken) or 'all held'}",
                flush=True,
            )
            done.append(one)
    noise = clusters.noise_of(records, calm)
    text = _told(
        done, f"{faults.TRIALS} trials on VMs of {len(faults.HOSTS)} libvirts (one undisturbed)"
    )
    line = (
        f"response times of disturbed trials differ from the undisturbed ones' by {noise:.1%} "
        "in the median\n"
    )
    print(line, end="")
    return text + line, any(one.broken for one in done)


def _told(done: "list[Run]", *where: str) -> str:
    from campaign.chaos.simulated import as_text

    report = as_text(done, *where)
    print(report, end="")
    return report


def _number(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal() or (int(text) < 1 and name in given):
        raise ConfigError(
            f"{name}={text}: not a whole number from 1",
            resolution=f"Say {name}={default or 10}, for instance.",
        )
    return int(text)
