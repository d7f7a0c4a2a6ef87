"""`hpc-campaign ui`: the MLflow UI over the project's store."""

import argparse
from pathlib import Path

from campaign.core import optional
from campaign.tracking.server import address, check, newest_experiment, serve


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--mlruns", type=Path, default=Path("mlruns"), help="folder of the store (default: mlruns)"
    )
    parser.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: 5000)")


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    optional.require("ui", "the MLflow UI")
    check(options.mlruns, options.port)
    where = address(options.port, experiment=newest_experiment(options.mlruns))
    print(f"the runs are at {where} (Ctrl-C ends)", flush=True)
    serve(options.mlruns, options.port)
    return 0
