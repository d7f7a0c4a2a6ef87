"""`python -m campaign.search`: the same as `hpc-campaign search`."""

import sys
from collections.abc import Sequence

from campaign.cli import search
from campaign.cli.failures import guarded


@guarded
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (see campaign/core/exits.py)."""
    return search.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
