"""What a campaign may set of Flux, under Flux's own names with underscores for dashes."""

import json
import re
from typing import Any, Literal

from campaign.schema.settings import Scalar, tunable
from schedulers.base import Params, ParseError

FLUXION = "sched-fluxion-qmanager"
FLUXION_RESOURCE = "sched-fluxion-resource"
FLUXION_FEASIBILITY = "sched-fluxion-feasibility"
CORE = ("sched-simple", "sched-fifo", "sched-backfill")
"""flux-core's own schedulers."""
OF_FLUXION = {"sched": (FLUXION,)}
"""Where a parameter of Fluxion has an effect."""
_READY = re.compile(r"ready: queue-depth=(\d+)")


class FluxParams(Params):
    """Flux's scheduling parameters.

    `sched` is the module that schedules: Fluxion's, or one of flux-core's. All parameters are
    written whatever it is; some have a meaning for Fluxion alone. See
    flux-config-sched-fluxion-qmanager(5), flux-config-sched-fluxion-resource(5) and flux-core's
    sched-*.py.
    """

    sched: Literal["sched-fluxion-qmanager", "sched-simple", "sched-fifo", "sched-backfill"] = (
        tunable(
            "sched-fluxion-qmanager",
            help="scheduler module: Fluxion, first come first served (two of them), or EASY",
        )
    )
    queue_policy: Literal["fcfs", "easy", "conservative", "hybrid"] = tunable(
        "fcfs",
        help="Fluxion: for how many waiting jobs resources are reserved: none, the first, all, "
        "some",
        only=OF_FLUXION,
    )
    queue_depth: int = tunable(
        32,
        unit="jobs",
        ge=1,
        le=1_000_000,
        log=True,
        help="waiting jobs that the scheduler looks at",
    )
    reservation_depth: int = tunable(
        64,
        unit="jobs",
        ge=1,
        le=100_000,
        log=True,
        help="Fluxion: waiting jobs that hybrid reserves resources for",
        only=OF_FLUXION,
    )
    match_policy: Literal[
        "first", "low", "high", "lonode", "hinode", "firstnodex", "lonodex", "hinodex"
    ] = tunable(
        "first",
        help="Fluxion: which resources are chosen; -nodex: whole nodes only",
        only=OF_FLUXION,
    )


def parse_config(text: str) -> dict[str, Scalar]:
    """Return the parameters of a running instance, from what the verify command prints.

    That is a line of JSON with the scheduling module and Fluxion's parameters (`plan.VERIFY`), and
    for flux-core's schedulers the line that they logged when they were ready. Fluxion's own
    are left out under another module. Raise ParseError for anything else.
    """
    first, _, rest = text.strip().partition("\n")
    try:
        shown: dict[str, Any] = json.loads(first)
        sched = str(shown["sched"])
        if sched != FLUXION:
            return {"sched": sched, "queue_depth": _logged_depth(rest)}
        queue = shown[FLUXION]
        resource = shown[FLUXION_RESOURCE]
        return {
            "sched": sched,
            "queue_policy": str(queue["queue-policy"]),
            "queue_depth": _number(queue["queue-params"], "queue-depth"),
            "reservation_depth": _number(queue["policy-params"], "reservation-depth"),
            "match_policy": str(resource["policy"]),
        }
    except (ValueError, KeyError, TypeError):
        raise ParseError("what Flux runs with", text) from None


def _logged_depth(log: str) -> int:
    found = _READY.findall(log)
    if not found:
        raise ValueError("no queue depth in the log")
    return int(found[-1])


def _number(options: str, key: str) -> int:
    """Return a value of Fluxion's `key=value key=value`."""
    return int(dict(re.findall(r"([\w-]+)=([^\s,]+)", options))[key])
