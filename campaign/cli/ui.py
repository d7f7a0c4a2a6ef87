"""`hpc-campaign ui`: the MLflow UI over the project's store."""

import argparse
from contextlib import suppress
from pathlib import Path

from campaign.cli.output import say
from campaign.core import optional
from campaign.core.files import user_path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--mlruns",
        type=user_path,
        default=Path("mlruns"),
        help="folder of the store (default: mlruns)",
    )
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: 5000)")


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    optional.require("ui", "the MLflow UI")
    # Imported here: an installation without the extra lacks what the gate is made of.
    from campaign.tracking.server import (
        address,
        draw_token,
        listening,
        newest_experiment,
        serve,
        view_of,
    )

    with listening(options.mlruns, options.port) as listener:
        token = draw_token()
        newest = newest_experiment(options.mlruns)
        view = view_of(options.mlruns, newest)
        where = address(options.port, token, experiment=newest, view=view)
        say(f"the runs are at {where} (Ctrl-C ends)", flush=True)
        say("the address holds a token: whoever has it can read them", flush=True)
        with suppress(KeyboardInterrupt):
            serve(options.mlruns, listener, token)
    return 0
