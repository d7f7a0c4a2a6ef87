"""`hpc-campaign search`: compose a campaign, validate it, and search its Pareto front.

Whatever is only asked (`--help`, `--cfg`, `--dry-run`) imports neither Ray nor MLflow nor Optuna.
"""

import argparse
import sys
from collections.abc import Sequence

from campaign.cli.parser import PROGRAM, Parser
from campaign.core.files import user_path

USAGE = f"""\
{PROGRAM} search [options] [group=option ...] [setting=value ...]

Searches cluster sizes and scheduler settings on throw-away virtual clusters, up to a Pareto front.

  {PROGRAM} search testbed=virtual-time                   the demo campaign of `make search`
  {PROGRAM} search                                        a small one in real time, on real VMs
  {PROGRAM} search cluster.nodes=[1,4] search.trials=12   more nodes, more trials
  {PROGRAM} search scheduler.params.bf_window=600 name=mine
  {PROGRAM} search workload=swf workload.path=trace.swf --dry-run

A value fixes a setting; [low,high] searches a range; {{choices: [a,b]}} searches a list.
The same command again goes on with what is left; a larger search.trials extends a finished
campaign. `python -m campaign.search` is the same command."""


def configure(options: argparse.ArgumentParser) -> None:
    """Declare the command's options; what is no option is an override."""
    options.add_argument(
        "overrides",
        nargs="*",
        metavar="GROUP=OPTION|SETTING=VALUE",
        help="options of groups, and settings: docs/settings.md",
    )
    options.add_argument(
        "--cfg", action="store_true", help="print the composed, validated campaign and stop"
    )
    options.add_argument(
        "--dry-run", action="store_true", help="say what would be built, booted and run, and stop"
    )
    options.add_argument(
        "--config-dir", type=user_path, help="a folder of your own YAML groups, beside ours"
    )
    options.add_argument(
        "--config-name", default="config", help="primary configuration in that folder"
    )
    options.add_argument(
        "--new-group",
        action="store_true",
        help="go on with a campaign although its new trials can't be compared with those that are "
        "there (another trace, other software): they become a group with a front of its own",
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command alone."""
    alone = Parser(prog=f"{PROGRAM} search", usage=USAGE, add_help=False)
    # Not argparse's own: the help shows every group and setting, and takes long to put together.
    alone.add_argument(
        "-h", "--help", action="store_true", help="this help, with every group and setting"
    )
    configure(alone)
    return alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse `arguments` and do what they say; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    if options.help:
        from campaign.cli.help import text
        from campaign.cli.output import terminal_columns

        print(text(parser(), USAGE, terminal_columns()))
        return 0
    from campaign.config.compose import compose

    composed = compose(options.overrides, options.config_dir, options.config_name)
    if options.cfg:
        from campaign.config.yaml_text import campaign_yaml

        print(campaign_yaml(composed.campaign), end="")
        return 0
    if options.dry_run:
        from campaign.cli.dry_run import forecast

        return forecast(composed)
    from campaign.execution.run import run

    return run(
        composed,
        verbose=getattr(options, "verbose", False),
        arguments=given,
        new_group=options.new_group,
    )
