"""Wide jobs that compete on Kubernetes in virtual time, by the product's command line: its own
scheduler gives several of them some nodes and none of them all, Volcano runs one after another."""

import re

import pytest

from campaign.records.ledger import history_of
from schedulers.registry import adapter
from tests.system.conftest import Workplace

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]

NODES = 8
JOBS = 4
SLOTS = 20
"""Of each job: five of the nodes, so that no two of them fit beside one another."""
SETTINGS = (
    "testbed=virtual-time",
    f"cluster.nodes={NODES}",
    "cluster.slots_per_node=4",
    "cluster.stall_s=120",
    "workload=swf",
    "search.trials=1",
)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A trace of jobs that arrive in one second and run for two minutes each."""
    path = tmp_path_factory.mktemp("trace") / "gangs.swf"
    rest = "-1 1 1 1 1 1 -1 -1 -1"
    lines = (f"{n} 10 -1 120 {SLOTS} -1 -1 {SLOTS} 300 {rest}\n" for n in range(1, JOBS + 1))
    path.write_text(f"; Version: 2.2\n; MaxProcs: {NODES * 4}\n" + "".join(lines))
    return path


@pytest.mark.parametrize(("name", "outcome"), [("kube", "stalled"), ("volcano", "ok")])
def test_jobs_that_compete_for_nodes_stall_unless_they_are_gangs(
    tmp_path, image_store, bundle_of, trace, name, outcome
):
    bundle_of(adapter(name).image)
    place = Workplace(tmp_path, image_store)
    try:
        place.search(
            f"name={name}", f"scheduler={name}", *SETTINGS, f"workload.path={trace}", timeout=1500
        )
        record = history_of(place.results / name / "ledger.jsonl").trial(0)
    finally:
        place.clear()
    assert record.outcome == outcome, record.reason
    assert record.provenance.virtual_speed > 1
    if outcome == "stalled":
        # The first may have all its nodes before the others have pods.
        assert re.search(rf"0 jobs run and [2-{JOBS}] wait", record.reason)
        assert "Insufficient campaign.dev/slot" in record.reason
