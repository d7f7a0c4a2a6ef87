"""Adapters on real VMs: what a cluster brings home is what the adapter promises, moved to other parameters too."""

import asyncio
from importlib import import_module

import pytest

import schedulers
from actors.cluster import Cluster, TrialSpec
from actors.near import Near
from actors.supply import Blueprint, Supply
from campaign.jobs import Workload
from campaign.model import ClusterSettings, ValiditySettings
from campaign.trials import Trial
from schedulers.conformance import ACCOUNTS, OUTCOMES, other_values, rehearsal
from schedulers.registry import adapter, names
from tests.conformance.document import write_tree
from tests.system.trials import host_on

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

NODES = 2
SWIFT = {"batch_sched_delay": 1, "sched_interval": 2, "bf_interval": 3}
"""Instead of changes after which nothing would be started for minutes."""


@pytest.fixture(scope="module")
def host(tmp_path_factory, bundle):
    with host_on(tmp_path_factory.mktemp("conformance"), bundle) as opened:
        yield opened


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The adapter that docs/adding-a-scheduler.md builds."""
    monkeypatch.setattr(schedulers, "__path__", [*schedulers.__path__, str(write_tree(tmp_path) / "schedulers")])
    return import_module("schedulers.tiny").ADAPTER


@pytest.mark.parametrize("name", [*names(), "tiny"])
def test_it_keeps_its_promises_with_its_defaults_and_with_every_parameter_changed(host, bundle_of, name, request):
    """The trial itself compares what runs with what was asked for (`parse_config`), and fails where they differ."""
    scheduler = request.getfixturevalue("tiny") if name == "tiny" else adapter(name)
    bundle = bundle_of(scheduler.image)
    blueprint = Blueprint("test", scheduler, ClusterSettings(), bundle, smallest=NODES, largest=NODES)
    cluster = blueprint.topology(NODES)
    workload = Workload("rehearsal", rehearsal(cluster))
    changed = dict(other_values(scheduler.Params))
    others = changed | {key: value for key, value in SWIFT.items() if key in changed}

    async def evaluations():
        supply, found = Supply(blueprint, Near(host)), []
        for number, params in enumerate(({}, others)):
            spec = TrialSpec(Trial(number=number, point={}), name, NODES, params, ValiditySettings(), workload)
            found.append(await Cluster(blueprint, spec, Near(host), supply).evaluate())
        await supply.close()
        return found

    for evaluation in asyncio.run(evaluations()):
        assert evaluation.outcome == "ok", evaluation.reason
        assert evaluation.provenance["start"] == "golden"
        for outcome in (*OUTCOMES, *ACCOUNTS):
            outcome(scheduler, cluster, evaluation.jobs)
