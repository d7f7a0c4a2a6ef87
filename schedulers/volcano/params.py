"""What a campaign may set of Volcano: flags and plugin arguments.

They have Volcano's names, with underscores for dashes and dots.
"""

import json
import re
from typing import Any, Literal

from campaign.schema.settings import Scalar, tunable
from schedulers.base import Params, ParseError

FLAGS = ("schedule_period", "percentage_nodes_to_find", "kube_api_qps", "kube_api_burst")
"""Those that are flags of vc-scheduler; the others stand in its configuration."""
_FLAG = re.compile(r"--([a-z-]+)=(\S+)")
_LOADED = re.compile(r"Final state: actions=\[([^\]]*)\], plugins=\[([^\]]*)\]")


class VolcanoParams(Params):
    """Volcano's scheduling parameters.

    The plugins are those of Volcano's own default configuration, and binpack; `gang`, `drf` and
    `proportion` take one out. See docs/user-guide in volcano-sh/volcano, and `vc-scheduler --help`.
    """

    schedule_period: float = tunable(
        1.0, unit="s", ge=0.05, le=3600, log=True, help="pause between two runs over all that waits"
    )
    actions: Literal[
        "enqueue, allocate, backfill", "enqueue, allocate", "allocate, backfill", "allocate"
    ] = tunable(
        "enqueue, allocate, backfill",
        help="what a run does; without enqueue, pods are created for every job at once; backfill "
        "is for pods that "
        "request nothing",
    )
    gang: bool = tunable(True, help="a job's pods get nodes together or not at all")
    drf: bool = tunable(True, help="jobs of the smallest dominant share come first")
    proportion: bool = tunable(True, help="queues share the cluster by their weights")
    overcommit_factor: float = tunable(
        1.2,
        ge=1.0,
        le=100.0,
        help="jobs whose pods may be created, as a multiple of the cluster's resources",
    )
    binpack_weight: int = tunable(
        0, ge=0, le=100, help="how much nodes with few slots left are preferred; 0: not at all"
    )
    percentage_nodes_to_find: int = tunable(
        0,
        unit="%",
        ge=0,
        le=100,
        help="nodes to look at, of clusters above 100 nodes; 0: by the cluster's size",
    )
    kube_api_qps: int = tunable(
        2000, unit="requests/s", ge=1, le=10_000, log=True, help="requests to the API server"
    )
    kube_api_burst: int = tunable(
        2000, unit="requests", ge=1, le=10_000, log=True, help="requests at once"
    )


def configuration(params: VolcanoParams, resource: str) -> dict[str, Any]:
    """Return vc-scheduler's configuration with these parameters; binpack looks at `resource`."""
    first = ["priority", *(["gang"] if params.gang else []), "conformance"]
    second: list[dict[str, Any]] = [
        {"name": "overcommit", "arguments": {"overcommit-factor": params.overcommit_factor}},
        *({"name": name} for name in ("drf",) if params.drf),
        {"name": "predicates"},
        *({"name": name} for name in ("proportion",) if params.proportion),
        {"name": "nodeorder"},
        *([_binpack(params.binpack_weight, resource)] if params.binpack_weight else []),
    ]
    return {
        "actions": params.actions,
        "tiers": [{"plugins": [{"name": n} for n in first]}, {"plugins": second}],
    }


def _binpack(weight: int, resource: str) -> dict[str, Any]:
    """Return the plugin that looks at `resource` alone."""
    others = {"binpack.cpu": 0, "binpack.memory": 0}
    arguments = {
        "binpack.weight": weight,
        **others,
        "binpack.resources": resource,
        f"binpack.resources.{resource}": 1,
    }
    return {"name": "binpack", "arguments": arguments}


def flags(params: VolcanoParams) -> list[str]:
    """Return vc-scheduler's flags with these parameters."""
    return [f"--{name.replace('_', '-')}={_flag(name, getattr(params, name))}" for name in FLAGS]


def _flag(name: str, value: Scalar) -> str:
    # All digits are written: a search draws them, and what runs is compared with what was drawn.
    return f"{value}s" if name == "schedule_period" else str(value)


def parse_config(text: str) -> dict[str, Scalar]:
    """Return the parameters of a running scheduler, from what the verify command prints.

    That is a line with its arguments, one with what it logged when it had read its configuration,
    and that configuration. Raise ParseError for anything else, and where actions or plugins are not
    those that it has logged.
    """
    command, _, rest = text.strip().partition("\n")
    logged, _, shown = rest.partition("\n")
    try:
        given = dict(_FLAG.findall(command))
        loaded = _LOADED.search(logged)
        config: dict[str, Any] = json.loads(shown)
        plugins = {
            one["name"]: one.get("arguments", {})
            for tier in config["tiers"]
            for one in tier["plugins"]
        }
        if loaded is None or [loaded[1].split(), loaded[2].split()] != [
            config["actions"].split(", "),
            [*plugins],
        ]:
            raise ValueError("something else is loaded")
        return {
            "schedule_period": float(given["schedule-period"].removesuffix("s")),
            **{name: int(given[name.replace("_", "-")]) for name in FLAGS[1:]},
            "actions": str(config["actions"]),
            **{name: name in plugins for name in ("gang", "drf", "proportion")},
            "overcommit_factor": float(plugins["overcommit"]["overcommit-factor"]),
            "binpack_weight": int(plugins.get("binpack", {"binpack.weight": 0})["binpack.weight"]),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParseError("what vc-scheduler runs with", text) from None
