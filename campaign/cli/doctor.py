"""`hpc-campaign doctor`: what this machine can do, and how to fix each thing that is missing."""

import argparse
from dataclasses import asdict

from campaign.cli.output import add_json, print_json, say

NEXT_LINE = f"\n{'':22}"
MARKS = {"ok": "ok     ", "absent": "absent ", "missing": "MISSING"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("overrides", nargs="*", help="settings, as for a search")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Look at everything and print the findings; return 2 if something is missing."""
    from campaign.config.compose import compose
    from campaign.testbeds.machine_check import examine, verdict

    composed = compose(options.overrides)
    findings = list(examine(composed))
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            found = finding.found.replace("\n", NEXT_LINE)
            say(f"{MARKS[finding.state]} {finding.what:<13} {found}")
            if finding.state != "ok":
                say(f"{'':21} fix: {finding.fix}")
        say(verdict(composed, findings))
    return 2 if any(finding.state == "missing" for finding in findings) else 0
