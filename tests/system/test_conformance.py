"""Adapters on real VMs: what a cluster brings home is what the adapter promises, moved to other
parameters too."""

import asyncio
from importlib import import_module

import pyarrow as pa
import pytest

import schedulers
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.trial_run import TrialRun, TrialSpec
from actors.hosts.local import LocalHost
from campaign import guest
from campaign.analysis.conformance import (
    FAILING,
    FINAL_STATES,
    OUTCOMES,
    accounts_agree,
    ending_workload,
    final_states_are_told,
    jobs_have_accounts,
    sample_workload,
)
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.trials import Trial
from campaign.images.bundles.facts import image_facts
from campaign.schema.model import ClusterSettings, ValiditySettings
from schedulers.conformance import other_values
from schedulers.registry import adapter, names
from schedulers.samples import SLOTS, job
from tests.conformance.document import write_tree
from tests.system.trials import evaluate, host_on, provisioner_on, remotes_of, until_running

# The phases of a cluster have limits of their own, which a slow host stretches; this one is for
# what hangs in spite of them.
pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]

NODES = 2
SWIFT = {
    **{"batch_sched_delay": 1, "sched_interval": 2, "bf_interval": 3},
    **{
        "podMaxBackoffSeconds": 11,
        "qps": 20,
        "burst": 40,
        "kube_api_qps": 20,
        "kube_api_burst": 40,
        "gang": True,
    },
}
"""Instead of changes after which nothing would be started for minutes, or for ever."""


def cluster_of(scheduler):
    return ClusterSettings(memory_mib=max(512, scheduler.memory_mib))


@pytest.fixture(scope="module")
def host(golden_state, bundle):
    with host_on(golden_state, bundle) as opened:
        yield opened


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The adapter that docs/adding-a-scheduler.md builds."""
    monkeypatch.setattr(
        schedulers, "__path__", [*schedulers.__path__, str(write_tree(tmp_path) / "schedulers")]
    )
    return import_module("schedulers.tiny").ADAPTER


@pytest.mark.parametrize("name", [*names(), "tiny"])
def test_it_keeps_its_promises_with_its_defaults_and_with_every_parameter_changed(
    host, bundle_of, name, request
):
    """The trial itself compares what runs with what was asked for (`parse_config`), and fails where
    they differ."""
    scheduler = request.getfixturevalue("tiny") if name == "tiny" else adapter(name)
    bundle = bundle_of(scheduler.image)
    cluster_spec = ClusterSpec(
        "test", scheduler, cluster_of(scheduler), bundle, smallest=NODES, largest=NODES
    )
    cluster = cluster_spec.topology(NODES)
    workload = Workload("sample", sample_workload(scheduler, cluster))
    changed = dict(other_values(scheduler.Params))
    others = changed | {key: value for key, value in SWIFT.items() if key in changed}

    async def evaluations():
        provisioner = provisioner_on(host, cluster_spec)
        found = []
        for number, params in enumerate(({}, others)):
            spec = TrialSpec(
                Trial(number=number, point={}), name, NODES, params, ValiditySettings(), workload
            )
            found.append(
                await TrialRun(cluster_spec, spec, LocalHost(host), provisioner).evaluate()
            )
        await provisioner.close()
        return found

    for evaluation in asyncio.run(evaluations()):
        assert evaluation.outcome == "ok", evaluation.reason
        assert evaluation.provenance.start == "golden"
        for outcome in (*OUTCOMES, jobs_have_accounts):
            outcome(scheduler, cluster, evaluation.jobs)
        # By the limits of the host, as the trial itself was judged.
        slowness = host.facts.calibration.slowness
        accounts_agree(scheduler, cluster, evaluation.jobs, slowness=slowness)


def trial_of(scheduler, bundle, workload, host):
    """A cluster for one trial of a workload, under the scheduler's defaults."""
    cluster_spec = ClusterSpec(
        "test", scheduler, cluster_of(scheduler), bundle, smallest=NODES, largest=NODES
    )
    spec = TrialSpec(
        Trial(number=0, point={}), scheduler.name, NODES, {}, ValiditySettings(), workload
    )
    return TrialRun(cluster_spec, spec, LocalHost(host), provisioner_on(host, cluster_spec))


@pytest.mark.parametrize("name", names())
def test_a_burst_of_a_job_for_every_slot_is_a_valid_trial(host, bundle_of, name):
    """Launches that share their nodes' CPUs take longer, and no longer than the limits allow.

    The jobs come a second apart, since a busy head may take that long to answer a submission.
    """
    scheduler = adapter(name)
    jobs = [
        job(1, number=number, arrival_s=number)._replace(runtime_s=10.0)._asdict()
        for number in range(1, NODES * SLOTS + 1)
    ]
    workload = Workload("burst", pa.Table.from_pylist(jobs, schema=WORKLOAD_SCHEMA))
    found = asyncio.run(evaluate(trial_of(scheduler, bundle_of(scheduler.image), workload, host)))
    assert found.outcome == "ok", found.reason


@pytest.mark.parametrize("name", names())
def test_how_jobs_end_shows_as_such(host, bundle_of, name, monkeypatch):
    """A job that fails, one beyond its time limit and one that is cancelled: the accounts tell them
    apart."""
    scheduler = adapter(name)
    remotes = remotes_of(monkeypatch)
    payload = guest.payload
    monkeypatch.setattr(
        guest,
        "payload",
        lambda job, *said: FAILING if FINAL_STATES[job.job_id] == "failed" else payload(job, *said),
    )
    bundle = bundle_of(scheduler.image)
    bound = scheduler.for_image(image_facts(bundle.manifest))
    cluster = trial_of(scheduler, bundle, Workload("endings", ending_workload()), host)

    async def cancel_the_fourth():
        await until_running(remotes, bound, count=2)  # those that last
        text = await remotes["head"].succeed(("cat", guest.SUBMITS_FILE), timeout_s=60)
        native = {one.job_id: bound.parse_submit(one.output) for one in guest.parse_submits(text)}
        await remotes["head"].succeed(bound.cancel_command(native[4]), timeout_s=60)

    result = asyncio.run(evaluate(cluster, cancel_the_fourth))
    assert result.outcome == "invalid" and "incomplete jobs: 3" in result.reason, result.reason
    final_states_are_told(bound, FINAL_STATES, result.jobs)


@pytest.mark.parametrize("name", names())
def test_the_jobs_of_a_lost_node_are_told_by_the_scheduler(host, bundle_of, name, monkeypatch):
    scheduler = adapter(name)
    remotes = remotes_of(monkeypatch)
    wide = job(NODES * SLOTS, number=1)._replace(runtime_s=300.0, requested_s=600.0)
    workload = Workload("one", pa.Table.from_pylist([wide._asdict()], schema=WORKLOAD_SCHEMA))
    bundle = bundle_of(scheduler.image)
    bound = scheduler.for_image(image_facts(bundle.manifest))
    cluster = trial_of(scheduler, bundle, workload, host)

    async def pull_the_plug():
        await until_running(remotes, bound)
        (slot,) = host._slots.all_slots()
        host._hypervisor.destroy(f"{slot.cluster}-n2")

    result = asyncio.run(evaluate(cluster, pull_the_plug))
    assert result.outcome == "invalid" and "n2 was lost: its VM is" in result.reason, result.reason
    assert (
        f"{scheduler.name} reports of the jobs that ended" in result.reason
        and "lost nodes: 1" in result.reason
    )
    final_states_are_told(bound, {1: "node_lost"}, result.jobs)
