"""`python -m tests.fuzz`: the families of fuzzing, at nightly size unless told otherwise."""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.families import FAMILIES
from tests.fuzz.runner import run, run_inside


def main() -> int:
    """Run what the arguments say; return 1 if a case didn't survive."""
    options = _options()
    if options.inside:
        family = options.families[0]
        run_inside(
            family, options.inside, first=options.first, last=options.last, seed=options.seed
        )
        return 0
    failed = False
    print(f"{'family':12} {'tried':>8} {'survived':>8} {'accepted':>8} {'seconds':>8}", flush=True)
    for name in options.families or FAMILIES:
        family = FAMILIES[name]
        cases = options.cases or (family.ci if options.ci else family.nightly)
        if family.handmade:
            cases = min(cases, family.nightly)
        begun = time.monotonic()
        found = run(name, first=options.first, last=options.first + cases, seed=options.seed)
        seconds = time.monotonic() - begun
        counts = f"{found.tried:8} {found.survived:8} {found.accepted:8} {seconds:8.0f}"
        print(f"{name:12} {counts}", flush=True)
        for fault in found.faults:
            print(fault, flush=True)
        failed |= found.survived < found.tried
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}; default: all")
    parser.add_argument("--cases", type=int, help="cases of each family (default: nightly size)")
    parser.add_argument("--ci", action="store_true", help="the size of continuous integration")
    parser.add_argument("--seed", type=int, default=1, help="what all cases are drawn from")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--last", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.families) - FAMILIES.keys():
        parser.error(f"no such family: {', '.join(sorted(unknown))}; there are {list(FAMILIES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
