"""How a command ends: errors and signals become a message and an exit status."""

import functools
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from campaign.core import optional
from campaign.core.errors import CampaignError
from campaign.core.exits import USER_ERROR

Main = Callable[[Sequence[str] | None], int]


def guarded(main: Main) -> Callable[..., int]:
    """Turn errors and signals that end a command into its message and exit status."""

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        told_to_end: list[int] = []

        def terminate(number: int, _frame: FrameType | None) -> NoReturn:
            told_to_end.append(number)
            print(
                "terminated: ending what runs; the same command again goes on with what is left",
                file=sys.stderr,
            )
            raise SystemExit(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP):
            # Whoever started us by nohup, or with a signal ignored otherwise, wants it to stay so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, terminate)
        try:
            return main(arguments)
        except CampaignError as error:
            print(message(error), file=sys.stderr)
            return USER_ERROR
        except ModuleNotFoundError as error:
            explanation = optional.explained(error)
            if explanation is None:
                raise
            print(message(explanation), file=sys.stderr)
            return USER_ERROR
        except SystemExit:
            if not told_to_end:
                raise
            return 128 + told_to_end[-1]  # Ray puts a status of its own in the place of ours
        except KeyboardInterrupt:
            print("interrupted; the same command again goes on with what is left", file=sys.stderr)
            return 128 + signal.SIGINT
        except BrokenPipeError:
            return 128 + signal.SIGPIPE

    return run


def message(error: CampaignError) -> str:
    """Return an error as text in three parts: what, evidence, how to fix it."""
    parts = [f"error: {error.brief}"]
    if error.details:
        parts.append("\n".join(f"  | {line}" for line in error.details.splitlines()))
    if error.resolution:
        parts.append(error.resolution)
    return "\n".join(parts)
