"""What a campaign may set of kube-scheduler, under the names of its configuration."""

from typing import Any, Literal

from campaign.schema.settings import Scalar, tunable
from schedulers._kubernetes.adapter import parsed
from schedulers.base import Params, ParseError


class KubeParams(Params):
    """Settings of KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1)."""

    podInitialBackoffSeconds: int = tunable(  # noqa: N815 - Kubernetes' name
        1,
        unit="s",
        ge=1,
        le=10,
        log=True,
        help="how long a pod that found no node isn't tried again, at first",
    )
    podMaxBackoffSeconds: int = tunable(  # noqa: N815
        10, unit="s", ge=10, le=3600, log=True, help="and at most, after more and more tries"
    )
    scoringStrategy: Literal["LeastAllocated", "MostAllocated"] = tunable(  # noqa: N815
        "LeastAllocated",
        help="nodes that are preferred: those with most, or with fewest slots left",
    )
    percentageOfNodesToScore: int = tunable(  # noqa: N815
        0,
        unit="%",
        ge=0,
        le=100,
        help="nodes to look at, of clusters above 100 nodes; 0: by the cluster's size",
    )
    parallelism: int = tunable(16, ge=1, le=256, log=True, help="goroutines that look at nodes")
    qps: int = tunable(
        50, unit="requests/s", ge=1, le=10_000, log=True, help="requests to the API server"
    )
    burst: int = tunable(100, unit="requests", ge=1, le=10_000, log=True, help="requests at once")


def configuration(params: KubeParams, kubeconfig: str, resource: str) -> dict[str, Any]:
    """Return KubeSchedulerConfiguration with these parameters.

    Nodes are scored by `resource`.
    """
    strategy = {"type": params.scoringStrategy, "resources": [{"name": resource, "weight": 1}]}
    fit = {"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig, "qps": params.qps, "burst": params.burst},
        "leaderElection": {"leaderElect": False},
        "parallelism": params.parallelism,
        "percentageOfNodesToScore": params.percentageOfNodesToScore,
        "podInitialBackoffSeconds": params.podInitialBackoffSeconds,
        "podMaxBackoffSeconds": params.podMaxBackoffSeconds,
        "profiles": [{"schedulerName": "default-scheduler", "pluginConfig": [fit]}],
    }


def parse_config(text: str) -> dict[str, Scalar]:
    """Return the parameters of a running scheduler, from its /configz.

    Names begin with capitals there. Raise ParseError for anything else.
    """
    shown = parsed("the scheduler's configuration", text)
    try:
        (config,) = shown.values()
        (profile,) = config["Profiles"]
        (fit,) = (
            one["Args"] for one in profile["PluginConfig"] if one["Name"] == "NodeResourcesFit"
        )
        client = config["ClientConnection"]
        plain = {name: config.get(name[0].upper() + name[1:]) for name in KubeParams.model_fields}
        return {
            **{name: int(value) for name, value in plain.items() if value is not None},
            "scoringStrategy": str(fit["ScoringStrategy"]["Type"]),
            "qps": int(client["QPS"]),
            "burst": int(client["Burst"]),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ParseError("the scheduler's configuration", text) from None
